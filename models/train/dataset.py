"""The packed data set, resident on one device."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
SIDE = 352  # pixels, side of a packed canvas


class Dataset:
    """One split, as written by pack.py.

    `words` int32 [N * SIDE * SIDE]: packed RGBX pixels; `wh` [N, 2]; `box` [N, G, 4];
    `cls`, `difficult`, `valid` [N, G]; `known` bool [N, classes]: classes labelled in the picture;
    `cdf` [N]: cumulative sampling probabilities. Pixels may arrive later than the rest: `fill`
    takes the files that are there, and only their pictures are drawn.
    """

    def __init__(self, fields: dict[str, np.ndarray], device: str):
        self.device = device
        self.count = len(fields["n"])
        self.words = torch.zeros(self.count * SIDE * SIDE, dtype=torch.int32, device=device)
        self.sizes = fields["wh"].astype(int)
        self.truth = fields
        to_device = {k: torch.from_numpy(v).to(device) for k, v in fields.items()}
        self.wh, self.box, self.cls = to_device["wh"], to_device["box"], to_device["cls"]
        self.difficult, self.known = to_device["dif"], to_device["known"]
        slots = torch.arange(self.box.shape[1], device=device)
        self.valid = slots[None] < to_device["n"][:, None]
        self.ready = torch.zeros(self.count, dtype=torch.bool, device=device)
        self.cdf = torch.ones(self.count, device=device)
        self.weight = self._sampling_weight()
        self.taken: set[str] = set()

    @classmethod
    def load(cls, folder: Path, split: str, device: str) -> "Dataset":
        """Read `{split}.npz` and the pixels that are there."""
        with np.load(folder / f"{split}.npz") as archive:
            keys = ("wh", "box", "cls", "dif", "known", "n")
            data = cls({k: archive[k] for k in keys}, device)
        data.fill(folder, split)
        return data

    @classmethod
    def synthetic(cls, count: int, device: str) -> "Dataset":
        """Noise pictures with random boxes: for timing."""
        rng = np.random.default_rng(0)
        corner = rng.uniform(0, 200, (count, 16, 2))
        box = np.concatenate([corner, corner + rng.uniform(20, 150, (count, 16, 2))], -1)
        data = cls({
            "wh": np.full((count, 2), SIDE, np.float32),
            "box": box.astype(np.float32),
            "cls": rng.integers(0, len(CLASSES), (count, 16)),
            "dif": np.zeros((count, 16), bool),
            "known": np.ones((count, len(CLASSES)), bool),
            "n": rng.integers(1, 6, count),
        }, device)  # fmt: skip
        one = rng.integers(0, 255, (SIDE, SIDE, 4), np.uint8)
        data._put(0, np.broadcast_to(one, (count, SIDE, SIDE, 4)))
        return data

    def _put(self, first: int, pixels: np.ndarray) -> None:
        """Take the pixels of a run of rows and allow their sampling."""
        flat = torch.from_numpy(np.ascontiguousarray(pixels)).view(torch.int32).reshape(-1)
        start = first * SIDE * SIDE
        self.words[start : start + len(flat)].copy_(flat)
        self.ready[first : first + len(pixels)] = True
        weight = self.weight * self.ready
        self.cdf.copy_((weight.cumsum(0) / weight.sum()).float())

    def fill(self, folder: Path, split: str) -> bool:
        """Take the pixel files that appeared since the last call; true once all are there."""
        for path in sorted(folder.glob(f"{split}-[0-9]*-[0-9]*.npy")):
            first, last = map(int, path.stem.rsplit("-", 2)[1:])
            if path.name not in self.taken and last <= self.count:
                self.taken.add(path.name)
                self._put(first, np.load(path))
        return bool(self.ready.all())

    def _sampling_weight(self, frequency: float = 0.12) -> Tensor:
        """Repeat-factor sampling (LVIS, arXiv:1908.03195): a picture's weight is the largest
        sqrt(frequency / share of pictures with the class) over its classes, at least 1."""
        present = torch.zeros(self.count, len(CLASSES), device=self.device)
        scored = self.valid & ~self.difficult
        present.scatter_add_(1, torch.where(scored, self.cls, 0), scored.float())
        share = (present > 0).float().mean(0).clamp(min=1e-4)
        factor = (frequency / share).sqrt().clamp(min=1.0)
        return torch.where(present > 0, factor, 1.0).amax(1).double()

    def draw(self, *shape: int) -> Tensor:
        """Random picture indices int64 [*shape] by the sampling weights, without a host sync."""
        uniform = torch.rand(shape, device=self.device)
        return torch.searchsorted(self.cdf, uniform, right=True).clamp(max=self.count - 1)

    def picture(self, row: int) -> Tensor:
        """One picture, float [3, height, width], 0..255."""
        width, height = self.sizes[row]
        area = SIDE * SIDE
        word = self.words[row * area : (row + 1) * area].reshape(SIDE, SIDE)[:height, :width]
        return torch.stack([(word >> shift) & 255 for shift in (0, 8, 16)]).float()
