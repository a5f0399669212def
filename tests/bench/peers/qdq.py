"""ONNX Runtime's int8 form: QDQ, unsigned activations, weights with a scale a channel.

Two files: bytes at both ends, and, for engines that take none, real numbers at both ends.
"""

import onnx
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class Pictures(CalibrationDataReader):
    """Hands out arrays, one a call."""

    def __init__(self, name, arrays):
        self.rest = iter([{name: array} for array in arrays])

    def get_next(self):
        return next(self.rest, None)


def quantize(source, name, arrays, into):
    """Quantizes the float network `source`, whose input is `name`, on `arrays`."""
    quantize_static(
        str(source),
        str(into),
        Pictures(name, arrays),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"WeightSymmetric": True},
    )


def bytes_at_both_ends(source, into):
    """Takes the first quantization and the last dequantizations off."""
    model = onnx.load(source)
    graph = model.graph
    renamed, gone = {}, []
    for value in graph.input:
        (first,) = [node for node in graph.node if value.name in node.input]
        if first.op_type == "QuantizeLinear":
            renamed[first.output[0]] = value.name
            gone.append(first)
            value.type.tensor_type.elem_type = TensorProto.UINT8
    for value in graph.output:
        (last,) = [node for node in graph.node if value.name in node.output]
        if last.op_type == "DequantizeLinear":
            gone.append(last)
            value.name = last.input[0]
            value.type.tensor_type.elem_type = TensorProto.UINT8
    for node in gone:
        graph.node.remove(node)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    onnx.checker.check_model(model)
    onnx.save(model, into)
