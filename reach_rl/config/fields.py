"""What the annotations of a schema may say: numbers with their range, registered names, terms.

Pydantic reads them when it types something; it is not imported here, since help and completion
read them too.
"""

import inspect
import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, make_dataclass
from functools import cache, partial
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le, Lt

from reach_rl.config.problems import ConfigError
from reach_rl.extend import entries

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def strict(cls: type[T]) -> type[T]:
    """A frozen dataclass whose keys are all required, and the only ones; true is no number."""
    config = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass(frozen=True, slots=True)
class Before:
    """In an annotation: what a value goes through before it is typed."""

    function: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401
        """For pydantic."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.function, handler(source))


@dataclass(frozen=True, slots=True)
class Name:
    """In an annotation: text that names something registered (see reach_rl.extend)."""

    noun: str = ""
    also: tuple[str, ...] = ()
    pattern: str = ""
    """Of further names."""

    @property
    def known(self) -> tuple[str, ...]:
        """The names that there are."""
        return (*(entries(self.noun) if self.noun else ()), *self.also)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401
        """For pydantic."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        from pydantic_core import PydanticCustomError

        if name not in self.known and not re.fullmatch(self.pattern, name):
            raise PydanticCustomError("unknown_name", "unknown name")
        return name


@cache
def adapter(schema: Any) -> Any:  # noqa: ANN401  pydantic's TypeAdapter
    """Pydantic's types of a schema."""
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


@dataclass(frozen=True, slots=True)
class Terms(Name):
    """In an annotation: registered terms by name; each has the keys of its function too."""

    base: type = object

    def schema(self, name: str) -> type:
        """The keys of a term: the base's, and the keyword-only arguments of its function."""
        return _term_schema(entries(self.noun)[name], self.base)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401
        """For pydantic."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._typed)

    def _typed(self, terms: Any) -> dict[str, Any]:  # noqa: ANN401
        from pydantic import ValidationError
        from pydantic_core import PydanticCustomError

        if not isinstance(terms, dict):
            raise PydanticCustomError("dict_type", "no terms")
        typed, wrong = {}, []
        for name, term in terms.items():
            if name not in self.known:
                wrong.append(("unknown_name", (name, "[key]"), name))
                continue
            try:
                typed[name] = self._one(name, term)
            except ValidationError as error:
                wrong += [(e["type"], (name, *e["loc"]), e["input"]) for e in error.errors()]
            for key in self._lacking(name, term):
                wrong.append(("missing", (name, key), term))
        if not wrong:
            return typed
        lines: Any = [
            {"type": PydanticCustomError(kind, "wrong"), "loc": loc, "input": value}  # type: ignore
            for kind, loc, value in wrong
        ]
        raise ValidationError.from_exception_data("terms", lines)

    def _one(self, name: str, term: Any) -> Any:  # noqa: ANN401
        from pydantic import PydanticUserError

        if type(term) in (int, float) and "weight" in self.base.__dataclass_fields__:
            term = {"weight": term}
        try:
            known = adapter(self.schema(name) | None)
        except PydanticUserError as error:
            why = str(error).partition(". ")[0].partition("\n")[0]
            raise ConfigError(f"{self.noun} {name}: a key is annotated so: {why}") from error
        return known.validate_json(json.dumps(term))

    def _lacking(self, name: str, term: Any) -> list[str]:  # noqa: ANN401
        """Keys that every term may have and the function of this one must have."""
        asked = [p.name for p in _arguments(entries(self.noun)[name]) if p.default is p.empty]
        known = self.base.__dataclass_fields__
        return [k for k in asked if term is not None and k in known and k not in (term or {})]


def _arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The keyword-only arguments of a term."""
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY]


@cache
def _term_schema(function: Callable[..., Any], base: type) -> type:
    added = []
    for p in _arguments(function):
        if p.name not in base.__dataclass_fields__:
            given: Any = partial(deepcopy, p.default)
            own = field() if p.default is p.empty else field(default_factory=given)
            added.append((p.name, _lenient(_annotation(function, p)), own))
    if not added:
        return base
    name = f"{base.__name__}[{function.__name__}]"
    return make_dataclass(name, added, bases=(base,), frozen=True, slots=True, kw_only=True)


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:  # noqa: ANN401
    """What an argument is annotated with; the others may name what only type checkers import."""
    alone = SimpleNamespace(__annotations__={"": parameter.annotation})
    code: Any = function.__init__ if isinstance(function, type) else function
    return get_type_hints(alone, code.__globals__, include_extras=True)[""]


def _lenient(tp: Any) -> Any:  # noqa: ANN401  a type expression
    """An annotation of a term's argument with numbers as the schema takes them."""
    if tp in (float, int):
        return Number if tp is float else Integer
    args = tuple(map(_lenient, get_args(tp)))
    if get_origin(tp) is Annotated:
        return Annotated[(_lenient(tp.__origin__), *tp.__metadata__)]
    if get_origin(tp) in (Union, UnionType):
        return Union[args]  # noqa: UP007
    return list[args[0]] if get_origin(tp) is list else tp


def _number(value: Any) -> Any:  # noqa: ANN401
    """Text such as 1e-3, which YAML 1.1 does not read as a number, as one."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(value: Any) -> Any:  # noqa: ANN401
    """A number such as 1e6 as a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[float, Before(_number)]
Integer = Annotated[int, Before(_whole)]
Positive = Annotated[Number, Gt(0)]
NotNegative = Annotated[Number, Ge(0)]
Share = Annotated[Number, Ge(0), Le(1)]
PositiveShare = Annotated[Number, Gt(0), Le(1)]
Part = Annotated[Number, Ge(0), Lt(1)]
Whole = Annotated[Integer, Ge(0)]
Count = Annotated[Integer, Ge(1)]
Seed = Annotated[Integer, Ge(0), Le(2**31 - 1)]


def both(value: Any) -> Any:  # noqa: ANN401
    """SB3's form of a network: one list is for both; older ones hold the two in a list."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    return {"pi": value, "vf": value} if isinstance(value, list) else value


class Term:
    """What terms have in common."""

    __slots__ = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that are its function's own."""
        own = set(self.__dataclass_fields__) - {"weight", "scales", "noise"}  # type: ignore
        return {name: getattr(self, name) for name in own}
