"""Exports of Ultralytics' networks with seeded random weights, into a folder, as people make them.

    python export.py FOLDER PICTURES

Random weights are given statistics by a few pictures, and class biases that let some hundred boxes pass: so the numbers
look like those of a trained network. The files say AGPL-3.0 and stay where they are made.
"""

import pathlib
import shutil
import sys

import cv2
import numpy as np
import torch
from pictures import letterbox
from ultralytics import RTDETR, YOLO

# name, configuration, options of the export
EXPORTS = [
    ("yolov3-tinyu-320", "yolov3-tiny.yaml", {"imgsz": 320}),
    ("yolov5nu-320", "yolov5n.yaml", {"imgsz": 320}),
    ("yolov6n-320", "yolov6n.yaml", {"imgsz": 320}),
    ("yolov8n-320", "yolov8n.yaml", {"imgsz": 320}),
    ("yolov8n-640", "yolov8n.yaml", {"imgsz": 640}),
    ("yolov8n-384x640", "yolov8n.yaml", {"imgsz": [384, 640]}),
    ("yolov8n-320-dynamic", "yolov8n.yaml", {"imgsz": 320, "dynamic": True}),
    ("yolov8n-320-half", "yolov8n.yaml", {"imgsz": 320, "half": True}),
    ("yolov8n-320-batch2", "yolov8n.yaml", {"imgsz": 320, "batch": 2}),
    ("yolov8n-320-nms", "yolov8n.yaml", {"imgsz": 320, "nms": True}),
    ("yolov8n-seg-320", "yolov8n-seg.yaml", {"imgsz": 320}),
    ("yolov8n-pose-320", "yolov8n-pose.yaml", {"imgsz": 320}),
    ("yolo11n-seg-320", "yolo11n-seg.yaml", {"imgsz": 320}),
    ("yolo26n-seg-320", "yolo26n-seg.yaml", {"imgsz": 320}),
    ("yolo11n-pose-320", "yolo11n-pose.yaml", {"imgsz": 320}),
    ("yolo26n-pose-320", "yolo26n-pose.yaml", {"imgsz": 320}),
    ("yolov8n-obb-320", "yolov8n-obb.yaml", {"imgsz": 320}),
    ("yolo11n-obb-320", "yolo11n-obb.yaml", {"imgsz": 320}),
    ("yolo26n-obb-320", "yolo26n-obb.yaml", {"imgsz": 320}),
    ("yolov8n-cls-224", "yolov8n-cls.yaml", {"imgsz": 224}),
    ("yolo11n-cls-224", "yolo11n-cls.yaml", {"imgsz": 224}),
    ("yolov9t-320", "yolov9t.yaml", {"imgsz": 320}),
    ("yolov10n-320", "yolov10n.yaml", {"imgsz": 320}),
    ("yolo11n-320", "yolo11n.yaml", {"imgsz": 320}),
    ("yolo11n-640", "yolo11n.yaml", {"imgsz": 640}),
    ("yolo12n-320", "yolo12n.yaml", {"imgsz": 320}),
    ("yolo26n-320", "yolo26n.yaml", {"imgsz": 320}),
    ("yolo26n-640", "yolo26n.yaml", {"imgsz": 640}),
    ("rtdetr-l-320", "rtdetr-l.yaml", {"imgsz": 320}),
]


def enliven(net, pictures, size):
    """Statistics of the pictures for every normalisation, and biases that let boxes pass."""
    torch.manual_seed(0)
    height, width = (size, size) if isinstance(size, int) else size
    batch = np.stack([letterbox(p, height, width) for p in pictures])[..., ::-1].transpose(0, 3, 1, 2) / 255
    batch = torch.tensor(np.ascontiguousarray(batch), dtype=torch.float32)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    net.train()
    with torch.no_grad():
        net(batch)
    net.eval()
    head = net.model[-1]
    for name in ("cv3", "one2one_cv3"):
        for branch in getattr(head, name, None) or []:
            last = branch[-1]
            torch.nn.init.normal_(last.weight, 0, 0.6 / last.weight.shape[1] ** 0.5)
            last.bias.data.normal_(-3.0, 0.5)


def main(folder, pictures):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [cv2.imread(str(p)) for p in sorted(pathlib.Path(pictures).glob("*.jpg"))]
    for name, configuration, options in EXPORTS:
        target = folder / f"{name}.onnx"
        if target.exists():
            continue
        try:
            torch.manual_seed(1)
            model = (RTDETR if "rtdetr" in name else YOLO)(configuration)
            if "rtdetr" not in name:
                enliven(model.model, pictures, options["imgsz"])
            made = model.export(format="onnx", verbose=False, **options)
            shutil.move(made, target)
            print("made", name)
        except Exception as error:  # an export that fails is a row without numbers
            print("FAILED", name, str(error).splitlines()[0][:200])


main(*sys.argv[1:])
