"""Configurations of runs that an earlier version made: keys that it did not know get a value."""

from collections.abc import Mapping
from typing import Any

from reach_rl.config.keys import hints, is_schema, unwrap


def lacks(tree: object, schema: type) -> bool:
    """Whether a tree has no value for some key of the schema."""
    if not isinstance(tree, Mapping):
        return False
    return any(
        name not in tree or (is_schema(inner) and lacks(tree[name], inner))
        for name, (inner, _) in _fields(schema).items()
    )


def completed(tree: Mapping[str, Any], schema: type, default: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with the default for each key that it lacks; terms are nobody's default."""
    out = dict(tree)
    for name, (inner, _) in _fields(schema).items():
        own = default.get(name)
        if name not in out and name in default:
            out[name] = own
        elif is_schema(inner) and isinstance(out.get(name), Mapping) and isinstance(own, Mapping):
            out[name] = completed(out[name], inner, own)
    return out


def _fields(schema: type) -> dict[str, tuple[Any, bool]]:
    return {name: unwrap(tp) for name, tp in hints(schema).items()}
