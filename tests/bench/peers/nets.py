"""The networks that are measured: three of a YOLO's shape with random weights, made here.

A network of random weights has the speed of a trained one and none of its terms. The three share
one plan (CSP backbone, spatial pyramid, two-way neck, decoupled head, 80 classes, 320x320) and
differ in activation and kind of convolution. Beside each stands the manifest that lapwing needs.
"""

import dataclasses
import pathlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 320
CLASSES = 80
WIDTHS = (16, 32, 64, 128, 256)
DEPTHS = (1, 2, 2, 1)


@dataclasses.dataclass(frozen=True)
class Style:
    """What sets one network apart from the others."""

    name: str
    activation: str
    depthwise: bool


STYLES = (
    Style("ynano_silu", "silu", False),
    Style("ynano_relu6", "relu6", False),
    Style("ynano_dw_silu", "silu", True),
)

MANIFEST = """\
format = 1
name = "{name}"
file = "{name}.onnx"
[input]
width = {side}
height = {side}
colour = "rgb"
layout = "nchw"
mean = [0.0, 0.0, 0.0]
scale = [0.003921568627, 0.003921568627, 0.003921568627]
fit = "letterbox"
[head]
family = "ltrb"    # no head reads random weights: only the network is timed
strides = [8, 16, 32]
score_min = 0.3
nms_iou = 0.55
[classes]
names = [{classes}]
"""


class Net:
    """Nodes, weights and shapes as they grow; a value is its name."""

    def __init__(self, style):
        self.style = style
        self.random = numpy.random.default_rng(0)
        self.nodes = []
        self.weights = {}
        self.shapes = {"images": (3, SIDE, SIDE)}  # (channels, height, width)
        if style.activation == "relu6":
            self.weights["zero"] = numpy.array(0, numpy.float32)
            self.weights["six"] = numpy.array(6, numpy.float32)

    def node(self, op, inputs, shapes, **attributes):
        """Appends a node; returns its outputs, one for each of `shapes`."""
        name = f"{op.lower()}_{len(self.nodes)}"
        outputs = [name if index == 0 else f"{name}_{index}" for index in range(len(shapes))]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        self.shapes.update(zip(outputs, shapes))
        return outputs

    def conv(self, x, channels, kernel=1, stride=1, groups=1, activation=True):
        """A convolution (batch norm folded, weights of He's spread) and its activation."""
        inside, height, width = self.shapes[x]
        fan_in = inside // groups * kernel * kernel
        weight = self.random.standard_normal((channels, inside // groups, kernel, kernel))
        # trained networks differ widely from channel to channel
        weight *= numpy.exp(0.3 * self.random.standard_normal((channels, 1, 1, 1))) * (2.2 / fan_in) ** 0.5
        name = f"weight_{len(self.nodes)}"
        self.weights[name] = weight.astype(numpy.float32)
        self.weights[name + "_bias"] = (0.1 * self.random.standard_normal(channels)).astype(numpy.float32)
        shape = (channels, -(-height // stride), -(-width // stride))
        (y,) = self.node(
            "Conv",
            [x, name, name + "_bias"],
            [shape],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )
        return self.activation(y) if activation else y

    def activation(self, x):
        """SiLU as the two nodes that exporters write, or ReLU6."""
        shape = [self.shapes[x]]
        if self.style.activation == "silu":
            (gate,) = self.node("Sigmoid", [x], shape)
            return self.node("Mul", [x, gate], shape)[0]
        return self.node("Clip", [x, "zero", "six"], shape)[0]

    def spatial(self, x, channels, stride=1):
        """A 3x3 convolution, or its depthwise form."""
        if not self.style.depthwise:
            return self.conv(x, channels, 3, stride)
        inside = self.shapes[x][0]
        return self.conv(self.conv(x, inside, 3, stride, groups=inside), channels)

    def concat(self, parts):
        """Channels one after the other."""
        channels = sum(self.shapes[part][0] for part in parts)
        return self.node("Concat", parts, [(channels, *self.shapes[parts[0]][1:])], axis=1)[0]

    def stage(self, x, channels, depth, shortcut=True):
        """Cross-stage partial block: half goes through, every step is kept."""
        x = self.conv(x, channels)
        half = (channels // 2, *self.shapes[x][1:])
        self.weights[f"halves_{channels}"] = numpy.array([channels // 2] * 2, numpy.int64)
        kept = self.node("Split", [x, f"halves_{channels}"], [half, half], axis=1)
        for _ in range(depth):
            y = self.spatial(self.spatial(kept[-1], channels // 2), channels // 2)
            kept.append(self.node("Add", [kept[-1], y], [half])[0] if shortcut else y)
        return self.conv(self.concat(kept), channels)

    def pyramid(self, x, channels):
        """Three pools of 5x5, each on the last."""
        kept = [self.conv(x, channels // 2)]
        for _ in range(3):
            shape = [self.shapes[kept[-1]]]
            kept += self.node("MaxPool", [kept[-1]], shape, kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4)
        return self.conv(self.concat(kept), channels)

    def twice(self, x):
        """Each pixel repeated."""
        channels, height, width = self.shapes[x]
        self.weights["twice"] = numpy.array([1, 1, 2, 2], numpy.float32)
        shape = [(channels, 2 * height, 2 * width)]
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", "twice"], shape, **how)[0]

    def build(self):
        """The whole network; returns its outputs, one a scale: (box 4, object 1, classes 80)."""
        levels = []
        x = self.conv("images", WIDTHS[0], 3, 2)
        for width, depth in zip(WIDTHS[1:], DEPTHS):
            x = self.stage(self.spatial(x, width, 2), width, depth)
            levels.append(x)
        _, third, fourth, _ = levels
        fifth = self.pyramid(x, WIDTHS[4])
        down4 = self.stage(self.concat([self.twice(fifth), fourth]), WIDTHS[3], 1, False)
        out3 = self.stage(self.concat([self.twice(down4), third]), WIDTHS[2], 1, False)
        out4 = self.stage(self.concat([self.spatial(out3, WIDTHS[2], 2), down4]), WIDTHS[3], 1, False)
        out5 = self.stage(self.concat([self.spatial(out4, WIDTHS[3], 2), fifth]), WIDTHS[4], 1, False)
        return [self.head(level) for level in (out3, out4, out5)]

    def head(self, x):
        """Decoupled: one branch for classes, one for boxes."""
        width = WIDTHS[2]
        stem = self.conv(x, width)
        classes = self.spatial(self.spatial(stem, width), width)
        boxes = self.spatial(self.spatial(stem, width), width)
        last = [self.conv(b, n, activation=False) for b, n in ((boxes, 4), (boxes, 1), (classes, CLASSES))]
        return self.concat(last)


def model(style):
    """The network of a style, as ONNX."""
    net = Net(style)
    outputs = net.build()
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *net.shapes[name]])
    weights = [numpy_helper.from_array(array, name) for name, array in net.weights.items()]
    graph = helper.make_graph(net.nodes, style.name, [value("images")], [value(o) for o in outputs], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def write(folder: pathlib.Path):
    """Writes the three networks and their manifests; returns the paths of the networks."""
    paths = []
    for style in STYLES:
        path = folder / f"{style.name}.onnx"
        if not path.exists():
            onnx.save(model(style), path)
        classes = ", ".join(f'"class{index}"' for index in range(CLASSES))
        path.with_suffix(".toml").write_text(MANIFEST.format(name=style.name, side=SIDE, classes=classes))
        paths.append(path)
    return paths
