"""Loading a state whose tensors keep their own precision, where torch would cast them to the parameters'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

__all__ = ["precision_kept"]


@contextmanager
def precision_kept(optimizer: Optimizer, keys: Sequence[str]) -> Iterator[None]:
    """Within it, ``load_state_dict`` copies the entries of ``state`` named in ``keys`` as they are.

    All others are copied too, so that no later step writes to what was loaded.
    """
    loaded: list[dict[str, Any]] = []

    def look(_: Any, state_dict: dict[str, Any]) -> None:  # after the user's hooks, which may replace it
        loaded.append(state_dict)

    def restore(_: Any) -> None:  # before the user's hooks
        (given,) = loaded
        numbers = [n for g in given["param_groups"] for n in g["params"]]
        mine = [p for g in optimizer.param_groups for p in g["params"]]
        for number, p in zip(numbers, mine, strict=True):
            for key, value in given["state"].get(number, {}).items():
                if key in keys:
                    optimizer.state[p][key] = value.detach().clone().to(p.device)
                elif isinstance(value, Tensor):
                    optimizer.state[p][key] = optimizer.state[p][key].clone()

    before = optimizer.register_load_state_dict_pre_hook(look)
    after = optimizer.register_load_state_dict_post_hook(restore, prepend=True)
    try:
        yield
    finally:
        before.remove()
        after.remove()
