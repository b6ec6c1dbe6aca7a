"""What is measured at one snapshot of a run: the paper's §8.1 and §8.3, and what they leave out.

All vectors belong to the same weights: D_E = √diag(H²), D_J = |diag H|, √v as the second moment of minibatch
gradients, and the run's own D. H is the Hessian of the mean loss over a fixed sample of the training set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from esgd.data import Dataset
from esgd.distances import compare, cosine_distance, noise_floor
from esgd.errors import ConfigError, EsgdError
from esgd.estimate import RunningMoments
from esgd.measure_pieces import Pieces, StoppableHessian
from esgd.nets import Autoencoder
from esgd.seeding import named_generator
from esgd.snapshots import Snapshot
from esgd.spectrum import SpectralDensity, spectral_density
from esgd.workload import workload

__all__ = [
    "COLUMNS",
    "MeasureConfig",
    "MeasurementStopped",
    "measure_snapshot",
    "sample_indices",
    "saturated_share",
    "saturation",
    "sigmoid_activations",
]

COLUMNS = ("run", "seed", "method", "epoch", "step", "quantity", "a", "b", "value", "stderr")
# λ in the steps that are compared: what the searches in the paper's ranges chose, on CURVES and on MNIST
DAMPING = {"equilibration": 1e-4, "jacobi": 1e-4, "rmsprop": 1e-5, "absolute": 1e-4}
MNIST_DAMPING = DAMPING | {"rmsprop": 1e-6}
NEAR_ZERO = 1e-3  # eigenvalues within this share of the largest in magnitude count as neither sign
SATURATED = 0.01  # a sigmoid whose slope a(1 − a) is below that; it is at most 0.25


class MeasurementStopped(EsgdError):
    """The measurement was asked to stop.

    Attributes:
        state: what it goes on from; ``share`` of it is how much of the work is done.
    """

    state: Mapping[str, Any]


@dataclass(frozen=True)
class MeasureConfig:
    """What decides the numbers of a measurement.

    Attributes:
        examples: size of the fixed sample; None takes the whole training set.
        probes: Hessian-vector products for the diagonals and the dominance.
        batch_size: examples that share a graph; it changes rounding only.
        gradient_batches: minibatches at most, of the run's own size, behind √v: those that the run sees next.
        spaces: Krylov spaces of the spectrum; 0 leaves it out.
        steps: dimension of each.
        abs_probes: probes for diag|H|, each ``steps`` products; 0 leaves it out.
        seed: of the sample and the probes.

    Raises:
        ConfigError: a count is too small.
    """

    examples: int | None = 2000
    probes: int = 100
    batch_size: int = 1000
    gradient_batches: int = 100
    spaces: int = 2
    steps: int = 30
    abs_probes: int = 0
    seed: int = 0

    def __post_init__(self):
        least = {"examples": 1, "probes": 4, "batch_size": 1, "gradient_batches": 1, "spaces": 0, "steps": 2}
        for name, low in (least | {"abs_probes": 0, "seed": 0}).items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name.replace('_', '-')} must be at least {low}, got {value}")

    def settings(self) -> dict[str, Any]:
        """The settings as a dict."""
        return asdict(self)

    def command(self, runs: str) -> str:
        """The command line that measures these runs."""
        words = [f"esgd measure {runs}"]
        for key, value in asdict(self).items():
            if value != getattr(MeasureConfig(), key):
                flag = f"--{key.replace('_', '-')}"
                words.append("--full-data" if value is None else f"{flag} {value}")
        return " ".join(words)


def sample_indices(data: Dataset, config: MeasureConfig) -> tuple[Tensor, str]:
    """The examples of the fixed sample, ascending, and the SHA-256 of their numbers.

    Raises:
        ConfigError: the training set is smaller.
    """
    count = len(data) if config.examples is None else config.examples
    if count > len(data):
        raise ConfigError(f"examples is {count:,}, but {data.name} has {len(data):,}: ask for fewer")
    order = torch.randperm(len(data), generator=named_generator("measure", config.seed))
    index = order[:count].sort().values
    return index, hashlib.sha256(index.numpy().astype("<i8").tobytes()).hexdigest()


def measure_snapshot(
    snapshot: Snapshot,
    data: Dataset,
    config: MeasureConfig,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[float], Any] = lambda share: None,
    state: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """All measures at one snapshot, as rows with the columns :data:`COLUMNS`.

    ``quantity`` is ``loss``; ``cosine`` and ``log_dispersion`` of the vector ``a`` from ``b``, with ``constant``
    as a baseline; ``floor``, what the probes' noise alone makes of the cosine distance from the truth; ``step``,
    the cosine (not the distance) between the steps that a and b take; ``rms`` of a vector; ``dominance``
    (Eq. 6 debiased, its square) and ``dominance_plugin``; ``largest`` and ``smallest`` Ritz values;
    ``negative`` and ``positive``, shares of the eigenvalues beyond ∓ a thousandth of the largest;
    ``negative_energy``, the share of Σλ² on negative λ; ``saturated`` and ``saturated_units``.

    Args:
        snapshot: from :func:`esgd.snapshots.load_snapshot`.
        data: the run's training set, on the snapshot's device.
        config: what to measure.
        should_stop: asked after each batch, so that each session gets on.
        on_progress: called after each batch with the share of all the work that it was.
        state: of a measurement of the same, that was stopped: it goes on from there, and gives the same bits.

    Raises:
        MeasurementStopped: it was asked to stop; its ``state`` is what the next call needs.
    """
    task, net = workload(snapshot.config.workload), snapshot.net
    index, _ = sample_indices(data, config)
    images = data.images[index.to(data.images.device)]

    work = 2 * len(images) * (config.probes + config.steps * (config.spaces + config.abs_probes))
    work += min(config.gradient_batches * snapshot.config.batch_size, len(data))

    def loss(batch: Tensor) -> Tensor:
        return task.loss(net(batch), batch)

    share = 0.0 if state is None else state["share"]

    def after(examples: int) -> None:
        nonlocal share
        share += examples / work
        on_progress(examples / work)
        if should_stop():
            raise MeasurementStopped("stopped")

    batches = images.split(config.batch_size)
    # a product costs about two gradients
    operator = StoppableHessian(loss, net.named_parameters(), batches, lambda examples: after(2 * examples))
    pieces = Pieces(snapshot, data, config, loss, operator, after, state)
    try:
        return _rows(snapshot, images, config, pieces, operator)
    except MeasurementStopped as stop:
        stop.state = {"share": share, **pieces.state()}
        raise


def _rows(
    snapshot: Snapshot, images: Tensor, config: MeasureConfig, pieces: Pieces, operator: StoppableHessian
) -> list[dict[str, Any]]:
    """The rows of :func:`measure_snapshot`: first all that goes through the data, then what is made of it."""
    found_loss, found = pieces.loss(), pieces.diagonals()
    root_v, gradients = pieces.root_v()
    absolute = pieces.absolute() if config.abs_probes else None
    density = None
    if config.spaces:
        density = spectral_density(
            operator, config.spaces, num_steps=config.steps, seed=config.seed, probes_per_pass=config.spaces
        )
    identity = {
        "run": snapshot.run,
        "seed": snapshot.config.seed,
        "method": snapshot.config.method,
        "epoch": snapshot.epoch,
        "step": snapshot.step,
    }
    rows = []

    def add(quantity: str, value: float, stderr: float = 0.0, a: str = "", b: str = "") -> None:
        rows.append({**identity, "quantity": quantity, "a": a, "b": b, "value": value, "stderr": stderr})

    add("loss", found_loss)
    add("dominance", found.dominance_squared.value, found.dominance_squared.stderr)
    add("dominance_plugin", found.dominance_plugin.value, found.dominance_plugin.stderr)
    add("frobenius_squared", found.frobenius_squared.value, found.frobenius_squared.stderr)
    vectors: dict[str, Any] = {
        "equilibration": found.diag_squared.sqrt(),
        "jacobi": found.diag.abs(),
        "rmsprop": root_v,
    }
    if absolute is not None:
        vectors["absolute"] = absolute.abs()
    if snapshot.preconditioner is not None:
        vectors["own"] = operator.space.flatten([snapshot.preconditioner[n] for n in operator.space.names])
    _distances(vectors, add)
    _steps(vectors, snapshot, gradients, add)
    if density is not None:
        _spectrum(density, add)
    for quantity, value in saturation(snapshot.net, images).items():
        add(quantity, value)
    return rows


def _distances(vectors: Mapping[str, Any], add: Callable[..., None]) -> None:
    """Pairwise distances, a constant vector's, the noise floors, and the size of each."""
    reference = vectors["equilibration"]
    for a, u in vectors.items():
        value = getattr(u, "value", u)
        add("rms", value.double().square().mean().sqrt().item(), a=a)
        if a == "equilibration":
            continue
        found = compare(u, reference)
        add("cosine", found.cosine.value, found.cosine.stderr, a, "equilibration")
        add("log_dispersion", found.log_dispersion.value, found.log_dispersion.stderr, a, "equilibration")
    add("cosine", found.constant_cosine.value, found.constant_cosine.stderr, "constant", "equilibration")
    spread = found.constant_log_dispersion
    add("log_dispersion", spread.value, spread.stderr, "constant", "equilibration")
    between = cosine_distance(vectors["rmsprop"], vectors["jacobi"])
    add("cosine", between.value, between.stderr, "rmsprop", "jacobi")
    for name in ("equilibration", "jacobi", *(["absolute"] if "absolute" in vectors else [])):
        add("floor", noise_floor(vectors[name])["cosine"], a=name)


