"""What lapwing makes of each export in some folders: recognised, agreeing in float32 and in eight bits, how fast.

    python bench.py --lapwing BINARY --pictures FOLDER --json OUT FOLDER...

For each file, on photographs that are fitted to its input beforehand, so that no resize filter stands between engines:

| column | what |
|---|---|
| head | the family that was recognised, and whether it was proved |
| float | share of ONNX Runtime's boxes (of its own decoding, best 100 a picture) that lapwing gives in float32: class, score within 0.001, sides within 0.1 px (0.02 and 2 px for files that are rounded themselves) |
| beside | of lapwing's boxes in float32 that are among the file's own rows, those whose key points or corners are within 0.1 px; for masks the mean intersection over union with the file's own, pixel by pixel |
| eight bits | share of lapwing's boxes in float32 that the artifact gives, and of the artifact's that float32 gives: class, overlap above 0.5 (the smaller share) |
| left | nodes that stay in float32 |
| ms | median of the network alone, one thread, by turns; peers in float32 and on ONNX Runtime's QDQ form |
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from pictures import letterbox

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
import qdq

BEST, SCORE_MIN, IOU_MAX, ROUNDS = 100, 0.25, 0.55, 7


def call(*words, timeout=600):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else "no words")
    return done.stdout


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    area = lambda c: max(c[2] - c[0], 0) * max(c[3] - c[1], 0)
    either = area(a) + area(b) - both
    return both / either if either > 0 else float(list(a) == list(b))


def own_boxes(outputs, names, width, height, head):
    """(class, score, corners) of a file's own decoding, best first; None where it does none that is known here."""
    first = outputs[0][0].astype(np.float64)
    count = len(names)
    if head in ("fastestdet", "yolox"):
        return None, False  # raw: their decoders are tested elsewhere
    if first.ndim == 1:
        values = first if abs(first.sum() - 1) < 0.01 else np.exp(first) / np.exp(first).sum()
        best = np.argsort(-values)[:5]
        return [(names[i], values[i], np.array([0, 0, width, height])) for i in best], False
    if head == "turned":
        return None, False  # which of two overlapping boxes goes is another rule; their rows are compared beside
    if first.ndim == 2 and first.shape[1] == 6:
        rows = first[first[:, 4] > SCORE_MIN]
        boxes = rows[:, :4]
        if head == "rtdetr":
            boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1) * np.array([width, height] * 2)
        found = [(names[int(r[5])], r[4], b) for r, b in zip(rows, boxes)]
        return sorted(found, key=lambda f: -f[1]), False
    if first.ndim == 2 and first.shape[0] >= 4 + count and first.shape[1] > first.shape[0]:
        boxes, scores = first[:4].T, first[4 : 4 + count].T
    elif first.ndim == 2 and first.shape[1] == 5 + count:
        boxes, scores = first[:, :4], first[:, 4:5] * first[:, 5:]
    else:
        return None, False
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    best = scores.argmax(1)
    values = scores.max(1)
    kept = []
    for i in np.argsort(-values, kind="stable"):
        if values[i] <= SCORE_MIN or len(kept) == 300:
            break
        if all(best[i] != best[j] or overlap(corners[i], corners[j]) <= IOU_MAX for j in kept):
            kept.append(i)
    return [(names[best[i]], values[i], corners[i]) for i in kept], True


def bilinear(values, size):
    """(h, w) values between their centres at the centres of size x size pixels."""
    at = (np.arange(size) + 0.5) * values.shape[0] / size - 0.5
    low = np.clip(np.floor(at), 0, values.shape[0] - 1).astype(int)
    high = np.minimum(low + 1, values.shape[0] - 1)
    share = np.clip(at - low, 0, 1)
    rows = values[low] * (1 - share)[:, None] + values[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def pixels(rings, size):
    """The pixels whose centres an odd number of rings surround."""
    inside = np.zeros((size, size), bool)
    centres = np.arange(size) + 0.5
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1]):
            rows = np.flatnonzero((y0 > centres) != (y1 > centres))
            for row in rows:
                inside[row] ^= centres < x0 + (centres[row] - y0) / (y1 - y0) * (x1 - x0)
    return inside


