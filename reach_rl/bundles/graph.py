"""ONNX graphs by writing NumPy: each operation on a value of the graph becomes a node.

So the functions of reach_rl.mdp, given values in place of arrays, write themselves.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.lib.mixins import NDArrayOperatorsMixin
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""Understood by every runtime since 2022."""

IR_VERSION = 8

Value = Any
"""A node of a graph, or an array, which becomes a constant: NumPy's types know no third kind."""

_END = np.iinfo(np.int64).max


class CannotWriteError(TypeError):
    """A function does what a graph has no operation for."""


class Graph:
    """Nodes in the order of their making. Geometry is in double precision, as in simulation."""

    def __init__(self) -> None:
        """An empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: int) -> Value:
        """An input (n, *shape) in double precision."""
        self.inputs[name] = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", *shape])
        return Node(self, name)

    def output(self, name: str, value: Value, *shape: int) -> None:
        """An output (n, *shape) in double precision."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        info = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", *shape])
        self.outputs.append(info)

    def drop_unused(self, kept: Collection[str]) -> Collection[str]:
        """Leave out the inputs that nothing uses, but for some; the names of those that stay."""
        used = {name for node in self.nodes for name in node.input} | set(kept)
        self.inputs = {name: info for name, info in self.inputs.items() if name in used}
        return self.inputs

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> Value:  # noqa: ANN401
        """An operation with one output; inputs are values, or arrays, which become constants."""
        names = [x.name if isinstance(x, Node) else self._constant(x) for x in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return Node(self, name)

    def _constant(self, value: Value) -> str:
        """Name of a constant: single precision, whole numbers and truths of arrays stay such."""
        array = np.asarray(value)
        if isinstance(value, int | list) or array.dtype.kind not in "ib":
            array = array if array.dtype == np.float32 else array.astype(np.float64)
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def model(self, name: str, doc: str) -> onnx.ModelProto:
        """The graph as a checked model."""
        inputs, constants = list(self.inputs.values()), list(self.constants.values())
        graph = helper.make_graph(self.nodes, name, inputs, self.outputs, constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="reach_rl",
            doc_string=doc,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


class Node(NDArrayOperatorsMixin):
    """A value (n, ...) of a graph: takes part in NumPy's operations and functions listed here."""

    __slots__ = ("graph", "name")

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Value, **options: int
    ) -> Value:
        if method == "__call__" and not options:
            if ufunc in FUNCTIONS:
                return FUNCTIONS[ufunc](self.graph, *inputs)
            if ufunc in OPERATIONS:
                return self.graph.op(OPERATIONS[ufunc], *inputs)
        if method == "reduce" and ufunc is np.logical_and:
            return self.astype(np.float64)._reduced("ReduceMin", **options) > 0.5
        if method == "reduce" and ufunc in REDUCTIONS:
            return self._reduced(REDUCTIONS[ufunc], **options)
        raise CannotWriteError(f"a graph has no numpy.{ufunc.__name__} of this kind")

    def __array_function__(
        self, function: np.ufunc, types: object, args: tuple, kwargs: dict
    ) -> Value:
        if function not in FUNCTIONS:
            raise CannotWriteError(f"a graph has no numpy.{function.__name__}")
        return FUNCTIONS[function](self.graph, *args, **kwargs)

    def __getitem__(self, index: Any) -> Value:  # noqa: ANN401  as of an array
        """As of an array: whole numbers, slices, lists, None and one ellipsis, from either end."""
        parts = list(index) if isinstance(index, tuple) else [index]
        cut = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
        new = [i if i < cut else i - len(parts) for i, part in enumerate(parts) if part is None]
        if new and any(isinstance(part, int) for part in parts):
            raise CannotWriteError("a graph takes no number and None in one index")
        front = [part for part in parts[:cut] if part is not None]
        back = [part for part in parts[cut + 1 :] if part is not None]
        # the last in front first, for a number takes its axis away
        taken = [*reversed(list(enumerate(front))), *zip(range(-len(back), 0), back, strict=True)]
        value = self
        for axis, part in taken:
            value = value._taken(axis, part)
        return value.graph.op("Unsqueeze", value, np.array(new)) if new else value

    def _taken(self, axis: int, part: Any) -> Value:  # noqa: ANN401
        if not isinstance(part, slice):
            return self.graph.op("Gather", self, np.array(part), axis=axis)
        if part == slice(None):
            return self
        bounds = part.start or 0, _END if part.stop is None else part.stop, axis
        return self.graph.op("Slice", self, *(np.array([bound]) for bound in bounds))

    def _reduced(self, kind: str, axis: int | tuple[int, ...], keepdims: int = False) -> Value:
        axes = np.atleast_1d(axis)
        if kind == "ReduceSum":
            return self.graph.op(kind, self, axes, keepdims=int(keepdims))
        return self.graph.op(kind, self, axes=axes.tolist(), keepdims=int(keepdims))

    def sum(self, axis: int, keepdims: bool = False) -> Value:
        """Sum over an axis."""
        return self._reduced("ReduceSum", axis, keepdims)

    def reshape(self, *shape: int) -> Value:
        """(n, ...) to another shape; 0 keeps the size of that axis, -1 is worked out."""
        return self.graph.op("Reshape", self, np.array(shape))

    def transpose(self, *axes: int) -> Value:
        """Axes in another order."""
        return self.graph.op("Transpose", self, perm=axes)

    def astype(self, kind: type) -> Value:
        """Another type of number: np.float64 or np.float32."""
        return self.graph.op("Cast", self, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


_SAME = (
    np.sqrt, np.exp, np.log, np.cos, np.sin, np.tanh, np.sign, np.floor,
    np.less, np.greater, np.equal,
)  # fmt: skip
"""Operations of one name."""

OPERATIONS: Mapping[np.ufunc, str] = {
    **{ufunc: ufunc.__name__.capitalize() for ufunc in _SAME},
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.matmul: "MatMul",
    np.power: "Pow",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.rint: "Round",
    np.maximum: "Max",
    np.minimum: "Min",
    np.less_equal: "LessOrEqual",
    np.greater_equal: "GreaterOrEqual",
    np.logical_and: "And",
    np.logical_or: "Or",
}
REDUCTIONS = {np.add: "ReduceSum", np.maximum: "ReduceMax", np.minimum: "ReduceMin"}


def arctan_unit(y: Value, x: Value) -> Value:
    """Angle of (x, y) in the first quadrant, of points at distance 1, in double precision.

    Runtimes have the arc tangent in single precision only; its angle t is made exact by one step,
    t + y cos t - x sin t.
    """
    ratio = (y / (x + 1e-30)).astype(np.float32)
    t = ratio.graph.op("Atan", ratio).astype(np.float64)
    return t + (y * np.cos(t) - x * np.sin(t))


def _arctan2(g: Graph, y: Value, x: Value) -> Value:
    """Angle of any (x, y), -pi to pi, in double precision; 0 for (0, 0)."""
    length = np.maximum(np.hypot(x, y), 1e-300)
    t = arctan_unit(np.abs(y) / length, np.abs(x) / length)
    t = np.where(x < 0.0, np.pi - t, t)
    return np.where(y < 0.0, -t, t)


def _concatenate(g: Graph, values: Value, axis: int = 0) -> Value:
    return values[0] if len(values) == 1 else g.op("Concat", *values, axis=axis)


def _cross(g: Graph, a: Value, b: Value) -> Value:
    left = a[..., [1, 2, 0]] * b[..., [2, 0, 1]]
    return left - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


FUNCTIONS: Mapping[Any, Callable[..., Value]] = {
    np.arctan2: _arctan2,
    np.arccos: lambda g, x: np.arctan2(np.sqrt(1.0 - x * x), x),
    np.arcsin: lambda g, x: np.arctan2(x, np.sqrt(1.0 - x * x)),
    np.hypot: lambda g, x, y: np.sqrt(x * x + y * y),
    np.remainder: lambda g, x, y: x - y * np.floor(x / y),
    np.clip: lambda g, value, low, high: np.minimum(np.maximum(value, low), high),
    np.concatenate: _concatenate,
    np.cross: _cross,
    np.einsum: lambda g, equation, *values: g.op("Einsum", *values, equation=equation),
    np.linalg.norm: lambda g, value, **over: np.sqrt(np.add.reduce(value * value, **over)),
    np.sum: lambda g, value, axis, keepdims=False: value.sum(axis, keepdims),
    np.where: lambda g, flags, a, b: g.op("Where", flags, a, b),
    np.argmin: lambda g, value, axis, keepdims=False: g.op(
        "ArgMin", value, axis=axis, keepdims=int(keepdims)
    ),
}
"""NumPy's functions that more than one node, or a node with attributes, stands for."""
