"""The keys that a schema has: their types, their bounds, and the nearest to a mistaken one."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from reach_rl.config.names import ABBREVIATIONS, names
from reach_rl.config.problems import listing, nearest, show

_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
ITEM = "*"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a schema; `*` in its path stands for any name of a group of terms."""

    path: str
    type: Any
    bounds: Mapping[str, float]

    @property
    def leaf(self) -> bool:
        """Whether it holds a value, not further keys of the schema."""
        inner, _ = unwrap(self.type)
        return not is_schema(inner) and item_schema(inner) is None


@cache
def hints(schema: type) -> dict[str, Any]:
    """Field name -> type of a schema class."""
    return typing.get_type_hints(schema)


def bounds_of(schema: type, name: str) -> Mapping[str, float]:
    """The bounds that `rule()` gave to a field, such as {"gt": 0}."""
    for field in dataclasses.fields(schema):
        if field.name == name:
            return field.metadata.get("bounds", {})
    return {}


def bounds_text(bounds: Mapping[str, float]) -> str:
    """Bounds in words, such as `above 0 and at most 1`."""
    return " and ".join(f"{_WORDS[kind]} {show(float(b))}" for kind, b in bounds.items())


def unwrap(tp: Any) -> tuple[Any, bool]:  # noqa: ANN401  a type expression
    """The type without None, and whether None was allowed."""
    if isinstance(tp, types.UnionType) or typing.get_origin(tp) is typing.Union:
        inner = [arg for arg in typing.get_args(tp) if arg is not type(None)]
        return inner[0], len(inner) < len(typing.get_args(tp))
    return tp, False


def is_schema(tp: Any) -> bool:  # noqa: ANN401
    """Whether a type is one of the schema's dataclasses."""
    return isinstance(tp, type) and dataclasses.is_dataclass(tp)


def is_mapping(tp: Any) -> bool:  # noqa: ANN401
    """Whether a type is a mapping from names."""
    return typing.get_origin(tp) not in (None, list, types.UnionType, typing.Union)


def item_schema(tp: Any) -> type | None:  # noqa: ANN401
    """The dataclass of the items of a mapping or list, if they have one."""
    if not typing.get_args(tp):
        return None
    inner, _ = unwrap(typing.get_args(tp)[-1])
    return inner if is_schema(inner) else None


def type_text(tp: Any, plural: bool = False) -> str:  # noqa: ANN401
    """A type in words."""
    inner, _ = unwrap(tp)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return listing(str(member.value) for member in inner)
    if typing.get_origin(inner) is list:
        return f"a list of {type_text(typing.get_args(inner)[0], plural=True)}"
    if is_mapping(inner):
        return "names with values"
    if is_schema(inner):
        return "groups of keys" if plural else "a group of keys"
    one, many = {
        bool: ("true or false", "true or false"),
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
        str: ("text", "names"),
    }.get(inner, ("a value", "values"))
    return many if plural else one


@cache
def keys(schema: type, path: str = "") -> tuple[Key, ...]:
    """Every key of a schema in order, groups of keys included."""
    return tuple(_keys(schema, path))


def _keys(schema: type, path: str) -> Iterator[Key]:
    for name, tp in hints(schema).items():
        key = Key(join(path, name), tp, bounds_of(schema, name))
        yield key
        inner, _ = unwrap(tp)
        items = item_schema(inner)
        if is_schema(inner):
            yield from keys(inner, key.path)
        elif items is not None:
            yield from keys(items, join(key.path, ITEM))


def pattern(schema: type, path: str) -> str | None:
    """The path with `*` for names of terms, or None if the schema has no such key."""
    tp, done = schema, ""
    for part in path.split("."):
        inner, _ = unwrap(tp)
        if is_schema(inner) and part in hints(inner):
            tp, done = hints(inner)[part], join(done, part)
        elif is_mapping(inner) or (
            typing.get_origin(inner) is list and (part.isdecimal() or part == ITEM)
        ):
            tp, done = typing.get_args(inner)[-1], join(done, ITEM)
        elif inner is not Any:
            return None
    return done


def find(schema: type, path: str) -> Key | None:
    """The key of a path, or None."""
    wanted = pattern(schema, path)
    return next((key for key in keys(schema) if key.path == wanted), None)


def check_key(schema: type, path: str, groups: Sequence[str] = ()) -> str | None:
    """Why a dotted key is not one of the schema, or None."""
    tp: Any = schema
    done = ""
    for part in path.split("."):
        inner, _ = unwrap(tp)
        if is_schema(inner):
            if part not in hints(inner):
                return unknown_key(schema, inner, part, done, groups)
            tp = hints(inner)[part]
        elif is_mapping(inner):
            if part not in (names(done) or (part,)):
                return unknown_name(done, part)
            tp = typing.get_args(inner)[-1]
        elif typing.get_origin(inner) is list and part.isdecimal():
            tp = typing.get_args(inner)[0]
        elif inner is not Any:
            return f"unknown key; {done} holds {type_text(inner)}, try {done}=..."
        done = join(done, part)
    return None


def unknown_name(path: str, name: str) -> str:
    """Why a term is refused, with the nearest known one."""
    known = names(path)
    near = nearest(name, known)
    return "unknown term; " + (
        f"did you mean {path}.{near}?" if near else f"there are {listing(known)}"
    )


def unknown_key(
    root: type, schema: type, key: str, path: str = "", groups: Sequence[str] = ()
) -> str:
    """Why a key is refused, with the nearest one: here, or of that name anywhere in root."""
    here = sorted({*hints(schema), *(groups if not path else ())})
    everywhere = {
        k.path.rpartition(".")[2]: k.path for k in reversed(keys(root)) if ITEM not in k.path
    }
    near = everywhere.get(ABBREVIATIONS.get(key, key))
    if near is None and nearest(key, here):
        near = join(path, nearest(key, here))
    if near is None and nearest(key, list(everywhere)):
        near = everywhere[str(nearest(key, list(everywhere)))]
    if near:
        return f"unknown key; did you mean {near}?"
    return f"unknown key; {path or 'the top level'} has {listing(here, 40)}"


def join(path: str, key: object) -> str:
    """A dotted key."""
    return f"{path}.{key}" if path else str(key)
