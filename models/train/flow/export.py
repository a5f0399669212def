"""Bake a trained flow and write its graphs as static ONNX (opset 17), checked against PyTorch.

    python export.py WEIGHTS.pt FOLDER --model patch [--guide guide.pt]
    python export.py measure.pt FOLDER --model cifar --measure

- `velocity.onnx`: `x` [1, 3, S, S], `film` [1, F, 1, 1] and, with a context, `context` [1, 4, S, S]
  to `v` [1, 3, S, S].
- `condition.onnx`: `features` [1, 64, 1, 1], `label` [1, labels, 1, 1], `jump` [1, 1, 1, 1] to
  `film`.
- `guide.onnx`: `x` [1, 3, 32, 32], `features`, `label` [1, classes, 1, 1] to `gradient`
  [1, 3, 32, 32] and `logits` [1, classes, 1, 1].
- `measure.onnx`: `x` [1, 3, S, S] to `features` [1, D, 1, 1] and `logits` [1, classes, 1, 1].

Large weights are stored in float16, each behind a Cast to float32 that a loader folds away.
"""

import argparse
import contextlib
import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from classifier import Features, Guide, transposed
from network import SHAPES, Flow, bake, load_weights
from path import FEATURES, features

LARGE = 1024  # elements; smaller tensors (biases) stay in float32
OPS = {"Conv", "Add", "Mul", "Sigmoid", "Resize", "Concat", "Slice", "Cast", "Constant"}
GUIDE_OPS = OPS | {"AveragePool", "Softmax", "Sub"}
MEASURE_OPS = {"Conv", "Add", "Relu", "GlobalAveragePool", "Cast"}


class Gradient(nn.Module):
    """A guide's gradient as a network."""

    def __init__(self, guide: Guide):
        super().__init__()
        self.guide = guide
        self.back = nn.ParameterList(
            nn.Parameter(transposed(conv).detach().clone()) for conv in (*guide.convs, guide.head)
        )

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return self.guide.gradient(x, time, label, list(self.back))


class Measure(nn.Module):
    """A `Features` network with its normalisation folded into convolutions."""

    def __init__(self, net: Features):
        super().__init__()
        for unit in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
            if len(unit) == 3 and isinstance(unit[1], nn.BatchNorm2d):
                unit[0], unit[1] = fuse_conv_bn_eval(unit[0], unit[1]), nn.Identity()
        self.net = net
        self.head = nn.Conv2d(net.head.in_features, net.head.out_features, 1)
        self.head.weight.data.copy_(net.head.weight[:, :, None, None])
        self.head.bias.data.copy_(net.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = F.adaptive_avg_pool2d(self.net.stages(x)[-1], 1)
        return found, self.head(found)


def round_weights(model: nn.Module) -> None:
    """Round in place what the file stores in half precision."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() >= LARGE:
                parameter.copy_(parameter.half().float())


def drop_identities(graph: onnx.GraphProto) -> None:
    """Let consumers of an Identity (equal tensors that the exporter shares) read its input."""
    same = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    nodes = [node for node in graph.node if node.op_type != "Identity"]
    for node in nodes:
        for k, name in enumerate(node.input):
            node.input[k] = same.get(name, name)
    del graph.node[:]
    graph.node.extend(nodes)


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


def write(
    model: nn.Module, inputs: dict[str, Tensor], outputs: list[str], out: Path, allowed: set[str]
) -> float:
    """Write one graph; returns the largest difference from PyTorch on the inputs."""
    round_weights(model)
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            model, tuple(inputs.values()), str(out), opset_version=17, input_names=list(inputs),
            output_names=outputs, dynamo=False, do_constant_folding=True,
        )
    proto = onnx.load(out)
    drop_identities(proto.graph)
    halve(proto.graph)
    proto.producer_name, proto.producer_version, proto.doc_string = "lapwing", "", ""
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, out)
    count = Counter(node.op_type for node in proto.graph.node)
    if set(count) - allowed:
        raise SystemExit(f"{out}: operators that the engine does not take: {set(count) - allowed}")
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    got = session.run(outputs, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted = model(*inputs.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    difference = max(float(np.abs(g - w.numpy()).max()) for g, w in zip(got, wanted))
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f"{out}: {out.stat().st_size} bytes, sha256 {digest}, {dict(count)}, off by {difference:.1e}")
    if difference > 1e-3:
        raise SystemExit("the exported file does not compute what the network computes")
    return difference


def export_flow(model: Flow, folder: Path) -> None:
    """velocity.onnx and condition.onnx of a baked network."""
    shape, side = model.shape, model.shape.side
    noise = torch.Generator().manual_seed(0)
    wide = 2 * sum(model.velocity.widths)
    scale = torch.cat([
        torch.cat([torch.ones(w), torch.zeros(w)]) for w in model.velocity.widths
    ])[None, :, None, None]
    inputs = {
        "x": torch.randn(1, 3, side, side, generator=noise),
        "film": scale + 0.3 * torch.randn(1, wide, 1, 1, generator=noise),
    }
    if shape.context:
        inputs["context"] = torch.rand(1, 4, side, side, generator=noise)
    write(model.velocity, inputs, ["v"], folder / "velocity.onnx", OPS)
    label = torch.zeros(1, shape.labels, 1, 1)
    label[0, 3] = 1
    inputs = {
        "features": features(torch.tensor([0.7]))[:, :, None, None],
        "label": label, "jump": torch.ones(1, 1, 1, 1),
    }
    write(model.condition, inputs, ["film"], folder / "condition.onnx", OPS)


def export_guide(guide: Guide, classes: int, folder: Path) -> None:
    """guide.onnx of a baked guide."""
    label = torch.zeros(1, classes, 1, 1)
    label[0, 3] = 1
    inputs = {
        "x": torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        "features": features(torch.tensor([0.4]))[:, :FEATURES, None, None], "label": label,
    }
    write(Gradient(guide), inputs, ["gradient", "logits"], folder / "guide.onnx", GUIDE_OPS)


def export_measure(net: Features, side: int, folder: Path) -> None:
    """measure.onnx."""
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    write(Measure(net.eval()).eval(), {"x": x}, ["features", "logits"], folder / "measure.onnx", MEASURE_OPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=SHAPES, required=True)
    parser.add_argument("--guide", type=Path)
    parser.add_argument("--measure", action="store_true", help="WEIGHTS.pt is a measure")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[args.model]
    if args.measure:
        labels = shape.classes if args.model == "cifar" else shape.labels
        net = load_weights(Features(shape.side, labels, **Features.MEASURE), args.weights)
        return export_measure(net, shape.side, args.folder)
    export_flow(bake(load_weights(Flow(shape), args.weights)).eval(), args.folder)
    if args.guide:
        guide = bake(load_weights(Guide(shape.classes), args.guide)).eval()
        export_guide(guide, shape.classes, args.folder)


if __name__ == "__main__":
    main()
