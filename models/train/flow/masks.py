"""Holes: which pixels the network is asked to paint. A mask is 1 in the hole and 0 around it.

`cover` makes the mask of what was detected: every pixel that a box, grown by a margin, touches.
`background_holes` draws holes of a subject's size and shape for training, and rejects those that
meet a marked object: with the null class the network never learns to paint an object.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 0.12  # of a box's longer side, on every side
TRIES = 12  # places drawn for a hole before it is given up
SIDE_MIN, SIDE_MAX = 0.2, 0.8  # longer side of a hole, in sides of the window


def _inside(boxes: Tensor, side: int) -> Tensor:
    """Pixels that boxes [B, 4] (x0, y0, x1, y1) touch: bool [B, side, side]."""
    edge = torch.arange(side, device=boxes.device, dtype=torch.float32)
    x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
    across = (edge[None] + 1 > x0) & (edge[None] < x1)
    along = (edge[None] + 1 > y0) & (edge[None] < y1)
    return along[:, :, None] & across[:, None, :]


def grow(boxes: Tensor, margin: float = MARGIN) -> Tensor:
    """Boxes [..., 4] larger by `margin` of their longer side on every side, at least a pixel."""
    longer = (boxes[..., 2:] - boxes[..., :2]).amax(-1, keepdim=True)
    by = (longer * margin).clamp(min=1)
    return torch.cat([boxes[..., :2] - by, boxes[..., 2:] + by], -1)


def cover(boxes: Tensor, side: int, margin: float = MARGIN) -> Tensor:
    """The union of grown boxes [N, 4] in pixels: float [1, side, side]."""
    if len(boxes) == 0:
        return torch.zeros(1, side, side, device=boxes.device)
    return _inside(grow(boxes.float(), margin), side).any(0, keepdim=True).float()


def meets(a: Tensor, b: Tensor) -> Tensor:
    """Whether boxes [..., 4] share an area."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high > low).all(-1)


def draw_boxes(count: int, tries: int, side: int, device: torch.device | str) -> Tensor:
    """Boxes [count, tries, 4] of a subject with its margin; all of a row have one size. One in
    four reaches past the window's edge, as a subject that leaves the picture does."""
    longer = side * (SIDE_MIN + (SIDE_MAX - SIDE_MIN) * torch.rand(count, 1, device=device))
    aspect = torch.exp(0.55 * torch.randn(count, 1, device=device) - 0.3).clamp(0.25, 3.0)
    w, h = longer * aspect.clamp(max=1), longer / aspect.clamp(min=1)
    over = 0.25 * (torch.rand(count, 1, device=device) < 0.25)
    x = (torch.rand(count, tries, device=device) * (1 + 2 * over) - over) * (side - w)
    y = (torch.rand(count, tries, device=device) * (1 + 2 * over) - over) * (side - h)
    x, y = x.clamp(min=-0.5 * w, max=side - 0.5 * w), y.clamp(min=-0.5 * h, max=side - 0.5 * h)
    return torch.stack([x, y, x + w, y + h], -1).clamp(0, side)


def _ellipses(boxes: Tensor, side: int) -> Tensor:
    """Pixels whose centres lie in the ellipses that touch boxes [B, 4] from within."""
    centre = torch.arange(side, device=boxes.device) + 0.5
    middle, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    x = (centre[None] - middle[:, :1]) / radius[:, :1].clamp(min=0.5)
    y = (centre[None] - middle[:, 1:]) / radius[:, 1:].clamp(min=0.5)
    return y[:, :, None] ** 2 + x[:, None, :] ** 2 <= 1


def background_holes(objects: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Holes that meet none of the objects [B, G, 4] (pixels of the window, zero where there is
    none): masks float [B, 1, side, side] and whether a place was found, bool [B].

    Three in five are rectangles, one in five an ellipse, one in five two rectangles."""
    count, device = len(objects), objects.device
    present = (objects[..., 2] > objects[..., 0])[:, None]

    def place() -> tuple[Tensor, Tensor]:
        boxes = draw_boxes(count, TRIES, side, device)
        free = ~(meets(boxes[:, :, None], objects[:, None]) & present).any(-1)
        first = free.float().argmax(1)
        return boxes.gather(1, first[:, None, None].expand(-1, 1, 4))[:, 0], free.any(1)

    (one, found), (two, also) = place(), place()
    rectangle, ellipse = _inside(one, side), _ellipses(one, side)
    both = rectangle | (_inside(two, side) & also[:, None, None])
    kind = torch.rand(count, device=device)[:, None, None]
    mask = torch.where(kind < 0.6, rectangle, torch.where(kind < 0.8, ellipse, both))
    return mask.float()[:, None], found


def mosaic(picture: Tensor, mask: Tensor, cells: int = 5) -> Tensor:
    """The hole's bounding box in cells x cells averages of what was there (what redaction does
    when it has no time): picture [B, 3, S, S], mask [B, 1, S, S]."""
    out = picture.clone()
    for k in range(len(picture)):
        rows, columns = mask[k, 0].any(1).nonzero()[:, 0], mask[k, 0].any(0).nonzero()[:, 0]
        if len(rows) == 0:
            continue
        window = (slice(None), slice(int(rows[0]), int(rows[-1]) + 1),
                  slice(int(columns[0]), int(columns[-1]) + 1))
        part = picture[k][window]
        coarse = F.adaptive_avg_pool2d(part[None], cells)
        out[k][window] = F.interpolate(coarse, part.shape[1:], mode="nearest")[0]
    return torch.where(mask > 0, out, picture)
