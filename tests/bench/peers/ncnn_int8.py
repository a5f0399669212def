"""ncnn's int8 form of a graph: .param and .bin as its own ncnn2int8 lays them out.

ncnn2int8 is in no package, so this writes what it would: weights of eight bits with a scale a
channel, one scale for the input of each convolution, Swish as one layer, and convolutions that
feed only convolutions handing on bytes.
"""

import json
import struct

import numpy

INT8_TAG = 0x000D4B38
FLOAT_TAG = 0
HANDS_ON_BYTES = 100  # added to int8_scale_term


class Writer:
    """Layers and weights as they grow. A blob of ncnn has one reader, so values with more are split."""

    def __init__(self, graph):
        self.graph = graph
        self.layers, self.weights, self.blobs = [], [], {}
        self.readers = {}
        self.ops = fused(graph)
        for op in self.ops:
            for name in op["inputs"]:
                self.readers.setdefault(name, []).append(op)
        for name in graph.outputs:
            self.readers.setdefault(name, []).append(None)

    def give(self, name):
        """Makes a value readable as often as it is read."""
        count = len(self.readers.get(name, []))
        self.blobs[name] = [name] if count < 2 else [f"{name}_{index}" for index in range(count)]
        if count > 1:
            self.layer("Split", f"split_{name}", [name], self.blobs[name], "")

    def layer(self, kind, name, inputs, outputs, parameters):
        """Appends a line."""
        words = [kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, parameters]
        self.layers.append((" ".join(words), len(outputs)))

    def scale(self, name):
        """Steps a unit of a value."""
        low, high = self.graph.ranges[name]
        return 127 / max(abs(low), abs(high), 1e-6)

    def conv(self, op, inputs):
        """A convolution with its activation; see HANDS_ON_BYTES."""
        conv, output = op["op"], op["outputs"][0]
        kernel, stride, pad = conv.window
        after = self.readers.get(output, [])
        hands_on = bool(after) and all(o is not None and o["kind"] == "conv" for o in after)
        weight = conv.weight.reshape(len(conv.weight), -1)
        scales = (127 / numpy.maximum(numpy.abs(weight).max(1), 1e-9)).astype(numpy.float32)
        data = numpy.round(weight * scales[:, None]).astype(numpy.int8).tobytes()
        self.weights += [struct.pack("<I", INT8_TAG), data, b"\0" * (-len(data) % 4)]
        self.weights += [conv.bias.astype(numpy.float32).tobytes(), scales.tobytes()]
        self.weights.append(numpy.float32(self.scale(conv.inputs[0])).tobytes())
        if hands_on:
            self.weights.append(numpy.float32(self.scale(output)).tobytes())
        term = 1 + (HANDS_ON_BYTES if hands_on else 0)
        parameters = f"0={len(weight)} 1={kernel} 3={stride} 4={pad} 5=1 6={weight.size} 8={term}"
        if conv.groups > 1:
            parameters += f" 7={conv.groups}"
        if op["relu6"]:
            parameters += " 9=3 -23310=2,0.0,6.0"
        kind = "ConvolutionDepthWise" if conv.groups > 1 else "Convolution"
        self.layer(kind, output, inputs, op["outputs"], parameters)

    def other(self, op, inputs):
        """Every layer that is not a convolution."""
        kinds = {
            "silu": ("Swish", ""),
            "sigmoid": ("Sigmoid", ""),
            "relu6": ("Clip", "0=0.0 1=6.0"),
            "concat": ("Concat", "0=0"),
            "add": ("BinaryOp", "0=0"),
            "mul": ("BinaryOp", "0=2"),
            "upsample": ("Interp", "0=1 1=2.0 2=2.0"),
            "space_to_depth": ("Reorg", "0=2 1=1"),
        }
        if op["kind"] == "maxpool":
            kernel, stride, pad = op["op"].window
            kind, parameters = "Pooling", f"0=0 1={kernel} 2={stride} 3={pad} 5=1"
        elif op["kind"] == "split":
            sizes = [self.graph.shapes[name][0] for name in op["outputs"]]
            kind, parameters = "Slice", f"-23300={len(sizes)},{','.join(map(str, sizes))} 1=0"
        else:
            kind, parameters = kinds[op["kind"]]
        self.layer(kind, op["outputs"][0], inputs, op["outputs"], parameters)

    def write(self, path):
        """Writes .param, .bin, and a .json that names input and outputs."""
        graph = self.graph
        channels, height, width = graph.shapes[graph.input]
        self.layer("Input", "input", [], [graph.input], f"0={width} 1={height} 2={channels}")
        self.give(graph.input)
        for op in self.ops:
            inputs = [self.blobs[name].pop(0) for name in op["inputs"]]
            (self.conv if op["kind"] == "conv" else self.other)(op, inputs)
            for name in op["outputs"]:
                self.give(name)
        lines = "\n".join(line for line, _ in self.layers)
        path.write_text(f"7767517\n{len(self.layers)} {sum(n for _, n in self.layers)}\n{lines}\n")
        path.with_suffix(".bin").write_bytes(b"".join(self.weights))
        outputs = [self.blobs[name][0] for name in graph.outputs]
        meta = {"shape": graph.shapes[graph.input], "input": graph.input, "outputs": outputs}
        path.with_suffix(".json").write_text(json.dumps(meta))


def fused(graph):
    """The graph with SiLU as one operation and ReLU6 inside its convolution."""
    uses, skip, found = graph.uses(), set(), []
    for op in graph.ops:
        if id(op) in skip:
            continue
        made = {"kind": op.kind, "inputs": op.inputs, "outputs": op.outputs, "op": op, "relu6": False}
        after = uses.get(op.outputs[0], [])
        if op.kind == "conv" and len(after) == 1 and after[0].kind == "relu6":
            made.update(outputs=after[0].outputs, relu6=True)
            skip.add(id(after[0]))
        elif op.kind == "sigmoid" and len(after) == 1 and after[0].kind == "mul" and op.inputs[0] in after[0].inputs:
            made.update(kind="silu", outputs=after[0].outputs)
            skip.add(id(after[0]))
        found.append(made)
    return found


def write(graph, path):
    """Writes ncnn's files beside `path`, the .param."""
    Writer(graph).write(path)
