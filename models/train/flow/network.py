"""The velocity network: a small U of convolutions, made for int8, and its conditioning.

Two graphs share one checkpoint:

- `Condition` turns (time features, class, jump) into `film`: a scale and a shift for every channel
  of every block. It is tiny, works in real numbers, and a host may keep its results: they depend
  on the step and the class only.
- `Velocity` turns (x_t, context, film) into v. It holds all the arithmetic: dense convolutions,
  SiLU, additions, nearest enlargement; one factor and one term a channel from `film`.

No normalisation runs at inference. While training, each row of a weight has unit length times a
gain, so magnitudes are kept (Karras et al., arXiv:2312.02696); `bake` writes the products down.

`jump` = 0 asks for the flow's own velocity, which any sampler may integrate; `jump` = 1 asks for
the velocity of a straight line to the end, trained for 1 to 4 Euler steps.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from path import FEATURES

SILU_GAIN = 1 / 0.596  # restores unit variance after SiLU of a unit normal


@dataclass(frozen=True)
class Shape:
    """Side in pixels, classes without the null class, whether a context is an input, widths of the
    levels (each half the side of the one before), residual blocks of a level on the way down (as
    many on the way up, but for the last level)."""

    side: int
    classes: int
    context: bool
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    embedding: int = 128

    @property
    def labels(self) -> int:
        """Classes and the null class, which is the last."""
        return self.classes + 1


SHAPES = {
    "patch": Shape(64, 20, True, (32, 48, 128, 224, 160), (0, 1, 1, 1, 1)),
    "cifar": Shape(32, 10, False, (64, 128, 224, 160), (1, 1, 1, 1)),
}


class Conv(nn.Module):
    """A convolution whose rows have unit length times a learnt gain, and a fixed input scale."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, gain: float = 1.0,
        scale: float | Tensor = 1.0, rows: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1) if rows else (), float(gain)))
        scale = torch.as_tensor(scale, dtype=torch.float32).reshape(1, -1, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.stride, self.padding, self.baked = stride, kernel // 2, False

    def kernel(self) -> Tensor:
        """The weight that the convolution uses [outputs, inputs, k, k]."""
        if self.baked:
            return self.weight
        length = self.weight.flatten(1).norm(dim=1)[:, None, None, None] + 1e-4
        return self.weight / length * self.gain * self.scale

    def forward(self, x: Tensor) -> Tensor:
        kernel, bias = self.kernel().to(x.dtype), self.bias.to(x.dtype)
        return F.conv2d(x, kernel, bias, self.stride, self.padding)

    @torch.no_grad()
    def bake(self) -> None:
        """Replace the weight by the product; forward gives the same result."""
        self.weight.copy_(self.kernel())
        self.baked = True
        self.gain = None


class Block(nn.Module):
    """x + conv(silu(conv(silu(x)) * scale + shift))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = Conv(channels, channels, 3, scale=SILU_GAIN)
        self.second = Conv(channels, channels, 3, gain=0.5, scale=SILU_GAIN)
        self.channels = channels

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x)) * scale + shift))


class Condition(nn.Module):
    """(features [B, 64, 1, 1], class [B, labels, 1, 1], jump [B, 1, 1, 1]) to film [B, F, 1, 1].

    `film` holds, block after block in the order they run, the scales and then the shifts."""

    def __init__(self, shape: Shape, widths: list[int]):
        super().__init__()
        ones = torch.ones(FEATURES)
        label = torch.full((shape.labels,), math.sqrt(shape.labels))
        inputs = torch.cat([ones, label, torch.tensor([4.0])])
        self.first = Conv(len(inputs), shape.embedding, scale=inputs)
        self.second = Conv(shape.embedding, shape.embedding, scale=SILU_GAIN)
        self.film = Conv(
            shape.embedding, 2 * sum(widths), gain=0.0, scale=SILU_GAIN, rows=True
        )
        one = torch.cat([torch.cat([torch.ones(w), torch.zeros(w)]) for w in widths])
        with torch.no_grad():
            self.film.bias.copy_(one)  # scales begin at 1, shifts at 0

    def forward(self, features: Tensor, label: Tensor, jump: Tensor) -> Tensor:
        e = self.first(torch.cat([features, label, jump], 1))
        return self.film(F.silu(self.second(F.silu(e))))


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Velocity(nn.Module):
    """(x_t [B, 3, S, S], film [B, F, 1, 1], context [B, 4, S, S]) to v [B, 3, S, S].

    The context is the known picture (0 where it is not known) and the mask (1 where it is not)."""

    def __init__(self, shape: Shape):
        super().__init__()
        c, n = shape.channels, shape.blocks
        self.shape = shape
        self.stem = Conv(3, c[0], 3, scale=1.2)
        if shape.context:
            self.surround = Conv(4, c[0], 3, scale=torch.tensor([1.6, 1.6, 1.6, 1.0]))
        self.down = nn.ModuleList(
            Conv(a, b, 3, 2, scale=SILU_GAIN) for a, b in zip(c[:-1], c[1:])
        )
        self.up = nn.ModuleList(Conv(b, a, gain=0.7) for a, b in zip(c[:-1], c[1:]))
        self.into = nn.ModuleList(nn.ModuleList(Block(a) for _ in range(k)) for a, k in zip(c, n))
        self.back = nn.ModuleList(
            nn.ModuleList(Block(a) for _ in range(k)) for a, k in zip(c[:-1], n[:-1])
        )
        # A level without blocks at full size gets one more convolution before the output.
        self.last = None if n[0] else Conv(c[0], c[0], 3, scale=SILU_GAIN)
        self.out = Conv(c[0], 3, 3, gain=0.2, scale=SILU_GAIN)
        order = [block for level in self.into for block in level]
        order += [block for level in reversed(self.back) for block in level]
        self.widths = [block.channels for block in order]

    def forward(self, x: Tensor, film: Tensor, context: Tensor | None = None) -> Tensor:
        at = 0

        def apply(blocks: nn.ModuleList, h: Tensor) -> Tensor:
            nonlocal at
            for block in blocks:
                c = block.channels
                h = block(h, film[:, at : at + c], film[:, at + c : at + 2 * c])
                at += 2 * c
            return h

        h = self.stem(x)
        if context is not None:
            h = h + self.surround(context)
        h = apply(self.into[0], h)
        skips = [h]
        for down, blocks in zip(self.down, self.into[1:]):
            h = apply(blocks, down(F.silu(h)))
            skips.append(h)
        h = skips.pop()
        for up, blocks in zip(reversed(self.up), reversed(self.back)):
            h = apply(blocks, _up(up(h)) + skips.pop())
        if self.last is not None:
            h = self.last(F.silu(h))
        return self.out(F.silu(h))


def _map(values: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, C] to [B, C, 1, 1]."""
    return values.to(dtype)[:, :, None, None]


class Flow(nn.Module):
    """Both graphs behind one call."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.velocity = Velocity(shape)
        self.condition = Condition(shape, self.velocity.widths)

    def forward(
        self, x: Tensor, features: Tensor, label: Tensor, jump: Tensor,
        context: Tensor | None = None,
    ) -> Tensor:
        """features [B, 64], label one-hot [B, labels], jump [B]; the rest as `Velocity`."""
        film = self.condition(*(_map(values, x.dtype) for values in (features, label, jump[:, None])))
        return self.velocity(x, film, context)


def bake(model: nn.Module) -> nn.Module:
    """Bake every convolution in place."""
    for module in model.modules():
        if isinstance(module, Conv):
            module.bake()
    return model


@torch.no_grad()
def count_macs(model: Flow) -> int:
    """Multiply-accumulates of the convolutions for one step."""
    total, shape, device = 0, model.shape, next(model.parameters()).device

    def add(module: Conv, _inputs, output: Tensor) -> None:
        nonlocal total
        total += module.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, Conv)]
    side = shape.side
    context = torch.zeros(1, 4, side, side, device=device) if shape.context else None
    zeros = [torch.zeros(1, n, device=device) for n in (FEATURES, shape.labels)]
    model(torch.zeros(1, 3, side, side, device=device), *zeros, zeros[0][:, 0], context)
    for hook in hooks:
        hook.remove()
    return total


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Load a half-precision checkpoint of an un-baked network."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model


def half_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of a network with its floats in half precision, for storage."""
    state = model.state_dict()
    return {k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in state.items()}
