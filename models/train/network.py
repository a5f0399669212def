"""The detector network, shaped for int8: dense 3x3 and 1x1 convolutions, SiLU, concatenation.

Channels are multiples of 16 and nothing is added at inference, so every tensor keeps one scale.
Training-time branches (RepVGG, arXiv:2101.03697; merged before the convolution as in OREPA,
arXiv:2204.00826) and normalisation fold into one 3x3 convolution by `fuse`.
Spatial pyramid pooling is SPPF (Ultralytics YOLOv5); the neck is a path aggregation network
(PANet, arXiv:1803.01534); heads are anchor-free and decoupled (YOLOX, arXiv:2107.08430).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Shape:
    """Widths of the stem and the four stages, chain lengths of the stages, width of the heads."""

    channels: tuple[int, int, int, int, int] = (16, 32, 64, 128, 192)
    depths: tuple[int, int, int, int] = (1, 1, 2, 1)
    neck_depth: int = 1
    head: int = 48
    classes: int = 20


SHAPES = {
    "tiny": Shape((16, 16, 48, 96, 160), (1, 1, 3, 2)),  # for 256 px
    "tiny-base": Shape((16, 16, 48, 96, 160), (1, 1, 2, 1)),  # of which it was grown
    "nano": Shape(),
    "nano-deep": Shape(depths=(1, 1, 3, 2)),
    "small": Shape((16, 32, 96, 192, 288), (1, 2, 3, 2), neck_depth=2, head=64),
}


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, SiLU.

    `rep` adds a 1x1 and an identity branch while training. The branches are linear and meet
    before the normalisation, so their kernels are summed first and one convolution runs.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, rep=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.rep = rep
        if rep:
            assert kernel == 3 and stride == 1
            self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.skip = nn.Parameter(torch.ones(outputs)) if inputs == outputs else None
        self.fused: nn.Conv2d | None = None
        self.rounding: nn.Module | None = None  # computes in eight bits, see eightbits.py

    def kernel(self) -> Tensor:
        """The weight of all branches together [outputs, inputs, k, k]."""
        weight = self.conv.weight
        if self.rep:
            centre = self.point.weight
            if self.skip is not None:
                centre = centre + torch.diag_embed(self.skip)[:, :, None, None]
            weight = weight + F.pad(centre, [1] * 4)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        if self.fused is not None:
            return F.silu(self.fused(x))
        if self.rounding is not None:
            return self.rounding(self, x)
        y = F.conv2d(x, self.kernel(), None, self.conv.stride, self.conv.padding)
        return F.silu(self.norm(y))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that branches and normalisation amount to."""
        norm = self.norm
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        return self.kernel() * gain[:, None, None, None], norm.bias - norm.running_mean * gain

    @torch.no_grad()
    def fuse(self) -> None:
        """Replace branches and normalisation by one convolution with a bias."""
        old = self.conv
        weight, bias = self.folded()
        fused = nn.Conv2d(
            old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding
        ).to(weight.device)
        fused.weight.copy_(weight)
        fused.bias.copy_(bias)
        if self.rep:
            del self.point, self.skip
        del self.conv, self.norm
        self.fused = fused


class Block(nn.Module):
    """Two 1x1 stems, a chain of 3x3 pairs on the second, all concatenated, one 1x1 out."""

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        half = outputs // 2
        self.left = ConvUnit(inputs, half)
        self.right = ConvUnit(inputs, half)
        self.chain = nn.ModuleList(
            nn.Sequential(ConvUnit(half, half, 3, rep=True), ConvUnit(half, half, 3, rep=True))
            for _ in range(depth)
        )
        self.out = ConvUnit(half * (2 + depth), outputs)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.left(x), self.right(x)]
        for pair in self.chain:
            parts.append(pair(parts[-1]))
        return self.out(torch.cat(parts, 1))


class PyramidPool(nn.Module):
    """SPPF: three chained 5x5 max pools, concatenated with their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.reduce = ConvUnit(channels, channels // 2)
        self.out = ConvUnit(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.reduce(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.out(torch.cat(parts, 1))


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Body(nn.Module):
    """Input [B, 3, S, S], RGB 0..1, S a multiple of 32; `levels` gives the features of the grids
    of strides 8, 16 and 32, the last only if `coarsest`.

    A network on it states the `strides` of its grids, `outputs`, the names of its raw maps, and
    `read`, which makes scores and boxes of what `forward` gives.
    """

    strides: tuple[int, ...]
    outputs: tuple[str, ...]
    exact = False  # true where bfloat16 is too coarse for the convolutions

    def __init__(self, shape: Shape, coarsest: bool = True):
        super().__init__()
        c, d, k = shape.channels, shape.depths, shape.neck_depth
        self.stem = ConvUnit(3, c[0], 3, 2)
        self.stage4 = nn.Sequential(ConvUnit(c[0], c[1], 3, 2), Block(c[1], c[1], d[0]))
        self.stage8 = nn.Sequential(ConvUnit(c[1], c[2], 3, 2), Block(c[2], c[2], d[1]))
        self.stage16 = nn.Sequential(ConvUnit(c[2], c[3], 3, 2), Block(c[3], c[3], d[2]))
        self.stage32 = nn.Sequential(
            ConvUnit(c[3], c[4], 3, 2), Block(c[4], c[4], d[3]), PyramidPool(c[4])
        )
        self.top16 = Block(c[4] + c[3], c[3], k)
        self.top8 = Block(c[3] + c[2], c[2], k)
        self.down16 = ConvUnit(c[2], c[2], 3, 2)
        self.out16 = Block(c[2] + c[3], c[3], k)
        self.coarsest = coarsest
        if coarsest:
            self.down32 = ConvUnit(c[3], c[3], 3, 2)
            self.out32 = Block(c[3] + c[4], c[4], k)

    def levels(self, x: Tensor) -> list[Tensor]:
        f8 = self.stage8(self.stage4(self.stem(x)))
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        t16 = self.top16(torch.cat([_up(f32), f16], 1))
        p8 = self.top8(torch.cat([_up(t16), f8], 1))
        p16 = self.out16(torch.cat([self.down16(p8), t16], 1))
        if not self.coarsest:
            return [p8, p16]
        return [p8, p16, self.out32(torch.cat([self.down32(p16), f32], 1))]

    def autocast(self, x: Tensor) -> torch.autocast:
        """The arithmetic that training and scoring run in: bfloat16 on a GPU, unless `exact`."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda and not self.exact)


