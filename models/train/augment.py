"""Augmented training batches, made on the device that holds the pictures.

Each output picture is composed from up to four tiles: a mosaic (YOLOv4, arXiv:2004.10934) or a
single randomly scaled and placed picture. Every tile is an axis-aligned affine map of its source,
so one gather-and-interpolate pass makes the whole batch. Random numbers come from the default
generator and no step waits for the host: the work can be captured in a CUDA graph.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from camera import degrade
from dataset import SIDE, Dataset
from pack import GREY
from teacher import resize, shrink

# share of single pictures (not mosaics) that are shown from afar or so near that figures are cut,
# and the ranges of their scales; the rest lies between
FAR, NEAR = (0.15, 0.3, 0.6), (0.15, 1.5, 2.4)
CUT = 0.25  # a box of which less is left is neither object nor background


class Batch(NamedTuple):
    """`image` [B, 3, S, S] RGB 0..255; `clean` [B, 3, T, T]: the same for the teacher's eyes;
    `box` [B, M, 4] pixels of `image`; `cls`, `difficult`, `valid` [B, M]; `known` [B, A, classes]:
    1 where the boxes tell whether a cell shows the class, 0 in blends and in tiles whose source is
    not labelled for the class; `labelled` [B]: 0 for blends."""

    image: Tensor
    clean: Tensor
    box: Tensor
    cls: Tensor
    difficult: Tensor
    valid: Tensor
    known: Tensor
    labelled: Tensor


class Layout(NamedTuple):
    """Geometry and colour of a batch; the tile axis has length 4.

    `row` [B, 4] pictures, `wh` [B, 4, 2] their sizes, `rect` [B, 4, 4] output rectangles,
    `offset` and `scale` [B, 4, 2] (output = offset + scale * source), `flip` [B, 4],
    `colour` [B, 3, 3] and `shift` [B] (output = colour @ rgb + shift).
    """

    row: Tensor
    wh: Tensor
    rect: Tensor
    offset: Tensor
    scale: Tensor
    flip: Tensor
    colour: Tensor
    shift: Tensor


@dataclass
class Knobs:
    """Device scalars that the schedule changes between steps: probability of a mosaic and of a
    blend, and the strength of scale, aspect and colour jitter (1 = full)."""

    mosaic: Tensor
    blend: Tensor
    strength: Tensor

    @classmethod
    def on(cls, device: str, mosaic=0.7, blend=0.15, strength=1.0) -> "Knobs":
        return cls(*(torch.tensor(float(v), device=device) for v in (mosaic, blend, strength)))

    def set(self, mosaic: float, blend: float, strength: float) -> None:
        self.mosaic.fill_(mosaic)
        self.blend.fill_(blend)
        self.strength.fill_(strength)


def _words(words: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    word = words[index]
    return tuple(((word >> shift) & 255).float() for shift in (0, 8, 16))


def render(words: Tensor, size: int, plan: Layout) -> Tensor:
    """Compose and interpolate (bilinear) a batch: float [B, 3, size, size], 0..255."""
    axis = torch.arange(size, device=words.device, dtype=torch.float32) + 0.5
    x, y = axis[None, None, :], axis[None, :, None]

    inside = []
    for tile in range(1, 4):
        r = plan.rect[:, tile, :, None, None]
        inside.append((x >= r[:, 0]) & (x < r[:, 2]) & (y >= r[:, 1]) & (y < r[:, 3]))

    def pick(values: Tensor) -> Tensor:
        """Per-tile values [B, 4] to per-pixel values [B, S, S]."""
        out = values[:, 0, None, None]
        for tile in range(1, 4):
            out = torch.where(inside[tile - 1], values[:, tile, None, None], out)
        return out

    width, height = pick(plan.wh[..., 0]), pick(plan.wh[..., 1])
    u = (x - pick(plan.offset[..., 0])) / pick(plan.scale[..., 0])
    v = (y - pick(plan.offset[..., 1])) / pick(plan.scale[..., 1])
    u = torch.where(pick(plan.flip), width - u, u)
    covered = (u >= 0) & (u < width) & (v >= 0) & (v < height)

    u = torch.minimum((u - 0.5).clamp(min=0), width - 1)
    v = torch.minimum((v - 0.5).clamp(min=0), height - 1)
    u0, v0 = u.floor(), v.floor()
    fu, fv = u - u0, v - v0
    u1, v1 = torch.minimum(u0 + 1, width - 1).long(), torch.minimum(v0 + 1, height - 1).long()
    u0, v0 = u0.long(), v0.long()
    base = pick(plan.row) * (SIDE * SIDE)
    rgb = []
    corners = [_words(words, base + b * SIDE + a) for b in (v0, v1) for a in (u0, u1)]
    for c00, c01, c10, c11 in zip(*corners):
        rgb.append((c00 * (1 - fu) + c01 * fu) * (1 - fv) + (c10 * (1 - fu) + c11 * fu) * fv)

    shift = plan.shift[:, None, None]
    out = []
    for k in range(3):
        row = plan.colour[:, k, :, None, None]
        value = rgb[0] * row[:, 0] + rgb[1] * row[:, 1] + rgb[2] * row[:, 2] + shift
        out.append(torch.where(covered, value.clamp(0, 255), float(GREY)))
    return torch.stack(out, -1).permute(0, 3, 1, 2)


class Augmenter:
    """Draws batches from a data set. With `view` every batch is rendered at that size, which the
    teacher sees, and scaled to the student's; without, at the student's."""

    def __init__(
        self, data: Dataset, knobs: Knobs, boxes: int = 32, view: int | None = None, render=render
    ):
        self.data, self.knobs, self.boxes, self.render = data, knobs, boxes, render
        self.view = view
        self.filters: dict[int, Tensor] = {}
        yiq = [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
        self.to_yiq = torch.tensor(yiq, device=data.device)
        self.to_rgb = torch.linalg.inv(self.to_yiq.cpu()).to(data.device)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.data.device) * (high - low) + low

    def _colour(self, count: int) -> tuple[Tensor, Tensor]:
        """Hue rotation, saturation and brightness in YIQ as one matrix, and an offset."""
        strength = self.knobs.strength
        angle = self._uniform(-0.1 * math.pi, 0.1 * math.pi, count) * strength
        saturation = 1 + self._uniform(-0.6, 0.6, count) * strength
        gain = 1 + self._uniform(-0.4, 0.4, count) * strength
        cos, sin = saturation * angle.cos(), saturation * angle.sin()
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], -1)
        matrix = self.to_rgb @ turn.reshape(count, 3, 3) @ self.to_yiq
        return matrix * gain[:, None, None], self._uniform(-15, 15, count) * strength

    def _single_scale(self, count: int) -> Tensor:
        """Logarithms of the scales of single pictures [count, 4]."""
        chance = self._uniform(0, 1, count, 4)
        between, far, near = (
            self._uniform(math.log(low), math.log(high), count, 4)
            for low, high in ((FAR[2], NEAR[1]), FAR[1:], NEAR[1:])
        )
        rest = torch.where(chance > 1 - NEAR[0], near, between)
        return torch.where(chance < FAR[0], far, rest)

    def plan(self, count: int, size: int) -> Layout:
        """Draw tiles, placement, flips and colours for `count` pictures of side `size`."""
        data, knobs = self.data, self.knobs
        row = data.draw(count, 4)
        wh = data.wh[row]
        mosaic = self._uniform(0, 1, count) < knobs.mosaic

        cx, cy = (self._uniform(0.25, 0.75, count, 2) * size).unbind(-1)
        low, high = torch.zeros_like(cx), torch.full_like(cx, float(size))
        top = (low, low, cx, cy), (cx, low, high, cy)
        bottom = (low, cy, cx, high), (cx, cy, high, high)
        whole = (low, low, high, high), *[(high, high, high, high)] * 3
        rect = torch.where(
            mosaic[:, None, None],
            torch.stack([torch.stack(q, -1) for q in (*top, *bottom)], 1),
            torch.stack([torch.stack(q, -1) for q in whole], 1),
        )

        fit = size / wh.amax(-1)
        tile = self._uniform(math.log(0.35), math.log(1.3), count, 4)
        single = self._single_scale(count) * knobs.strength
        zoom = torch.where(mosaic[:, None], tile, single).exp() * fit
        normal = torch.randn(count, 4, device=data.device).clamp(-2, 2)
        aspect = (normal * 0.1 * knobs.strength).exp()
        scale = torch.stack([zoom * aspect, zoom / aspect], -1)
        slack = rect[..., 2:] - rect[..., :2] - wh * scale
        offset = rect[..., :2] + slack * self._uniform(0, 1, count, 4, 2)
        flip = self._uniform(0, 1, count, 4) < 0.5
        return Layout(row, wh, rect, offset, scale, flip, *self._colour(count))

    def boxes_of(self, plan: Layout) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map the boxes of all tiles, clip them to their rectangles and keep the largest.

        A box survives if more than 4 pixels a side and a tenth of its area are left; it is
        difficult if less than CUT is left.
        """
        data = self.data
        box, width = data.box[plan.row], plan.wh[:, :, None, 0]
        flip = plan.flip[:, :, None]
        x0 = torch.where(flip, width - box[..., 2], box[..., 0])
        x1 = torch.where(flip, width - box[..., 0], box[..., 2])
        box = torch.stack([x0, box[..., 1], x1, box[..., 3]], -1)
        box = box * plan.scale[:, :, None].repeat(1, 1, 1, 2)
        box = box + plan.offset[:, :, None].repeat(1, 1, 1, 2)
        area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
        lowest, highest = plan.rect[:, :, None, :2], plan.rect[:, :, None, 2:]
        first = torch.maximum(torch.minimum(box[..., :2], highest), lowest)
        second = torch.maximum(torch.minimum(box[..., 2:], highest), lowest)
        side = second - first
        left = side.prod(-1)
        valid = data.valid[plan.row] & (side > 4).all(-1) & (left > 0.1 * area)
        difficult = data.difficult[plan.row] | (left < CUT * area)
        clipped = torch.cat([first, second], -1).flatten(1, 2)

        valid, left = valid.flatten(1), left.flatten(1)
        keep = (valid * (1 + left)).topk(min(self.boxes, valid.shape[1]), 1).indices
        cls, difficult = data.cls[plan.row].flatten(1), difficult.flatten(1)
        return (
            clipped.gather(1, keep[..., None].expand(-1, -1, 4)),
            cls.gather(1, keep),
            difficult.gather(1, keep),
            valid.gather(1, keep),
        )

    def known_of(self, plan: Layout, centres: Tensor) -> Tensor:
        """For each cell, the classes that are labelled in the tile it lies in [B, A, classes]."""
        inside = (centres[None, None] >= plan.rect[:, :, None, :2]).all(-1)
        inside = inside & (centres[None, None] < plan.rect[:, :, None, 2:]).all(-1)
        known = self.data.known[plan.row].float()  # [B, 4, classes]
        return inside.float().transpose(1, 2) @ known

    def batch(self, count: int, size: int, centres: Tensor) -> Batch:
        """One augmented batch; `centres` [A, 2] are the student's cells in pixels. A blend (mixup,
        arXiv:1710.09412) carries no boxes: it widens the set of pictures on which the student
        follows its teacher (arXiv:2106.05237)."""
        view = self.view or size
        plan = self.plan(count, view)
        clean = self.render(self.data.words, view, plan)
        blended = self._uniform(0, 1, count) < self.knobs.blend
        weight = torch.where(blended, self._uniform(0.2, 0.5, count), 0.0)
        clean = torch.lerp(clean, clean.roll(1, 0), weight[:, None, None, None])
        image = clean
        if view != size:
            if size not in self.filters:
                self.filters[size] = shrink(view, size).to(self.data.device)
            image = resize(clean.contiguous(), self.filters[size])
        box, cls, difficult, valid = self.boxes_of(plan)
        labelled = (~blended).float()
        known = self.known_of(plan, centres * (view / size)) * labelled[:, None, None]
        return Batch(
            degrade(image), clean, box * (size / view), cls, difficult, valid, known, labelled
        )
