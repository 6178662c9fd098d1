"""YAML from others: plain values only, and no more of them than a configuration can have.

A few lines of YAML whose aliases name one another stand for a billion values, and brackets can be
nested deeper than any reader can follow. Both are found here without building anything.
"""

from typing import Any

MAX_BYTES = 2_000_000
MAX_VALUES = 100_000
MAX_DEPTH = 60


def load(text: str) -> Any:  # noqa: ANN401  a plain tree
    """The value of a YAML text.

    Raises:
        ValueError: it holds too much.
        yaml.YAMLError: it is not YAML, or more than plain values.
    """
    import yaml

    check(text)
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def check(text: str) -> None:
    """Raise a ValueError if a YAML text stands for too much; yaml.YAMLError if it is none."""
    import yaml

    if len(text) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES / 1e6:g} MB")
    sizes: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = []
    size = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            stack.append((event.anchor, size))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, before = stack.pop()
            if anchor:
                sizes[anchor] = size - before
        elif isinstance(event, yaml.AliasEvent):  # of something that is still open: endless
            size += sizes.get(event.anchor, MAX_VALUES)
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        size += 1
        if len(stack) > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH}")
        if size > MAX_VALUES:
            raise ValueError(f"stands for more than {MAX_VALUES:,} values")
