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
    `cls`, `difficult`, `valid` [N, G]; `cdf` [N]: cumulative sampling probabilities.
    """

    def __init__(self, pixels: np.ndarray, fields: dict[str, np.ndarray], device: str):
        self.device = device
        self.count = len(pixels)
        flat = torch.from_numpy(np.ascontiguousarray(pixels)).view(torch.int32).reshape(-1)
        self.words = flat.to(device)
        self.sizes = fields["wh"].astype(int)
        self.truth = fields
        to_device = {k: torch.from_numpy(v).to(device) for k, v in fields.items()}
        self.wh, self.box, self.cls = to_device["wh"], to_device["box"], to_device["cls"]
        self.difficult = to_device["dif"]
        slots = torch.arange(self.box.shape[1], device=device)
        self.valid = slots[None] < to_device["n"][:, None]
        self.cdf = self._sampling_cdf()

    @classmethod
    def load(cls, folder: Path, split: str, device: str) -> "Dataset":
        """Read `{split}.npy` and `{split}.npz`."""
        with np.load(folder / f"{split}.npz") as archive:
            keys = ("wh", "box", "cls", "dif", "n")
            return cls(np.load(folder / f"{split}.npy"), {k: archive[k] for k in keys}, device)

    @classmethod
    def synthetic(cls, count: int, device: str) -> "Dataset":
        """Noise pictures with random boxes: for timing and for compiling ahead of the data."""
        rng = np.random.default_rng(0)
        corner = rng.uniform(0, 200, (count, 16, 2))
        box = np.concatenate([corner, corner + rng.uniform(20, 150, (count, 16, 2))], -1)
        fields = {
            "wh": np.full((count, 2), SIDE, np.float32),
            "box": box.astype(np.float32),
            "cls": rng.integers(0, len(CLASSES), (count, 16)),
            "dif": np.zeros((count, 16), bool),
            "n": rng.integers(1, 6, count),
        }
        one = rng.integers(0, 255, (1, SIDE, SIDE, 4), np.uint8)
        return cls(np.broadcast_to(one, (count, SIDE, SIDE, 4)), fields, device)

    def _sampling_cdf(self, frequency: float = 0.12) -> Tensor:
        """Repeat-factor sampling (LVIS, arXiv:1908.03195): a picture's weight is the largest
        sqrt(frequency / share of pictures with the class) over its classes, at least 1."""
        present = torch.zeros(self.count, len(CLASSES), device=self.device)
        scored = self.valid & ~self.difficult
        present.scatter_add_(1, torch.where(scored, self.cls, 0), scored.float())
        share = (present > 0).float().mean(0).clamp(min=1e-4)
        factor = (frequency / share).sqrt().clamp(min=1.0)
        weight = torch.where(present > 0, factor, 1.0).amax(1).double()
        return (weight.cumsum(0) / weight.sum()).float()

    def draw(self, *shape: int) -> Tensor:
        """Random picture indices int64 [*shape] by the sampling weights, without a host sync."""
        uniform = torch.rand(shape, device=self.device)
        return torch.searchsorted(self.cdf, uniform).clamp(max=self.count - 1)

    def picture(self, row: int) -> Tensor:
        """One picture, float [3, height, width], 0..255."""
        width, height = self.sizes[row]
        area = SIDE * SIDE
        word = self.words[row * area : (row + 1) * area].reshape(SIDE, SIDE)[:height, :width]
        return torch.stack([(word >> shift) & 255 for shift in (0, 8, 16)]).float()
