"""One console that speaks to the terminal and to train.log, and that never stops a run."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, NewLine
from rich.control import Control

from reach_rl.config.redact import redact
from reach_rl.rundir.disk import Appender

LOG_WIDTH = 100


class TeeConsole(Console):
    """A rich console whose prints also go, as plain text without credentials, to a log.

    A closed terminal silences that half and nothing else; what a full disk refuses of the log is
    written later.
    """

    def __init__(self, log: Appender | None = None, **options: Any) -> None:  # noqa: ANN401
        """Speak to the terminal, or as `options` of rich's Console say, and to `log`."""
        super().__init__(highlight=False, **options)
        self._log = log

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401
        """As rich's print; the log gets the same without styles."""
        with self._survive():
            super().print(*objects, **options)
        # Control codes and lone line ends are how a live display moves about on the terminal.
        if not objects or not all(isinstance(item, (Control, NewLine)) for item in objects):
            self.note(*objects, **options)

    def note(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401
        """Print to the log only."""
        if self._log is None:
            return
        text = io.StringIO()
        plain = Console(file=text, width=LOG_WIDTH, color_system=None, highlight=False)
        plain.print(*objects, **options)
        self._log.append([redact(text.getvalue()).encode()])

    def close(self) -> None:
        """Close the log; the terminal half stays usable."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def on_broken_pipe(self) -> None:
        """Fall silent instead of ending the process, which is rich's answer."""
        self.quiet = True

    @contextlib.contextmanager
    def _survive(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.quiet = True


def open_console(log_path: Path | None = None, **options: Any) -> TeeConsole:  # noqa: ANN401
    """A console on the terminal and, appending, on the log file.

    Args:
        log_path: such as train.log; None for the terminal alone.
        options: of rich's Console.

    Raises:
        OSError: if the log cannot be opened.
    """
    return TeeConsole(Appender(log_path) if log_path else None, **options)
