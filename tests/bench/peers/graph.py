"""A network as the emitters want it: few kinds of operation, folded constants, measured ranges.

`float_network` makes the ONNX that every peer starts from: the network alone, without the reshaping
of its outputs. `read` turns it into a list of operations on (channels, height, width) maps.
"""

import dataclasses
import math
import pathlib

import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper, shape_inference, version_converter

# the first in which a scale a channel may be stated
OPSET_MIN = 13
KINDS = "conv sigmoid mul add relu6 concat split maxpool upsample space_to_depth"


@dataclasses.dataclass
class Op:
    """One operation; `window` is (kernel, stride, pad) of a convolution or a pool."""

    kind: str
    inputs: list
    outputs: list
    window: tuple = (1, 1, 0)
    groups: int = 1
    weight: numpy.ndarray | None = None  # (output channel, input channel of the group, row, column)
    bias: numpy.ndarray | None = None


@dataclasses.dataclass
class Graph:
    """Operations in the order of execution."""

    input: str
    outputs: list
    ops: list
    shapes: dict  # name: (channels, height, width)
    ranges: dict = dataclasses.field(default_factory=dict)  # name: (least, greatest)

    def macs(self):
        """Multiply-accumulates of one run."""
        convs = [op for op in self.ops if op.kind == "conv"]
        return sum(op.weight[0].size * math.prod(self.shapes[op.outputs[0]]) for op in convs)

    def uses(self):
        """For each value, the operations that read it."""
        found = {}
        for op in self.ops:
            for name in op.inputs:
                found.setdefault(name, []).append(op)
        return found


def float_network(source: pathlib.Path, into: pathlib.Path):
    """The float network of `source` without what only reorders its outputs, constants folded."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    loaded = onnx.load(source)
    reshapes = [node for node in loaded.graph.node if node.op_type == "Reshape"]
    if reshapes:
        inputs = [value.name for value in loaded.graph.input]
        shaped = shape_inference.infer_shapes(loaded)
        loaded = onnx.utils.Extractor(shaped).extract_model(inputs, [node.input[0] for node in reshapes])
    if loaded.opset_import[0].version < OPSET_MIN:
        loaded = version_converter.convert_version(loaded, OPSET_MIN)
    onnx.save(loaded, into)
    quant_pre_process(str(into), str(into), skip_symbolic_shape=True)


def attribute(node, name, default):
    """An attribute's value."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def same(values, what, node):
    """The one value that all of `values` have."""
    if len(set(values)) != 1:
        raise ValueError(f"node {node.name}: {what} {list(values)} is not the same on all sides")
    return int(values[0])


def read(path: pathlib.Path):
    """The graph of a float network; a node without a rule is named."""
    model = shape_inference.infer_shapes(onnx.load(path))
    constants = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)[1:] for v in values}
    (source,) = [v.name for v in model.graph.input if v.name not in constants]
    ops, orders = [], {}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attribute(node, "value", None))
        elif node.op_type == "Gather" and attribute(node, "axis", 0) == 1:
            orders[node.output[0]] = (node.input[0], constants[node.input[1]])
        else:
            ops.append(operation(node, constants))
    for name, (origin, order) in orders.items():
        reorder(ops, name, origin, order)
    return Graph(source, [v.name for v in model.graph.output], ops, shapes)


def reorder(ops, name, origin, order):
    """Convolutions of `name`, channels of `origin` in another order, become convolutions of `origin`."""
    for op in ops:
        if name not in op.inputs:
            continue
        if op.kind != "conv" or op.groups != 1:
            raise ValueError(f"{op.kind} {op.outputs[0]}: reads reordered channels; only a convolution may")
        op.inputs = [origin]
        op.weight = numpy.ascontiguousarray(op.weight[:, numpy.argsort(order)])


def operation(node, constants):
    """The operation of a node."""
    kind, inputs = node.op_type, [name for name in node.input if name and name not in constants]
    outputs = list(node.output)
    if kind in ("Conv", "MaxPool"):
        kernel = same(attribute(node, "kernel_shape", []), "kernel_shape", node)
        stride = same(attribute(node, "strides", [1, 1]), "strides", node)
        pad = same(attribute(node, "pads", [0] * 4), "pads", node)
        if same(attribute(node, "dilations", [1, 1]), "dilations", node) != 1:
            raise ValueError(f"node {node.name}: dilation has no rule")
        if kind == "MaxPool":
            return Op("maxpool", inputs, outputs, (kernel, stride, pad))
        weight = constants[node.input[1]].astype(numpy.float32)
        bias = constants[node.input[2]].astype(numpy.float32)
        return Op("conv", inputs, outputs, (kernel, stride, pad), attribute(node, "group", 1), weight, bias)
    if kind == "SpaceToDepth" and attribute(node, "blocksize", 0) == 2:
        return Op("space_to_depth", inputs, outputs)
    if kind == "Resize" and [float(s) for s in constants[node.input[2]]] == [1, 1, 2, 2]:
        return Op("upsample", inputs, outputs)
    if kind == "Clip" and [float(constants[name]) for name in node.input[1:3]] == [0, 6]:
        return Op("relu6", inputs, outputs)
    if kind in ("Concat", "Split") and attribute(node, "axis", 0) == 1:
        return Op(kind.lower(), inputs, outputs)
    if kind in ("Sigmoid", "Add") or (kind == "Mul" and len(inputs) == 2):
        return Op(kind.lower(), inputs, outputs)
    raise ValueError(f"node {node.name}: {kind} has no rule here; the kinds are {KINDS}")


def measure(graph: Graph, path: pathlib.Path, inputs):
    """Fills `ranges` with the extremes of each value over `inputs`, arrays of (1, 3, h, w)."""
    model = onnx.load(path)
    names = [name for op in graph.ops for name in op.outputs]
    present = {value.name for value in model.graph.output}
    produced = {name for node in model.graph.node for name in node.output}
    wanted = [name for name in dict.fromkeys(names) if name in produced]
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in wanted if n not in present)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for array in inputs:
        found = [array, *session.run(wanted, {graph.input: array})]
        for name, value in zip([graph.input, *wanted], found):
            low, high = graph.ranges.get(name, (0.0, 0.0))
            graph.ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
