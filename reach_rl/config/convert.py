"""Strict conversion between a plain tree (dict, list, str, number) and the frozen dataclasses."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from reach_rl.config.keys import (
    ITEM,
    bounds_of,
    bounds_text,
    hints,
    is_schema,
    join,
    pattern,
    type_text,
    unknown_key,
    unknown_name,
    unwrap,
)
from reach_rl.config.names import names
from reach_rl.config.problems import MISSING, NOTHING, Problem, listing, nearest, show

_HOLDS = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
}


def to_tree(value: Any) -> Any:  # noqa: ANN401  any value of the schema
    """The plain tree (dict, list, str, number, bool, None) of a configuration."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_tree(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_tree(item) for item in value]
    return value.value if isinstance(value, Enum) else value


class Converter:
    """Converts a tree and collects every problem on the way in `problems`."""

    def __init__(self, schema: type) -> None:
        self.schema = schema
        self.problems: list[Problem] = []

    def convert(self, tree: object, path: str = "") -> Any:  # noqa: ANN401  as the schema
        """An instance of the schema, or NOTHING if the tree has problems; path stands above it."""
        config = self._build(self.schema, tree, path)
        return NOTHING if self.problems else config

    def _build(self, schema: type, tree: object, path: str) -> Any:  # noqa: ANN401
        if not isinstance(tree, Mapping):
            return self._wrong(path, tree, f"must hold keys: {listing(hints(schema))}")
        known = hints(schema)
        for key in tree:
            if key not in known:
                text = names_code(key) or unknown_key(self.schema, schema, str(key), path)
                self._wrong(join(path, key), tree[key], text)
        values = {name: self._field(schema, name, tree, path) for name in known}
        if any(value is NOTHING for value in values.values()):
            return NOTHING
        return schema(**values)

    def _field(self, schema: type, name: str, tree: Mapping[Any, Any], path: str) -> Any:  # noqa: ANN401
        key = join(path, name)
        if name not in tree or tree[name] == MISSING:
            own = "+" if ITEM in (pattern(self.schema, key) or "") else ""
            return self._wrong(key, NOTHING, f"has no value; give one with {own}{key}=...")
        return self._value(tree[name], hints(schema)[name], key, bounds_of(schema, name))

    def _value(self, value: Any, tp: Any, key: str, bounds: Mapping[str, float]) -> Any:  # noqa: ANN401
        inner, optional = unwrap(tp)
        if value is None:
            if optional or inner is Any:
                return None
            return self._wrong(key, value, f"must be {type_text(inner)}, not null")
        if is_schema(inner):
            return self._build(inner, value, key)
        origin = typing.get_origin(inner)
        if origin is list:
            return self._list(value, typing.get_args(inner)[0], key, bounds)
        if origin is not None:
            return self._mapping(value, typing.get_args(inner)[1], key, bounds)
        plain = scalar(value, inner)
        if isinstance(plain, Wrong):
            return self._wrong(key, value, plain.text + _try(key, plain.better))
        broken = self._bounds(plain, bounds)
        if broken:
            return self._wrong(key, value, f"must be {broken}" + _try(key, _inside(plain, bounds)))
        return plain

    def _list(self, value: Any, tp: Any, key: str, bounds: Mapping[str, float]) -> Any:  # noqa: ANN401
        if not isinstance(value, (list, tuple)):
            better = None if isinstance(value, Mapping) else f"[{show(value)}]"
            what = f"must be a list of {type_text(unwrap(tp)[0], plural=True)}"
            return self._wrong(key, value, what + _try(key, better))
        inner, optional = unwrap(tp)
        if is_schema(inner):
            items = [self._value(v, tp, f"{key}[{i}]", bounds) for i, v in enumerate(value)]
            return NOTHING if any(item is NOTHING for item in items) else items
        items = [None if v is None and optional else scalar(v, inner) for v in value]
        for i, item in enumerate(items):
            text = item.text if isinstance(item, Wrong) else self._item_bounds(item, bounds)
            if text:
                return self._wrong(key, value, f"item {i + 1}, {show(value[i])}, {text}")
        return items

    def _item_bounds(self, item: object, bounds: Mapping[str, float]) -> str | None:
        broken = self._bounds(item, bounds)
        return f"must be {broken}" if broken else None

    def _mapping(self, value: Any, tp: Any, key: str, bounds: Mapping[str, float]) -> Any:  # noqa: ANN401
        if not isinstance(value, Mapping):
            return self._wrong(key, value, "must hold names with values, such as {name: value}")
        for name, item in value.items():
            if name not in (names(key) or (name,)):
                self._wrong(join(key, name), NOTHING, unknown_name(key, str(name)))
            elif code := code_in({name: item}):
                self._wrong(join(key, name), NOTHING, code)
        items = {str(k): self._value(v, tp, join(key, k), bounds) for k, v in value.items()}
        return NOTHING if any(item is NOTHING for item in items.values()) else items

    def _bounds(self, value: object, bounds: Mapping[str, float]) -> str | None:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return None
        held = all(_HOLDS[kind](value, bound) for kind, bound in bounds.items())
        return None if held else bounds_text(bounds)

    def _wrong(self, key: str, value: Any, text: str) -> Any:  # noqa: ANN401
        self.problems.append(Problem(key, value, text))
        return NOTHING