def beside(outputs, ours, names, size):
    """What lapwing tells of each box beside class and score, against the row of the file that it comes from; (sum, count)."""
    first, count = outputs[0][0].astype(np.float64), len(names)
    if first.ndim != 2 or first.shape[0] <= 4 + count or first.shape[1] < first.shape[0]:
        return 0, 0
    rows, more, index = first[: 4 + count].T, first[4 + count :].T, {n: i for i, n in names.items()}
    total = number = 0
    for box in ours:
        scores = rows[:, 4 + index[box["class"]]]
        for row in np.flatnonzero(np.abs(scores - box["score"]) < 1e-3):
            cx, cy, w, h = rows[row, :4]
            if "corners" in box:
                turn = more[row, -1]
                along, down = np.array([np.cos(turn), np.sin(turn)]) * w / 2, np.array([-np.sin(turn), np.cos(turn)]) * h / 2
                theirs = np.array([cx, cy]) + np.array([-along - down, along - down, along + down, -along + down])
                off = max(np.abs(np.array(box["corners"]) - c).max(1).min() for c in theirs)
                if np.abs(np.array(box["corners"]).mean(0) - [cx, cy]).max() > 0.5:
                    continue
                total += off < 0.1
            else:
                theirs = np.clip([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 0, size)
                if np.abs(np.array(box["box"]) - theirs).max() > 0.1:
                    continue
                if "key_points" in box:
                    total += np.abs(np.array(box["key_points"]).flatten() - more[row])[: len(more[row])].max() < 0.1
                elif "polygons" in box:
                    mask = bilinear(np.tensordot(more[row], outputs[1][0].astype(np.float64), 1), size) > 0
                    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
                    mask &= (x >= theirs[0]) & (x <= theirs[2]) & (y >= theirs[1]) & (y <= theirs[3])
                    own = pixels(box["polygons"], size)
                    total += 1.0 if not (mask | own).any() else (mask & own).sum() / (mask | own).sum()
                else:
                    return 0, 0
            number += 1
            break
    return total, number


def shares(theirs, ours, score, side):
    hit = 0
    left = list(ours)
    for name, value, box in theirs:
        for other in left:
            if other["class"] == name and abs(other["score"] - value) <= score and max(abs(np.array(other["box"]) - box)) <= side:
                left.remove(other)
                hit += 1
                break
    return hit, len(theirs)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def openvino(path):
    import openvino as ov

    model = ov.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"})
    return lambda x: model([x])


def median_ms(run, times):
    for _ in range(times):
        start = time.perf_counter()
        run()
        yield (time.perf_counter() - start) * 1e3


def one(path, lapwing, photos, scratch):
    row = {"file": path.stem}
    info = call(lapwing, "model", "info", path)
    manifest = call(lapwing, "model", "info", "--manifest", path)
    line = lambda key: next((l for l in manifest.splitlines() if l.startswith(key)), "")
    row["head"] = line("family").split('"')[1]
    row["proved"] = "proved: " in info.replace("not proved: ", "")
    width, height = int(line("width").split("=")[1]), int(line("height").split("=")[1])
    stretch = "stretch" in line("fit") or "crop" in line("fit")
    least = 0.0 if row["head"].startswith("class") else SCORE_MIN
    float_line = next(l for l in info.splitlines() if l.startswith("float32") or l.startswith("eight bits none"))
    row["left"] = 0 if "nothing" in float_line else int(float_line.split()[1]) if float_line.startswith("float32") else None
    folder = scratch / path.stem
    folder.mkdir()
    arrays = []
    model = onnx.load(path)
    bgr = 'colour = "bgr"' in manifest
    plain = "scale = [1.0" in manifest
    for name, photo in photos:
        picture = cv2.resize(photo, (width, height)) if stretch else letterbox(photo, height, width)
        cv2.imwrite(str(folder / f"{name}.png"), picture)
        x = (picture if bgr else picture[..., ::-1]).transpose(2, 0, 1)[None].astype(np.float32) / (1 if plain else 255)
        arrays.append(np.ascontiguousarray(x))
    names = eval(next((p.value for p in model.metadata_props if p.key == "names"), "{}"))
    if not names:
        text = manifest[manifest.index("names = [") + 8 :]
        names = dict(enumerate(json.loads(text[: text.index("]") + 1].replace(",\n]", "]"))))
    rounded = any(n.op_type in ("DequantizeLinear", "DynamicQuantizeLinear") for n in model.graph.node) or any(
        t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer
    )
    peer = session(path)
    input_name, batch = peer.get_inputs()[0].name, peer.get_inputs()[0].shape[0]
    batch = batch if isinstance(batch, int) else 1
    repeated = [np.repeat(x, batch, 0) for x in arrays]
    said = call(lapwing, "detect", "--json", "--score-min", least, "--model", path, *sorted(folder.glob("*.png")))
    ours = {pathlib.Path(json.loads(l)["image"]).stem: json.loads(l)["detections"] for l in said.splitlines()}
    hit = all_ = 0
    more = [0, 0]
    head = "turned" if 'kind = "angle"' in manifest else row["head"]
    for (name, _), x in zip(photos, repeated):
        outputs = peer.run(None, {input_name: x})
        if "[head.extra]" in manifest and width == height:
            total, number = beside(outputs, ours[name][: BEST // 5], names, width)
            more = [more[0] + total, more[1] + number]
        theirs, _ = own_boxes(outputs, names, width, height, head)
        if theirs is None:
            continue
        theirs = [(n, s, np.clip(b, 0, [width, height] * 2)) for n, s, b in theirs[:BEST]]
        h, a = shares(theirs, ours[name], *((0.02, 2.0) if rounded else (1e-3, 0.1)))
        hit, all_ = hit + h, all_ + a
    row["float"] = round(hit / all_, 4) if all_ else None
    row["boxes"] = all_
    row["beside"] = round(float(more[0]) / more[1], 4) if more[1] else None
    artifact = folder / "a.lap"
    try:
        call(lapwing, "model", "quantize", "--quick", "--force", path, "--calibrate", folder, "-o", artifact)
        said = call(lapwing, "detect", "--json", "--score-min", least, "--model", artifact, *sorted(folder.glob("*.png")))
        int8 = {pathlib.Path(json.loads(l)["image"]).stem: json.loads(l)["detections"] for l in said.splitlines()}
        both = []
        for a, b in ((ours, int8), (int8, ours)):
            pairs = [(x, b[k]) for k, v in a.items() for x in v[:BEST]]
            good = sum(any(x["class"] == y["class"] and overlap(x["box"], y["box"]) > 0.5 for y in other) for x, other in pairs)
            both.append(good / len(pairs) if pairs else 1.0)
        row["eight_bits"] = round(min(both), 4)
    except Exception as error:
        row["eight_bits"] = None
        row["error"] = str(error)
    engines = {}
    x = repeated[0]
    engines["onnxruntime float"] = lambda: peer.run(None, {input_name: x})
    try:
        model_ov = openvino(path)
        engines["openvino float"] = lambda: model_ov(x)
    except Exception:
        pass
    try:
        quantized = folder / "qdq.onnx"
        qdq.quantize(path, input_name, repeated, quantized)
        peer8 = session(quantized)
        engines["onnxruntime int8"] = lambda: peer8.run(None, {input_name: x})
        model8 = openvino(quantized)
        engines["openvino int8"] = lambda: model8(x)
    except Exception:
        pass
    times = {name: [] for name in engines}
    own = []
    for _ in range(ROUNDS):
        for name, run in engines.items():
            times[name] += list(median_ms(run, 3))
        if artifact.exists():
            own.append(json.loads(call(lapwing, "bench", "--json", "--runs", 5, "--model", artifact))["model_ms_median"])
    row["ms"] = round(float(np.median(own)), 2) if own else None
    row["peers"] = {name: round(float(np.median(t)) / batch, 2) for name, t in times.items()}
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lapwing", type=pathlib.Path, required=True)
    parser.add_argument("--pictures", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    photos = [(p.stem, cv2.imread(str(p))) for p in sorted(args.pictures.glob("*.jpg"))]
    rows = []
    print("| file | head | float | beside | eight bits | left | ms | fastest peer | x ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    files = [f for folder in args.folders for f in sorted(folder.glob("*.onnx")) if args.only in f.stem]
    with tempfile.TemporaryDirectory() as scratch:
        for path in files:
            try:
                row = one(path, args.lapwing, photos, pathlib.Path(scratch))
            except Exception as error:
                row = {"file": path.stem, "error": str(error)}
            rows.append(row)
            percent = lambda v: "" if v is None else f"{100 * v:.1f} %"
            if "head" not in row:
                print(f"| {row['file']} | {row['error'][:160]} | | | | | | | |", flush=True)
                continue
            best = min(row["peers"], key=row["peers"].get)
            ratio = f"{row['peers'][best] / row['ms']:.2f}" if row["ms"] else ""
            head = row["head"] + ("" if row["proved"] else " (not proved)")
            cells = [row["file"], head, percent(row["float"]), percent(row.get("beside")), percent(row.get("eight_bits")), row["left"], row["ms"]]
            print("|", " | ".join("" if c is None else str(c) for c in cells), f"| {best} {row['peers'][best]} | {ratio} |", flush=True)
            args.json.write_text(json.dumps(rows, indent=1))
    args.json.write_text(json.dumps(rows, indent=1))


main()
