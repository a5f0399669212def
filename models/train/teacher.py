"""The distillation teacher: open networks trained on COCO, run from their ONNX files, and a
larger network of our own, run from its weights.

YOLOX-nano (arXiv:2107.08430, Apache-2.0), PicoDet-S (arXiv:2111.00902, Apache-2.0) and
`detect-SHAPE.pt`. Only their outputs are used, as a training signal: all look at the same clean
pictures, which may be larger than the student's, and their scores and boxes are brought onto the
student's grids.

    python teacher.py PACKED --members yolox_nano.onnx:416,picodet_s_320.onnx:320 [--split val]

scores what the student is taught as if it were a detector of its own.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import SHAPES, STRIDES, Detector, cells, decode, fuse, load_weights
from onnxnet import OnnxNet

# index among the 80 COCO classes of each of the 20 VOC classes, in alphabetical VOC order
COCO_OF_VOC = (4, 1, 14, 8, 39, 5, 2, 15, 56, 19, 60, 16, 17, 3, 0, 58, 18, 57, 6, 62)


class Level(NamedTuple):
    """One grid: `score` [B, 20, g, g] and `box` [B, 4, g, g], corners as shares of the side."""

    score: Tensor
    box: Tensor


def axes(cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cell indices x [1, g] and y [g, 1] of a square grid."""
    axis = torch.arange(cells, device=device, dtype=torch.float32)
    return axis[None], axis[:, None]


def shrink(size: int, onto: int) -> Tensor:
    """The antialiased bilinear filter between two lengths as a matrix [onto, size]."""
    eye = torch.eye(size)[None, None]
    if onto > size:
        return F.interpolate(eye, (onto, size), mode="bilinear", align_corners=False)[0, 0]
    return F.interpolate(eye, (onto, size), mode="bilinear", antialias=True)[0, 0]


def resize(image: Tensor, matrix: Tensor) -> Tensor:
    """Resize square pictures [..., S, S] by a `shrink` matrix along both axes."""
    return matrix @ image @ matrix.T


def run(net: nn.Module, image: Tensor) -> list[Tensor]:
    """The outputs of a network; bf16 inside on a GPU."""
    with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):
        return net(image.contiguous(memory_format=torch.channels_last))


