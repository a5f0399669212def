"""Overlaps of corner boxes (x0, y0, x1, y1)."""

import math

import torch
from torch import Tensor

TINY = 1e-7


def area(side: Tensor) -> Tensor:
    """Width times height of [..., 2] (not `prod`, whose gradient waits for the host)."""
    return side[..., 0] * side[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of broadcast boxes [..., 4]."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    shared = area((high - low).clamp(min=0))
    both = area(a[..., 2:] - a[..., :2]) + area(b[..., 2:] - b[..., :2])
    return shared / (both - shared + TINY)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU (arXiv:1911.08287): IoU less a centre-distance and an aspect term."""
    overlap = iou(a, b)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = hull.square().sum(-1) + TINY
    distance = (b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]).square().sum(-1) / 4
    wide = [torch.atan((x[..., 2] - x[..., 0]) / (x[..., 3] - x[..., 1] + TINY)) for x in (a, b)]
    aspect = (4 / math.pi**2) * (wide[1] - wide[0]).square()
    with torch.no_grad():
        weight = aspect / (aspect - overlap + 1 + TINY)
    return overlap - distance / diagonal - weight * aspect
