"""Downloads against a real server on this machine that misbehaves on request."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import threading

import pytest

from esgd.data import load, mnist
from esgd.data.download import download
from esgd.errors import DataError

CONTENT = os.urandom(300_000)


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the first part of the path says how it fails."""

    requests: list[tuple[str, str | None]] = []  # noqa: RUF012
    failures_left = 0

    def do_GET(self):
        mode = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        type(self).requests.append((mode, wanted))
        body = getattr(self.server, "content", CONTENT)
        if mode == "gone":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and mode != "norange" else 0
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        data = body[start:]
        if mode == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if mode == "cut" or (mode == "flaky" and type(self).failures_left > 0):
            type(self).failures_left -= 1
            data = data[: len(data) // 2]  # then the connection closes, short of what was promised
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror():
    Mirror.requests, Mirror.failures_left = [], 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def check(data: bytes) -> None:
    if hashlib.sha256(data).digest() != hashlib.sha256(CONTENT).digest():
        raise DataError("wrong content")


def leftovers(target):
    return sorted(p.name for p in target.parent.iterdir() if p != target and p.suffix != ".lock")


def test_a_whole_file_arrives(mirror, tmp_path):
    target = tmp_path / "new" / "file"
    assert download([f"{mirror.url}/good/file"], target, check=check, progress=False) == target
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == []


def test_a_broken_transfer_goes_on_from_where_it_was(mirror, tmp_path):
    Mirror.failures_left = 1
    target = tmp_path / "file"
    download([f"{mirror.url}/flaky/file"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in Mirror.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_truncated_download_is_never_taken_for_data(mirror, tmp_path):
    target = tmp_path / "file"
    with pytest.raises(DataError, match=r"ended after [\d,]+ of 300,000 bytes.*do this") as error:
        download([f"{mirror.url}/cut/file"], target, check=check, progress=False, remedy="do this")
    assert not target.exists()
    assert "127.0.0.1" in str(error.value)
    assert leftovers(target) == ["file.part"]  # the next attempt goes on from it
    download([f"{mirror.url}/good/file"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT
    assert Mirror.requests[-1][1] is not None


def test_a_corrupted_file_is_thrown_away_and_the_next_mirror_asked(mirror, tmp_path):
    target = tmp_path / "file"
    download([f"{mirror.url}/corrupt/f", f"{mirror.url}/good/f"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT
    assert [mode for mode, _ in Mirror.requests] == ["corrupt", "good"]
    assert Mirror.requests[-1][1] is None  # from the start: nothing of the corrupted file is kept


def test_corrupted_everywhere_leaves_nothing(mirror, tmp_path):
    target = tmp_path / "file"
    with pytest.raises(DataError, match="wrong content"):
        download([f"{mirror.url}/corrupt/f"], target, check=check, progress=False)
    assert leftovers(target) == []
    assert not target.exists()


def test_a_part_of_something_else_is_found_out_and_fetched_anew(mirror, tmp_path):
    target = tmp_path / "file"
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    download([f"{mirror.url}/good/f"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in Mirror.requests] == ["bytes=1000-", None]


def test_a_whole_part_needs_no_more_bytes(mirror, tmp_path):
    target = tmp_path / "file"
    (tmp_path / "file.part").write_bytes(CONTENT)  # killed between the last byte and the rename
    download([f"{mirror.url}/good/f"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(mirror, tmp_path):
    target = tmp_path / "file"
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download([f"{mirror.url}/norange/f"], target, check=check, progress=False)
    assert target.read_bytes() == CONTENT


def test_unreachable_and_refusing_mirrors_are_listed(mirror, tmp_path):
    with pytest.raises(DataError, match=r"404.*refused.*put it there"):
        download(
            [f"{mirror.url}/gone/f", "http://127.0.0.1:9/f"],
            tmp_path / "f",
            check=check,
            progress=False,
            remedy="put it there",
        )


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        download([f"{mirror.url}/good/f"], tmp_path / "file" / "below" / "f", check=check, progress=False)
    assert Mirror.requests == []


def test_two_at_once_download_once(mirror, tmp_path):
    target = tmp_path / "file"
    threads = [
        threading.Thread(
            target=download, args=([f"{mirror.url}/good/f"], target), kwargs={"check": check, "progress": False}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(Mirror.requests) == 1


def test_mnist_comes_from_its_mirrors_and_is_cached(mirror, isolated, monkeypatch):
    name = "t10k-labels-idx1-ubyte"
    labels = b"\0\0\x08\1\0\0\0\4" + bytes([7, 2, 1, 0])
    mirror.content = gzip.compress(labels)
    monkeypatch.setitem(mnist.FILES, name, hashlib.sha256(labels).hexdigest())
    monkeypatch.setattr(mnist, "MIRRORS", (f"{mirror.url}/gone/", f"{mirror.url}/good/"))
    assert mnist.load_labels("test", progress=False).tolist() == [7, 2, 1, 0]
    assert mnist.load_labels("test", progress=False).tolist() == [7, 2, 1, 0]
    assert [mode for mode, _ in Mirror.requests] == ["gone", "good"]  # the second time from the cache


def test_mnist_without_a_network_says_what_to_do(isolated, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(DataError, match=r"ESGD_DATA.*mnist-10k"):
        load("mnist", progress=False)


def test_the_mirrors_are_two():
    assert len({mirror.split("/")[2] for mirror in mnist.MIRRORS}) == 2
