"""Fold a trained checkpoint and write it as static ONNX (opset 17), checked against PyTorch.

    python export.py WEIGHTS.pt OUT.onnx [--shape small] [--size 320] [--half] [--eight-bits]

Input `image` [1, 3, S, S], RGB 0..255: the division by 255 is folded into the first convolution.
Outputs cls8, box8, cls16, box16, cls32, box32: raw logits and raw log-distances of each grid; the
box of a cell lies exp(clamp(box, -6, 5)) * stride pixels left, above, right and below its centre.
A grid network has one output, `grid`: see grid.py.
`--half` stores large weights in float16, each behind a Cast to float32 that a loader folds away.
`--eight-bits`, for weights that were trained so: they are stored as rounded to 255 values an output
channel, so that a quantizer finds them whole and has nothing to take off the biases.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from eightbits import round_weights as in_eight_bits
from engine import parameters_of
from forms import FORMS
from network import Body, count_macs, fuse, load_weights

LARGE = 1024  # elements; smaller tensors (biases, the stem) stay in float32


class Maps(nn.Module):
    """The network with its raw maps as outputs."""

    def __init__(self, model: Body):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model.maps(image)


def folded(weights: str, shape: str = "nano") -> Body:
    """The inference network of a checkpoint, taking pixels 0..255."""
    model = fuse(load_weights(FORMS[shape].make(), weights).eval())
    with torch.no_grad():
        model.stem.fused.weight.div_(255)
    return model


def round_weights(model: Body) -> None:
    """Round in place what `--half` will store in half precision."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() >= LARGE:
                parameter.copy_(parameter.half().float())


def halve(graph: onnx.GraphProto) -> None:
    """Move large float32 initialisers to float16 and cast them back by a node each."""
    casts = []
    for entry in graph.initializer:
        values = numpy_helper.to_array(entry)
        if values.dtype == np.float32 and values.size >= LARGE:
            name = entry.name
            entry.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def export(model: Body, out: Path, size: int, half: bool) -> float:
    """Write the file; returns the largest difference from PyTorch on noise."""
    sample = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            Maps(model), (sample,), str(out), opset_version=17, input_names=["image"],
            output_names=list(model.outputs), dynamo=False, do_constant_folding=True,
        )
    proto = onnx.load(out)
    if half:
        halve(proto.graph)
    proto.producer_name, proto.producer_version, proto.doc_string = "lapwing", "", ""
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, out)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    got = session.run(list(model.outputs), {"image": sample.numpy()})
    with torch.no_grad():
        wanted = model.maps(sample)
    return max(float(np.abs(g - w.numpy()).max()) for g, w in zip(got, wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=FORMS, default="nano")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--eight-bits", action="store_true")
    args = parser.parse_args()
    model = folded(args.weights, args.shape)
    if args.eight_bits:
        with torch.no_grad():
            for weight in (p for p in model.parameters() if p.ndim == 4):
                weight.copy_(in_eight_bits(weight))
    if args.half:
        round_weights(model)
    difference = export(model, args.out, args.size, args.half)
    macs, params = count_macs(model, args.size), parameters_of(model)
    print(f"{args.out}: {args.out.stat().st_size} bytes, {params} parameters, {macs} MACs")
    print(f"largest difference from PyTorch: {difference:.2e}")
    if difference > 2e-2:
        raise SystemExit("the exported file does not compute what the network computes")


if __name__ == "__main__":
    main()
