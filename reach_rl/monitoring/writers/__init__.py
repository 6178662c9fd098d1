"""Writers: where records go. Each mirrors the same stream; none can stop a run."""

from reach_rl.monitoring.writers.base import Values, Writer

__all__ = ["Values", "Writer"]
