"""What the job that runs now was called with; set by the front door around every job."""

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

OVERRIDES: ContextVar[Sequence[str] | None] = ContextVar("overrides", default=None)
"""The overrides of this job alone, also where it is one of a multirun."""

CONFIG_DIR: ContextVar[Path | None] = ContextVar("config_dir", default=None)
"""The user's folder of groups (--config-dir), so that a job can compose its options too."""
