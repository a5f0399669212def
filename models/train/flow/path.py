"""The straight path between data and noise, and what a velocity says about either.

Rectified flow (Liu et al., arXiv:2209.03003), with this project's direction of time:

    x_t = (1 - t) x_0 + t eps,   t in [0, 1],   x_0 data in [-1, 1],   eps standard normal
    v   = d x_t / d t = eps - x_0

so t = 1 is noise, t = 0 is a picture, and a sampler walks from 1 down to 0.
"""

import math

import torch
from torch import Tensor

FEATURES = 64
CYCLES_MIN, CYCLES_MAX = 0.25, 16.0  # of the slowest and the fastest feature over t = 0..1


def spread(t: Tensor) -> Tensor:
    """[B] to [B, 1, 1, 1]."""
    return t[:, None, None, None]


def interpolate(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t."""
    return (1 - spread(t)) * x0 + spread(t) * eps


def velocity(x0: Tensor, eps: Tensor) -> Tensor:
    """The velocity of the pair's own straight line."""
    return eps - x0


def data_of(xt: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """x_0 where the line through x_t with velocity v ends."""
    return xt - spread(t) * v


def noise_of(xt: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """eps where it begins."""
    return xt + (1 - spread(t)) * v


def frequencies(device: torch.device | str = "cpu") -> Tensor:
    """Radians a unit of t, [FEATURES / 2]: 2 pi CYCLES_MIN (CYCLES_MAX / CYCLES_MIN)^(k / 31)."""
    share = torch.arange(FEATURES // 2, device=device) / (FEATURES // 2 - 1)
    return math.tau * CYCLES_MIN * (CYCLES_MAX / CYCLES_MIN) ** share


def features(t: Tensor) -> Tensor:
    """[B] to [B, FEATURES]: sqrt 2 times the cosines, then sqrt 2 times the sines, of t w_k."""
    angle = t.float()[:, None] * frequencies(t.device)[None]
    return math.sqrt(2) * torch.cat([angle.cos(), angle.sin()], 1)


def draw_training(count: int, device: torch.device | str, shift: float = 0.2) -> Tensor:
    """Logit-normal times (Esser et al., arXiv:2403.03206), one in ten uniform."""
    t = torch.sigmoid(torch.randn(count, device=device) + shift)
    uniform = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < 0.1, uniform, t)


def draw_u_shaped(count: int, device: torch.device | str, sharpness: float = 4.0) -> Tensor:
    """Density proportional to cosh(sharpness (t - 1/2)): more weight at both ends, after the
    improved training of reflow (Lee et al., arXiv:2405.20320)."""
    half = math.sinh(sharpness / 2)
    u = torch.rand(count, device=device) * 2 - 1
    return 0.5 + torch.asinh(u * half) / sharpness


def one_hot(label: Tensor, labels: int) -> Tensor:
    """[B] to float [B, labels], without a word from the host."""
    return (label[:, None] == torch.arange(labels, device=label.device)).float()


def grid(steps: int) -> list[float]:
    """Times of a sampler with equal steps, from 1 to 0, steps + 1 of them."""
    return [1 - k / steps for k in range(steps + 1)]
