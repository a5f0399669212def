"""Training in eight bits: the forward pass rounds where the engine does, the gradients pass.

Weights have one scale an output channel, symmetric, after the normalisation is folded into them;
tensors have 256 values, one scale and zero point each (Jacob et al., arXiv:1712.05877). A unit
rounds twice: before its function, which the engine looks up in a table, and behind it. Maps that
are concatenated or pooled together share one quantization. Rounding has the gradient 1 between
the least and the greatest value and 0 outside (arXiv:1308.3432). Ranges are not trained: every
so often they are chosen anew, as `lapwing model quantize` chooses them, by the least squared
error behind the function, on pictures of `train`.

Statistics of normalisation stay as they were when `install` is called, and a state holds the same
tensors as before: a checkpoint is exported as any other.
"""

import itertools
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import Body, ConvUnit

# shares of a range that are tried as clipping, those of the engine's quantizer
CLIPS = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.74, 0.68, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
BINS = 4096  # of the values that ranges are chosen by


class Watch:
    """What the maps of one quantization hold: least and greatest value in a first pass, shares of
    the values by bin in a second; every map weighs the same."""

    def __init__(self):
        self.low, self.high = 0.0, 1e-6
        self.shares: Tensor | None = None

    def see(self, x: Tensor) -> None:
        if self.shares is None:
            self.low, self.high = min(self.low, x.min().item()), max(self.high, x.max().item())
        else:
            self.shares += torch.histc(x.float(), BINS, self.low, self.high) / x.numel()

    def count(self, device: torch.device) -> None:
        """Begin the second pass."""
        self.shares = torch.zeros(BINS, device=device)

    def bins(self) -> tuple[Tensor, Tensor]:
        """Middles and shares of the bins that hold any."""
        middle = (torch.arange(BINS, device=self.shares.device) + 0.5) / BINS
        held = self.shares > 0
        return (self.low + (self.high - self.low) * middle)[held], self.shares[held]

    def clipped(self) -> list[tuple[float, int]]:
        """Scale and zero point of every clipped range that is tried."""
        tried = []
        for low, high in itertools.product(CLIPS, CLIPS):
            scale = (self.high * high - self.low * low) / 255
            tried.append((scale, round(-self.low * low / scale)))
        return tried


class Rounding(nn.Module):
    """The 256 values of the maps that share this quantization."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32), persistent=False)
        self.watch: Watch | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.watch is None:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, 0, 255)
        self.watch.see(x)
        return x

    def choose(self, function: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]):
        """The clipped range of what was seen that `function`, rounded by `after`, errs least by."""
        values, shares = self.watch.bins()
        tried, errors = self.watch.clipped(), []
        self.watch = None
        exact = function(values)
        for scale, zero in tried:
            rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)
            errors.append(((after(function(rounded)) - exact).square() * shares).sum())
        scale, zero = tried[int(torch.stack(errors).argmin())]
        self.scale.fill_(scale)
        self.zero.fill_(zero)


def same(x: Tensor) -> Tensor:
    return x


def round_weights(weight: Tensor) -> Tensor:
    """Weights in 255 values, a scale an output channel."""
    exact = weight.detach()
    scale = exact.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
    return weight + ((exact / scale).round() * scale - exact)


class EightBits(nn.Module):
    """What a ConvUnit computes in eight bits."""

    def __init__(self):
        super().__init__()
        self.before, self.after = Rounding(), Rounding()

    def forward(self, unit: ConvUnit, x: Tensor) -> Tensor:
        weight, bias = unit.folded()
        if self.before.watch is None:
            weight = round_weights(weight)
        y = F.conv2d(x, weight, bias, unit.conv.stride, unit.conv.padding)
        return self.after(F.silu(self.before(y)))


class LastConv(nn.Conv2d):
    """The convolution that ends a head, in eight bits."""

    def __init__(self, old: nn.Conv2d):
        super().__init__(old.in_channels, old.out_channels, old.kernel_size)
        self.weight, self.bias = old.weight, old.bias
        self.after = Rounding()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.after.watch is not None else round_weights(self.weight)
        return self.after(F.conv2d(x, weight, self.bias))


def together(model: Body) -> list[list[ConvUnit]]:
    """Units whose results are concatenated, so that one quantization serves them."""
    blocks = [model.stage4[1], model.stage8[1], model.stage16[1], model.stage32[1]]
    blocks += [model.top16, model.top8, model.out16, model.out32]
    inside = [[b.left, b.right, *(pair[1] for pair in b.chain)] for b in blocks]
    f8, f16, f32 = model.stage8[1].out, model.stage16[1].out, model.stage32[2].out
    return [*inside, [f32, f16, model.down32], [model.top16.out, f8, model.down16]]


def install(model: Body) -> Body:
    """Have a network compute in eight bits; its ranges are still to be chosen."""
    for unit in [m for m in model.modules() if isinstance(m, ConvUnit)]:
        unit.rounding = EightBits()
    for first, *others in together(model):
        for unit in others:
            unit.rounding.after = first.rounding.after
    for head in [*model.classify, *model.regress]:
        head[1] = LastConv(head[1])
    model.exact = True  # bfloat16 would round more coarsely than eight bits do
    return model


def roundings(model: Body) -> list[Rounding]:
    """All quantizations of a network, each once."""
    return [m for m in model.modules() if isinstance(m, Rounding)]


@torch.no_grad()
def choose_ranges(model: Body, images: Tensor) -> None:
    """Choose every range by what the network, unrounded, computes of pictures, RGB 0..255."""
    for rounding in roundings(model):
        rounding.watch = Watch()
    for step in ("range", "count"):
        for part in images.split(32):
            model((part / 255).contiguous(memory_format=torch.channels_last))
        if step == "range":
            for rounding in roundings(model):
                rounding.watch.count(images.device)
    pairs = [m for m in model.modules() if isinstance(m, EightBits)]
    before = {id(pair.before) for pair in pairs}
    for rounding in roundings(model):
        if id(rounding) not in before:
            rounding.choose(same, same)
    for pair in pairs:
        pair.before.choose(F.silu, pair.after)


@torch.no_grad()
def copy_ranges(source: Body, target: Body) -> None:
    """Give a network the ranges of another."""
    for one, other in zip(roundings(source), roundings(target), strict=True):
        other.scale.copy_(one.scale)
        other.zero.copy_(one.zero)
