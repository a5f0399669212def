"""Scoring: mean average precision at IoU 0.5, all-point area, difficult boxes ignored.

    python evaluate.py MODEL.onnx PACKED [--split test] [--effect night] [--parts] [--json OUT]

scores an exported model through onnxruntime. Protocol: the picture is scaled to the square input
with its aspect kept (antialiased bilinear, rounded to whole levels), placed in the top left
corner, grey 114 elsewhere; scores above 0.005; suppression within a class at IoU 0.55; at most 300
detections a picture. `--parts` adds the score at IoU 0.75, and AP and recall at one false box a
picture by size and for objects whose cell of 32 pixels holds the centre of another one (`shared`).
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

import camera
from dataset import CLASSES, Dataset
from grid import Grid
from network import Body, Detector
from pack import GREY

SCORE_FLOOR, NMS_IOU, MOST, CANDIDATES = 0.005, 0.55, 300, 1500
# areas of boxes in pixels of the picture, COCO's (arXiv:1405.0312)
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}

# picture batch [B, 3, S, S] (RGB 0..255) to scores [B, A, 20] and boxes [B, A, 4] in pixels
Predict = Callable[[Tensor], tuple[Tensor, Tensor]]
# boxes [K, 4] in the picture's own pixels, scores [K], classes [K]
Detections = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Result:
    """AP in percent; `threshold` is the score at which the mean F1 of the classes is best;
    `recall` in percent, the classes' mean, before false boxes outnumber the pictures."""

    map50: float
    per_class: dict[str, float]
    threshold: float
    f1: float
    recall: float


class Part(NamedTuple):
    """Boxes that are scored by themselves: `truth` bool [N, G]; a false detection counts if
    `holds` of its box."""

    truth: np.ndarray
    holds: Callable[[np.ndarray], bool]


def letterbox(data: Dataset, row: int, size: int) -> tuple[Tensor, float]:
    """One picture as [3, size, size], 0..255 in whole levels, and its scale."""
    picture = data.picture(row)
    height, width = picture.shape[1:]
    scale = min(size / width, size / height)
    shape = (round(height * scale), round(width * scale))
    scaled = F.interpolate(picture[None], shape, mode="bilinear", antialias=True)[0]
    canvas = torch.full((3, size, size), float(GREY), device=picture.device)
    canvas[:, : shape[0], : shape[1]] = scaled.round().clamp(0, 255)
    return canvas, scale


@torch.no_grad()
def detect(
    predict: Predict, data: Dataset, size: int, batch: int = 64, nms: float = NMS_IOU
) -> list[Detections]:
    """Run a whole split."""
    found = []
    for start in range(0, data.count, batch):
        rows = range(start, min(start + batch, data.count))
        images, scales = zip(*(letterbox(data, row, size) for row in rows))
        scores, boxes = predict(torch.stack(images))
        for score, box, scale in zip(scores, boxes, scales):
            cell, cls = (score > SCORE_FLOOR).nonzero(as_tuple=True)
            value = score[cell, cls]
            if len(value) > CANDIDATES:
                value, order = value.topk(CANDIDATES)
                cell, cls = cell[order], cls[order]
            corner = box[cell] / scale
            keep = batched_nms(corner, value, cls, nms)[:MOST]
            found.append(tuple(t[keep].cpu().numpy() for t in (corner, value, cls)))
    return found


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the precision envelope."""
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(((recall[1:] - recall[:-1]) * precision[1:]).sum())


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
    shared = np.maximum(high - low, 0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared)


def _match(found: list[Detections], data: Dataset, cls: int, iou: float, part: Part | None):
    """Greedy matching by falling score: scores, hits (1 true, 0 false), number of boxes. Boxes
    outside `part` are ignored as difficult ones are."""
    truth, wanted = {}, 0
    for row in range(data.count):
        n = data.truth["n"][row]
        mine = data.truth["cls"][row, :n] == cls
        if mine.any():
            boxes, difficult = data.truth["box"][row, :n][mine], data.truth["dif"][row, :n][mine]
            if part is not None:
                difficult = difficult | ~part.truth[row, :n][mine]
            truth[row] = (boxes, difficult, np.zeros(len(difficult), bool))
            wanted += int((~difficult).sum())
    rows = [
        (score, row, box)
        for row, (boxes, scores, classes) in enumerate(found)
        for box, score in zip(boxes[classes == cls], scores[classes == cls])
    ]
    rows.sort(key=lambda entry: -entry[0])
    scores, hits = [], []
    for score, row, box in rows:
        hit, matched = 0.0, False
        if row in truth:
            boxes, difficult, used = truth[row]
            overlap = _overlaps(box, boxes)
            best = overlap.argmax()
            if overlap[best] >= iou:
                if difficult[best]:
                    continue
                if not used[best]:
                    used[best], hit = True, 1.0
                matched = True
        if part is not None and not matched and not part.holds(box):
            continue
        scores.append(float(score))
        hits.append(hit)
    return np.array(scores), np.array(hits), wanted


def score(
    found: list[Detections], data: Dataset, iou: float = 0.5, part: Part | None = None
) -> Result:
    """Average precision a class and its mean over the classes that have boxes."""
    grid = np.arange(0.05, 0.8, 0.01)
    areas, curves, present, recalls = [], [], [], []
    for cls in range(len(CLASSES)):
        scores, hits, wanted = _match(found, data, cls, iou, part)
        present.append(wanted > 0)
        true, false = hits.cumsum(), (1 - hits).cumsum()
        areas.append(100 * _area(true / max(wanted, 1), true / np.maximum(true + false, 1)))
        few = int((false <= data.count).sum())
        recalls.append(100 * hits[:few].sum() / max(wanted, 1))
        kept = np.searchsorted(-scores, -grid, side="right")
        good = np.concatenate([[0.0], true])[kept]
        curves.append(2 * good / np.maximum(kept + wanted, 1))
    f1 = np.mean(curves, 0)
    best = int(f1.argmax())
    per_class = {name: round(area, 1) for name, area in zip(CLASSES, areas)}
    mean = float(np.mean(np.array(areas)[present]))
    recall = float(np.mean(np.array(recalls)[present]))
    return Result(mean, per_class, round(float(grid[best]), 2), float(f1[best]), recall)


def parts_of(data: Dataset, size: int) -> dict[str, Part]:
    """By size, and by whether another object's centre lies in the same cell of 32 pixels."""
    box, slots = data.truth["box"], np.arange(data.truth["box"].shape[1])
    area = (box[..., 2:] - box[..., :2]).prod(-1)
    parts = {
        name: Part(
            (area >= low) & (area < high),
            lambda b, low=low, high=high: low <= (b[2:] - b[:2]).prod() < high,
        )
        for name, (low, high) in SIZES.items()
    }
    counts = (slots < data.truth["n"][:, None]) & ~data.truth["dif"]
    scale = size / data.truth["wh"].max(1)
    cell = (box[..., :2] + box[..., 2:]) / 2 * scale[:, None, None] // 32
    same = (cell[:, :, None] == cell[:, None]).all(-1) & counts[:, None]
    shared = (same & ~np.eye(len(slots), dtype=bool)).any(-1)
    return parts | {"shared": Part(shared, lambda _: True), "alone": Part(~shared, lambda _: True)}


