"""Registered terms at work: bound to their keys, tried on real states, named in their errors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from reach_rl.config.problems import ConfigError
from reach_rl.mdp.arrays import Array, Ints
from reach_rl.mdp.state import Arm, State

Bound = tuple[Any, Mapping[str, Any]]
"""A registered function or class, and the values of its keys."""


class TermError(RuntimeError):
    """A term raised, or gave another shape than at first."""


class BoundTerms:
    """Terms of one kind in their order, each (state, arm) -> array, for n environments."""

    def __init__(
        self, path: str, terms: Mapping[str, Bound], state: State, arm: Arm, columns: bool = False
    ) -> None:
        """Bind terms to the values of their keys, and try them on a state.

        Args:
            path: of their keys, such as reward.terms.
            terms: by name.
            state: of n environments.
            arm: the arm.
            columns: each gives (n, k) numbers, not (n,).

        Raises:
            ConfigError: terms raise, or give no finite numbers of that shape; a line for each.
        """
        self.path, self.arm = path, arm
        self.calls: dict[str, Callable[[State, Arm], Any]] = {}
        self.tails: dict[str, tuple[int, ...]] = {}
        """Of the shape of what each gives, without its n."""
        problems = []
        for name, term in terms.items():
            try:
                self.calls[name] = _made(*term, n=len(state.distance), arm=arm)
                given = np.asarray(self.calls[name](state, arm))
            except Exception as error:
                problems.append(told(f"{path}.{name}", error))
                continue
            self.tails[name] = given.shape[1:]
            wrong = _misfit(given, len(state.distance), columns)
            problems += [f"{path}.{name}: {wrong}"] if wrong else []
        if problems:
            raise ConfigError(problems)
        self.remembering: dict[str, Any] = {
            name: self.calls[name] for name, (term, _) in terms.items() if isinstance(term, type)
        }

    def __call__(self, state: State, weights: Array | None = None) -> Iterator[Array | float]:
        """What each gives, float64; 0 where its weight is 0. Raises TermError."""
        n, name = len(state.distance), ""
        try:
            for i, (name, call) in enumerate(self.calls.items()):
                if weights is not None and weights[i] == 0.0:
                    yield 0.0
                    continue
                value = np.asarray(call(state, self.arm), np.float64)
                if value.shape != (n, *self.tails[name]):
                    raise ValueError(f"gave {value.shape}, at first {('n', *self.tails[name])}")
                yield value
        except Exception as error:
            raise TermError(told(f"{self.path}.{name}", error)) from error

    def step(self, state: State) -> None:
        """A control step is done. Raises TermError."""
        self._tell("step", state, self.arm)

    def reset(self, rows: Ints) -> None:
        """Episodes begin in these environments. Raises TermError."""
        self._tell("reset", rows)

    def _tell(self, what: str, *arguments: Any) -> None:  # noqa: ANN401
        for name, term in self.remembering.items():
            try:
                getattr(term, what, _nothing)(*arguments)
            except Exception as error:
                raise TermError(told(f"{self.path}.{name}", error)) from error

    def memory(self) -> dict[str, np.ndarray]:
        """The arrays that terms remember, (n, ...) each, by the term's key and their own name."""
        return {
            f"{self.path}.{name}.{key}": value
            for name, term in self.remembering.items()
            for key, value in vars(term).items()
            if isinstance(value, np.ndarray) and value.ndim
        }


@contextmanager
def tried() -> Iterator[None]:
    """What an extension does wrong before anything has begun is a mistake of the user's."""
    try:
        yield
    except TermError as error:
        raise ConfigError(str(error)) from error


def told(key: str, error: Exception) -> str:
    """What a term raised, and where."""
    last = extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"{key}: {type(error).__name__}: {error} ({where})"


def _nothing(*_: object) -> None:
    """What a term does that has no such method."""


def _made(term: Any, keys: Mapping[str, Any], n: int, arm: Arm) -> Any:  # noqa: ANN401
    if isinstance(term, type):
        return term(n, arm, **keys)
    return partial(term, **keys) if keys else term


def _misfit(given: np.ndarray, n: int, columns: bool) -> str:
    """What is wrong with what a term gave."""
    expected = f"({n}, k)" if columns else f"({n},)"
    fits = given.shape[:1] == (n,) and given.ndim == 1 + columns and given.dtype.kind in "fiub"
    if not fits:
        return f"gave {given.dtype} {given.shape}, but {expected} numbers are expected"
    if not np.isfinite(given).all():
        return f"gave numbers that are not finite, in {int((~np.isfinite(given)).sum())} places"
    return "" if given.flags.writeable else "gave an array that cannot be written to; give a copy"
