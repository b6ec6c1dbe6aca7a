"""Parameters of whose curvature nothing is known yet, because no loss that was probed has depended on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.optim._warning import warn

__all__ = ["LateParameters"]


class LateParameters:
    """The part of a diagonal optimizer that knows of whom nothing is known; M is 0 for those, and they stand still.

    Their state has a ``weight`` of 0, and ``left_out`` once products were taken for their sake in vain: they are
    not asked for again before a loss depends on them.
    """

    state: dict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    _capturable: bool

    def _reset_late(self) -> None:
        self._warm: bool | None = None  # whether something is known of any parameter's curvature
        self._unknown: set[Tensor] | None = None  # those of which nothing is known, though there were products
        self._missed: set[Tensor] = set()  # those that the products of this step did not reach
        self._warned = False  # that a parameter has gradients and is in no loss that is probed

    def _is_warm(self) -> bool:
        if self._warm is None or self._unknown is None:  # a device is asked after first products and after loading
            begun = [p for p in self._probed() if "weight" in self.state.get(p, {})]
            self._unknown = {p for p in begun if not bool(self.state[p]["weight"].any())}
            self._warm = not begun or len(self._unknown) < len(begun)
        return self._warm

    def _places_learnt(self, params: Sequence[Tensor], reached: Sequence[bool], number: int) -> list[int]:
        """The positions of the parameters that ``number`` products tell something of; all have a state by now.

        One that a loss has come to depend on at last is left out of fewer products than the first ones were: they
        come at the next step.
        """
        clock = self.param_groups[0]
        few = number < clock["warmup_probes"] and not self._capturable
        late: Collection[Tensor] = self._unknown if few and self._unknown else ()
        self._missed = set()
        for p, yes in zip(params, reached, strict=True):
            if yes:
                self.state[p].pop("left_out", None)
                continue
            self._missed.add(p)
            if clock["cold"]:
                self.state[p]["left_out"] = True
        return [i for i, (p, yes) in enumerate(zip(params, reached, strict=True)) if yes and p not in late]

    def _note_learnt(self, params: Sequence[Tensor], *, warming: bool) -> None:
        """After products of ``params``, which may have been rejected: a later question to the device tells."""
        if warming:
            self._warm = self._unknown = None
        elif self._unknown and not self._unknown.isdisjoint(params):
            self._unknown = None

    def _look_out(self) -> None:
        """Where such a parameter has a gradient the next step is due; a captured step cannot look."""
        if (self._unknown is None or self._unknown) and not self._capturable:
            self._ask_for_products()

    @torch._disable_dynamo
    def _ask_for_products(self) -> None:
        if self._unknown is None:
            self._is_warm()
        asking = [p for p in self._unknown if p.grad is not None and bool(p.grad.any())]
        missed, self._missed = [p for p in asking if p in self._missed], set()
        if missed and not self._warned:
            warn(
                f"a parameter of shape {tuple(missed[0].shape)} has a gradient at this step, but the loss that was "
                "probed does not depend on it: it stands still until one does. Probe the whole loss that "
                "backward() runs on"
            )
            self._warned = True
        if any(not self.state[p].get("left_out") for p in asking):
            self._set_clock(next_probe=self.param_groups[0]["step"] + 1, cold=True)
