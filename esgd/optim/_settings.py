"""What the settings of a parameter group may be."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError
from esgd.probes import PROBES

__all__ = ["check_diagonal", "check_shared", "is_count"]


def check_shared(group: dict[str, Any], members: int | None) -> None:
    """The settings of every curvature-based optimizer.

    Args:
        group: the parameter group.
        members: the number of nets, where the parameters hold an ensemble.

    Raises:
        ConfigError: a setting is out of range.
    """
    for key in ("lr", "damping", "momentum", "weight_decay"):
        if not isinstance(group.get(key, 0.0), (Real, Tensor)):
            raise ConfigError(f"{key} must be a number or a Tensor, got {group[key]!r}")
    lr = group["lr"]
    if not _may_be_positive(lr):
        raise ConfigError(f"Invalid learning rate: expected lr >= 0, got {lr}")
    if isinstance(lr, Tensor) and lr.numel() != 1 and members is None:
        raise ConfigError(f"a Tensor lr must have one element, got shape {tuple(lr.shape)}")
    every = group["update_every"]
    if every != "auto" and not is_count(every):
        raise ConfigError(f"update_every must be a whole number of steps >= 1 or 'auto', got {every!r}")
    if not is_count(group["warmup_probes"]):
        raise ConfigError(f"warmup_probes must be a whole number >= 1, got {group['warmup_probes']!r}")
    if callable(group["probe"]):
        raise ConfigError("a callable probe serves all groups: pass probe= to the optimizer, not in a group")
    if group["probe"] not in (*PROBES, "custom"):
        raise ConfigError(
            f"probe must be one of {sorted(PROBES)} or a callable (params, index) -> list of "
            f"tensors, got {group['probe']!r}"
        )
    if group["curvature"] not in ("exact", "difference"):
        raise ConfigError(f"curvature must be 'exact' or 'difference', got {group['curvature']!r}")
    step = group["difference_step"]
    if not isinstance(step, Real) or not 0 < step < float("inf"):
        raise ConfigError(f"difference_step must be a finite number above 0, relative to the weights, got {step!r}")
    for key in ("maximize", "nesterov"):
        if not isinstance(group.get(key, False), (bool, int)):
            raise ConfigError(f"{key} must be True or False, got {group[key]!r}")
    if not isinstance(group["seed"], Integral):
        raise ConfigError(f"seed must be a whole number, got {group['seed']!r}")


def check_diagonal(group: dict[str, Any], members: int | None) -> None:
    """The settings that a diagonal preconditioner adds; arguments and errors as for :func:`check_shared`."""
    if not _may_be_positive(group["damping"]):
        raise ConfigError(f"Invalid damping: expected damping >= 0, got {group['damping']}")
    if isinstance(group["damping"], Tensor) and group["damping"].numel() != 1 and members is None:
        raise ConfigError(f"a Tensor damping must have one element, got shape {tuple(group['damping'].shape)}")
    if group["damping_mode"] not in ("outside", "inside"):
        raise ConfigError(
            "damping_mode must be 'outside', 1/(√(D/k) + damping), or 'inside', 1/√(D/k + damping), got "
            f"{group['damping_mode']!r}"
        )
    if group["foreach"] not in (None, True, False):
        raise ConfigError(f"foreach must be True, False or None, got {group['foreach']!r}")
    if group["beta"] is not None and not (isinstance(group["beta"], Real) and 0.0 <= group["beta"] < 1.0):
        raise ConfigError(
            f"beta must be None, for the uniform mean of Algorithm 1, or in [0, 1), got {group['beta']!r}"
        )
    if not 0.0 <= group["momentum"] < 1.0:
        raise ConfigError(f"Invalid momentum: expected 0 <= momentum < 1, got {group['momentum']}")
    if group["nesterov"] and group["momentum"] == 0:
        raise ConfigError("Nesterov momentum requires a momentum: set momentum=0.9, or nesterov=False")
    if not group["weight_decay"] >= 0:
        raise ConfigError(f"Invalid weight_decay: expected >= 0, got {group['weight_decay']}")
    for p in group["params"] if members is not None else ():
        if not p.dim() or len(p) != members:
            raise ConfigError(
                f"members={members} expects parameters of shape ({members}, …), one entry a net, got a parameter "
                f"of shape {tuple(p.shape)}"
            )


def _may_be_positive(value: Any) -> bool:
    """Whether ``value`` is 0 or more, as far as can be seen without waiting for a device."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.device.type != "cpu":
        return True
    return bool((torch.as_tensor(value) >= 0).all())


def is_count(value: Any) -> bool:
    """Whether ``value`` is a whole number of 1 or more, NumPy's included."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1
