"""Typed configuration, its checks, its explanation, and the provenance of a run."""
