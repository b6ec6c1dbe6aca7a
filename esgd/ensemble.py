"""Ensembles: K nets, with K seeds, rates and dampings, trained in one vectorised run.

Weights have shape (K, in, out) and biases (K, 1, out); a layer is one batched product. The loss is *summed*
over the members, so the Hessian is block-diagonal and one product H v probes all K nets. Each member has its
own initialisation, order of the data and probes, and follows the trajectory of the same net trained alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from esgd.errors import ConfigError
from esgd.nets import Autoencoder
from esgd.probes import draw
from esgd.seeding import batch_order

__all__ = ["Ensemble", "EnsembleRMSprop", "EnsembleSGD", "member_batches", "member_losses", "member_probe"]


class Ensemble(nn.Module):
    """K deep autoencoders of the same sizes, each with the sparse initialisation of its own seed.

    Args:
        sizes: units from the input to the code.
        seeds: one a member.

    ``forward`` takes images of shape ``(K, batch, pixels)`` and returns logits of the same shape.
    """

    def __init__(self, sizes: Sequence[int], seeds: Sequence[int]):
        super().__init__()
        if not seeds:
            raise ConfigError("an ensemble needs at least one seed")
        nets = [Autoencoder(sizes, seed=seed) for seed in seeds]
        layers = list(zip(*(net.linear_layers() for net in nets), strict=True))
        self.weights = nn.ParameterList(torch.stack([m.weight.T for m in layer]).detach() for layer in layers)
        self.biases = nn.ParameterList(torch.stack([m.bias[None] for m in layer]).detach() for layer in layers)
        self.code = len(sizes) - 2  # the layer that gives the code is linear, as is the last

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the members' reconstructions, of the images' shape."""
        x = images
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i not in (self.code, len(self.weights) - 1):
                x = torch.sigmoid(x)
        return x

    @torch.no_grad()
    def alone(self, k: int) -> Callable[[Tensor], Tensor]:
        """The net of member ``k`` as a function, from images ``(batch, pixels)`` to their logits.

        It computes what :meth:`member` computes, to the bit, without initialising a net that is thrown away.
        """
        layers = [(w[k].T.contiguous(), b[k, 0]) for w, b in zip(self.weights, self.biases, strict=True)]
        linear = (self.code, len(layers) - 1)

        def net(images: Tensor) -> Tensor:
            x = images
            for i, (weight, bias) in enumerate(layers):
                x = nn.functional.linear(x, weight, bias)
                if i not in linear:
                    x = torch.sigmoid(x)
            return x

        return net

    @torch.no_grad()
    def member(self, k: int) -> Autoencoder:
        """A net of its own with the present weights of member ``k``."""
        first = self.weights[0]
        sizes = [first.shape[1], *(w.shape[2] for w in self.weights[: self.code + 1])]
        net = Autoencoder(sizes).to(first.device, first.dtype)
        for layer, weight, bias in zip(net.linear_layers(), self.weights, self.biases, strict=True):
            layer.weight.copy_(weight[k].T)
            layer.bias.copy_(bias[k, 0])
        return net


def member_losses(logits: Tensor, images: Tensor) -> Tensor:
    """Cross-entropy of each member, summed over pixels and averaged over examples, shape ``(K,)``; sum it."""
    loss = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none")
    return loss.sum((1, 2)) / images.shape[1]


def member_batches(images: Tensor, seeds: Sequence[int], epoch: int, batch_size: int):
    """The batches of an epoch, each of shape ``(K, batch, pixels)``, every member in its own order."""
    orders = torch.stack([batch_order(len(images), seed, epoch) for seed in seeds]).to(images.device)
    for index in orders.split(batch_size, dim=1):
        yield images[index]


def member_probe(seeds: Sequence[int], kind: str = "rademacher") -> Callable[[Sequence[Tensor], int], list[Tensor]]:
    """For ``probe=`` of ESGD and Jacobi: each member gets the probe that the same net would get alone.

    The parameters must be those of :class:`Ensemble`, in its order: all weights, then all biases.
    """

    def probe(params: Sequence[Tensor], index: int) -> list[Tensor]:
        half = len(params) // 2
        alone = [x for w, b in zip(params[:half], params[half:], strict=True) for x in (w[0].T, b[0, 0])]
        drawn = [draw(kind, alone, seed, index) for seed in seeds]
        weights = [torch.stack([v[2 * i].T for v in drawn]) for i in range(half)]
        biases = [torch.stack([v[2 * i + 1][None] for v in drawn]) for i in range(half)]
        return weights + biases

    return probe


class EnsembleSGD(torch.optim.Optimizer):
    """SGD whose rate may be a tensor of shape (K, 1, 1), one a member; torch's own takes none such.

    Args:
        params: the ensemble's parameters.
        lr: learning rate, a number or shape ``(K, 1, 1)``.
        momentum: heavy-ball momentum.
        nesterov: Nesterov's form of it.
    """

    def __init__(self, params, lr: float | Tensor, *, momentum: float = 0.0, nesterov: bool = False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; a gradient that is not finite moves its own member only."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                step = p.grad
                if group["momentum"]:
                    state = self.state[p]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = step.clone()
                    else:
                        state["momentum_buffer"].mul_(group["momentum"]).add_(step)
                    buffer = state["momentum_buffer"]
                    step = step + group["momentum"] * buffer if group["nesterov"] else buffer
                p.sub_(group["lr"] * step)
        return loss


class EnsembleRMSprop(torch.optim.Optimizer):
    """RMSprop whose rate, decay and damping may be tensors of shape (K, 1, 1), one a member.

    Args:
        params: the ensemble's parameters.
        lr: learning rate, a number or shape ``(K, 1, 1)``, as for all that follow.
        alpha: decay of the mean square.
        eps: damping, added to its root.
    """

    def __init__(self, params, lr: float | Tensor, *, alpha: float | Tensor = 0.95, eps: float | Tensor = 1e-5):
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; a gradient that is not finite moves its own member only."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, alpha, eps = group["lr"], group["alpha"], group["eps"]
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if "square_avg" not in state:
                    state["square_avg"] = torch.zeros_like(p)
                square = state["square_avg"]
                square.mul_(alpha).add_((1 - alpha) * p.grad.square())
                p.sub_(lr * p.grad / (square.sqrt() + eps))
        return loss