def by_parts(found: list[Detections], data: Dataset, size: int, threshold: float) -> dict:
    """Scores by part: number of boxes, AP, recall of all classes and of people; the score at IoU
    0.75; boxes a picture above the threshold."""
    counts = (np.arange(data.truth["box"].shape[1]) < data.truth["n"][:, None]) & ~data.truth["dif"]
    entry: dict = {"map75": round(score(found, data, 0.75).map50, 2)}
    entry["boxes"] = round(sum(int((s >= threshold).sum()) for _, s, _ in found) / data.count, 2)
    for name, part in parts_of(data, size).items():
        result = score(found, data, part=part)
        entry[name] = {
            "number": int((part.truth & counts).sum()), "map50": round(result.map50, 2),
            "recall": round(result.recall, 2), "person": result.per_class["person"],
        }  # fmt: skip
    return entry


def evaluate(predict: Predict, data: Dataset, size: int, batch: int = 64) -> Result:
    """Detect and score."""
    return score(detect(predict, data, size, batch), data)


def torch_predictor(model: Body) -> Predict:
    """The network in evaluation mode; bf16 on a GPU, float32 elsewhere."""
    model.eval()

    def predict(image: Tensor) -> tuple[Tensor, Tensor]:
        with model.autocast(image):
            outputs = model((image / 255).contiguous(memory_format=torch.channels_last))
        return model.read(outputs, image.shape[-1])

    return predict


def onnx_predictor(path: str, threads: int = 2) -> tuple[Predict, int]:
    """An exported model through onnxruntime, and its input size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[-1]
    names = tuple(output.name for output in session.get_outputs())
    form = next(form for form in (Detector(), Grid()) if form.outputs == names)

    def predict(image: Tensor) -> tuple[Tensor, Tensor]:
        runs = [session.run(None, {"image": x[None].cpu().numpy()}) for x in image]
        maps = tuple(torch.from_numpy(np.concatenate(m)) for m in zip(*runs))
        return form.read(form.rows(maps), size)

    return predict, size


def through(predict: Predict, effect: str) -> Predict:
    """The same detector behind one of the camera's effects, the same for every detector."""

    def degraded(image: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        return predict(camera.degrade(image, {k: float(k == effect) for k in camera.SHARES}))

    return degraded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("packed", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--effect", choices=camera.SHARES, help="show every picture through it")
    parser.add_argument("--parts", action="store_true", help="also by size and in crowds")
    parser.add_argument("--nms", type=float, default=NMS_IOU, help="IoU of suppression; 1: none")
    args = parser.parse_args()
    predict, size = onnx_predictor(args.model)
    if args.effect:
        predict = through(predict, args.effect)
    data = Dataset.load(args.packed, args.split, "cpu")
    found = detect(predict, data, size, nms=args.nms)
    result = score(found, data)
    print(f"{args.model} {args.split} at {size}: AP50 {result.map50:.2f}", result.per_class)
    print(f"person {result.per_class['person']}")
    print(f"best mean F1 {result.f1:.3f} at score {result.threshold}")
    print(f"recall at one false box a picture {result.recall:.2f}")
    entry = asdict(result)
    if args.parts:
        entry |= by_parts(found, data, size, result.threshold)
        print({key: entry[key] for key in ("map75", "boxes", *SIZES, "shared", "alone")})
    if args.json:
        args.json.write_text(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
