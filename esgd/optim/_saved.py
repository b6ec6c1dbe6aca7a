"""Lets go of what the gradient's graph has saved, while the graph of the loss stays whole."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

import torch
from torch import Tensor

__all__ = ["SavedOnce"]

# not public in torch; without it nothing is freed before the last sweep ends, and all results are the same
_current_node = getattr(torch._C, "_current_autograd_node", None)


class SavedOnce:
    """Keeps what autograd saves for the second derivative, and frees it as the last product uses it.

    ``retain_graph=True`` keeps everything until the graph dies, but the caller may need only the graph of the loss
    again (another loss may share it), not that of its gradient. So what is saved while the gradient is taken goes
    into boxes; in the last sweep a box is emptied when the node that opened it has run.
    """

    def __init__(self) -> None:
        self.last = False  # whether the sweep under way is the last
        self._opened: dict[int, tuple[object, list[list[Tensor]]]] = {}  # by thread: a node, and its boxes

    def hooks(self) -> AbstractContextManager:
        """The context to take the gradient in."""
        return torch.autograd.graph.saved_tensors_hooks(lambda t: [t], self._open)

    def _open(self, box: list[Tensor]) -> Tensor:
        tensor = box[0]
        if self.last and _current_node is not None:
            node, thread = _current_node(), threading.get_ident()
            previous, boxes = self._opened.get(thread, (None, []))
            if node is not previous:
                _empty(boxes)
                boxes = []
            boxes.append(box)
            self._opened[thread] = node, boxes
        return tensor

    def close(self) -> None:
        """Empty what is left; the nodes that are remembered would keep the graph alive."""
        for _, boxes in self._opened.values():
            _empty(boxes)
        self._opened = {}


def _empty(boxes: list[list[Tensor]]) -> None:
    for box in boxes:
        box.clear()
