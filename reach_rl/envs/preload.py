"""Imported by the server that workers are forked from: they find the task's loops loaded."""

import reach_rl.envs.gym_env  # noqa: F401
from reach_rl.mdp.compiled import load_all

load_all()
