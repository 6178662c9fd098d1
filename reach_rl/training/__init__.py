"""A training run from start to end: its loop, what is judged on the way, how it stops."""
