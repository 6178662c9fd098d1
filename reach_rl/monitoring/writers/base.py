"""What every writer can be told. The base class is the writer that does nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Values = Mapping[str, float | int | str | None]
"""Metric name -> value; None where there is no finite number."""


class Writer:
    """A writer that records nothing. `step` is always the count of environment steps."""

    name = "nothing"

    def write(self, step: int, values: Values) -> None:
        """Record values."""

    def alert(self, step: int, title: str, text: str) -> None:
        """Draw attention to something, beside the record of it that `write` gets."""

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str]) -> None:
        """Keep a checkpoint folder, under aliases such as best and latest."""

    def video(self, step: int, name: str, path: Path) -> None:
        """Keep a video of evaluation episodes."""

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the final evaluations, by label, as a table."""

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on exactly here, as plain JSON values."""
        return {}

    def sync(self) -> None:
        """Make what was recorded durable. Raises OSError."""

    def close(self, exit_code: int) -> None:
        """Finish; nothing is written afterwards."""
