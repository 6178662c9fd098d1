"""The keys that a schema has: their types, bounds and names, and the nearest to a mistaken one."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal

from reach_rl.config.fields import Name, Terms
from reach_rl.config.problems import listing, meant, nearest, show

ITEM = "*"
"""Stands in a path for the name of a term or the number of an item."""
_FAR = 0.85
"""How near a key of another group must be to be proposed: `algo` is not `also`."""
_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a schema; `*` in its path stands for any term, or any item of a list."""

    path: str
    type: Any
    """Without null and without annotations."""
    optional: bool
    """It may be null."""
    bounds: Mapping[str, float]
    """Of the number, or of each number of a list; such as {"gt": 0}."""
    named: Name | None
    """What it names, what each item names, or what its items are called."""

    @property
    def is_group(self) -> bool:
        """Whether it holds further keys of the schema."""
        return dataclasses.is_dataclass(self.type)

    @property
    def is_list(self) -> bool:
        """Whether it holds a list."""
        return typing.get_origin(self.type) is list

    @property
    def is_mapping(self) -> bool:
        """Whether it holds names with values."""
        return typing.get_origin(self.type) not in (None, list, Literal)

    @property
    def leaf(self) -> bool:
        """Whether it holds a value, not further keys of the schema."""
        items = typing.get_args(self.type) if self.is_list or self.is_mapping else ()
        return not self.is_group and not any(dataclasses.is_dataclass(_bare(t)[0]) for t in items)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it, or each item, may have; empty if any will do."""
        return self.named.known if self.named is not None else ()

    @property
    def choices(self) -> list[str]:
        """Every value that it may have, if it is one of a few words."""
        if isinstance(self.type, type) and issubclass(self.type, Enum):
            return [str(member.value) for member in self.type]
        if typing.get_origin(self.type) is Literal:
            return list(typing.get_args(self.type))
        return list(self.names) if self.type is str else []

    @property
    def range(self) -> str:
        """Its bounds in words, such as `above 0 and at most 1`."""
        return " and ".join(f"{_WORDS[k]} {show(float(b))}" for k, b in self.bounds.items())

    @property
    def words(self) -> str:
        """Its type in words, null included."""
        return self.kind + (" or null" if self.optional else "")

    @property
    def kind(self) -> str:
        """Its type in words."""
        if self.is_list:
            return f"a list, each {_key('', typing.get_args(self.type)[0]).kind}"
        if self.is_group:
            return "a group of keys"
        if self.is_mapping:
            return "names with values"
        named = self.choices and self.named is None
        return listing(self.choices) if named else _KINDS.get(self.type, "a value")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _bare(tp: Any) -> tuple[Any, bool, tuple[Any, ...]]:  # noqa: ANN401  a type expression
    """A type without None and annotations, whether None is allowed, and the annotations."""
    optional, marks = False, ()
    while True:
        if typing.get_origin(tp) is typing.Annotated:
            tp, marks = tp.__origin__, (*marks, *tp.__metadata__)
        elif isinstance(tp, types.UnionType) or typing.get_origin(tp) is typing.Union:
            optional = True
            tp = next(arg for arg in typing.get_args(tp) if arg is not type(None))
        else:
            return tp, optional, marks


def _key(path: str, tp: Any) -> Key:  # noqa: ANN401
    inner, optional, marks = _bare(tp)
    if typing.get_origin(inner) not in (None, Literal):
        marks += tuple(mark for arg in typing.get_args(inner) for mark in _bare(arg)[2])
    marks = [m for mark in marks for m in (*getattr(mark, "metadata", ()), mark)]  # of Field()
    limits = ((word, getattr(m, word, None)) for m in marks for word in _WORDS)
    bounds = {word: limit for word, limit in limits if limit is not None}
    named = next((mark for mark in marks if isinstance(mark, Name)), None)
    return Key(path, inner, optional, bounds, named)


@cache
def keys(schema: type) -> dict[str, Key]:
    """Every key of a schema by its path, in order: groups of keys and items included."""
    return {key.path: key for key in _keys("", schema)}


def _keys(path: str, tp: Any) -> Iterator[Key]:  # noqa: ANN401
    key = _key(path, tp)
    if path:
        yield key
    if key.is_group:
        for name, inner in typing.get_type_hints(key.type, include_extras=True).items():
            yield from _keys(join(path, name), inner)
    elif key.is_list or key.is_mapping:
        yield from _keys(join(path, ITEM), typing.get_args(key.type)[-1])


def below(schema: type, path: str) -> list[str]:
    """The names of the keys directly below a group of keys."""
    key = find(schema, path) if path else _key("", schema)
    return [f.name for f in dataclasses.fields(key.type)] if key and key.is_group else []


def find(schema: type, path: str) -> Key | None:
    """The key of a path, whose names of terms and numbers of items are `*` in the key's own."""
    known, done = keys(schema), ""
    parts = path.split(".")
    for i, part in enumerate(parts):
        above = known.get(done)
        if join(done, part) in known:
            done = join(done, part)
        elif above is not None and isinstance(above.named, Terms) and part in above.names:
            term = above.named.schema(part)
            if term is not above.named.base:
                return _below_term(term, join(done, part), parts[i + 1 :])
            done = join(done, ITEM)
        elif above is not None and (above.is_mapping or (above.is_list and part.isdecimal())):
            done = join(done, ITEM)
        elif above is None or above.type is not Any:
            return None
    return known[done]