def _steps(
    vectors: Mapping[str, Any], snapshot: Snapshot, gradients: list[Tensor], add: Callable[..., None]
) -> None:
    """Cosine between the steps g/(D_a + λ_a) of each pair, mean over minibatches; SGD's D is constant."""
    scales: dict[str, Tensor | float] = {"sgd": 1.0}
    chosen = MNIST_DAMPING if snapshot.config.workload.startswith("mnist") else DAMPING
    for name, u in vectors.items():
        damping = snapshot.config.damping if name == "own" else chosen[name]
        scales[name] = getattr(u, "value", u) + damping
    for a, b in combinations(scales, 2):
        cosines = RunningMoments()
        for g in gradients:
            one, other = g.double() / scales[a], g.double() / scales[b]
            norms = torch.linalg.vector_norm(one) * torch.linalg.vector_norm(other)
            cosines.add(torch.dot(one, other) / norms)
        estimate = cosines.estimate()
        add("step", estimate.value, estimate.stderr, a, b)


def _spectrum(density: SpectralDensity, add: Callable[..., None]) -> None:
    """The ends of the spectrum, and how much of it is negative."""
    nodes, residuals = density.nodes.flatten(), density.residuals.flatten()
    for quantity, at in (("largest", nodes.argmax()), ("smallest", nodes.argmin())):
        add(quantity, nodes[at].item(), residuals[at].item())
    edge, n = NEAR_ZERO * nodes.abs().max().item(), density.num_params
    for quantity, function in (
        ("negative", lambda x: (x < -edge).double() / n),
        ("positive", lambda x: (x > edge).double() / n),
    ):
        estimate = density.trace(function)
        add(quantity, estimate.value, estimate.stderr)
    energy = density.trace(lambda x: x.square())
    negative = density.trace(lambda x: x.clamp(max=0).square())
    add("negative_energy", negative.value / energy.value, negative.stderr / energy.value)