def by_grid(rows: Tensor, size: int) -> list[Tensor]:
    """Rows of all cells [B, A, C] as maps [B, C, g, g], a grid for each of STRIDES."""
    grids = [size // stride for stride in STRIDES]
    parts = zip(rows.split([g * g for g in grids], 1), grids)
    return [part.transpose(1, 2).unflatten(2, (g, g)) for part, g in parts]


class Yolox(nn.Module):
    """Takes BGR 0..255."""

    def __init__(self, path: str):
        super().__init__()
        self.net = OnnxNet(path)
        self.register_buffer("columns", torch.tensor(COCO_OF_VOC) + 5)

    def forward(self, bgr: Tensor) -> list[Level]:
        size = bgr.shape[-1]
        rows = run(self.net, bgr)[0].float()
        levels = []
        for m in by_grid(rows, size):
            g = m.shape[-1]
            x, y = axes(g, m.device)  # offsets count from the cell's corner
            mid_x, mid_y = (m[:, 0] + x) / g, (m[:, 1] + y) / g
            half_x, half_y = m[:, 2:4].clamp(max=6).exp().div(2 * g).unbind(1)
            sides = [mid_x - half_x, mid_y - half_y, mid_x + half_x, mid_y + half_y]
            score = m[:, 4:5] * m.index_select(1, self.columns)
            levels.append(Level(score, torch.stack(sides, 1)))
        return levels


class Picodet(nn.Module):
    """Takes BGR 0..255. The fourth grid, of stride 64, is joined to the third."""

    BINS = 8

    def __init__(self, path: str):
        super().__init__()
        self.net = OnnxNet(path)
        self.register_buffer("columns", torch.tensor(COCO_OF_VOC))
        self.register_buffer("bins", torch.arange(float(self.BINS)))
        self.register_buffer("mean", torch.tensor([103.53, 116.28, 123.675])[:, None, None])
        self.register_buffer("std", torch.tensor([57.375, 57.12, 58.395])[:, None, None])

    def _level(self, score: Tensor, distance: Tensor, stride: int, size: int) -> Level:
        g = -(-size // stride)
        score = score.float().transpose(1, 2).index_select(1, self.columns).unflatten(2, (g, g))
        shares = distance.float().unflatten(2, (4, self.BINS)).softmax(-1)
        spread = (shares * self.bins).sum(-1)
        left, top, right, bottom = spread.transpose(1, 2).unflatten(2, (g, g)).unbind(1)
        x, y = axes(g, score.device)
        x, y = x + 0.5 - 0.5 / stride, y + 0.5 - 0.5 / stride
        box = torch.stack([x - left, y - top, x + right, y + bottom], 1) * (stride / size)
        return Level(score, box)

    def forward(self, bgr: Tensor) -> list[Level]:
        size = bgr.shape[-1]
        out = run(self.net, (bgr - self.mean) / self.std)
        strides = (*STRIDES, 64)
        levels = [self._level(s, d, k, size) for s, d, k in zip(out[:4], out[4:], strides)]
        third, fourth = levels[2], sample(levels[3], levels[2].score.shape[-1])
        better = fourth.score.amax(1, True) > third.score.amax(1, True)
        box = torch.where(better, fourth.box, third.box)
        return [*levels[:2], Level(torch.maximum(third.score, fourth.score), box)]


class Detect(nn.Module):
    """Takes BGR 0..255. A network of ours from the half-precision weights of its training; the
    file is named `detect-SHAPE`, with anything behind a dot."""

    def __init__(self, path: str):
        super().__init__()
        shape = SHAPES[Path(path).name.split(".")[0].removeprefix("detect-")]
        self.net = fuse(load_weights(Detector(shape), path))

    def forward(self, bgr: Tensor) -> list[Level]:
        size = bgr.shape[-1]
        logits, raw = run(self.net, bgr.flip(1) / 255)
        box = decode(raw, *cells(size, bgr.device)) / size
        score = logits.float().sigmoid()
        return [Level(*maps) for maps in zip(by_grid(score, size), by_grid(box, size))]


def sample(level: Level, onto: int) -> Level:
    """The cell of a grid under the centre of each cell of another."""
    grid = level.score.shape[-1]
    if grid == onto:
        return level
    centre = (torch.arange(onto, device=level.score.device) + 0.5) * (grid / onto)
    near = centre.long().clamp(max=grid - 1)
    return Level(*(m.index_select(2, near).index_select(3, near) for m in level))


def mirrored(level: Level) -> Level:
    """A level of the mirror image, turned back."""
    x0, y0, x1, y1 = level.box.flip(3).unbind(1)
    return Level(level.score.flip(3), torch.stack([1 - x1, y0, 1 - x0, y1], 1))


def join(a: Level, b: Level, share: Tensor | float, peak: float) -> Level:
    """Two opinions on one grid. Scores: between their mean weighted by `share` of the second
    and their maximum, the latter by `peak`. Boxes: weighted by the best scores."""
    mean = a.score * (1 - share) + b.score * share
    score = mean + peak * (torch.maximum(a.score, b.score) - mean)
    wa = (a.score.amax(1, True) + 1e-4) ** 2
    wb = (b.score.amax(1, True) + 1e-4) ** 2
    return Level(score, (a.box * wa + b.box * wb) / (wa + wb))


class Calibration(nn.Module):
    """score -> sigmoid(slope * logit(score) + offset)."""

    def __init__(self, slope: float, offset: float):
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, level: Level) -> Level:
        logit = level.score.clamp(1e-5, 1 - 1e-5).logit()
        return Level((self.slope * logit + self.offset).sigmoid(), level.box)


class Teacher(nn.Module):
    """Clean pictures [B, 3, T, T], RGB 0..255, to scores [B, A, 20] and boxes [B, A, 4] in pixels
    on the grids of a student of another size."""

    # PicoDet's curve puts its scores on the scale of YOLOX's: equal scores are as often right
    KINDS = {
        "yolox": (Yolox, 1.0, 0.0),
        "picodet": (Picodet, 2.0, -0.36),
        "detect": (Detect, 1.0, 0.0),
    }

    def __init__(self, members: str, mirror: bool = False, shares: str = "0.4", peak: float = 0.25):
        super().__init__()
        self.mirror, self.peak = mirror, peak
        self.shares = [float(share) for share in shares.split(",")]
        self.nets, self.curves, self.sizes = nn.ModuleList(), nn.ModuleList(), []
        for entry in members.split(","):
            path, size = entry.rsplit(":", 1)
            make, slope, offset = self.KINDS[re.split("[-_.]", Path(path).name)[0]]
            self.nets.append(make(path))
            self.curves.append(Calibration(slope, offset))
            self.sizes.append(int(size))
        if len(self.shares) < len(self.nets) - 1:
            raise SystemExit(f"{len(self.nets)} teachers need {len(self.nets) - 1} shares")
        self.size = max(self.sizes)
        for size in set(self.sizes):
            self.register_buffer(f"onto{size}", shrink(self.size, size))
        self.requires_grad_(False).eval()

    def opinions(self, image: Tensor, size: int) -> list[list[Level]]:
        """Each member's levels on the student's grids."""
        bgr, all_levels = image.flip(1), []
        for net, curve, own in zip(self.nets, self.curves, self.sizes):
            x = bgr if own == self.size else resize(bgr.float(), getattr(self, f"onto{own}"))
            levels = [curve(level) for level in net(x)]
            if self.mirror:
                other = [mirrored(curve(level)) for level in net(x.flip(3))]
                levels = [join(a, b, 0.5, 0.0) for a, b in zip(levels, other)]
            all_levels.append([sample(m, size // k) for m, k in zip(levels, STRIDES)])
        return all_levels

    @torch.no_grad()
    def forward(self, image: Tensor, size: int) -> tuple[Tensor, Tensor]:
        opinions = self.opinions(image, size)
        levels = opinions[0]
        for other, share in zip(opinions[1:], self.shares):
            levels = [join(a, b, share, self.peak) for a, b in zip(levels, other)]
        score = torch.cat([m.score.flatten(2) for m in levels], 2).transpose(1, 2)
        box = torch.cat([m.box.flatten(2) for m in levels], 2).transpose(1, 2)
        return score, box * size


def main() -> None:
    from dataset import Dataset
    from evaluate import evaluate

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("packed", type=Path)
    add("--members", required=True)
    add("--split", default="val")
    add("--student", type=int, default=320, help="input size whose grids the scores are put on")
    add("--mirror", action="store_true")
    add("--shares", default="0.4")
    add("--peak", type=float, default=0.25)
    args = parser.parse_args()
    teacher = Teacher(args.members, args.mirror, args.shares, args.peak)
    data = Dataset.load(args.packed, args.split, "cpu")

    def predict(image: Tensor) -> tuple[Tensor, Tensor]:
        score, box = teacher(image, args.student)
        return score, box * (teacher.size / args.student)

    result = evaluate(predict, data, teacher.size)
    print(f"{args.members} on {args.split}: AP50 {result.map50:.2f}", result.per_class)


if __name__ == "__main__":
    main()
