"""A small interpreter of ONNX graphs in PyTorch: any input size and batch, on any device.

It knows the operators of YOLOX and PicoDet exports. Chains that PyTorch has as one function (SiLU,
hard swish, channel shuffle) become that function; shapes stored in the graph are not used.
"""

from typing import NamedTuple

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

SIMPLE = {
    "Add": "add", "Div": "div", "Mul": "mul", "Sigmoid": "sigmoid", "Relu": "relu", "Clip": "clip",
    "GlobalAveragePool": "mean", "HardSigmoid": "gate", "Resize": "up",
}  # fmt: skip


class Op(NamedTuple):
    """One operation: kind, input names, output names, a parameter, inputs that die here."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    parameter: object
    dead: list[str]


class OnnxNet(nn.Module):
    """Runs a graph; returns its outputs in the graph's order."""

    def __init__(self, path: str):
        super().__init__()
        graph = onnx.load(path).graph
        self.values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.input = next(i.name for i in graph.input if i.name not in self.values)
        self.outputs = [o.name for o in graph.output]
        self.maker = {name: node for node in graph.node for name in node.output}
        self.convs = nn.ModuleList()
        ops = [self._op(node) for node in graph.node if node.op_type != "Constant"]
        self.ops = self._live(ops)
        del self.values, self.maker

    def _made_by(self, name: str, kind: str) -> onnx.NodeProto | None:
        node = self.maker.get(name)
        return node if node is not None and node.op_type == kind else None

    def _silu(self, node: onnx.NodeProto) -> str | None:
        """The x of x * sigmoid(x)."""
        for gate, x in (node.input, node.input[::-1]):
            made = self._made_by(gate, "Sigmoid")
            if made is not None and made.input[0] == x:
                return x
        return None

    def _hard_swish(self, node: onnx.NodeProto) -> str | None:
        """The x of x * clip(x + 3, 0, 6) / 6, whose last node is the division."""
        product = self._made_by(node.input[0], "Mul")
        if product is None:
            return None
        x, gate = product.input
        clip = self._made_by(gate, "Clip")
        shifted = clip and self._made_by(clip.input[0], "Add")
        return x if shifted and shifted.input[0] == x else None

    def _shuffle(self, node: onnx.NodeProto) -> tuple[str, int] | None:
        """The x and the groups of reshape, transpose, reshape around two channel axes."""
        turned = self._made_by(node.input[0], "Transpose")
        split = turned and self._made_by(turned.input[0], "Reshape")
        if not split:
            return None
        shape = self.values[split.input[1]]
        return (split.input[0], int(shape[1])) if len(shape) == 5 else None

    def _conv(self, node: onnx.NodeProto, attributes: dict) -> Op:
        weight = torch.tensor(self.values[node.input[1]])
        groups, bias = attributes.get("group", 1), len(node.input) > 2
        conv = nn.Conv2d(
            weight.shape[1] * groups, weight.shape[0], weight.shape[2:],
            attributes["strides"], attributes["pads"][:2], 1, groups, bias,
        )  # fmt: skip
        conv.weight.data = weight
        if bias:
            conv.bias.data = torch.tensor(self.values[node.input[2]])
        self.convs.append(conv)
        return Op("conv", [node.input[0]], list(node.output), len(self.convs) - 1, [])

    def _op(self, node: onnx.NodeProto) -> Op:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs, outputs = list(node.input), list(node.output)
        first = inputs[:1]
        match node.op_type:
            case "Conv":
                return self._conv(node, attributes)
            case "Mul" if x := self._silu(node):
                return Op("silu", [x], outputs, None, [])
            case "Div" if x := self._hard_swish(node):
                return Op("hard_swish", [x], outputs, None, [])
            case "Reshape" if found := self._shuffle(node):
                return Op("shuffle", [found[0]], outputs, found[1], [])
            case "Reshape":
                return Op("flatten", first, outputs, None, [])
            case "Transpose":
                return Op("transpose", first, outputs, None, [])
            case "Slice":
                start, _, axis, step = (int(self.values[n].flatten()[0]) for n in inputs[1:5])
                return Op("slice", first, outputs, (axis, start, step), [])
            case "Split":
                return Op("split", first, outputs, list(attributes["split"]), [])
            case "MaxPool":
                sizes = attributes["kernel_shape"][0], attributes["strides"][0]
                return Op("pool", first, outputs, sizes, [])
            case "Concat":
                return Op("concat", inputs, outputs, attributes["axis"], [])
            case kind if kind in SIMPLE:
                inputs = first if kind in ("Resize", "Clip") else inputs
                return Op(SIMPLE[kind], inputs, outputs, None, [])
        raise ValueError(f"operator {node.op_type}")

    def _live(self, ops: list[Op]) -> list[Op]:
        """Drop operations that nothing uses and note where each value is last read."""
        needed, seen, live = set(self.outputs), set(self.outputs), []
        for op in reversed(ops):
            if needed & set(op.outputs):
                unknown = set(op.inputs) & set(self.values)
                if unknown:
                    raise ValueError(f"a constant operand of {op.kind}: {sorted(unknown)}")
                needed.update(op.inputs)
                live.append(op._replace(dead=[i for i in set(op.inputs) if i not in seen]))
                seen.update(op.inputs)
        return live[::-1]

    def _run(self, op: Op, x: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        match op.kind:
            case "conv":
                return self.convs[op.parameter](x[0])
            case "silu":
                return F.silu(x[0])
            case "hard_swish":
                return F.hardswish(x[0])
            case "sigmoid":
                return x[0].sigmoid()
            case "gate":
                return F.hardsigmoid(x[0])
            case "relu":
                return x[0].relu()
            case "concat":
                return torch.cat(x, op.parameter)
            case "split":
                return x[0].split(op.parameter, 1)
            case "add":
                return x[0] + x[1]
            case "mul":
                return x[0] * x[1]
            case "mean":
                return x[0].mean((2, 3), keepdim=True)
            case "pool":
                kernel, stride = op.parameter
                return F.max_pool2d(x[0], kernel, stride, kernel // 2)
            case "up":
                return F.interpolate(x[0], scale_factor=2, mode="nearest")
            case "shuffle":
                return F.channel_shuffle(x[0], op.parameter)
            case "slice":
                axis, start, step = op.parameter
                return x[0][:, :, start::step] if axis == 2 else x[0][:, :, :, start::step]
            case "flatten":
                return x[0].flatten(2)
            case "transpose":
                return x[0].transpose(1, 2)
        raise AssertionError(op.kind)

    def forward(self, x: Tensor) -> list[Tensor]:
        values = {self.input: x}
        for op in self.ops:
            result = self._run(op, [values[name] for name in op.inputs])
            many = result if isinstance(result, tuple) else (result,)
            values.update(zip(op.outputs, many))
            for name in op.dead:
                del values[name]
        return [values[name] for name in self.outputs]
