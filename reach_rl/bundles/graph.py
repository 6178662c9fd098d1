"""A small writer of ONNX graphs: values have names, operations return them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""Understood by every runtime since 2022."""

IR_VERSION = 8

DOUBLE, FLOAT, INT = TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.INT64


class Graph:
    """Nodes in the order of their making. Geometry is in double precision, as in simulation."""

    def __init__(self) -> None:
        """An empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: int) -> str:
        """An input (n, *shape) in double precision."""
        self.inputs.append(helper.make_tensor_value_info(name, DOUBLE, ["n", *shape]))
        return name

    def output(self, name: str, value: str, *shape: int) -> None:
        """An output (n, *shape) in double precision."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, DOUBLE, ["n", *shape]))

    def constant(self, value: Any, kind: type = np.float64) -> str:  # noqa: ANN401  an ArrayLike
        """A constant array."""
        array = np.ascontiguousarray(np.asarray(value, kind)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            self.constants[key] = numpy_helper.from_array(array, name)
        return self.constants[key].name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """An operation with one output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        """a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        """a b, element by element."""
        return self.op("Mul", a, b)

    def div(self, a: str, b: str) -> str:
        """a / b."""
        return self.op("Div", a, b)

    def scale(self, a: str, factor: Any) -> str:  # noqa: ANN401  an ArrayLike
        """a times a constant."""
        return self.mul(a, self.constant(factor))

    def matmul(self, a: str, b: str) -> str:
        """Matrix product of the last two axes."""
        return self.op("MatMul", a, b)

    def concat(self, values: Sequence[str], axis: int) -> str:
        """Side by side along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def take(self, a: str, index: int | Sequence[int], axis: int) -> str:
        """Some entries along an axis; one index drops the axis."""
        return self.op("Gather", a, self.constant(index, np.int64), axis=axis)

    def reshape(self, a: str, *shape: int) -> str:
        """(n, ...) to another shape; 0 keeps the size of that axis, -1 is worked out."""
        return self.op("Reshape", a, self.constant(shape, np.int64))

    def sum(self, a: str, axis: int, keep: bool = False) -> str:
        """Sum over an axis."""
        return self.op("ReduceSum", a, self.constant([axis], np.int64), keepdims=int(keep))

    def norm(self, a: str, keep: bool = False) -> str:
        """Length over the last axis."""
        return self.op("Sqrt", self.sum(self.mul(a, a), -1, keep))

    def at_least(self, a: str, bound: float) -> str:
        """The larger of a and a bound."""
        return self.op("Max", a, self.constant(bound))

    def clip(self, a: str, low: Any, high: Any) -> str:  # noqa: ANN401  ArrayLikes
        """Between two constant arrays."""
        return self.op("Min", self.op("Max", a, self.constant(low)), self.constant(high))

    def cast(self, a: str, kind: int) -> str:
        """Another type of number."""
        return self.op("Cast", a, to=kind)

    def cross(self, a: str, b: str) -> str:
        """Cross product over the last axis."""
        left = self.mul(self.take(a, [1, 2, 0], -1), self.take(b, [2, 0, 1], -1))
        right = self.mul(self.take(a, [2, 0, 1], -1), self.take(b, [1, 2, 0], -1))
        return self.sub(left, right)

    def atan2(self, y: str, x: str) -> str:
        """Angle of (x, y) in the first quadrant, of points at distance 1, in double precision.

        Runtimes have the arc tangent in single precision only; its angle t is made exact by one
        step, t + y cos t - x sin t.
        """
        ratio = self.cast(self.div(y, self.add(x, self.constant(1e-30))), FLOAT)
        t = self.cast(self.op("Atan", ratio), DOUBLE)
        return self.add(t, self.sub(self.mul(y, self.op("Cos", t)), self.mul(x, self.op("Sin", t))))

    def turn(self, y: str, x: str) -> str:
        """Angle of any (x, y), -pi to pi, in double precision; 0 for (0, 0)."""
        length = self.op("Sqrt", self.add(self.mul(x, x), self.mul(y, y)))
        length = self.at_least(length, 1e-300)
        t = self.atan2(self.div(self.op("Abs", y), length), self.div(self.op("Abs", x), length))
        behind = self.op("Less", x, self.constant(0.0))
        t = self.op("Where", behind, self.sub(self.constant(np.pi), t), t)
        return self.op("Where", self.op("Less", y, self.constant(0.0)), self.op("Neg", t), t)

    def model(self, name: str, doc: str) -> onnx.ModelProto:
        """The graph as a checked model."""
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, list(self.constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="reach_rl",
            doc_string=doc,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
