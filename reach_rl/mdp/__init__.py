"""The reaching task as pure functions of arrays: one row per environment."""
