"""The distillation teacher: YOLOX-nano (arXiv:2107.08430; COCO weights, Apache-2.0), from ONNX.

Only its outputs are used, as a training signal on the same augmented pictures. The graph is run
by a small interpreter, which lets it take any size and batch on the GPU.
"""

from typing import NamedTuple

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from network import STRIDES, cells

# index among the 80 COCO classes of each of the 20 VOC classes, in alphabetical VOC order
COCO_OF_VOC = (4, 1, 14, 8, 39, 5, 2, 15, 56, 19, 60, 16, 17, 3, 0, 58, 18, 57, 6, 62)


class Op(NamedTuple):
    """One operation: kind, input names, output name, a parameter, inputs that die here."""

    kind: str
    inputs: list[str]
    output: str
    parameter: object
    dead: list[str]


class OnnxNet(nn.Module):
    """Runs the operators that YOLOX exports use."""

    def __init__(self, path: str):
        super().__init__()
        graph = onnx.load(path).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        gates = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Sigmoid"}
        self.convs = nn.ModuleList()
        ops = [self._op(n, values, gates) for n in graph.node if n.op_type != "Constant"]
        self.ops = self._live(ops)

    def _op(self, node: onnx.NodeProto, values: dict[str, np.ndarray], gates: dict) -> Op:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs, output = list(node.input), node.output[0]
        match node.op_type:
            case "Conv":
                weight = torch.tensor(values[inputs[1]])
                groups = attributes.get("group", 1)
                conv = nn.Conv2d(
                    weight.shape[1] * groups, weight.shape[0], weight.shape[2:],
                    attributes["strides"], attributes["pads"][:2], 1, groups, len(inputs) > 2,
                )
                conv.weight.data = weight
                if len(inputs) > 2:
                    conv.bias.data = torch.tensor(values[inputs[2]])
                self.convs.append(conv)
                return Op("conv", inputs[:1], output, len(self.convs) - 1, [])
            case "Mul":
                for gate, value in (inputs, inputs[::-1]):
                    if gates.get(gate) == value:
                        return Op("silu", [value], output, None, [])
                raise ValueError("a product that is not SiLU")
            case "Slice":
                start, _, axis, step = (int(values[name].flatten()[0]) for name in inputs[1:5])
                return Op("slice", inputs[:1], output, (axis, start, step), [])
            case "MaxPool":
                return Op("pool", inputs, output, attributes["kernel_shape"][0], [])
            case "Concat":
                return Op("concat", inputs, output, attributes["axis"], [])
            case "Resize" | "Reshape":
                kind = {"Resize": "up", "Reshape": "flatten"}[node.op_type]
                return Op(kind, inputs[:1], output, None, [])
            case "Sigmoid" | "Add" | "Transpose":
                return Op(node.op_type.lower(), inputs, output, None, [])
        raise ValueError(f"operator {node.op_type}")

    def _live(self, ops: list[Op]) -> list[Op]:
        """Drop operations that nothing uses and note where each value is last read."""
        needed, seen, live = {self.output}, set(), []
        for op in reversed(ops):
            if op.output in needed:
                needed.update(op.inputs)
                live.append(op._replace(dead=[i for i in set(op.inputs) if i not in seen]))
                seen.update(op.inputs)
        return live[::-1]

    def _run(self, op: Op, x: list[Tensor]) -> Tensor:
        match op.kind:
            case "conv":
                return self.convs[op.parameter](x[0])
            case "silu":
                return F.silu(x[0])
            case "sigmoid":
                return x[0].sigmoid()
            case "concat":
                return torch.cat(x, op.parameter)
            case "add":
                return x[0] + x[1]
            case "pool":
                return F.max_pool2d(x[0], op.parameter, 1, op.parameter // 2)
            case "up":
                return F.interpolate(x[0], scale_factor=2, mode="nearest")
            case "slice":
                axis, start, step = op.parameter
                return x[0][:, :, start::step] if axis == 2 else x[0][:, :, :, start::step]
            case "flatten":
                return x[0].flatten(2)
            case "transpose":
                return x[0].transpose(1, 2)
        raise AssertionError(op.kind)

    def forward(self, x: Tensor) -> Tensor:
        values = {self.input: x}
        for op in self.ops:
            values[op.output] = self._run(op, [values[name] for name in op.inputs])
            for name in op.dead:
                del values[name]
        return values[self.output]


def _mirror(rows: Tensor, size: int) -> Tensor:
    """Reverse the cell columns of [B, A, C], so that a mirrored picture's cells line up."""
    parts = []
    for grid, stride in zip(rows.split([(size // s) ** 2 for s in STRIDES], 1), STRIDES):
        side = size // stride
        parts.append(grid.unflatten(1, (side, side)).flip(2).flatten(1, 2))
    return torch.cat(parts, 1)


class Teacher(nn.Module):
    """Input [B, 3, S, S] RGB 0..255; gives scores [B, A, 20] and boxes [B, A, 4] in pixels on the
    student's own grids. With `mirror` the picture and its mirror image are averaged, which is
    worth 1.3 to 1.9 points of the teacher's own AP50 (sizes 320 to 416)."""

    def __init__(self, path: str, mirror: bool = True):
        super().__init__()
        self.net = OnnxNet(path)
        self.mirror = mirror
        self.register_buffer("columns", torch.tensor(COCO_OF_VOC) + 5)
        self.requires_grad_(False).eval()

    def _look(self, bgr: Tensor) -> tuple[Tensor, Tensor]:
        size = bgr.shape[-1]
        out = self.net(bgr.contiguous(memory_format=torch.channels_last)).float()
        centres, strides = cells(size, bgr.device)
        corner = centres - strides / 2  # YOLOX offsets count from the cell's corner
        middle = corner + out[..., :2] * strides
        half = out[..., 2:4].clamp(max=6).exp() * strides / 2
        score = out[..., 4:5] * out.index_select(2, self.columns)
        return score, torch.cat([middle - half, middle + half], -1)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        bgr = image.flip(1)
        if not self.mirror:
            return self._look(bgr)
        size = image.shape[-1]
        score, box = self._look(torch.cat([bgr, bgr.flip(3)]))
        score, other = score.chunk(2)
        box, mirrored = box.chunk(2)
        other, mirrored = _mirror(other, size), _mirror(mirrored, size)
        x0, y0, x1, y1 = mirrored.unbind(-1)
        mirrored = torch.stack([size - x1, y0, size - x0, y1], -1)
        weight = score.amax(-1, keepdim=True) + 1e-6
        other_weight = other.amax(-1, keepdim=True) + 1e-6
        box = (box * weight + mirrored * other_weight) / (weight + other_weight)
        return (score + other) / 2, box
