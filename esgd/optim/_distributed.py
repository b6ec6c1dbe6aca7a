"""Data parallel: the mean of Hv over the ranks, before anything is squared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError, CurvatureError

__all__ = ["average_over_ranks", "check_alike", "resolve_group", "shared_by_copies"]


class _Shared:
    """A process group, which copies of an optimizer share and a file cannot hold."""

    def __init__(self, group: Any) -> None:
        self.group = group

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.group

    def __reduce__(self) -> Any:
        raise ConfigError(
            "a process group cannot be pickled: save optimizer.state_dict(), or construct the optimizer with "
            "process_group='world' or None"
        )


def shared_by_copies(group: Any) -> Any:
    """``group``, or where it is a process group a stand-in that ``copy.deepcopy`` turns back into it."""
    return group if group is None or isinstance(group, str) else _Shared(group)


def resolve_group(group: Any) -> Any:
    """The process group to reduce over, or ``None`` where there is nothing to reduce.

    Args:
        group: ``"world"`` for the default group if ``torch.distributed`` is initialised, ``None`` for never, or
            a process group.
    """
    if group is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    group = torch.distributed.group.WORLD if group == "world" else group
    return group if torch.distributed.get_world_size(group) > 1 else None


def check_alike(params: Sequence[Tensor], group: Any) -> None:
    """Refuse ranks that hold different parameters, before a reduction hangs or aborts the process.

    One all-reduce of four numbers, and the host waits for it.

    Raises:
        CurvatureError: the parameters are sharded over the ranks.
    """
    sizes = torch.tensor([len(params), sum(p.numel() for p in params)], device=params[0].device)
    ends = torch.cat([sizes, -sizes])
    torch.distributed.all_reduce(ends, op=torch.distributed.ReduceOp.MAX, group=group)
    most, least = ends[:2].tolist(), (-ends[2:]).tolist()
    if most != least:
        raise CurvatureError(
            f"the ranks hold different parameters, from {least[1]:,} to {most[1]:,} numbers: curvature needs all "
            "of them on every rank, as under DistributedDataParallel, and not a shard of them (FSDP, "
            "ZeroRedundancyOptimizer). Where ranks train models of their own, construct with process_group=None"
        )


def average_over_ranks(
    vectors: Sequence[list[Tensor]], weight: float, group: Any, reached: Sequence[bool] = ()
) -> list[bool]:
    """Replace every tensor by its weighted mean over the ranks of ``group``, in place, by one flat all-reduce.

    One all-reduce for each dtype and device among the tensors, one in all in the usual case. Half precision is
    summed in float32.

    Args:
        vectors: lists of tensors, the same shapes on every rank.
        weight: this rank's weight; the mean is Σ w x / Σ w.
        group: what :func:`resolve_group` returned.
        reached: yes or no for each of any number of things, the same number on every rank.

    Returns:
        For each of ``reached`` whether any rank says yes.
    """
    reached, flags = [yes and weight > 0 for yes in reached], None  # what counts for nothing reaches nothing
    tensors = [t for vector in vectors for t in vector]
    for device, dtype in dict.fromkeys((t.device, t.dtype) for t in tensors):
        mine = [t for t in tensors if t.device == device and t.dtype == dtype]
        wide = torch.promote_types(dtype, torch.float32)
        flat = torch.cat([t.reshape(-1) for t in mine]).to(wide)
        said = reached if flags is None else []  # once is enough
        flat = torch.cat([flat.mul_(weight), flat.new_tensor([*map(float, said), weight])])
        torch.distributed.all_reduce(flat, group=group)
        flags = flat[len(flat) - 1 - len(said) : -1] if flags is None else flags
        mean = flat[: len(flat) - 1 - len(said)].div_(flat[-1])
        for t, piece in zip(mine, mean.split([t.numel() for t in mine]), strict=True):
            t.copy_(piece.view(t.shape))
    # where this rank says yes to all there is nothing to learn from the others, and no device to wait for
    return reached if all(reached) else [n > 0 for n in flags.tolist()]
