"""Makes the small QDQ models of this folder and what ONNX Runtime gives for them.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2 onnxruntime==1.32.0 && venv/bin/python make.py

For each of u8 and i8 activations: NAME.onnx, quantized by ONNX Runtime's static quantizer with
per-channel weights; NAME.in, one input as little-endian f32; NAME.out, the output of that input.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HERE = pathlib.Path(__file__).parent
SHAPE = (1, 3, 16, 16)
rng = np.random.default_rng(7)


def network():
    nodes, constants = [], []

    def conv(output, source, o, i, k, **attributes):
        weight = rng.normal(0, 1.4 / np.sqrt(i * k * k), (o, i, k, k)).astype(np.float32)
        bias = rng.normal(0, 0.1, o).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, output + "_w"))
        constants.append(numpy_helper.from_array(bias, output + "_b"))
        nodes.append(helper.make_node("Conv", [source, output + "_w", output + "_b"], [output], output, **attributes))

    def node(op, outputs, inputs, **attributes):
        nodes.append(helper.make_node(op, inputs, outputs, outputs[0], **attributes))

    conv("stem", "x", 8, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    node("Relu", ["relu"], ["stem"])
    conv("mid", "relu", 8, 8, 3, pads=[1, 1, 1, 1])
    node("Sigmoid", ["gate"], ["mid"])
    node("Mul", ["silu"], ["mid", "gate"])
    conv("deep", "silu", 8, 1, 3, pads=[1, 1, 1, 1], group=8)
    node("Add", ["sum"], ["deep", "silu"])
    node("MaxPool", ["pool"], ["sum"], kernel_shape=[2, 2], strides=[2, 2])
    constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    node("Resize", ["up"], ["pool", "", "scales"], mode="nearest", nearest_mode="floor",
         coordinate_transformation_mode="asymmetric")
    node("Concat", ["joined"], ["up", "relu"], axis=1)
    conv("y", "joined", 6, 16, 1)
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 6, 8, 8))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


class Noise(CalibrationDataReader):
    def __init__(self):
        self.left = [rng.uniform(-1, 1, SHAPE).astype(np.float32) for _ in range(8)]

    def get_next(self):
        return {"x": self.left.pop()} if self.left else None


def main():
    whole = HERE / "float.onnx"
    onnx.save(network(), whole)
    picture = rng.uniform(-1, 1, SHAPE).astype(np.float32)
    for name, kind in (("u8", QuantType.QUInt8), ("i8", QuantType.QInt8)):
        path = HERE / f"{name}.onnx"
        quantize_static(whole, path, Noise(), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=kind, weight_type=QuantType.QInt8)
        output = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": picture})[0]
        picture.astype("<f4").tofile(HERE / f"{name}.in")
        output.astype("<f4").tofile(HERE / f"{name}.out")
    whole.unlink()


if __name__ == "__main__":
    main()
