"""Estimate what int8 costs: static quantization of velocity.onnx by onnxruntime.

    python quantize.py SOURCE FOLDER OUT.json --model patch [--count 100]

Weights int8 a channel, activations uint8 a tensor, ranges by min-max over both modes and the whole
of t. Reports the error of v relative to float by t and, for holes, the PSNR at 2 steps of both.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from data import open_data
from distance import hole_psnr
from network import SHAPES
from path import features, interpolate

TIMES = (0.02, 0.1, 0.25, 0.5, 0.75, 1.0)


class Session:
    """velocity.onnx behind condition.onnx."""

    def __init__(self, folder: Path, velocity: Path, labels: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.condition = onnxruntime.InferenceSession(str(folder / "condition.onnx"), options)
        self.velocity = onnxruntime.InferenceSession(str(velocity), options)
        self.labels = labels

    def feed(self, x: Tensor, t: float, label: int, jump: bool, context: Tensor | None) -> dict:
        """The inputs of one call for x [3, S, S]."""
        onehot = np.zeros((1, self.labels, 1, 1), np.float32)
        onehot[0, label] = 1
        film = self.condition.run(["film"], {
            "features": features(torch.tensor([t]))[:, :, None, None].numpy(),
            "label": onehot, "jump": np.full((1, 1, 1, 1), float(jump), np.float32),
        })[0]
        inputs = {"x": x[None].numpy(), "film": film}
        return inputs if context is None else {**inputs, "context": context[None].numpy()}

    def __call__(self, *arguments) -> Tensor:
        return torch.from_numpy(self.velocity.run(["v"], self.feed(*arguments))[0][0])


class Reader(CalibrationDataReader):
    """Feeds prepared inputs."""

    def __init__(self, feeds: list[dict]):
        self.feeds = iter(feeds)

    def get_next(self) -> dict | None:
        return next(self.feeds, None)


def examples(data, count: int) -> list[tuple]:
    """(x0, label, context, mask) of whole pictures and holes in turn."""
    batch = data.batch(count)
    keep = batch.weight.amax((1, 2, 3)) > 0
    context = batch.context if batch.context is not None else [None] * count
    rows = zip(batch.x0, batch.label.tolist(), context, batch.mask, keep.tolist())
    return [row[:4] for row in rows if row[4]]


def fill(session: Session, x0: Tensor, label: int, context: Tensor, eps: Tensor) -> Tensor:
    """Two Euler steps in jump mode."""
    x, mask = eps, context[3:]
    for now, then in ((1.0, 0.5), (0.5, 0.0)):
        x = x + (then - now) * session(x, now, label, True, context)
        x = torch.where(mask > 0, x, (1 - then) * context[:3] + then * eps)
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=SHAPES, required=True)
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args()
    torch.manual_seed(0)
    shape = SHAPES[args.model]
    options = {} if args.model == "cifar" else {"objects": 1, "grounds": 1, "seed": 3}
    calibration = open_data(args.model, args.source, "val" if options else "train", "cpu", 2000, **options)
    test = open_data(args.model, args.source, "test", "cpu", 2000, **options)
    real = Session(args.folder, args.folder / "velocity.onnx", shape.labels)
    feeds = []
    for k, (x0, label, context, _) in enumerate(examples(calibration, args.count)):
        t = (k % 16 + 0.5) / 16 if k % 4 else 1.0
        xt = interpolate(x0[None], torch.randn(1, *x0.shape), torch.tensor([t]))[0]
        feeds.append(real.feed(xt, t, label, k % 2 == 0, context))
    result: dict = {"velocity_error_of_int8": {}}
    with tempfile.TemporaryDirectory() as place:
        plain, small = Path(place) / "plain.onnx", Path(place) / "int8.onnx"
        quant_pre_process(str(args.folder / "velocity.onnx"), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain), str(small), Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        int8 = Session(args.folder, small, shape.labels)
        rows = examples(test, args.count)
        for t in TIMES:
            error = power = 0.0
            for k, (x0, label, context, _) in enumerate(rows[:: max(1, len(rows) // 24)]):
                xt = interpolate(x0[None], torch.randn(1, *x0.shape), torch.tensor([t]))[0]
                wanted = real(xt, t, label, k % 2 == 0, context)
                error += float((int8(xt, t, label, k % 2 == 0, context) - wanted).square().mean())
                power += float(wanted.square().mean())
            result["velocity_error_of_int8"][t] = error / power
        if shape.context:
            scores = {"float": [], "int8": []}
            for x0, label, context, mask in rows:
                if label != shape.classes:
                    continue
                eps = torch.randn_like(x0)
                for name, session in (("float", real), ("int8", int8)):
                    x = fill(session, x0, label, context, eps)
                    scores[name].append(float(hole_psnr(x[None], x0[None], mask[None])[0]))
            result["holes"] = len(scores["float"])
            result["psnr_2_steps"] = {name: float(np.mean(v)) for name, v in scores.items()}
    args.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
