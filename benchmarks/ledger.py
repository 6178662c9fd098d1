"""Where time goes: what is inside something else is taken from it, so that all adds up."""

import builtins
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any


class Ledger:
    """Seconds by label; the innermost open label is charged."""

    def __init__(self, label: str, since: float | None = None) -> None:
        """Charge a label, from now or since a moment of time.monotonic()."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stack = [label]
        self._at = time.monotonic() if since is None else since

    def _charge(self) -> None:
        now = time.monotonic()
        self.seconds[self._stack[-1]] += now - self._at
        self._at = now

    def enter(self, label: str) -> None:
        """From now on charge this label."""
        self._charge()
        self._stack.append(label)

    def leave(self) -> None:
        """From now on charge the label before."""
        self._charge()
        self._stack.pop()

    def turn(self) -> dict[str, float]:
        """What was charged since the last turn."""
        self._charge()
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken

    def rename(self, label: str) -> None:
        """Charge another label where the present one was meant."""
        self._charge()
        self._stack[-1] = label

    def watch(self, owner: Any, name: str, label: str) -> None:  # noqa: ANN401  class or module
        """Charge the calls of a function of a class or module to a label."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def charged(*args: object, **kwargs: object) -> Any:  # noqa: ANN401
            self.enter(label)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        setattr(owner, name, charged)

    def watch_imports(self) -> None:
        """Charge the first import of each package to `import <package>`.

        What a package imports of itself counts to the import that is under way, so that a late
        `import torch._dynamo` is told apart from `import torch`.
        """
        plain = builtins.__import__

        def charged(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            level = kwargs.get("level", args[3] if len(args) > 3 else 0)
            if level or name in sys.modules:
                return plain(name, *args, **kwargs)
            label = f"import {name}"
            package = label.partition(".")[0]
            if self._stack[-1].partition(".")[0] == package:
                label = self._stack[-1]
            elif package.removeprefix("import ") not in sys.modules:
                label = package
            self.enter(label)
            try:
                return plain(name, *args, **kwargs)
            finally:
                self.leave()

        builtins.__import__ = charged