class Detector(Body):
    """`forward` gives (logits [B, A, classes], raw distances [B, A, 4]) with
    A = (S/8)^2 + (S/16)^2 + (S/32)^2 cells, row-major a scale."""

    strides = STRIDES
    outputs = ("cls8", "box8", "cls16", "box16", "cls32", "box32")

    def __init__(self, shape: Shape = Shape()):
        super().__init__(shape)
        c = shape.channels
        self.classify = self._heads(c[2:], shape.head, shape.classes)
        self.regress = self._heads(c[2:], shape.head, 4)
        for head in self.classify:
            nn.init.constant_(head[1].bias, -math.log(99))  # prior 1 %, arXiv:1708.02002
        for head in self.regress:
            nn.init.normal_(head[1].weight, 0, 0.01)
            nn.init.constant_(head[1].bias, 1.0)

    @staticmethod
    def _heads(inputs: tuple[int, ...], width: int, outputs: int) -> nn.ModuleList:
        return nn.ModuleList(
            nn.Sequential(ConvUnit(c, width, 3, rep=True), nn.Conv2d(width, outputs, 1))
            for c in inputs
        )

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Raw head maps: cls8, box8, cls16, box16, cls32, box32, each [B, C, S/s, S/s]."""
        out: list[Tensor] = []
        for classify, regress, p in zip(self.classify, self.regress, self.levels(x)):
            out += [classify(p), regress(p)]
        return tuple(out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.rows(self.maps(x))

    @staticmethod
    def rows(maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Six head maps to (logits [B, A, classes], raw distances [B, A, 4])."""
        rows = [m.permute(0, 2, 3, 1).flatten(1, 2) for m in maps]
        return torch.cat(rows[0::2], 1), torch.cat(rows[1::2], 1)

    def read(self, outputs: tuple[Tensor, Tensor], size: int) -> tuple[Tensor, Tensor]:
        """Scores [B, A, classes] and corner boxes [B, A, 4] in pixels."""
        logits, raw = outputs
        return logits.float().sigmoid(), decode(raw, *cells(size, raw.device))


def cells(
    size: int, device: torch.device | str, of: tuple[int, ...] = STRIDES
) -> tuple[Tensor, Tensor]:
    """Cell centres [A, 2] in pixels and strides [A, 1] of the grids of a square input."""
    centres, strides = [], []
    for stride in of:
        axis = (torch.arange(size // stride, device=device) + 0.5) * stride
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2))
        strides.append(torch.full((centres[-1].shape[0], 1), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def decode(raw: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Raw log-distances (left, top, right, bottom; in strides) to corner boxes in pixels."""
    distance = raw.float().clamp(-6, 5).exp() * strides
    return torch.cat([centres - distance[..., :2], centres + distance[..., 2:]], -1)


def fuse(model: Body) -> Body:
    """Fold every unit of the network in place."""
    for module in model.modules():
        if isinstance(module, ConvUnit):
            module.fuse()
    return model


@torch.no_grad()
def count_macs(model: nn.Module, size: int) -> int:
    """Multiply-accumulates of the convolutions for one picture."""
    total = 0

    def add(module: nn.Module, _inputs, output: Tensor) -> None:
        nonlocal total
        total += module.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv2d)]
    model(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return total


def check_shape(path: str | Path, found: list[Tensor], wanted: list[Tensor]) -> None:
    """Stop with one sentence if a checkpoint's tensors are not those of the network."""
    if [t.shape for t in found] != [t.shape for t in wanted]:
        raise SystemExit(f"{path} holds weights of another shape than the network; see --shape")


def load_weights(model: Body, path: str | Path) -> Body:
    """Load a half-precision checkpoint of the un-fused network."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    check_shape(path, list(state.values()), list(model.state_dict().values()))
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model


def half_weights(model: Body) -> dict[str, Tensor]:
    """The state of a network with its floats in half precision, for storage."""
    state = model.state_dict()
    return {k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in state.items()}
