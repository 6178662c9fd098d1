"""Searches with Optuna: studies that survive, are shared, pruned, and told about."""