@dataclasses.dataclass(frozen=True, slots=True)
class Wrong:
    """Why a value does not fit its type, and a value that would."""

    text: str
    better: str | None = None


def scalar(value: Any, tp: Any) -> Any:  # noqa: ANN401  any plain value
    """Value as tp (bool, int, float, str, enum or Any), or Wrong."""
    if tp is Any:
        return value
    if isinstance(tp, type) and issubclass(tp, Enum):
        return _enum(value, tp)
    if tp is float:
        return _float(value)
    if tp is int:
        return _int(value)
    if tp is bool:
        return value if isinstance(value, bool) else Wrong("must be true or false", _bool(value))
    if isinstance(value, str):
        return value
    better = None if isinstance(value, (Mapping, list)) else f"\"'{show(value)}'\""
    return Wrong("must be text", better)


def _bool(value: object) -> str | None:
    words = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
    return words.get(str(value).lower())


def _enum(value: Any, tp: type[Enum]) -> Any:  # noqa: ANN401
    choices = [str(member.value) for member in tp]
    if value in choices:
        return tp(value)
    text = f"must be {listing(choices)}"
    if isinstance(value, bool):
        return Wrong(text)
    return Wrong(text, nearest(str(value), choices))


def _number(value: Any) -> float | None:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _float(value: Any) -> Any:  # noqa: ANN401
    number = _number(value)
    if number is None:
        return Wrong("must be a number", _comma(value))
    return number if math.isfinite(number) else Wrong("must be a finite number")


def _int(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    if number is None or not math.isfinite(number):
        return Wrong("must be a whole number", _comma(value))
    if number != int(number):
        return Wrong("must be a whole number", str(round(number)))
    return (
        Wrong("must be a whole number", str(int(number))) if isinstance(value, str) else int(number)
    )


def _comma(value: object) -> str | None:
    """A number typed with commas or spaces, mended."""
    if not isinstance(value, str):
        return None
    for candidate in (value.replace(",", "."), value.replace("'", ""), value.rstrip("smkMK% ")):
        if _number(candidate) is not None:
            return candidate
    return None


def _inside(value: float, bounds: Mapping[str, float]) -> str | None:
    """The end of the range that is nearest to a value outside of it, if it belongs to the range."""
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and value < low:
        return show(low)
    return show(high) if high is not None and value > high else None


def names_code(key: object) -> str | None:
    """Why a key such as `_target_` is refused, or None."""
    special = str(key).startswith("_") and str(key).endswith("_")
    return f"{key} would name code to run, which a configuration may not" if special else None


def code_in(tree: object) -> str | None:
    """Why a plain tree is refused that names code anywhere in it, or None."""
    if isinstance(tree, Mapping):
        found = (names_code(key) or code_in(value) for key, value in tree.items())
        return next((text for text in found if text), None)
    if isinstance(tree, list):
        return next((text for text in map(code_in, tree) if text), None)
    return None


def _try(key: str, better: str | None) -> str:
    return f"; try {key}={better}" if better is not None else ""
