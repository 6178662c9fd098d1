"""PPO, the run itself, checkpoints."""
