"""Label assignment and losses. Shapes are static: masks multiply, nothing is selected by them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from augment import Batch
from boxes import ciou, iou
from network import decode


TERMS = ("cls", "box", "side", "teacher_cls", "teacher_box")


class Weights(NamedTuple):
    """Weights of the terms: ground truth (class, box, log-distance) and teacher (class, box)."""

    cls: float = 0.7
    box: float = 6.0
    side: float = 1.0
    teacher_cls: float = 2.0
    teacher_box: float = 4.0


class Assignment(NamedTuple):
    """`positive` bool [B, A], `target` int64 [B, A] box of the cell, `quality` [B, A] in 0..1."""

    positive: Tensor
    target: Tensor
    quality: Tensor


@torch.no_grad()
def assign(
    scores: Tensor, predicted: Tensor, centres: Tensor, box: Tensor, cls: Tensor, valid: Tensor,
    top: int = 10, alpha: float = 0.5, beta: float = 6.0,
) -> Assignment:
    """Task-aligned assignment (TOOD, arXiv:2108.07755).

    scores [B, A, C] and predicted boxes [B, A, 4] against boxes [B, M, 4] of classes [B, M]. A
    box takes the `top` cells inside it by score^alpha * IoU^beta; a cell wanted by several boxes
    goes to the one it overlaps most. Quality is the alignment, scaled so that the best cell of a
    box gets that box's best IoU.
    """
    count, most = box.shape[0], box.shape[1]
    inside = ((centres > box[:, :, None, :2]) & (centres < box[:, :, None, 2:])).all(-1)
    inside = inside & valid[..., None]
    overlap = iou(box[:, :, None], predicted[:, None]).clamp(min=0) * inside
    cell_score = scores.transpose(1, 2).gather(1, cls[..., None].expand(-1, -1, len(centres)))
    align = cell_score.pow(alpha) * overlap.pow(beta) + 1e-12
    align = align * inside

    best, where = align.topk(top, -1)
    taken = torch.zeros_like(align).scatter_(-1, where, (best > 0).float()) * inside
    rival = torch.where(taken > 0, overlap, -1.0).argmax(1)
    winner = torch.arange(most, device=box.device)[None, :, None] == rival[:, None]
    taken = taken * winner
    align = align * taken
    peak = (overlap * taken).amax(-1, keepdim=True) / (align.amax(-1, keepdim=True) + 1e-12)
    return Assignment(taken.amax(1) > 0, rival.reshape(count, -1), (align * peak).amax(1))


def truth_terms(
    logits: Tensor, raw: Tensor, predicted: Tensor, batch: Batch, centres: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ground-truth losses: quality-weighted class BCE, CIoU, smooth L1 on log-distances.

    Cells of difficult boxes take no part, nor do classes in places not labelled for them.
    """
    found = assign(
        logits.detach().sigmoid(), predicted.detach(), centres, batch.box, batch.cls, batch.valid
    )
    cls = batch.cls.gather(1, found.target)
    box = batch.box.gather(1, found.target[..., None].expand(-1, -1, 4))
    ignored = batch.difficult.gather(1, found.target) & found.positive
    weight = found.quality * (found.positive & ~ignored) * batch.labelled[:, None]

    target = torch.zeros_like(logits).scatter(2, cls[..., None], weight[..., None])
    total = weight.sum().clamp(min=1)
    counted = batch.known * ~ignored[..., None]
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss_cls = (bce * counted).sum() / total

    loss_box = ((1 - ciou(predicted, box)) * weight).sum() / total
    wanted = torch.cat([centres - box[..., :2], box[..., 2:] - centres], -1) / strides
    side = F.smooth_l1_loss(raw, wanted.clamp(min=0.05).log(), reduction="none").mean(-1)
    return loss_cls, loss_box, (side * weight).sum() / total


def teacher_terms(
    logits: Tensor, predicted: Tensor, score: Tensor, box: Tensor
) -> tuple[Tensor, Tensor]:
    """Distillation: BCE to the teacher's soft scores [B, A, C], focused where they differ (as the
    quality focal loss, arXiv:2006.04388), and CIoU to its boxes [B, A, 4] by its best score."""
    gap = (score - logits.detach().sigmoid()).abs()
    best = score.amax(-1)
    total = best.sum().clamp(min=1)
    bce = F.binary_cross_entropy_with_logits(logits, score, reduction="none")
    weight = best * (best > 0.05)
    return (bce * gap).sum() / total, ((1 - ciou(predicted, box)) * weight).sum() / total


def total_loss(
    logits: Tensor, raw: Tensor, batch: Batch, teacher: tuple[Tensor, Tensor] | None,
    centres: Tensor, strides: Tensor, truth: float = 1.0, distil: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Weighted sum and its five terms [5] (class, box, side, teacher class, teacher box).

    `truth` and `distil` scale the two groups of `Weights`.
    """
    logits, raw = logits.float(), raw.float()
    predicted = decode(raw, centres, strides)
    terms = list(truth_terms(logits, raw, predicted, batch, centres, strides))
    if teacher is not None:
        terms += teacher_terms(logits, predicted, *teacher)
    else:
        terms += [logits.new_zeros(())] * 2
    parts = torch.stack(terms)
    shares = (truth, truth, truth, distil, distil)
    loss = sum(w * s * t for w, s, t in zip(Weights(), shares, terms))
    return loss, parts.detach()
