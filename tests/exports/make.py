"""Makes the small networks of this folder in the forms that exporters of YOLOs give, and what each of them finds.

    python3 -m venv venv
    venv/bin/pip install numpy pillow torch==2.11.0 onnx==1.23.2 onnxruntime==1.32.0 && venv/bin/python make.py

For each form NAME.onnx, of this project's own making, with seeded random weights; and `found.json`: the boxes of
`picture.png` (64x64 pixels, so that nothing is resized) with scores above 0.3, the best class of each cell, after
non-maximum suppression at an overlap of 0.55. They are computed by ONNX Runtime and by the decoders in numpy below, which
share no line with lapwing's.
"""

import io
import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from torch import nn

HERE = pathlib.Path(__file__).parent
SIDE, STRIDES, NAMES = 64, (8, 16, 32), ["hen", "fox", "farmer's cat", "owl", "elk"]
CLASSES, BINS, SCORE_MIN, IOU_MAX = len(NAMES), 8, 0.3, 0.55
V5 = [[(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)]]
SCALES = (1.2, 1.1, 1.05)
OTHER = [[(4, 5), (8, 9), (12, 20)], [(16, 14), (20, 33), (40, 30)], [(44, 50), (30, 60), (60, 33)]]


class Attention(nn.Module):
    """Two heads over all pixels, as in YOLOv10 and 11."""

    def __init__(self, channels, heads=2):
        super().__init__()
        self.heads, self.value = heads, channels // heads
        self.key = self.value // 2
        self.qkv = nn.Conv2d(channels, channels + 2 * heads * self.key, 1)
        self.pe = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.qkv(x).view(b, self.heads, -1, h * w)
        q, k, v = qkv.split([self.key, self.key, self.value], dim=2)
        weights = (q.transpose(-2, -1) @ k * self.key**-0.5).softmax(-1)
        y = (v @ weights.transpose(-2, -1)).view(b, c, h, w)
        return x + self.proj(y + self.pe(v.reshape(b, c, h, w)))


class Net(nn.Module):
    """A stem, a map for each stride, and convolutions of `channels` on each of them."""

    def __init__(self, channels, attention=False, seed=1):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.SiLU())
        self.down = nn.ModuleList(nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.SiLU()) for _ in STRIDES)
        self.attention = Attention(8) if attention else nn.Identity()
        self.ends = nn.ModuleList(nn.ModuleList(nn.Conv2d(8, c, 1) for c in channels) for _ in STRIDES)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 1.6 / np.sqrt(parameter[0].numel()))

    def maps(self, x):
        x = self.stem(x - 0.5)
        maps = []
        for at, (down, ends) in enumerate(zip(self.down, self.ends)):
            x = down(x)
            x = self.attention(x) if at == 1 else x
            maps.append([end(x * 3) for end in ends])
        return maps


def cells(maps):
    """Centres in cells (2, n) and strides (1, n)."""
    points, strides = [], []
    for (first, *_), stride in zip(maps, STRIDES):
        h, w = first.shape[-2:]
        y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()]))
        strides.append(torch.full((1, h * w), float(stride)))
    return torch.cat(points, 1), torch.cat(strides, 1)


