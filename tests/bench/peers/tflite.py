"""LiteRT's form of a graph: a .tflite of signed bytes, weights with a scale a channel.

Written as its own converter writes it, on the schema that comes with LiteRT, so that XNNPACK takes
every node. Values that a node only moves share one scale; where converters would insert a
conversion between two scales, most often none is needed here.
"""

import flatbuffers
import numpy
from ai_edge_litert import schema_py_generated as schema

MOVES = ("concat", "split", "maxpool", "upsample", "space_to_depth")
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "RESIZE_NEAREST_NEIGHBOR": 2, "QUANTIZE": 1}
VERSION = 2  # of the other operators: the first that takes signed bytes
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def tied(graph):
    """For each value, the one whose scale it has."""
    leader = {}

    def find(name):
        while leader.get(name, name) != name:
            name = leader[name]
        return name

    made_by = {name: op.kind for op in graph.ops for name in op.outputs}
    for op in graph.ops:
        if op.kind in MOVES:
            for name in [*op.inputs, *op.outputs[1:]]:
                if made_by.get(name) != "sigmoid":  # whose scale the format fixes
                    leader[find(name)] = find(op.outputs[0])
    return find


class Writer:
    """Tensors, buffers and operators as they grow."""

    def __init__(self, graph):
        self.graph = graph
        self.find = tied(graph)
        self.buffers = [schema.BufferT()]
        self.tensors, self.operators, self.codes, self.index = [], [], [], {}
        self.scales = {}
        spans = {}
        for name, (low, high) in graph.ranges.items():
            least, greatest = spans.get(self.find(name), (0.0, 0.0))
            spans[self.find(name)] = (min(low, least), max(high, greatest))
        for name in graph.ranges:
            low, high = spans[self.find(name)]
            scale = max(high - low, 1e-6) / 255
            self.scales[name] = (scale, int(round(-128 - low / scale)))
        for op in graph.ops:
            if op.kind == "sigmoid":
                self.scales[op.outputs[0]] = (1 / 256, -128)

    def tensor(self, name, shape, kind, scale=None, zero=None, axis=0, data=None):
        """Appends a tensor; returns its number."""
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), kind, 0
        if data is not None:
            made.buffer = len(self.buffers)
            buffer = schema.BufferT()
            buffer.data = numpy.frombuffer(data.tobytes(), numpy.uint8)
            self.buffers.append(buffer)
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = numpy.atleast_1d(scale).astype(numpy.float32)
            made.quantization.zeroPoint = numpy.broadcast_to(zero or 0, made.quantization.scale.shape).astype(numpy.int64)
            made.quantization.quantizedDimension = axis
        self.tensors.append(made)
        return len(self.tensors) - 1

    def value(self, name):
        """The tensor of a value, (1, height, width, channels)."""
        if name not in self.index:
            channels, height, width = self.graph.shapes[name]
            scale, zero = self.scales[name]
            self.index[name] = self.tensor(name, (1, height, width, channels), schema.TensorType.INT8, scale, zero)
        return self.index[name]

    def constant(self, name, values):
        """A tensor of known integers."""
        data = numpy.array(values, numpy.int32)
        return self.tensor(name, data.shape, schema.TensorType.INT32, data=data)

    def operator(self, name, inputs, outputs, options=None):
        """Appends an operator; `options` is the schema's object of its options."""
        number = getattr(schema.BuiltinOperator, name)
        if number not in self.codes:
            self.codes.append(number)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(number), inputs, outputs
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.operators.append(made)

    def conv(self, op, output, activation):
        """A convolution with its bias and its activation."""
        kernel, stride, pad = op.window
        source, (scale, zero) = self.value(op.inputs[0]), self.scales[op.inputs[0]]
        padding = SAME if pad else VALID
        if stride > 1 and pad:  # the format's own padding would be uneven
            channels, height, width = self.graph.shapes[op.inputs[0]]
            shape = (1, height + 2 * pad, width + 2 * pad, channels)
            padded = self.tensor(output + "/padded", shape, schema.TensorType.INT8, scale, zero)
            sides = self.constant(output + "/sides", [[0, 0], [pad, pad], [pad, pad], [0, 0]])
            self.operator("PAD", [source, sides], [padded], schema.PadOptionsT())
            source, padding = padded, VALID
        depthwise = op.groups > 1
        if depthwise and op.weight.shape[1] != 1:
            raise ValueError(f"{output}: groups of more than one channel have no rule")
        steps = numpy.maximum(numpy.abs(op.weight).max(axis=(1, 2, 3)), 1e-9) / 127
        weight = numpy.round(op.weight / steps[:, None, None, None]).astype(numpy.int8)
        weight = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        axis = 3 if depthwise else 0
        weights = self.tensor(output + "/weight", weight.shape, schema.TensorType.INT8, steps, 0, axis, weight)
        bias = numpy.round(op.bias / (steps * scale)).astype(numpy.int32)
        biases = self.tensor(output + "/bias", bias.shape, schema.TensorType.INT32, steps * scale, 0, 0, bias)
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = padding, stride, stride
        options.fusedActivationFunction = activation
        if depthwise:
            options.depthMultiplier = 1
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        self.operator(name, [source, weights, biases], [self.value(output)], options)

    def other(self, op):
        """Every operation that is not a convolution."""
        inputs = [self.value(name) for name in op.inputs]
        outputs = [self.value(name) for name in op.outputs]
        output = op.outputs[0]
        if op.kind == "sigmoid":
            self.operator("LOGISTIC", inputs, outputs)
        elif op.kind in ("add", "mul"):
            options = schema.AddOptionsT() if op.kind == "add" else schema.MulOptionsT()
            self.operator(op.kind.upper(), inputs, outputs, options)
        elif op.kind == "concat":
            options = schema.ConcatenationOptionsT()
            options.axis = 3
            self.operator("CONCATENATION", [self.rescaled(n, output) for n in op.inputs], outputs, options)
        elif op.kind == "split":
            options = schema.SplitOptionsT()
            options.numSplits = len(outputs)
            self.operator("SPLIT", [self.constant(output + "/axis", 3), *inputs], outputs, options)
        elif op.kind == "maxpool":
            options = schema.Pool2DOptionsT()
            kernel, stride, _ = op.window
            options.padding, options.filterWidth, options.filterHeight = SAME, kernel, kernel
            options.strideW = options.strideH = stride
            self.operator("MAX_POOL_2D", inputs, outputs, options)
        elif op.kind == "upsample":
            size = self.constant(output + "/size", self.graph.shapes[output][1:])
            self.operator("RESIZE_NEAREST_NEIGHBOR", [*inputs, size], outputs, schema.ResizeNearestNeighborOptionsT())
        elif op.kind == "space_to_depth":
            options = schema.SpaceToDepthOptionsT()
            options.blockSize = 2
            self.operator("SPACE_TO_DEPTH", inputs, outputs, options)
        else:
            raise ValueError(f"{output}: {op.kind} has no rule")

    def rescaled(self, name, like):
        """The tensor of `name` in the scale of `like`."""
        if self.scales[name] == self.scales[like]:
            return self.value(name)
        shape = self.tensors[self.value(name)].shape
        made = self.tensor(name + "/" + like, shape, schema.TensorType.INT8, *self.scales[like])
        self.operator("QUANTIZE", [self.value(name)], [made], schema.QuantizeOptionsT())
        return made

    def model(self):
        """The finished file's bytes."""
        graph, uses = self.graph, self.graph.uses()
        for op in graph.ops:
            after = uses.get(op.outputs[0], [])
            if op.kind == "conv" and len(after) == 1 and after[0].kind == "relu6":
                self.conv(op, after[0].outputs[0], schema.ActivationFunctionType.RELU6)
            elif op.kind == "conv":
                self.conv(op, op.outputs[0], schema.ActivationFunctionType.NONE)
            elif op.kind != "relu6":
                self.other(op)
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs = [self.value(graph.input)]
        subgraph.outputs = [self.value(name) for name in graph.outputs]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [subgraph], self.buffers
        model.operatorCodes = [code(number) for number in self.codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def code(number):
    """An operator's entry in the file's table."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode = number, min(number, 127)
    made.version = VERSIONS.get(names[number], VERSION)
    return made


def write(graph, path):
    """Writes the .tflite."""
    path.write_bytes(Writer(graph).model())
