"""From a plain tree (dict, list, str, number) to the typed configuration, and back.

Pydantic types it; here its errors become lines that say what to type instead. It is imported only
when something is typed: help and completion do without.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from reach_rl.config.fields import adapter
from reach_rl.config.keys import Key, below, find, join, unknown_key, unknown_name
from reach_rl.config.problems import MISSING, NOTHING, Problem, listing, nearest, show

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")


def to_tree(value: Any) -> Any:  # noqa: ANN401  any value of the schema
    """The plain tree (dict, list, str, number, bool, None) of a configuration."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, inf_nan_mode="constants")


def typed(schema: type[T], tree: object, path: str = "") -> T | list[Problem]:
    """A plain tree as an instance of the schema, or every problem; path stands above its keys."""
    from pydantic import ValidationError

    problems: list[Problem] = []
    plain = _plain(tree, path, problems)
    try:  # as JSON, where text is no number, true is none either, and words are members of enums
        config = adapter(schema).validate_json(json.dumps(plain, default=str))
    except ValidationError as error:
        for details in error.errors(include_url=False):
            problem = _problem(schema, tree, details, path)
            if problem.key not in {known.key for known in problems}:
                problems.append(problem)
        return problems
    return problems or config


def _plain(tree: object, path: str, problems: list[Problem]) -> Any:  # noqa: ANN401
    """The tree without what has no value, and without keys that name code, which are problems."""
    if isinstance(tree, (list, tuple)):
        return [_plain(item, f"{path}[{i}]", problems) for i, item in enumerate(tree)]
    if not isinstance(tree, Mapping):
        return tree
    plain = {}
    for key, value in tree.items():
        if str(key).startswith("_") and str(key).endswith("_"):  # such as _target_
            text = f"{key} would name code to run, which a configuration may not"
            problems.append(Problem(join(path, key), value, text))
        elif value != MISSING:
            plain[str(key)] = _plain(value, join(path, key), problems)
    return plain


def completed(schema: type, tree: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of an earlier version, with the default for each key that it does not know."""
    out = dict(tree)
    for name, tp in get_type_hints(schema).items():
        if name not in out:
            out[name] = default[name]
        elif isinstance(out[name], Mapping) and below(tp, ""):
            out[name] = completed(tp, out[name], default[name])
    return out


def _at(tree: Any, parts: Iterable[Any]) -> Any:  # noqa: ANN401  plain trees
    for part in parts:
        listed = isinstance(tree, list) and isinstance(part, int)
        inside = listed or (isinstance(tree, Mapping) and part in tree)
        tree = tree[part] if inside else None
    return tree


def _problem(schema: type, tree: Any, error: "ErrorDetails", prefix: str) -> Problem:  # noqa: ANN401
    """An error of pydantic in our words."""
    loc = [part for part in error["loc"] if part != "[key]"]
    above, path = ".".join(map(str, loc[:-1])), ".".join(map(str, loc))
    shown = join(prefix, re.sub(r"\.(\d+)", r"[\1]", path)) if path else prefix
    key, holder = find(schema, path), find(schema, above)
    value = error["input"]
    if key is None or error["type"] == "unexpected_keyword_argument":
        return Problem(shown, value, unknown_key(schema, above, str(loc[-1])))
    if holder is not None and loc != list(error["loc"]):
        return Problem(shown, NOTHING, unknown_name(holder, str(loc[-1]), above))
    if error["type"] == "missing":
        plus = "" if key.is_group or _at(tree, loc) == MISSING else "+"  # no file has the key
        return Problem(shown, NOTHING, f"has no value; give one with {plus}{shown}=...")
    if key.is_group and value is not None:
        return Problem(shown, value, holds(key, shown))
    text, better = _why(schema, key, value, error["type"])
    if holder is not None and holder.is_list and not key.is_group:
        text = f"did you mean {better}?" if key.choices and better else text
        text = f"item {int(loc[-1]) + 1}, {show(value)}, {text}"
        return Problem(shown.rpartition("[")[0], _at(tree, loc[:-1]), text)
    return Problem(shown, value, text + (f"; try {shown}={better}" if better is not None else ""))


def holds(key: Key, path: str) -> str:
    """That a group of keys takes no value of its own, and what it takes."""
    names = [field.name for field in dataclasses.fields(key.type)]
    return f"must hold keys: {listing(names)}; try {path}.{names[0]}=..."


def _why(schema: type, key: Key, value: Any, error: str) -> tuple[str, str | None]:  # noqa: ANN401
    """Why a value does not fit its key, and one that would."""
    words = f"must be {listing(key.choices) if key.choices else key.kind}"
    if value is None:
        return f"{words}, not null", None
    if key.is_mapping:
        return "must hold names with values, such as {name: value}", None
    if key.is_list:
        return words, None if isinstance(value, Mapping) else f"[{show(value)}]"
    if error == "finite_number":
        return "must be a finite number", None
    if error.startswith(("greater", "less")):
        return f"must be {key.range}", _inside(float(value), key.bounds)
    return words, _better(schema, key, value)


def _better(schema: type, key: Key, value: Any) -> str | None:  # noqa: ANN401
    """What was meant by a value of the wrong type, as far as one can tell."""
    if key.choices:
        word = str(value).rpartition(".")[2]  # nn.ReLU
        return None if isinstance(value, bool) else nearest(word, key.choices)
    if key.type is bool:
        return _BOOLEANS.get(str(value).lower())
    if key.type is str:
        return None if isinstance(value, (Mapping, list)) else f"\"'{show(value)}'\""
    if key.type is int and isinstance(value, float):
        return str(round(value))
    number = _mended(value) if isinstance(value, str) else None
    schedule = f"{key.path}_schedule"
    if number is not None and str(value).startswith("lin_") and find(schema, schedule):
        return f"{number} {schedule}.kind=linear"
    return number


_BOOLEANS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def _mended(text: str) -> str | None:
    """The number at the beginning of text with a unit, or with the mark of SB3's schedules."""
    found = re.match(r"(?:lin_)?([-+]?\d[\d_.]*(?:e[-+]?\d+)?)[^\d,]*$", text)
    return found and found.group(1)


def _inside(value: float, bounds: Mapping[str, float]) -> str | None:
    """The end of the range that is nearest to a value outside of it, if it belongs to the range."""
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and value < low:
        return show(low)
    return show(high) if high is not None and value > high else None
