"""What one key of a search may be: a range or choices, from Hydra's words for a sweep."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reach_rl.config.problems import show

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, RangeSweep

Value = float | int | bool | str | None


@dataclass(frozen=True, slots=True)
class Dimension:
    """A range of numbers (low and high included) or choices.

    `texts` are the choices as a job's override writes them.
    """

    key: str
    prefix: str
    kind: str
    """float, int or choice."""
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def count(self) -> int | None:
        """How many values there are; None for a range without steps."""
        if self.kind == "choice":
            return len(self.choices)
        step = self.step or (1 if self.kind == "int" else None)
        return None if step is None else 1 + math.floor((self.high - self.low) / step + 1e-9)

    @property
    def values(self) -> list[Value]:
        """Every value. Raises ValueError for a range without steps."""
        if self.kind == "choice":
            return list(self.choices)
        if self.count is None:
            raise ValueError(f"{self.key} has no steps")
        if self.kind == "int":
            return [int(self.low + i * (self.step or 1)) for i in range(self.count)]
        return [self.low + i * (self.step or 1) for i in range(self.count)]

    def override(self, value: Value) -> str:
        """The override that gives a job this value."""
        choice = self.kind == "choice"
        text = self.texts[self.choices.index(value)] if choice else repr(value)
        return f"{self.prefix}{self.key}={text}"


def dimension(override: "Override", whole: bool) -> Dimension | str:
    """A sweep override as a dimension, or what is wrong with it.

    Args:
        override: with several values.
        whole: the key holds a whole number.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    key, sweep = override.key_or_group, override.value()
    element = override.get_key_element()
    prefix = element[: len(element) - len(element.lstrip("+"))]
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None and high is not None
        kind = "int" if whole or isinstance(low, int) else "float"
        return _checked(Dimension(key, prefix, kind, low, high, log="log" in sweep.tags))
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        return _range(key, prefix, sweep)
    return _choices(key, prefix, override)


def _range(key: str, prefix: str, sweep: "RangeSweep") -> Dimension | str:
    values = [float(value) for value in sweep.range()]
    if not values:
        return f"the range is empty; it ends below {show(sweep.stop)}"
    kind = "float" if any(isinstance(n, float) for n in (sweep.start, sweep.step)) else "int"
    step, log = abs(sweep.step), "log" in sweep.tags
    if log and (kind == "float" or step != 1):
        return "a log range has no steps; try tag(log, interval(...))"
    step = None if log else step
    return _checked(Dimension(key, prefix, kind, min(values), max(values), step, log))


def _choices(key: str, prefix: str, override: "Override") -> Dimension | str:
    from hydra.core.override_parser.types import Transformer

    items = list(override.sweep_iterator(transformer=Transformer.identity))
    texts = [show(x) if isinstance(x, bool) else str(Transformer.str(x)) for x in items]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        return f"{twice} is there twice"
    plain = (bool, int, float, type(None))  # as Optuna keeps them; anything else as text
    pairs = zip(items, texts, strict=True)
    values = tuple(x if isinstance(x, plain) else text.strip("'\"") for x, text in pairs)
    return Dimension(key, prefix, "choice", choices=values, texts=tuple(texts))


def _checked(found: Dimension) -> Dimension | str:
    low, high = found.low, found.high
    if low > high:
        return "the range ends before it begins"
    if found.log and low <= 0:
        return f"a log range begins above 0, not at {show(float(low))}"
    if found.kind != "int":
        return found
    if low != int(low) or high != int(high):
        return "the ends must be whole numbers"
    step = None if found.step is None else int(found.step)
    return dataclasses.replace(found, low=int(low), high=int(high), step=step)
