"""A folder of a run: who works in it, what made it, its checkpoints, and a disk that refuses."""
