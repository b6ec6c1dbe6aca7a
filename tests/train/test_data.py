from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
from importlib import resources

import numpy as np
import pytest
import torch

from esgd.data import DATASETS, curves, load, mnist, pca_squared_error
from esgd.errors import ConfigError, DataError

TEST_IMAGES = "t10k-images-idx3-ubyte"


@pytest.fixture(scope="module")
def packaged() -> bytes:
    return resources.files("esgd.data").joinpath("packaged", f"{TEST_IMAGES}.gz").read_bytes()


def test_packaged_digits_are_mnists_test_images(isolated):
    data = load("mnist-10k")
    assert data.images.shape == (10_000, 784)
    assert data.images.dtype == torch.float32
    assert 0 <= data.images.min() <= data.images.max() <= 1
    assert data.digest == mnist.FILES[TEST_IMAGES]
    content = gzip.decompress(resources.files("esgd.data").joinpath("packaged", f"{TEST_IMAGES}.gz").read_bytes())
    assert data.images[0].mul(255).round().byte().numpy().tobytes() == content[16 : 16 + 784]


@pytest.mark.parametrize("layout", ["plain", "gz", "below mnist"])
def test_idx_files_are_found_in_the_data_folder(isolated, monkeypatch, packaged, layout):
    folder = isolated / "data"
    below = folder / "mnist" if layout == "below mnist" else folder
    below.mkdir(parents=True)
    if layout == "plain":
        (below / TEST_IMAGES).write_bytes(gzip.decompress(packaged))
    else:
        (below / f"{TEST_IMAGES}.gz").write_bytes(packaged)
    monkeypatch.setenv("ESGD_DATA", str(folder))
    data = load("mnist", "test")
    assert torch.equal(data.images, load("mnist-10k").images)
    assert "canonical" in data.source


def test_cache_is_used_when_the_data_folder_has_no_mnist(isolated, monkeypatch, packaged):
    cache = isolated / "cache" / "esgd" / "mnist"
    cache.mkdir(parents=True)
    (cache / f"{TEST_IMAGES}.gz").write_bytes(packaged)
    (isolated / "empty").mkdir()
    monkeypatch.setenv("ESGD_DATA", str(isolated / "empty"))
    assert len(load("mnist", "test")) == 10_000


def damaged(content: bytes, how: str) -> bytes:
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "empty":
        return b""
    if how == "html":
        return b"<html>404</html>"
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    return bytes(flipped)


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "html"])
def test_a_damaged_file_is_never_taken_for_data(isolated, monkeypatch, packaged, how, packing):
    content = packaged if packing else gzip.decompress(packaged)
    path = isolated / f"{TEST_IMAGES}{packing}"
    path.write_bytes(damaged(content, how))
    monkeypatch.setenv("ESGD_DATA", str(isolated))
    with pytest.raises(DataError, match=r"truncated|corrupted") as error:
        load("mnist", "test")
    assert str(path) in str(error.value)


