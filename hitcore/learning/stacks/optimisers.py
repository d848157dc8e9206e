"""Adagrad and Adam over a stack, each member with its own step size.

Gradients are those of `leaves`: the parameters themselves, or a fused stack's copies of them in the
precision of its products, which the step renews (on a GPU, in one kernel for each parameter).

A member without a loss in a step (it has fewer songs than others, so its epoch has ended) is not
moved by it: under Adagrad a gradient of 0 changes nothing, under Adam its averages stand still.
"""

from __future__ import annotations

import torch
from torch import Tensor

ADAGRAD_START = 0.1
"""What the sums of squared gradients start at, as in the published training."""


class Adagrad:
    """Steps of rate · gradient / √(sum of squared gradients), without a decay of its own."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.state = {
            f"sum.{name}": torch.full_like(value, ADAGRAD_START)
            for name, value in parameters.items()
        }

    @torch.no_grad()
    def step(
        self,
        parameters: dict[str, Tensor],
        rate: Tensor,
        active: Tensor,
        leaves: dict[str, Tensor] | None = None,
    ) -> None:
        """Move every parameter against its gradient, in place."""
        if leaves is not None and rate.is_cuda:
            from hitcore.learning.stacks.gpu.launches import adagrad_step

            for name, value in parameters.items():
                adagrad_step(value, self.state[f"sum.{name}"], leaves[name], rate)
            return
        for name, value in parameters.items():
            gradient, total = value.grad, self.state[f"sum.{name}"]
            assert gradient is not None
            total.addcmul_(gradient, gradient)
            value.addcdiv_(gradient * -_over(rate, value), total.sqrt())


class Adam:
    """Adam with its usual averages (0.9, 0.999)."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        first = next(iter(parameters.values()))
        self.state = {"n_steps": torch.zeros(len(first), device=first.device)}
        for name, value in parameters.items():
            self.state[f"mean.{name}"] = torch.zeros_like(value)
            self.state[f"square.{name}"] = torch.zeros_like(value)

    @torch.no_grad()
    def step(
        self,
        parameters: dict[str, Tensor],
        rate: Tensor,
        active: Tensor,
        leaves: dict[str, Tensor] | None = None,
    ) -> None:
        """Move every parameter against its gradient, in place."""
        n_steps = self.state["n_steps"].add_(active)
        at_least_one = n_steps.clamp(min=1)
        size = active * rate / (1 - self.beta1**at_least_one)
        unbiased = (1 - self.beta2**at_least_one).sqrt()
        if leaves is not None and rate.is_cuda:
            from hitcore.learning.stacks.gpu.launches import adam_step

            constants = self.beta1, self.beta2, self.epsilon
            for name, value in parameters.items():
                moments = self.state[f"mean.{name}"], self.state[f"square.{name}"]
                adam_step(value, moments, leaves[name], size, unbiased, active, constants)
            return
        for name, value in parameters.items():
            gradient = value.grad
            assert gradient is not None
            mean, square = self.state[f"mean.{name}"], self.state[f"square.{name}"]
            moved = _over(active.to(value.dtype), value)
            mean.add_((gradient - mean) * (moved * (1 - self.beta1)))
            square.add_((gradient * gradient - square) * (moved * (1 - self.beta2)))
            spread = (square.sqrt() / _over(unbiased, value)).add_(self.epsilon)
            value.addcdiv_(mean * -_over(size, value), spread)


Optimiser = Adagrad | Adam


def make_optimiser(name: str, parameters: dict[str, Tensor]) -> Optimiser:
    """A fresh optimiser of these parameters, by its name in the settings."""
    return Adagrad(parameters) if name == "adagrad" else Adam(parameters)


def _over(per_member: Tensor, parameter: Tensor) -> Tensor:
    """One number per member, broadcast over a parameter."""
    return per_member.view(-1, *[1] * (parameter.ndim - 1))
