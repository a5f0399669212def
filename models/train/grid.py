"""YOLO's first idea as itself (Redmon et al. 2016, arXiv:1506.02640): one grid, direct regression.

The picture is divided into S x S cells. The cell that holds the centre of an object answers for
it: with one vector of class probabilities and with two boxes, each with a confidence. No anchors,
no logits, squared errors throughout. The body is that of the other detectors, and a 3x3 and a 1x1
convolution stand in place of the paper's dense layers.

The one raw map [B, C + 5 * BOXES, S, S] holds in each cell the C class probabilities, then for
each box its confidence, the offsets x and y of its centre inside the cell (0..1), and the square
roots of its width and height as shares of the picture.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from augment import Batch
from boxes import iou
from network import Body, ConvUnit, Shape

BOXES = 2
TERMS = ("class", "centre", "side", "object", "no_object")


class Weights(NamedTuple):
    """Weights of the squared errors, the paper's."""

    cls: float = 1.0
    centre: float = 5.0
    side: float = 5.0
    found: float = 1.0
    absent: float = 0.5


class Grid(Body):
    """`forward` gives rows [B, S * S, C + 5 * BOXES], row-major; S is the side over `stride`."""

    outputs = ("grid",)

    def __init__(self, stride: int = 32, shape: Shape = Shape()):
        super().__init__(shape, coarsest=stride == 32)
        self.strides = (stride,)
        self.classes = shape.classes
        width = shape.channels[4 if stride == 32 else 3]
        last = nn.Conv2d(width, shape.classes + 5 * BOXES, 1)
        self.head = nn.Sequential(ConvUnit(width, width, 3, rep=True), last)
        nn.init.normal_(last.weight, 0, 0.01)
        with torch.no_grad():  # no class and no object yet, a box in the middle, half the picture
            last.bias.zero_()
            last.bias[shape.classes :].view(BOXES, 5)[:, 1:] = 0.5

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.head(self.levels(x)[-1]),)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return self.rows(self.maps(x))

    @staticmethod
    def rows(maps: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (maps[0].permute(0, 2, 3, 1).flatten(1, 2),)

    def read(self, outputs: tuple[Tensor], size: int) -> tuple[Tensor, Tensor]:
        """Scores [B, S * S * BOXES, C] and corner boxes in pixels; a score is the product of the
        class probability and the box's confidence, both held within 0..1."""
        cls, confidence, place = parts(outputs[0].float())
        score = confidence.clamp(0, 1)[..., None] * cls.clamp(0, 1)[:, :, None]
        return score.flatten(1, 2), corners(place).flatten(1, 2) * size


def parts(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class probabilities [B, A, C], confidences [B, A, BOXES] and places [B, A, BOXES, 4]."""
    cls, boxes = rows[..., : -5 * BOXES], rows[..., -5 * BOXES :].unflatten(-1, (BOXES, 5))
    return cls, boxes[..., 0], boxes[..., 1:]


def _corner_of_cells(count: int, device: torch.device) -> tuple[Tensor, int]:
    """Column and row of each of `count` cells [count, 2], and the grid's side."""
    side = round(count**0.5)
    at = torch.arange(count, device=device)
    return torch.stack([at % side, at // side], -1), side


def corners(place: Tensor) -> Tensor:
    """Places [B, A, BOXES, 4] to corner boxes as shares of the picture."""
    corner, side = _corner_of_cells(place.shape[1], place.device)
    centre = (corner[:, None] + place[..., :2]) / side
    half = place[..., 2:].square() / 2
    return torch.cat([centre - half, centre + half], -1)


class Assignment(NamedTuple):
    """What each cell answers for: `taken` and `counts` (a difficult object does not) bool [B, A],
    `target` int64 [B, A] the box of a taken cell."""

    taken: Tensor
    counts: Tensor
    target: Tensor


def assign(box: Tensor, difficult: Tensor, valid: Tensor, count: int) -> Assignment:
    """The cell of each box's centre; boxes [B, M, 4] as shares of the picture.

    A cell answers for one object, as in the paper: here for the largest that is not difficult.
    """
    _, side = _corner_of_cells(count, box.device)
    at = ((box[..., :2] + box[..., 2:]) / 2 * side).long().clamp(0, side - 1)
    cell = at[..., 1] * side + at[..., 0]
    here = (cell[..., None] == torch.arange(count, device=box.device)) & valid[..., None]
    extent = box[..., 2:] - box[..., :2]
    rank = extent[..., 0] * extent[..., 1] + 2.0 * ~difficult
    target = torch.where(here, rank[..., None], -1.0).argmax(1)
    taken = here.any(1)
    return Assignment(taken, taken & ~difficult.gather(1, target), target)


def total_loss(
    rows: Tensor, batch: Batch, teacher: None, _centres: Tensor, _strides: Tensor,
    truth: float = 1.0, _distil: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The paper's sum of squared errors, a picture's on average, and its five TERMS [5].

    Of a cell's boxes the one that overlaps the object most is responsible for it, and its
    confidence is taught that overlap; if none overlaps, the one nearest to it. The other
    confidences are taught 0, where every class is labelled.
    """
    assert teacher is None, "a grid network learns from annotations alone"
    cls, confidence, place = parts(rows.float())
    size, classes = batch.image.shape[-1], cls.shape[-1]
    wanted = batch.box / size
    found = assign(wanted, batch.difficult, batch.valid, rows.shape[1])
    box = wanted.gather(1, found.target[..., None].expand(-1, -1, 4))
    counts = (found.counts * batch.labelled[:, None]).float()

    corner, side = _corner_of_cells(rows.shape[1], rows.device)
    centre = (box[..., :2] + box[..., 2:]) / 2 * side - corner
    root = (box[..., 2:] - box[..., :2]).clamp(min=0).sqrt()
    with torch.no_grad():
        overlap = iou(corners(place), box[:, :, None])
        away = (place - torch.cat([centre, root], -1)[:, :, None]).square().sum(-1)
        rank = torch.where((overlap > 0).any(-1, keepdim=True), overlap, -away)
        best = torch.arange(BOXES, device=rows.device) == rank.argmax(-1, keepdim=True)
        responsible = best * counts[..., None]
        known = batch.known.amin(-1) * ~(found.taken & ~found.counts)
        absent = (1 - responsible) * known[..., None]
    cls_of_cell = batch.cls.gather(1, found.target)[..., None]
    label = (cls_of_cell == torch.arange(classes, device=rows.device)).float()
    shares = (
        ((cls - label).square() * batch.known).sum(-1) * counts,
        (place[..., :2] - centre[:, :, None]).square().sum(-1) * responsible,
        (place[..., 2:] - root[:, :, None]).square().sum(-1) * responsible,
        (confidence - overlap).square() * responsible,
        confidence.square() * absent,
    )
    terms = torch.stack([share.sum() for share in shares]) / len(rows)
    return truth * sum(w * term for w, term in zip(Weights(), terms)), terms.detach()
