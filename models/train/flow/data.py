"""Training data on the device: packed pictures as windows, and CIFAR-10.

Both give batches without waiting for the device, so that a whole step can be captured in a graph.
"""

import io
from dataclasses import dataclass
from multiprocessing import Pool as Processes
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from masks import background_holes
from pack import SIDE, unpack

WINDOW = 64  # side of a training window
OVERSAMPLE = 4  # samples a pixel a side, averaged
OBJECTS_MAX = 8  # boxes kept of a window
CROWDED = 0.7  # share of a background window that its largest object may take


@dataclass
class Batch:
    """x0 [B, 3, S, S] in -1..1; label [B]; mask [B, 1, S, S], 1 where the network paints; weight
    [B, 1, S, S] of each pixel's loss; context [B, 4, S, S] or None."""

    x0: Tensor
    label: Tensor
    mask: Tensor
    weight: Tensor
    context: Tensor | None


def context_of(x0: Tensor, mask: Tensor) -> Tensor:
    """The known picture, zero in the hole, and the mask."""
    return torch.cat([x0 * (1 - mask), mask], 1)


def to_unit(pixels: Tensor) -> Tensor:
    """Bytes to -1..1."""
    return pixels.float() / 127.5 - 1


def to_bytes(x: Tensor) -> Tensor:
    """-1..1 to bytes."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def flip(x: Tensor, which: Tensor) -> Tensor:
    """Mirror the rows of a batch that `which` [B] names."""
    return torch.where(which[:, None, None, None], x.flip(3), x)


def _balanced(labels: Tensor, classes: int, length: int = 1 << 20) -> Tensor:
    """A table of rows in which a class appears by the square root of its count."""
    counts = torch.bincount(labels[labels >= 0], minlength=classes).clamp(min=1).float()
    weight = torch.where(labels >= 0, counts.rsqrt()[labels.clamp(min=0)], 0.0).double().cumsum(0)
    draw = torch.rand(length, device=labels.device, dtype=torch.float64) * weight[-1]
    return torch.searchsorted(weight, draw).clamp(max=len(labels) - 1)


def _jobs(wh, box, cls, objects: int, grounds: int, rng) -> list[tuple]:
    """Windows (picture, x0, y0, side, label): around objects, and anywhere with label -1."""
    jobs = []
    for i, (w, h) in enumerate(wh):
        most = min(w, h)
        for (x0, y0, x1, y1), label in zip(box[i], cls[i]):
            longer = max(x1 - x0, y1 - y0)
            if label < 0 or longer < 32:
                continue
            for _ in range(objects):
                side = min(longer * rng.uniform(1.0, 1.3), most)
                x = (x0 + x1 - side) / 2 + rng.normal() * 0.05 * longer
                y = (y0 + y1 - side) / 2 + rng.normal() * 0.05 * longer
                jobs.append((i, np.clip(x, 0, w - side), np.clip(y, 0, h - side), side, label))
        for _ in range(grounds):
            side = min(max(most * rng.uniform(0.3, 1.0), 48), most)
            jobs.append((i, rng.uniform(0, w - side), rng.uniform(0, h - side), side, -1))
    return jobs


def _boxes_in(window, boxes: np.ndarray) -> np.ndarray:
    """Boxes [G, 4] in pixels of a window [OBJECTS_MAX, 4], largest first, zero-filled."""
    _, x, y, side, _ = window
    inside = (boxes - np.array([x, y, x, y])) * (WINDOW / side)
    inside = inside.clip(0, WINDOW)
    area = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
    order = np.argsort(-area)[:OBJECTS_MAX]
    out = np.zeros((OBJECTS_MAX, 4), np.float32)
    out[: len(order)] = inside[order] * (area[order] > 0)[:, None]
    return out


@torch.no_grad()
def _cut(pictures: Tensor, jobs: Tensor) -> Tensor:
    """Windows [n, 3, WINDOW, WINDOW] as bytes: area averages of pictures [N, 3, SIDE, SIDE]."""
    fine = WINDOW * OVERSAMPLE
    step = (torch.arange(fine, device=jobs.device) + 0.5) / fine
    x = (jobs[:, 1, None] + step * jobs[:, 3, None]) / SIDE * 2 - 1
    y = (jobs[:, 2, None] + step * jobs[:, 3, None]) / SIDE * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, fine, -1), y[:, :, None].expand(-1, -1, fine)], -1)
    picked = pictures[jobs[:, 0].long()].float()
    sampled = F.grid_sample(picked, grid, "bilinear", "border", align_corners=False)
    return F.avg_pool2d(sampled, OVERSAMPLE).round().clamp(0, 255).to(torch.uint8)


class Windows:
    """Windows of packed pictures: `pixels` uint8 [N, 3, 64, 64], `label` [N] (-1: background),
    `objects` float32 [N, OBJECTS_MAX, 4] in pixels of the window."""

    classes, side = 20, WINDOW

    def __init__(
        self, packed: Path, split: str, device: str, objects: int, grounds: int, seed: int = 0,
        full_share: float = 0.4,
    ):
        rng = np.random.default_rng(seed)
        self.full_share = full_share
        pixels, labels, boxes = [], [], []
        for shard in sorted(packed.glob(f"{split}-*.npz")):
            data = dict(np.load(shard))
            edges, webp = data["offsets"], data["webp"].tobytes()
            files = [webp[a:b] for a, b in zip(edges[:-1], edges[1:])]
            with Processes() as processes:
                pictures = np.stack(processes.map(unpack, files, chunksize=32))
            jobs = _jobs(data["wh"], data["box"], data["cls"], objects, grounds, rng)
            boxes += [_boxes_in(job, data["box"][job[0]]) for job in jobs]
            canvas = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)
            table = torch.tensor(np.array(jobs, np.float32), device=device)
            pixels += [_cut(canvas, table[k : k + 256]) for k in range(0, len(jobs), 256)]
            labels.append(table[:, 4].long())
        self.pixels, self.label = torch.cat(pixels), torch.cat(labels)
        self.objects = torch.from_numpy(np.stack(boxes)).to(device)
        size = (self.objects[:, :, 2:] - self.objects[:, :, :2]).prod(-1).amax(1)
        open_ = (self.label < 0) & (size < CROWDED * WINDOW**2)
        self.grounds = open_.nonzero()[:, 0]
        self.table = _balanced(self.label, self.classes)
        self.device = device

    def whole(self, count: int) -> tuple[Tensor, Tensor]:
        """Object windows [count, 3, 64, 64] in -1..1, mirrored at random, and their classes."""
        rows = self.table[torch.randint(len(self.table), (count,), device=self.device)]
        which = torch.rand(count, device=self.device) < 0.5
        return flip(to_unit(self.pixels[rows]), which), self.label[rows]

    def holes(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Background windows in -1..1, masks, and whether each mask is good."""
        rows = self.grounds[torch.randint(len(self.grounds), (count,), device=self.device)]
        mask, found = background_holes(self.objects[rows], WINDOW)
        which = torch.rand(count, device=self.device) < 0.5
        return flip(to_unit(self.pixels[rows]), which), flip(mask, which), found

    def batch(self, count: int, full_share: float | None = None) -> Batch:
        """Whole windows by class first, then holes in background with the null class."""
        full = round(count * (self.full_share if full_share is None else full_share))
        x0, label = self.whole(full)
        ground, hole, found = self.holes(count - full)
        null = torch.full((count - full,), self.classes, device=self.device)
        x0, label = torch.cat([x0, ground]), torch.cat([label, null])
        ones = torch.ones(full, 1, WINDOW, WINDOW, device=self.device)
        weight = torch.cat([ones, (hole + 0.02 * (1 - hole)) * found[:, None, None, None]])
        mask = torch.cat([ones, hole])
        return Batch(x0, label, mask, weight, context_of(x0, mask))