def test_a_data_folder_that_does_not_exist_is_named(isolated, monkeypatch):
    monkeypatch.setenv("ESGD_DATA", str(isolated / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        load("mnist")


def idx(shape, payload: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + payload


def test_read_idx_gives_images_and_labels():
    images = mnist.read_idx(idx((2, 2, 3), bytes(range(12))), "x")
    assert images.tolist() == [list(range(6)), list(range(6, 12))]
    assert mnist.read_idx(idx((3,), b"\1\2\3"), "x").tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"PK\3\4",
        idx((2, 2), b"abcd", kind=13),
        idx((2, 2, 2), b"")[:9],
        idx((2, 2), b"abc"),
        idx((2, 2), b"abcde"),
    ],
)
def test_read_idx_refuses_what_is_not_whole(content):
    with pytest.raises(DataError, match="x "):
        mnist.read_idx(content, "x")


def test_labels_match_their_images(isolated, monkeypatch, tmp_path):
    labels = idx((3,), b"\7\2\1")
    monkeypatch.setitem(mnist.FILES, "t10k-labels-idx1-ubyte", hashlib.sha256(labels).hexdigest())
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(labels)
    monkeypatch.setenv("ESGD_DATA", str(tmp_path))
    assert mnist.load_labels("test").tolist() == [7, 2, 1]


@pytest.mark.parametrize(("name", "split"), [("cifar", "train"), ("mnist", "valid"), ("mnist-10k", "test")])
def test_unknown_names_are_refused(name, split):
    with pytest.raises(ConfigError, match=r"choose|split"):
        load(name, split)


def test_generated_curves_are_the_same_bytes_everywhere(isolated):
    data = load("curves")
    assert data.images.shape == (20_000, 784)
    assert data.digest == curves.DIGESTS["train"]
    assert "generated" in data.source
    assert (
        hashlib.sha256(curves.draw_curves(10_000, curves.SEEDS["test"]).tobytes()).hexdigest()
        == curves.DIGESTS["test"]
    )
    cached = next((isolated / "cache").rglob("generated*train*.npy"))
    cached.write_bytes(cached.read_bytes()[:5000])  # a damaged cache is drawn anew
    assert load("curves").digest == curves.DIGESTS["train"]
    assert len(cached.read_bytes()) > 20_000 * 784


def test_generated_curves_go_through_their_three_points():
    """Distance to the exact curve, in floating point and far denser, decides each pixel's ink."""
    count, seed = 20, 11
    images = curves.draw_curves(count, seed).reshape(count, 28, 28) / 255
    points = np.random.Generator(np.random.PCG64(seed)).integers(4 * 64, 24 * 64, size=(count, 3, 2)) / 64
    t = np.linspace(0, 1, 2001)[:, None]
    centres = np.arange(28) + 0.5
    for image, (a, b, c) in zip(images, points, strict=True):
        path = (1 - t) * (1 - 2 * t) * a + 4 * t * (1 - t) * b + t * (2 * t - 1) * c
        dx = (path[:, 0, None] - centres) ** 2
        dy = (path[:, 1, None] - centres) ** 2
        distance = np.sqrt((dy[:, :, None] + dx[:, None, :]).min(0))
        assert np.abs(image - np.clip(1.5 - distance, 0, 1)).max() < 0.12
        for x, y in (a, b, c):
            assert image[int(y), int(x)] > 0.5


def test_different_seeds_draw_different_curves():
    assert not np.array_equal(curves.draw_curves(5, 0), curves.draw_curves(5, 1))
    assert np.array_equal(curves.draw_curves(60, 0)[:5], curves.draw_curves(5, 0))


def test_a_file_of_the_originals_name_is_preferred_and_said(isolated, monkeypatch, small_curves):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    data = load("curves")
    assert data.images.shape == (400, 784)
    assert load("curves", "test").images.shape == (200, 784)
    for split in ("train", "test"):
        source = load("curves", split).source
        assert source.startswith("a file named digs3pts_1.mat with 400 + 200 images, not the original")


@pytest.mark.parametrize(("train", "test"), [(20_000, 10_000), (20_000, 200), (400, 10_000)])
def test_only_a_file_with_the_originals_numbers_is_called_the_original(isolated, monkeypatch, train, test):
    from scipy.io import savemat

    arrays = {"bdata": np.zeros((train, 784), np.uint8), "bdatatest": np.zeros((test, 784), np.uint8)}
    savemat(isolated / "digs3pts_1.mat", arrays, do_compression=True)
    monkeypatch.setenv("ESGD_DATA", str(isolated))
    source = load("curves", "test").source
    assert (source == "the original digs3pts_1.mat") == ((train, test) == (20_000, 10_000))
    assert source == "the original digs3pts_1.mat" or source.startswith("a file named digs3pts_1.mat")


def test_a_foreign_or_broken_original_is_refused(isolated, monkeypatch, small_curves):
    from scipy.io import savemat

    monkeypatch.setenv("ESGD_DATA", str(isolated))
    path = isolated / "digs3pts_1.mat"
    path.write_bytes(b"not MATLAB at all" * 100)
    with pytest.raises(DataError, match="not a readable MATLAB file"):
        load("curves")
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(DataError, match="bdata"):
        load("curves")
    savemat(path, {"bdata": np.zeros((3, 5))})
    with pytest.raises(DataError, match="shape"):
        load("curves")
    savemat(path, {"bdata": np.full((3, 784), 255.0)})
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        load("curves")
    shutil.copy(small_curves / path.name, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError):
        load("curves")


def test_an_unwritable_cache_only_costs_time(isolated, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    monkeypatch.setattr(curves, "SIZES", {"train": 7, "test": 5})
    assert len(load("curves")) == 7


def test_dtype_is_honoured():
    assert load("mnist-10k", dtype=torch.float64).images.dtype == torch.float64


def test_pca_error_matches_a_singular_value_decomposition():
    images = torch.rand(40, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = images - images.mean(0)
    u, s, v = torch.linalg.svd(centred, full_matrices=False)
    for k in (0, 3, 12):
        rebuilt = u[:, :k] * s[:k] @ v[:k]
        assert pca_squared_error(images, k) == pytest.approx((centred - rebuilt).square().sum(1).mean().item())
    with pytest.raises(ConfigError, match="components"):
        pca_squared_error(images, 13)


def test_every_data_set_is_known():
    assert set(DATASETS) == {"mnist", "mnist-10k", "curves"}
