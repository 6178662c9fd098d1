"""Runs small enough to be trained within a test."""

from tests.small_runs import small

__all__ = ["small"]
