"""Loops over environments, compiled by Numba: what a step of the task would spend its time in.

A chain of array operations passes a few thousand numbers through the interpreter a dozen times;
one compiled loop passes them once. Such a function stands beside the term that it computes and says
per environment what the formula says. It writes into arrays that it is given or returns a new one,
and calls no other function of the project: Numba's cache does not notice when that changes.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from inspect import signature
from operator import attrgetter
from typing import Any

Function = Callable[..., Any]


class Compiled:
    """A function that is compiled when it is first called and kept on disk for later processes."""

    __slots__ = ("_fields", "call", "function", "new", "types")

    def __init__(self, function: Function, types: str) -> None:
        """Note what to compile; nothing is loaded yet."""
        self.function = function
        """What is compiled."""
        self.types = types
        """For arguments of these types."""
        self.call: Any = self._first_call
        self.new = False
        """It was compiled by this process, not read from disk."""
        self._fields: Callable[[object], tuple[Any, ...]] | None = None

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401
        """Call it."""
        return self.call(*arguments)

    def on(self, state: object, *more: Any) -> Any:  # noqa: ANN401
        """Call it with fields, those that its first parameters are named after, and with more."""
        if self._fields is None:
            names = list(signature(self.function).parameters)
            named = names[: len(names) - len(more)]
            get = attrgetter(*named)
            self._fields = get if len(named) > 1 else lambda state: (get(state),)
        return self(*self._fields(state), *more)

    def load(self) -> None:
        """Compile it, or read it from disk."""
        if self.call == self._first_call:
            self.call = _compile(self.function, self.types)
            self.new = not self.call.stats.cache_hits

    def _first_call(self, *arguments: Any) -> Any:  # noqa: ANN401
        self.load()
        return self.call(*arguments)


_ALL: list[Compiled] = []


def compiled(types: str) -> Callable[[Function], Compiled]:
    """Compile a function for arguments of these types, as Numba writes them.

    Without `::1` an array of any memory layout is taken, so that each function is compiled once.
    """

    def decorated(function: Function) -> Compiled:
        _ALL.append(Compiled(function, types))
        return _ALL[-1]

    return decorated


def load_all(tell: Callable[[str], None] = lambda text: None) -> None:
    """Load the loops of all modules that are imported, which will be needed in a moment anyway.

    Where a user waits for it, and before processes are started each of which would do it.

    Args:
        tell: told so, once, if they must be compiled.
    """
    told = False
    for loop in _ALL:
        loop.load()
        if loop.new and not told:
            tell("compiling the task's arithmetic: a few seconds, once after an installation")
            told = True


def _compile(function: Function, types: str) -> Any:  # noqa: ANN401  Numba's dispatcher
    from numba import njit  # takes a fifth of a second, which most commands need not spend

    # divisions as NumPy does them, and no lock while it runs
    jitted: Any = njit(error_model="numpy", nogil=True)(function)
    with suppress(RuntimeError):  # nowhere to keep it: compiled in each process
        jitted._cache = _cache()(function)
    jitted.compile(types)
    jitted.disable_compile()
    return jitted


@cache
def _cache() -> type:
    """Numba's own cache, which is read without the compiler, whose imports take half a second.

    This goes around a method that may change its name; then the cache is as Numba has it.
    """
    from numba.core.caching import FunctionCache
    from numba.core.runtime.nrt import rtsys

    if not hasattr(FunctionCache, "_load_overload"):
        return FunctionCache

    class Cache(FunctionCache):
        def load_overload(self, sig: str, target_context: Any) -> Any:  # noqa: ANN401
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)

    return Cache