def _decode(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).transpose(2, 0, 1)


class Cifar:
    """CIFAR-10: `pixels` uint8 [N, 3, 32, 32], `label` [N]."""

    classes, side = 10, 32

    def __init__(self, file: Path, split: str, device: str, limit: int = 0):
        data = np.load(file)
        edges, jpeg = data[f"{split}_offsets"], data[f"{split}_jpeg"].tobytes()
        files = [jpeg[a:b] for a, b in zip(edges[:-1], edges[1:])][: limit or None]
        with Processes() as processes:
            pixels = np.stack(processes.map(_decode, files, chunksize=256))
        self.pixels = torch.from_numpy(pixels).to(device)
        self.label = torch.from_numpy(data[f"{split}_labels"][: len(files)]).long().to(device)
        self.device = device

    def whole(self, count: int) -> tuple[Tensor, Tensor]:
        """Pictures [count, 3, 32, 32] in -1..1, mirrored at random, and their classes."""
        rows = torch.randint(len(self.pixels), (count,), device=self.device)
        which = torch.rand(count, device=self.device) < 0.5
        return flip(to_unit(self.pixels[rows]), which), self.label[rows]

    def batch(self, count: int, full_share: float | None = None) -> Batch:
        """Whole pictures by class."""
        x0, label = self.whole(count)
        ones = torch.ones(count, 1, self.side, self.side, device=self.device)
        return Batch(x0, label, ones, ones, None)


def open_data(name: str, source: Path, split: str, device: str, limit: int = 0, **options):
    """The data of a configuration: `source` is a folder of shards or CIFAR's file."""
    if name == "cifar":
        return Cifar(source, split, device, limit)
    return Windows(source, split, device, **options)
