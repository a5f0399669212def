"""Classifiers of our own: judges that measure, features that teach, and a guide for samplers.

- `Features`: a residual network on clean pictures. One trained copy, the *judge*, only measures
  (accuracy, distance); another, the *teacher*, supplies the feature loss of the jump training; a
  small one, the *measure*, is exported and measures on the board (`lapwing generate --table`).
- `Guide`: a small network on (x_t, t) and, by `gradient`, d log p(class | x_t, t) / d x_t written
  out as plain convolutions, so that it can be exported (Dhariwal & Nichol, arXiv:2105.05233).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import SILU_GAIN, Conv
from path import FEATURES, features


class _Unit(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class _Pair(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(_Unit(channels, channels), _Unit(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Features(nn.Module):
    """[B, 3, S, S] in -1..1 to logits; S 32 or 64. `stages` gives the maps of each scale and
    `embed` the `features` averaged ones that distances are measured in."""

    MEASURE = {"width": 32, "features": 128}  # the size of the measure

    def __init__(self, side: int, labels: int, width: int = 64, features: int = 256):
        super().__init__()
        stem = [_Unit(3, width)] if side == 32 else [_Unit(3, width // 2), _Unit(width // 2, width, 2)]
        self.stages_ = nn.ModuleList([
            nn.Sequential(*stem),
            nn.Sequential(_Unit(width, 2 * width, 2), _Pair(2 * width)),
            nn.Sequential(_Unit(2 * width, 3 * width, 2), _Pair(3 * width)),
            nn.Sequential(_Unit(3 * width, features, 2), _Pair(features)),
        ])
        self.head = nn.Linear(features, labels)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps of four scales, fine to coarse."""
        maps = []
        for stage in self.stages_:
            x = stage(x)
            maps.append(x)
        return maps

    def embed(self, x: Tensor) -> Tensor:
        """[B, features]."""
        return self.stages(x)[-1].mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.embed(x), 0.2, self.training))


def feature_loss(net: Features, a: Tensor, b: Tensor) -> Tensor:
    """Squared difference of maps of unit length a pixel, one value a picture: after LPIPS (Zhang
    et al., arXiv:1801.03924), with a network of our own."""
    total = 0
    with torch.no_grad():
        wanted = net.stages(b)
    for got, want in zip(net.stages(a), wanted):
        got, want = got.float(), want.float()
        got = got / (got.square().mean(1, keepdim=True).sqrt() + 1e-2)
        want = want / (want.square().mean(1, keepdim=True).sqrt() + 1e-2)
        total = total + (got - want).square().mean((1, 2, 3))
    return total


def _silu_slope(z: Tensor) -> Tensor:
    """The derivative of SiLU: s + z s (1 - s) with s the logistic function."""
    s = torch.sigmoid(z)
    return s + z * s * (1 - s)


def transposed(conv: Conv) -> Tensor:
    """The kernel of a convolution's transpose (stride 1), itself a convolution's."""
    return conv.kernel().flip(2, 3).transpose(0, 1)


def _back(kernel: Tensor, gradient: Tensor) -> Tensor:
    return F.conv2d(gradient, kernel.to(gradient.dtype), None, 1, kernel.shape[-1] // 2)


class Guide(nn.Module):
    """(x_t [B, 3, 32, 32], features [B, 64, 1, 1]) to logits [B, classes, 1, 1]. Every stage:
    convolution, a term from the time, SiLU, and 2x2 averages."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (48, 96, 128, 160)):
        super().__init__()
        inputs = (3, *widths[:-1])
        self.convs = nn.ModuleList(
            Conv(a, b, 3, scale=1.2 if a == 3 else 2 * SILU_GAIN, rows=True)
            for a, b in zip(inputs, widths)
        )
        self.times = nn.ModuleList(Conv(FEATURES, b, gain=0.1) for b in widths)
        self.head = Conv(widths[-1], classes, scale=2 * SILU_GAIN)

    def _forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        before = []
        for conv, term in zip(self.convs, self.times):
            z = conv(x) + term(time)
            before.append(z)
            x = F.avg_pool2d(F.silu(z), 2)
        pooled = F.avg_pool2d(x, 2)  # the last map is 2 x 2
        return self.head(pooled), before

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self._forward(x, time)[0]

    def at(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits [B, classes] at times t [B]."""
        return self(x, features(t).to(x.dtype)[:, :, None, None])[:, :, 0, 0]

    def gradient(
        self, x: Tensor, time: Tensor, label: Tensor, back: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities' gradient by x_t, for one-hot labels [B, classes, 1, 1], and logits.
        `back`: the transposed kernels of the convolutions and the head, if already made."""
        *kernels, head = back or [transposed(conv) for conv in (*self.convs, self.head)]
        logits, before = self._forward(x, time)
        slope = _back(head, label - F.softmax(logits, 1))
        slope = F.interpolate(slope, scale_factor=2.0, mode="nearest") * 0.25
        for kernel, z in zip(reversed(kernels), reversed(before)):
            slope = F.interpolate(slope, scale_factor=2.0, mode="nearest") * 0.25
            slope = _back(kernel, slope * _silu_slope(z))
        return slope, logits
