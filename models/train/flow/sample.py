"""Walk from noise to pictures: Euler and Heun steps, classifier-free guidance, known pixels kept."""

import torch
from torch import Tensor

from network import Flow
from path import features, grid, one_hot


class Field:
    """The velocity of a network for fixed labels [B], context and mode."""

    def __init__(
        self, net: Flow, label: Tensor, context: Tensor | None = None, jump: bool = False,
        guidance: float = 1.0,
    ):
        self.net, self.context, self.guidance = net, context, guidance
        self.onehot = one_hot(label, net.shape.labels)
        self.null = one_hot(torch.full_like(label, net.shape.classes), net.shape.labels)
        self.jump = torch.full((len(label),), float(jump), device=label.device)

    def __call__(self, x: Tensor, time: float) -> Tensor:
        """v at one time; with guidance w, u + w (c - u) (Ho & Salimans, arXiv:2207.12598)."""
        t = features(torch.full((len(x),), time, device=x.device))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
            v = self.net(x, t, self.onehot, self.jump, self.context).float()
            if self.guidance != 1:
                u = self.net(x, t, self.null, self.jump, self.context).float()
                v = u + self.guidance * (v - u)
        return v


@torch.no_grad()
def sample(field: Field, eps: Tensor, steps: int, heun: bool = False) -> Tensor:
    """`steps` equal steps from the noise [B, 3, S, S]. With a context, the known pixels follow
    their own straight line and end as they are."""
    x, times = eps, grid(steps)
    for now, then in zip(times[:-1], times[1:]):
        v = field(x, now)
        if heun and then > 0:
            v = (v + field(x + (then - now) * v, then)) / 2
        x = x + (then - now) * v
        if field.context is not None:
            known, mask = field.context[:, :3], field.context[:, 3:]
            x = torch.where(mask > 0, x, (1 - then) * known + then * eps)
    return x


@torch.no_grad()
def classifier_guided(field: Field, guide, eps: Tensor, label: Tensor, steps: int, scale: float):
    """Euler steps along v - scale t / (1 - t) grad log p(class | x_t, t): the score's shift by the
    gradient, as a velocity (v = -(x + t score) / (1 - t)); the first step goes without."""
    x, times = eps, grid(steps)
    onehot = one_hot(label, field.net.shape.classes)[:, :, None, None]
    for now, then in zip(times[:-1], times[1:]):
        v = field(x, now)
        if now < 1:
            t = features(torch.full((len(x),), now, device=x.device))[:, :, None, None]
            v = v - scale * now / (1 - now) * guide.gradient(x, t, onehot)[0]
        x = x + (then - now) * v
    return x


def kept(x: Tensor, context: Tensor) -> Tensor:
    """The finished picture: painted in the hole, the known pixels elsewhere."""
    return torch.where(context[:, 3:] > 0, x, context[:, :3])
