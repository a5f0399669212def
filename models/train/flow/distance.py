"""Measures: our own Frechet distance, recall, PSNR and SSIM inside a hole.

The distance is Frechet's between Gaussians (the formula of arXiv:1706.08500) in the averaged
features of a judge trained here. It is not FID and compares only with itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from classifier import Features
from data import to_unit


@torch.no_grad()
def embed(judge: Features, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Bytes [N, 3, S, S] to features [N, D] and predicted labels [N]."""
    judge.eval()
    parts, labels = [], []
    for k in range(0, len(pixels), 1000):
        x = judge.embed(to_unit(pixels[k : k + 1000]))
        parts.append(x)
        labels.append(judge.head(x).argmax(1))
    return torch.cat(parts), torch.cat(labels)


def frechet(a: Tensor, b: Tensor) -> float:
    """Between the Gaussians of features [N, D] and [M, D]."""
    a, b = a.double(), b.double()
    mean = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    # tr sqrt(A B) by the symmetric form: sqrt(A) B sqrt(A) has the same spectrum.
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float(mean + cov_a.trace() + cov_b.trace() - 2 * cross)


def recall(real: Tensor, made: Tensor, neighbours: int = 3) -> float:
    """Share of real features that lie within a made sample's distance to its k-th neighbour
    (Kynkaanniemi et al., arXiv:1904.06991); swap the arguments for precision."""
    real, made = real.float(), made.float()
    radius = torch.cat([
        torch.cdist(made[k : k + 1000], made).kthvalue(neighbours + 1, 1).values
        for k in range(0, len(made), 1000)
    ])
    inside = [
        (torch.cdist(real[k : k + 1000], made) <= radius).any(1) for k in range(0, len(real), 1000)
    ]
    return float(torch.cat(inside).float().mean())


def spread_within(x: Tensor, label: Tensor) -> float:
    """Total variance of features inside a class, averaged over classes."""
    parts = [x[label == c].var(0).sum() for c in label.unique() if int((label == c).sum()) > 1]
    return float(torch.stack(parts).mean())


def hole_psnr(x: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Decibels in each hole [B], for pictures in -1..1."""
    error = ((x.clamp(-1, 1) - truth) / 2).square() * mask
    mean = error.sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp(min=1)
    return -10 * torch.log10(mean + 1e-8)


def hole_ssim(x: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean structural similarity over the pixels of each hole [B] (11x11 Gaussian, sigma 1.5)."""
    axis = torch.arange(11, device=x.device) - 5.0
    line = torch.exp(-axis.square() / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2
    window = window.expand(3, 1, 11, 11)

    def blur(a: Tensor) -> Tensor:
        return F.conv2d(F.pad(a, [5] * 4, mode="reflect"), window, groups=3)

    a, b = (x.clamp(-1, 1) + 1) / 2, (truth + 1) / 2
    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    one, two = 0.01**2, 0.03**2
    ssim = (2 * ma * mb + one) * (2 * cov + two) / ((ma**2 + mb**2 + one) * (va + vb + two))
    return (ssim * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp(min=1)
