"""What a step minimises: the flow's own velocity, and the straight lines of the jump training.

Base: velocity matching on real data at drawn times (jump = 0).
Jump: a quarter of the batch goes on as above; the rest learns, with jump = 1, lines that end right.
Pictures by class end where the base flow takes the same noise (reflow pairs, arXiv:2209.03003);
holes end at the real background. Half start at t = 1, a quarter stand on the line at U-shaped times
(arXiv:2405.20320), a quarter stand where the network's own first step leads. The loss is pseudo-
Huber on the line's end plus a feature loss by a classifier of ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from classifier import Features, feature_loss
from data import Batch, context_of, flip, to_unit
from network import Flow
from path import (
    data_of, draw_training, draw_u_shaped, features, interpolate, one_hot, spread, velocity,
)

DROP = 0.12  # share of labels replaced by the null class
HUBER = 0.03


@dataclass
class Pairs:
    """Noise float16 [N, 3, S, S], where the base flow takes it (bytes), and classes [N]."""

    eps: Tensor
    end: Tensor
    label: Tensor

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noise, end in -1..1 and class, mirrored at random."""
        device = self.label.device
        rows = torch.randint(len(self.label), (count,), device=device)
        which = torch.rand(count, device=device) < 0.5
        ends = flip(to_unit(self.end[rows]), which)
        return flip(self.eps[rows].float(), which), ends, self.label[rows]


def drop_labels(label: Tensor, null: int) -> Tensor:
    """Replace a share of labels by the null class."""
    return torch.where(torch.rand(len(label), device=label.device) < DROP, null, label)


def _matched(error: Tensor, weight: Tensor) -> Tensor:
    """Mean over the weighted pixels, one value a picture."""
    total = weight.sum((1, 2, 3)).clamp(min=1)
    return (error * weight).sum((1, 2, 3)) / (3 * total)


class Objective:
    """Losses of one configuration. `run` is the network, compiled or not."""

    def __init__(self, net: Flow, data, count: int, teacher: Features | None, feature_weight: float):
        self.net, self.run, self.data, self.count = net, net, data, count
        self.teacher, self.feature_weight = teacher, feature_weight
        self.null, self.labels = net.shape.classes, net.shape.labels
        self.pairs: Pairs | None = None
        self.gpu = data.device == "cuda"

    def _v(self, run, xt: Tensor, t: Tensor, label: Tensor, jump: Tensor, context) -> Tensor:
        onehot = one_hot(label, self.labels)
        with torch.autocast(self.data.device, torch.bfloat16, enabled=self.gpu):
            return run(xt, features(t), onehot, jump, context).float()

    def base(self) -> Tensor:
        """Mean squared error of the velocity."""
        batch: Batch = self.data.batch(self.count)
        label = drop_labels(batch.label, self.null)
        eps, t = torch.randn_like(batch.x0), draw_training(self.count, self.data.device)
        xt = interpolate(batch.x0, eps, t)
        v = self._v(self.run, xt, t, label, torch.zeros_like(t), batch.context)
        return _matched((v - velocity(batch.x0, eps)).square(), batch.weight).mean()

    def _jump_batch(self, count: int) -> tuple[Tensor, Batch]:
        """Noise and its target: pairs by class, then (with a context) holes in real windows."""
        holes = round(count * (1 - self.data.full_share)) if self.net.shape.context else 0
        eps, end, label = self.pairs.draw(count - holes)
        ones = torch.ones_like(end[:, :1])
        if not holes:
            return eps, Batch(end, label, ones, ones, None)
        part = self.data.batch(holes, 0.0)
        eps = torch.cat([eps, torch.randn_like(part.x0)])
        x0 = torch.cat([end, part.x0])
        mask = torch.cat([ones, part.mask])
        weight = torch.cat([ones, part.weight])
        return eps, Batch(x0, torch.cat([label, part.label]), mask, weight, context_of(x0, mask))

    def jump(self) -> Tensor:
        """See the module's text."""
        device = self.data.device
        flow = self.count // 4
        real = self.data.batch(flow)
        eps, made = self._jump_batch(self.count - flow)
        n = len(eps)
        # Shuffle by stride, so that each third sees pictures and holes alike.
        kind = torch.arange(n, device=device) % 4  # 0, 1: t = 1; 2: on the line; 3: own step
        start = torch.ones(n, device=device)
        step = 1 - 0.25 * torch.randint(1, 4, (n,), device=device)
        step = torch.where(torch.rand(n, device=device) < 0.5, 0.5, step)
        with torch.no_grad():
            context = None if made.context is None else made.context[3::4]
            first = self._v(self.net, eps[3::4], start[3::4], made.label[3::4], start[3::4], context)
            x = eps[3::4] - spread(1 - step[3::4]) * first
            if context is not None:
                known = interpolate(made.x0[3::4], eps[3::4], step[3::4])
                x = torch.where(made.mask[3::4] > 0, x, known)
        t = torch.where(kind < 2, start, torch.where(kind == 2, draw_u_shaped(n, device), step))
        xt = interpolate(made.x0, eps, t)
        xt = xt.index_copy(0, torch.arange(3, n, 4, device=device), x)

        noise, time = torch.randn_like(real.x0), draw_training(flow, device)
        xs = torch.cat([interpolate(real.x0, noise, time), xt])
        labels = torch.cat([drop_labels(real.label, self.null), made.label])
        modes = torch.cat([torch.zeros_like(time), start])
        context = None if made.context is None else torch.cat([real.context, made.context])
        v = self._v(self.run, xs, torch.cat([time, t]), labels, modes, context)

        kept = _matched((v[:flow] - velocity(real.x0, noise)).square(), real.weight)
        end = data_of(xt, v[flow:], t)
        # Per unit of t, so that an error of the velocity weighs alike at every time.
        error = ((end - made.x0) / spread(t).clamp(min=0.1)).square()
        huber = _matched((error + HUBER**2).sqrt() - HUBER, made.weight)
        seen = torch.where(made.mask > 0, end, made.x0)
        with torch.autocast(device, torch.bfloat16, enabled=self.gpu):
            alike = feature_loss(self.teacher, seen, made.x0) if self.feature_weight else 0.0
        found = (made.weight.amax((1, 2, 3)) > 0).float()
        taught = (huber + self.feature_weight * alike) * found
        return (kept.sum() + taught.sum()) / self.count