class Dfl(Net):
    """YOLOv8's head: (1, 4 + classes, n); or with a suppression behind it, of the rows above a score: (1, 300, 6)."""

    def __init__(self, bins=BINS, attention=False, end2end=False, seed=1, chosen=False):
        super().__init__((4 * bins, CLASSES), attention, seed)
        self.bins, self.end2end, self.chosen = bins, end2end, chosen

    def forward(self, x):
        maps = self.maps(x)
        b = x.shape[0]
        boxes = torch.cat([m[0].view(b, 4 * self.bins, -1) for m in maps], 2)
        scores = torch.cat([m[1].view(b, CLASSES, -1) for m in maps], 2).sigmoid()
        if self.bins > 1:
            shares = boxes.view(b, 4, self.bins, -1).softmax(2)
            boxes = (shares * torch.arange(self.bins).view(1, 1, -1, 1)).sum(2)
        points, strides = cells(maps)
        low, high = points - boxes[:, :2], points + boxes[:, 2:]
        if self.chosen:
            return self.suppressed(torch.cat([torch.cat([low, high], 1) * strides, scores], 1).transpose(1, 2)[0])
        if not self.end2end:
            return torch.cat([torch.cat([(low + high) / 2, high - low], 1) * strides, scores], 1)
        boxes, scores = (torch.cat([low, high], 1) * strides).transpose(1, 2), scores.transpose(1, 2)
        best, index = scores.flatten(1).topk(30)
        rows = boxes.gather(1, (index // CLASSES)[..., None].expand(-1, -1, 4))
        return torch.cat([rows, best[..., None], (index % CLASSES)[..., None].float()], 2)

    @staticmethod
    def suppressed(rows):
        boxes, (best, classes) = rows[:, :4], rows[:, 4:].max(1)
        above = best > SCORE_MIN
        boxes, best, classes = boxes[above], best[above], classes[above]
        # classes far apart from each other
        apart = boxes / SIDE + 2 * classes[:, None].float()
        kept = Suppressed.apply(apart.float()[None], best.float()[None, None])[:300, 2]
        found = torch.cat([boxes[kept], best[kept, None], classes[kept, None].float()], 1)
        return torch.nn.functional.pad(found, (0, 0, 0, 300 - found.shape[0]))[None]


class Anchored(Net):
    """YOLOv5's head, decoded (1, n, 5 + classes) or raw."""

    def __init__(self, anchors, decoded, seed=3):
        super().__init__((3 * (5 + CLASSES),), seed=seed)
        self.anchors, self.decoded = anchors, decoded

    def forward(self, x):
        rows = []
        for (m,), stride, anchors in zip(self.maps(x), STRIDES, self.anchors):
            b, _, h, w = m.shape
            m = m.view(b, 3, 5 + CLASSES, h, w).permute(0, 1, 3, 4, 2)
            if not self.decoded:
                rows.append(m)
                continue
            y, x_ = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            s = m.sigmoid()
            centre = (s[..., :2] * 2 - 0.5 + torch.stack([x_, y], -1)) * stride
            size = (s[..., 2:4] * 2) ** 2 * torch.tensor(anchors).view(1, 3, 1, 1, 2)
            rows.append(torch.cat([centre, size, s[..., 4:]], -1).view(b, -1, 5 + CLASSES))
        return torch.cat(rows, 1) if self.decoded else tuple(rows)


class Yolox(Net):
    """YOLOX's head: (1, n, 5 + classes), raw with or without its sigmoid, or decoded."""

    def __init__(self, sigmoid, decoded, seed=5):
        super().__init__((4, 1, CLASSES), seed=seed)
        self.sigmoid, self.decoded = sigmoid, decoded

    def forward(self, x):
        maps = self.maps(x)
        gate = torch.sigmoid if self.sigmoid else (lambda v: v)
        rows = torch.cat([torch.cat([m[0], gate(m[1]), gate(m[2])], 1).flatten(2) for m in maps], 2).transpose(1, 2)
        if not self.decoded:
            return rows
        points, strides = cells(maps)
        points, strides = points.T - 0.5, strides.T
        return torch.cat([(rows[..., :2] + points) * strides, rows[..., 2:4].exp() * strides, rows[..., 4:]], -1)


class Pairs(Net):
    """NanoDet's and PicoDet's outputs: probabilities (1, cells, classes) of all strides, then distances (1, cells, 4 n)."""

    def __init__(self, joined=False, seed=1):
        super().__init__((CLASSES + 4 * BINS,) if joined else (CLASSES, 4 * BINS), seed=seed)
        self.joined = joined

    def forward(self, x):
        maps = self.maps(x)
        if self.joined:
            maps = [m[0].split([CLASSES, 4 * BINS], 1) for m in maps]
        scores = [m[0].sigmoid().flatten(2).transpose(1, 2) for m in maps]
        return (*scores, *(m[1].flatten(2).transpose(1, 2) for m in maps))


COEFFICIENTS, POINTS = 6, 3


class Masks(Dfl):
    """YOLOv8-seg's head: (1, 4 + classes + coefficients, n) and prototypes (1, coefficients, h, w)."""

    def __init__(self, seed=6):
        super().__init__(seed=seed)
        self.coefficients = nn.ModuleList(nn.Conv2d(8, COEFFICIENTS, 1) for _ in STRIDES)
        self.enlarge = nn.ConvTranspose2d(8, 8, 2, 2)
        self.prototypes = nn.Conv2d(8, COEFFICIENTS, 3, padding=1)
        nn.init.normal_(self.prototypes.weight, 0, 0.3)

    def forward(self, x):
        features = []
        handles = [down.register_forward_hook(lambda _, __, y: features.append(y)) for down in self.down]
        rows = super().forward(x)
        [handle.remove() for handle in handles]
        more = torch.cat([c(f).flatten(2) for c, f in zip(self.coefficients, features)], 2)
        return torch.cat([rows, more], 1), F.silu(self.prototypes(F.silu(self.enlarge(features[0]))))


class Points(Net):
    """The key points of YOLOv8 (`corner`) or YOLO26: (1, 4 + classes + 3 points, n), or the best rows (1, 30, 6 + 3 points)."""

    def __init__(self, corner, end2end=False, seed=7):
        super().__init__((4, CLASSES, 3 * POINTS), seed=seed)
        self.corner, self.end2end = corner, end2end

    def forward(self, x):
        maps = self.maps(x)
        boxes, scores, raw = (torch.cat([m[i].flatten(2) for m in maps], 2) for i in range(3))
        points, strides = cells(maps)
        low, high = points - boxes[:, :2], points + boxes[:, 2:]
        raw = raw.view(raw.shape[0], POINTS, 3, -1)
        at = raw[:, :, :2] * 2 + points - 0.5 if self.corner else raw[:, :, :2] + points
        more = torch.cat([at * strides, raw[:, :, 2:].sigmoid()], 2).flatten(1, 2)
        if not self.end2end:
            return torch.cat([torch.cat([(low + high) / 2, high - low], 1) * strides, scores.sigmoid(), more], 1)
        scores = scores.sigmoid().transpose(1, 2)
        best, index = scores.flatten(1).topk(30)
        take = lambda t: t.transpose(1, 2).gather(1, (index // CLASSES)[..., None].expand(-1, -1, t.shape[1]))
        corners = take(torch.cat([low, high], 1) * strides)
        return torch.cat([corners, best[..., None], (index % CLASSES)[..., None].float(), take(more)], 2)


class Turned(Dfl):
    """The turned boxes of YOLOv8 (`logit`) or YOLO26: (1, 4 + classes + 1, n), the angle in radians last."""

    def __init__(self, logit, seed=8):
        Net.__init__(self, (4 * BINS, CLASSES, 1), seed=seed)
        self.logit = logit

    def forward(self, x):
        maps = self.maps(x)
        boxes, scores, raw = (torch.cat([m[i].flatten(2) for m in maps], 2) for i in range(3))
        angle = (raw.sigmoid() - 0.25) * np.pi if self.logit else raw
        shares = boxes.view(boxes.shape[0], 4, BINS, -1).softmax(2)
        low, high = (shares * torch.arange(BINS).view(1, 1, -1, 1)).sum(2).chunk(2, 1)
        points, strides = cells(maps)
        x, y = ((high - low) / 2).chunk(2, 1)
        cos, sin = angle.cos(), angle.sin()
        centre = torch.cat([x * cos - y * sin, x * sin + y * cos], 1) + points
        return torch.cat([torch.cat([centre, low + high], 1) * strides, scores.sigmoid(), angle], 1)


class Whole(Net):
    """A classifier: (1, classes) after softmax, or before it."""

    def __init__(self, softmax, seed=9):
        super().__init__((CLASSES,), seed=seed)
        self.softmax = softmax
        self.last = nn.Linear(8, CLASSES)
        nn.init.normal_(self.last.weight, 0, 3)

    def forward(self, x):
        x = self.stem(x - 0.5)
        for down in self.down:
            x = down(x)
        x = self.last(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return x.softmax(1) if self.softmax else x


class Grey(Dfl):
    """Pictures of one channel."""

    def __init__(self, seed=10):
        super().__init__(seed=seed)
        self.stem[0] = nn.Conv2d(1, 8, 3, 2, 1)
        nn.init.normal_(self.stem[0].weight, 0, 0.5)


class Meituan(Dfl):
    """Meituan's YOLOv6: (1, n, 5 + classes), the objectness always one."""

    def __init__(self, seed=11):
        super().__init__(bins=1, seed=seed)

    def forward(self, x):
        rows = super().forward(x).transpose(1, 2)
        return torch.cat([rows[..., :4], torch.ones_like(rows[..., :1]), rows[..., 4:]], 2)


class Darknet(Net):
    """YOLOv2's map (1, 5 (5 + classes), h, w)."""

    def __init__(self, seed=12):
        super().__init__((5 * (5 + CLASSES),), seed=seed)

    def forward(self, x):
        (m,) = self.maps(x)[2]
        return m * 3


class Faces(Net):
    """YuNet: class, objectness, boxes and key points of each stride, a row a cell; the first two after their sigmoid."""

    def __init__(self, seed=13):
        super().__init__((1, 1, 4, 10), seed=seed)

    def forward(self, x):
        maps = [[m.permute(0, 2, 3, 1).flatten(1, 2) for m in maps] for maps in self.maps(x)]
        of = lambda i, gate: [gate(m[i]) for m in maps]
        return (*of(0, torch.sigmoid), *of(1, torch.sigmoid), *of(2, lambda v: v), *of(3, lambda v: v))


class Shared(Net):
    """Yolo-FastestV2: (1, h, w, 12 + 3 + classes) at strides 16 and 32, after sigmoid, sigmoid and softmax."""

    def __init__(self, seed=15):
        super().__init__((12, 3, CLASSES), seed=seed)

    def forward(self, x):
        maps = [[m * 2 for m in maps] for maps in self.maps(x)[1:]]
        return tuple(
            torch.cat([m[0].sigmoid(), m[1].sigmoid(), m[2].softmax(1)], 1).permute(0, 2, 3, 1) for m in maps
        )


class Cells(Net):
    """The grid of YOLO's first paper: (1, classes + 5 boxes, h, w)."""

    def __init__(self, seed=14):
        super().__init__((CLASSES + 10,), seed=seed)

    def forward(self, x):
        (m,) = self.maps(x)[0]
        return m * 0.3 + 0.5


class Yolov4(Net):
    """YOLOv4 as pytorch-YOLOv4 exports it: corners (1, n, 1, 4) in shares of the input, and scores (1, n, classes)."""

    def __init__(self, seed=16):
        super().__init__((3 * (5 + CLASSES),), seed=seed)

    def forward(self, x):
        boxes, scores = [], []
        for (m,), scale, anchors in zip(self.maps(x), SCALES, OTHER):
            b, _, h, w = m.shape
            m = m.view(b, 3, 5 + CLASSES, h, w)
            centre = m[:, :, :2].sigmoid() * scale - 0.5 * (scale - 1)
            y, x_ = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            cells, grid = torch.tensor([w, h]).view(1, 1, 2, 1, 1), torch.stack([x_, y])
            stride = SIDE // h
            size = m[:, :, 2:4].exp() * torch.tensor(anchors).view(1, 3, 2, 1, 1) / stride / cells
            low = (centre + grid) / cells - size * 0.5
            corners = torch.cat([low, low + size], 2).permute(0, 1, 3, 4, 2)
            boxes.append(corners.reshape(b, -1, 1, 4))
            sure = m[:, :, 4:5].sigmoid() * m[:, :, 5:].sigmoid()
            scores.append(sure.permute(0, 1, 3, 4, 2).reshape(b, -1, CLASSES))
        return torch.cat(boxes, 1), torch.cat(scores, 1)


class Nas(Dfl):
    """YOLO-NAS: corners (1, n, 4) in pixels, and scores (1, n, classes)."""

    def __init__(self, seed=18):
        super().__init__(bins=17, seed=seed)

    def forward(self, x):
        rows = super().forward(x).transpose(1, 2)
        low, high = rows[..., :2] - rows[..., 2:4] / 2, rows[..., :2] + rows[..., 2:4] / 2
        return torch.cat([low, high], 2), rows[..., 4:]


class Suppressed(torch.autograd.Function):
    """ONNX's NonMaxSuppression; what it gives here is only for tracing."""

    @staticmethod
    def forward(ctx, boxes, scores):
        return torch.tensor([[0, 1, 2], [0, 0, 1]])

    @staticmethod
    def symbolic(g, boxes, scores):
        limits = [torch.tensor([100]), torch.tensor([IOU_MAX]), torch.tensor([0.05])]
        return g.op("NonMaxSuppression", boxes, scores, *(g.op("Constant", value_t=limit) for limit in limits))


class Rtmdet(Net):
    """RTMDet: class logits of all strides, then distances in pixels; or chosen and cut off at the edges, as MMDeploy gives
    them: (1, n, 5) and labels (1, n)."""

    def __init__(self, exponential, chosen, seed=17):
        super().__init__((CLASSES, 4), seed=seed)
        self.exponential, self.chosen = exponential, chosen

    def forward(self, x):
        maps = self.maps(x)
        scores = [m[0] for m in maps]
        sides = [(m[1].exp() if self.exponential else m[1]) * stride for m, stride in zip(maps, STRIDES)]
        if not self.chosen:
            return (*scores, *sides)
        scores, sides = (torch.cat([m.flatten(2) for m in maps], 2) for maps in (scores, sides))
        points, strides = cells(maps)
        points = ((points - 0.5) * strides).float()
        boxes = torch.cat([points - sides[:, :2], points + sides[:, 2:]], 1).clamp(0, SIDE).transpose(1, 2)
        scores = scores.sigmoid()
        kept = Suppressed.apply(boxes, scores)
        rows = torch.cat([boxes[:, kept[:, 2]], scores[:, kept[:, 1], kept[:, 2]].unsqueeze(2)], 2)
        rows = torch.cat([rows, rows.new_zeros(1, 1, 5)], 1)
        labels = torch.cat([kept[:, 1].unsqueeze(0), kept.new_full((1, 1), -1)], 1)
        order = rows[0, :, 4].argsort(descending=True)
        return rows[:, order], labels[:, order]


def export(name, net, metadata=None, dynamic=False, batch=1, channels=3):
    net.eval()
    sample = torch.rand(batch, channels, SIDE, SIDE)
    buffer = io.BytesIO()
    axes = {"images": {0: "batch", 2: "height", 3: "width"}} if dynamic else None
    torch.onnx.export(net, (sample,), buffer, input_names=["images"], opset_version=17, dynamo=False, dynamic_axes=axes)
    model = onnx.load_from_string(buffer.getvalue())
    model = onnx.shape_inference.infer_shapes(model)
    for node in model.graph.node:
        node.doc_string = ""
    helper.set_model_props(model, metadata or {})
    onnx.save(model, HERE / f"{name}.onnx")


def alike(a, b):
    """ProbIoU of two turned boxes (cx, cy, w, h, angle), from the Bhattacharyya distance of two normal distributions."""
    def covariance(box):
        turn = np.array([[np.cos(box[4]), -np.sin(box[4])], [np.sin(box[4]), np.cos(box[4])]])
        return turn @ np.diag(box[2:4] ** 2 / 12) @ turn.T
    one, other = covariance(a), covariance(b)
    mean, off = (one + other) / 2, a[:2] - b[:2]
    distance = off @ np.linalg.solve(mean, off) / 8
    distance += np.log(np.linalg.det(mean) / np.sqrt(np.linalg.det(one) * np.linalg.det(other))) / 2
    return 1 - np.sqrt(1 - np.exp(-distance))


def suppressed(boxes, scores, classes):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        def overlap(j):
            if boxes.shape[1] == 5:
                return alike(boxes[i], boxes[j])
            w, h = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            both = max(w, 0) * max(h, 0)
            area = lambda b: max(b[2] - b[0], 0) * max(b[3] - b[1], 0)
            return both / max(area(boxes[i]) + area(boxes[j]) - both, 1e-9)
        if all(classes[i] != classes[j] or overlap(j) <= IOU_MAX for j in kept):
            kept.append(i)
    return kept


def detections(boxes, scores, suppress=True, more=lambda i: {}):
    """Rows of corners (n, 4), or of turned boxes (n, 5), and of scores (n, classes) as lapwing tells them; `more` gives what
    else it tells of a row."""
    classes, best = scores.argmax(1), scores.max(1)
    rows = np.flatnonzero(best > SCORE_MIN)
    boxes, classes, best = boxes[rows], classes[rows], best[rows]
    kept = suppressed(boxes, best, classes) if suppress else np.argsort(-best, kind="stable")
    upright = lambda box: around(turned_corners(box)) if len(box) == 5 else box
    return [
        {"class": NAMES[classes[i]] if scores.shape[1] > 1 else "face", "score": round(float(best[i]), 5),
         "box": [round(float(v), 3) for v in np.clip(upright(boxes[i]), 0, SIDE)], **more(rows[i])}
        for i in kept
    ]  # fmt: skip


def turned_corners(box):
    cx, cy, w, h, angle = box.astype(np.float64)
    along = np.array([np.cos(angle), np.sin(angle)]) * w / 2
    down = np.array([-np.sin(angle), np.cos(angle)]) * h / 2
    centre = np.array([cx, cy])
    return np.array([centre - along - down, centre + along - down, centre + along + down, centre - along + down])


def around(points):
    return np.concatenate([points.min(0), points.max(0)])


def mask(coefficients, prototypes, box):
    """Whether the object is at each pixel's centre, (64, 64), as hexadecimal digits of its bits."""
    values = np.tensordot(coefficients.astype(np.float64), prototypes.astype(np.float64), 1)
    at = (np.arange(SIDE) + 0.5) * values.shape[0] / SIDE - 0.5
    low = np.clip(np.floor(at), 0, values.shape[0] - 1).astype(int)
    high = np.minimum(low + 1, values.shape[0] - 1)
    share = np.clip(at - low, 0, 1)
    rows = values[low] * (1 - share)[:, None] + values[high] * share[:, None]
    pixels = rows[:, low] * (1 - share) + rows[:, high] * share
    centre = np.arange(SIDE) + 0.5
    inside = (centre >= box[0]) & (centre <= box[2]), (centre >= box[1]) & (centre <= box[3])
    return np.packbits((pixels > 0) & inside[0][None] & inside[1][:, None]).tobytes().hex()


def key_points(values):
    return [[round(float(v), 3) for v in point] for point in np.reshape(values, (-1, 3))]


def darknet(m):
    """YOLOv2 on one grid, with its anchors for PASCAL VOC in cells."""
    anchors = [(1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52)]
    boxes, scores = [], []
    m = m.reshape(5, 5 + CLASSES, *m.shape[1:]).astype(np.float64)
    for a, y, x in np.ndindex(5, *m.shape[2:]):
        v = m[a, :, y, x]
        cx, cy = (sigmoid(v[0]) + x) * 32, (sigmoid(v[1]) + y) * 32
        w, h = np.exp(v[2]) * anchors[a][0] * 32, np.exp(v[3]) * anchors[a][1] * 32
        e = np.exp(v[5:])
        boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
        scores.append(sigmoid(v[4]) * e / e.sum())
    return np.array(boxes), np.array(scores)


def yunet(outputs):
    boxes, scores, points = [], [], []
    for at, stride in enumerate(STRIDES):
        kind, sure, box, face = (outputs[3 * i + at].astype(np.float64) for i in range(4))
        for cell, (y, x) in enumerate(np.ndindex(SIDE // stride, SIDE // stride)):
            cx, cy = (x + box[cell, 0]) * stride, (y + box[cell, 1]) * stride
            w, h = np.exp(box[cell, 2]) * stride, np.exp(box[cell, 3]) * stride
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            scores.append(np.sqrt(kind[cell] * sure[cell]))
            points.append([((x + face[cell, 2 * i]) * stride, (y + face[cell, 2 * i + 1]) * stride, 1) for i in range(5)])
    return np.array(boxes), np.array(scores), points


def shared(outputs):
    anchors = [[(12.64, 19.39), (37.88, 51.48), (55.71, 138.31)], [(126.91, 78.23), (131.57, 214.55), (279.92, 258.87)]]
    boxes, scores = [], []
    for m, stride, anchors in zip(outputs, STRIDES[1:], anchors):
        for y, x, a in np.ndindex(*m.shape[:2], 3):
            v = m[y, x].astype(np.float64)
            r = v[4 * a : 4 * a + 4]
            cx, cy = (2 * r[0] - 0.5 + x) * stride, (2 * r[1] - 0.5 + y) * stride
            w, h = (2 * r[2]) ** 2 * anchors[a][0], (2 * r[3]) ** 2 * anchors[a][1]
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            scores.append(v[12 + a] * v[15:])
    return np.array(boxes), np.array(scores)


def first_yolo(m):
    boxes, scores = [], []
    cells = m.shape[1]
    for y, x, b in np.ndindex(cells, cells, 2):
        v = m[CLASSES + 5 * b : CLASSES + 5 * b + 5, y, x].astype(np.float64)
        cx, cy, w, h = (x + v[1]) / cells, (y + v[2]) / cells, v[3] ** 2, v[4] ** 2
        boxes.append(np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * SIDE)
        scores.append(np.clip(m[:CLASSES, y, x], None, 1) * min(v[0], 1))
    return np.array(boxes), np.array(scores)


def corners(rows):
    return np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)


def run(name, picture):
    session = ort.InferenceSession(HERE / f"{name}.onnx", providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    batch = shape[0] if isinstance(shape[0], int) else 1
    return [o[0] for o in session.run(None, {"images": np.repeat(picture, batch, 0)})]


def one_a_row(scores, classes):
    spread = np.zeros((len(scores), CLASSES), np.float32)
    spread[np.arange(len(scores)), classes.astype(int)] = scores
    return spread


sigmoid = lambda v: 1 / (1 + np.exp(-v))


def raw_anchors(outputs, anchors):
    boxes, scores = [], []
    for m, stride, anchors in zip(outputs, STRIDES, anchors):
        for y, x, a in np.ndindex(m.shape[1], m.shape[2], 3):
            s = sigmoid(m[a, y, x].astype(np.float64))
            cx, cy = (2 * s[0] - 0.5 + x) * stride, (2 * s[1] - 0.5 + y) * stride
            w, h = (2 * s[2]) ** 2 * anchors[a][0], (2 * s[3]) ** 2 * anchors[a][1]
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            scores.append(s[4] * s[5:])
    return np.array(boxes), np.array(scores)


def raw_yolov4(outputs, anchors):
    boxes, scores = [], []
    for m, stride, scale, anchors in zip(outputs, STRIDES, SCALES, anchors):
        for y, x, a in np.ndindex(m.shape[1], m.shape[2], 3):
            v = m[a, y, x].astype(np.float64)
            cx = (scale * sigmoid(v[0]) - (scale - 1) / 2 + x) * stride
            cy = (scale * sigmoid(v[1]) - (scale - 1) / 2 + y) * stride
            w, h = np.exp(v[2]) * anchors[a][0], np.exp(v[3]) * anchors[a][1]
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            scores.append(sigmoid(v[4]) * sigmoid(v[5:]))
    return np.array(boxes), np.array(scores)


def rtmdet(outputs):
    boxes, scores = [], []
    for kinds, sides, stride in zip(outputs[:3], outputs[3:], STRIDES):
        for y, x in np.ndindex(*kinds.shape[1:]):
            left, top, right, bottom = sides[:, y, x].astype(np.float64)
            boxes.append((x * stride - left, y * stride - top, x * stride + right, y * stride + bottom))
            scores.append(sigmoid(kinds[:, y, x].astype(np.float64)))
    return np.array(boxes), np.array(scores)


def yolox_rows(rows, logits):
    boxes, at = [], 0
    rows = rows.astype(np.float64)
    for stride in STRIDES:
        for y, x in np.ndindex(SIDE // stride, SIDE // stride):
            r = rows[at]
            cx, cy, w, h = (r[0] + x) * stride, (r[1] + y) * stride, np.exp(r[2]) * stride, np.exp(r[3]) * stride
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            at += 1
    gate = sigmoid if logits else (lambda v: v)
    return np.array(boxes), gate(rows[:, 4:5]) * gate(rows[:, 5:])


def pairs(outputs):
    scores = np.concatenate(outputs[:3]).astype(np.float64)
    boxes, at = [], 0
    raw = np.concatenate(outputs[3:]).astype(np.float64)
    for stride in STRIDES:
        for y, x in np.ndindex(SIDE // stride, SIDE // stride):
            e = np.exp(raw[at].reshape(4, BINS))
            l, t, r, b = (e / e.sum(1, keepdims=True)) @ np.arange(BINS) * stride
            cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
            boxes.append((cx - l, cy - t, cx + r, cy + b))
            at += 1
    return np.array(boxes), scores


def main():
    photo = Image.open(HERE.parent / "photos/astronaut.jpg").convert("RGB").resize((SIDE, SIDE), Image.LANCZOS)
    photo.save(HERE / "picture.png")
    rgb = np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 255
    bgr = np.asarray(photo, np.float32)[..., ::-1].transpose(2, 0, 1)[None].copy()
    named = {"author": "lapwing", "task": "detect", "names": repr(dict(enumerate(NAMES))), "imgsz": f"[{SIDE}, {SIDE}]"}
    export("dfl", Dfl(), named)
    export("dfl-dynamic", Dfl(), named, dynamic=True)
    export("dfl-batch2", Dfl(), named, batch=2)
    export("dfl-chosen", Dfl(seed=19, chosen=True), named)
    export("linear", Dfl(bins=1, seed=2), named)
    export("attention", Dfl(attention=True, seed=4), named)
    export("end2end", Dfl(attention=True, end2end=True, seed=4), {**named, "end2end": "True"})
    export("anchors-decoded", Anchored(V5, True), named)
    export("anchors-other", Anchored(OTHER, True), named)
    export("anchors-raw", Anchored(V5, False), named)
    # inputs of 0 to 255 make the same values where the stem divides
    for name, net in [("yolox", Yolox(True, False)), ("yolox-logits", Yolox(False, False)), ("yolox-decoded", Yolox(True, True))]:
        with torch.no_grad():
            net.stem[0].weight /= 255
        export(name, net, {"names": named["names"]})
    export("pairs", Pairs(), {"names": named["names"]})
    export("joined", Pairs(joined=True), {"names": named["names"]})
    export("masks", Masks(), {**named, "task": "segment"})
    export("masks-batch2", Masks(), {**named, "task": "segment"}, batch=2)
    pose = {**named, "task": "pose", "kpt_shape": f"[{POINTS}, 3]"}
    export("points", Points(True), pose)
    export("points-centre", Points(False), pose)
    export("points-end2end", Points(False, end2end=True), {**pose, "end2end": "True"})
    export("turned", Turned(True), {**named, "task": "obb"})
    export("turned-radians", Turned(False), {**named, "task": "obb"})
    export("whole", Whole(True), {**named, "task": "classify"})
    export("whole-logits", Whole(False), {**named, "task": "classify"})
    export("grey", Grey(), named, channels=1)
    export("meituan", Meituan(), {"names": named["names"]})
    export("darknet", Darknet(), named)
    faces = Faces()
    with torch.no_grad():
        faces.stem[0].weight /= 255
    export("faces", faces)
    export("cells", Cells(), named)
    export("shared", Shared(), {"names": named["names"]})
    export("yolov4", Yolov4(), {"names": named["names"]})
    export("nas", Nas(), {"names": named["names"]})
    export("rtmdet", Rtmdet(False, False), {"names": named["names"]})
    export("rtmdet-exp", Rtmdet(True, False), {"names": named["names"]})
    export("rtmdet-chosen", Rtmdet(True, True), {"names": named["names"]})
    quantize_dynamic(HERE / "dfl.onnx", HERE / "dfl-dynamic-int8.onnx", weight_type=QuantType.QUInt8)
    found = {}
    for name in ["dfl", "dfl-dynamic", "dfl-batch2", "linear", "attention"]:
        rows = run(name, rgb)[0].T
        found[name] = detections(corners(rows[:, :4]), rows[:, 4:])
    with torch.no_grad():
        rows = Dfl(seed=19).eval()(torch.from_numpy(rgb))[0].numpy().T
    found["dfl-chosen"] = detections(corners(rows[:, :4]), rows[:, 4:])
    (rows,) = run("dfl-chosen", rgb)
    assert len(found["dfl-chosen"]) == (rows[:, 4] > 0).sum()
    (rows,) = run("end2end", rgb)
    found["end2end"] = detections(rows[:, :4], one_a_row(rows[:, 4], rows[:, 5]), suppress=False)
    for name in ["anchors-decoded", "anchors-other"]:
        (rows,) = run(name, rgb)
        found[name] = detections(corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:])
    found["anchors-raw"] = detections(*raw_anchors(run("anchors-raw", rgb), V5))
    found["yolox"] = detections(*yolox_rows(run("yolox", bgr)[0], False))
    found["yolox-logits"] = detections(*yolox_rows(run("yolox-logits", bgr)[0], True))
    (rows,) = run("yolox-decoded", bgr)
    found["yolox-decoded"] = detections(corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:])
    mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
    normal = ((bgr - mean[:, None, None]) / std[:, None, None]).astype(np.float32)
    for name in ["pairs", "joined"]:
        found[name] = detections(*pairs(run(name, normal)))
    for name in ["masks", "masks-batch2"]:
        rows, prototypes = run(name, rgb)
        rows, edges = rows.T, corners(rows.T[:, :4])
        of = lambda i: {"mask": mask(rows[i, 4 + CLASSES :], prototypes, np.clip(edges[i], 0, SIDE))}
        found[name] = detections(edges, rows[:, 4 : 4 + CLASSES], more=of)
    for name in ["points", "points-centre"]:
        rows = run(name, rgb)[0].T
        of = lambda i: {"key_points": key_points(rows[i, 4 + CLASSES :])}
        found[name] = detections(corners(rows[:, :4]), rows[:, 4 : 4 + CLASSES], more=of)
    (rows,) = run("points-end2end", rgb)
    of = lambda i: {"key_points": key_points(rows[i, 6:])}
    found["points-end2end"] = detections(rows[:, :4], one_a_row(rows[:, 4], rows[:, 5]), False, of)
    for name in ["turned", "turned-radians"]:
        rows = run(name, rgb)[0].T
        boxes = np.concatenate([rows[:, :4], rows[:, -1:]], 1)
        of = lambda i: {"corners": [[round(float(v), 3) for v in corner] for corner in turned_corners(boxes[i])]}
        found[name] = detections(boxes, rows[:, 4 : 4 + CLASSES], more=of)
    for name in ["whole", "whole-logits"]:
        (values,) = run(name, rgb)
        values = values if name == "whole" else np.exp(values) / np.exp(values).sum()
        best = np.argsort(-values)
        found[name] = [{"class": NAMES[i], "score": round(float(values[i]), 5), "box": [0, 0, SIDE, SIDE]} for i in best]
    rows = run("grey", np.tensordot([0.299, 0.587, 0.114], rgb[0], 1)[None, None].astype(np.float32))[0].T
    found["grey"] = detections(corners(rows[:, :4]), rows[:, 4:])
    (rows,) = run("meituan", rgb)
    found["meituan"] = detections(corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:])
    found["darknet"] = detections(*darknet(run("darknet", rgb)[0]))
    boxes, scores, points = yunet(run("faces", bgr))
    found["faces"] = detections(boxes, scores, more=lambda i: {"key_points": key_points(points[i])})
    found["cells"] = detections(*first_yolo(run("cells", rgb)[0]))
    found["shared"] = detections(*shared(run("shared", bgr / 255)))
    found["nas"] = detections(*run("nas", rgb))
    boxes, scores = run("yolov4", rgb)
    found["yolov4"] = detections(boxes[:, 0] * SIDE, scores)
    found["anchors-raw-yolov4"] = detections(*raw_yolov4(run("anchors-raw", rgb), OTHER))
    found["rtmdet"] = detections(*rtmdet(run("rtmdet", normal)))
    found["rtmdet-exp"] = detections(*rtmdet(run("rtmdet-exp", normal)))
    rows, labels = run("rtmdet-chosen", normal)
    # rows are sorted by score: of a cell's classes the best
    first = np.sort(np.unique(rows[:, :4], axis=0, return_index=True)[1])
    found["rtmdet-chosen"] = detections(rows[first, :4], one_a_row(rows[first, 4], labels[first]), suppress=False)
    (HERE / "found.json").write_text(json.dumps(found, indent=0) + "\n")
    print({name: len(boxes) for name, boxes in found.items()})


if __name__ == "__main__":
    main()