def _below_term(term: type, path: str, parts: list[str]) -> Key | None:
    """The key of a term with keys of its own."""
    if not parts:
        return _key(path, term | None)
    key = find(term, ".".join(parts))
    return None if key is None else dataclasses.replace(key, path=join(path, key.path))


def check_key(schema: type, path: str, groups: Iterable[str] = ()) -> str | None:
    """Why a dotted key is not one of the schema, or None; groups: of Hydra, which are no keys."""
    done = ""
    for part in path.split("."):
        above = find(schema, done) if done else None
        if above is not None and above.is_mapping and part not in (above.names or (part,)):
            return unknown_name(above, part, done)
        step = join(done, part)
        if find(schema, step) is None:
            if above is None or above.is_group:
                return unknown_key(schema, done, part, groups)
            return f"unknown key; {done} holds {above.kind}, try {done}=..."
        done = step
    return None


def unknown_name(key: Key, name: str, path: str) -> str:
    """Why a term is refused, with the nearest known one."""
    return f"unknown term; {meant(name, key.names, f'{path}.')}"


def unknown_key(root: type, path: str, key: str, groups: Iterable[str] = ()) -> str:
    """Why a key below a path is refused, with what was meant: here, or anywhere in root."""
    here = sorted({*below(root, path), *(groups if not path else ())})
    word = _meant(root, key)
    if not word:
        near = nearest(key, here)
        far = nearest(key, list(_places(root)), cutoff=_FAR)
        word = join(path, near) if near else _places(root).get(far or "", "")
    if word:
        return f"unknown key; {word if ' ' in word else f'did you mean {word}?'}"
    return f"unknown key; {path or 'the top level'} has {listing(here, 40)}"


def flag_hint(root: type, flag: str) -> str | None:
    """What to type instead of a flag of other programs, such as --save-video or --seed=1."""
    word, _, value = flag.lstrip("-").partition("=")
    meant = _meant(root, word.replace("-", "_"))
    key = keys(root).get(meant)
    if key is None or not key.leaf:
        return meant if " " in meant else None
    return f"try {meant}={value or ('true' if key.type is bool else '...')}"


def _meant(root: type, word: str) -> str:
    """The key of this or of another framework's name, or advice in several words; or nothing."""
    word = _foreign().get(word, word)
    return word if " " in word or word in keys(root) else _places(root).get(word, "")


@cache
def _places(root: type) -> dict[str, str]:
    return {path.rpartition(".")[2]: path for path in reversed(keys(root)) if ITEM not in path}


@cache
def _foreign() -> dict[str, str]:
    """What other frameworks call it -> our key, or what to do instead."""
    import yaml

    return yaml.safe_load(Path(__file__).with_name("foreign.yaml").read_text(encoding="utf-8"))


def join(path: str, key: object) -> str:
    """A dotted key."""
    return f"{path}.{key}" if path else str(key)