@torch.no_grad()
def sigmoid_activations(net: Autoencoder, images: Tensor) -> dict[str, Tensor]:
    """The outputs of the hidden sigmoids, by the name of each layer's linear part, as ``"encoder.0"``.

    Args:
        net: the net.
        images: shape ``(examples, pixels)``.

    Returns:
        One tensor of shape ``(examples, units)`` a layer. The code layer is linear, and the output has no sigmoid
        of its own.
    """
    found, x = {}, images
    for part, layers in (("encoder", net.encoder), ("decoder", net.decoder)):
        for i, layer in enumerate(layers):
            x = layer(x)
            if isinstance(layer, nn.Sigmoid):
                found[f"{part}.{i - 1}"] = x
    return found


def saturated_share(activations: Tensor) -> Tensor:
    """The share of the examples on which each unit of a sigmoid layer is saturated.

    It counts as saturated where its slope a(1 − a) is below 0.01, a twenty-fifth of the largest. The paper (§8.3)
    speaks of saturated units without a definition.

    Args:
        activations: the layer's outputs a, shape ``(examples, units)``.

    Returns:
        Shape ``(units,)``.
    """
    return (activations * (1 - activations) < SATURATED).float().mean(0)


def saturation(net: Autoencoder, images: Tensor) -> dict[str, float]:
    """How many hidden sigmoids are saturated, see :func:`saturated_share`.

    Returns:
        ``saturated``: share of all (unit, example) pairs; ``saturated_units``: share of the units that are
        saturated on 95 % of the examples or more.
    """
    flat = torch.cat([saturated_share(a) for a in sigmoid_activations(net, images).values()])  # (units,)
    return {"saturated": flat.mean().item(), "saturated_units": (flat >= 0.95).float().mean().item()}
