"""What is watched where time is split: the functions of learning, and those of a start.

    python benchmarks/performance_watch.py OUT.json BEGIN [KEY=VALUE ...]

starts `train` with these overrides, ends at its first environment step, and writes the seconds
since BEGIN, a moment of time.monotonic(), by what they went to.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from ledger import Ledger

PHYSICS = "physics"
TASK = {
    "action": "actions to joint targets",
    "read": "reading the state",
    "errors": "errors to the goal",
    "success": "success and hold",
    "reward": "reward",
    "observation": "observation",
    "goals": "new goals",
    "reset": "resets",
    "guard": "physics guard",
    "statistics": "statistics of goals and episodes",
    "step": "the rest of a step",
}
"""What the task does in a step besides physics; together its cost."""
OTHERS = (
    "vectorised environment",
    "normaliser",
    "networks, collecting",
    "collecting, the rest",
    "advantages",
    "update",
)


def watch_learning(ledger: Ledger) -> None:
    """Have the functions of the task, of the environment's faces and of the learner charged."""
    from stable_baselines3.common.buffers import RolloutBuffer

    from reach_rl.envs.batch import ReachBatch
    from reach_rl.envs.episodes import Episodes
    from reach_rl.envs.guard import Guard
    from reach_rl.envs.vec_env import BatchVecEnv
    from reach_rl.learning.normalize import Normalize
    from reach_rl.learning.ppo import FastPPO, Networks
    from reach_rl.mdp import success
    from reach_rl.mdp.actions import Action
    from reach_rl.mdp.observations import Observation
    from reach_rl.mdp.rewards import Reward
    from reach_rl.mdp.state import State

    watched: list[tuple[Any, str, str]] = [
        (ReachBatch, "_advance", PHYSICS),
        (Action, "__call__", TASK["action"]),
        (ReachBatch, "_read", TASK["read"]),
        (State, "measure", TASK["errors"]),
        (success, "update", TASK["success"]),
        (Reward, "__call__", TASK["reward"]),
        (Observation, "__call__", TASK["observation"]),
        (ReachBatch, "_noise", TASK["observation"]),
        (ReachBatch, "_draw_goal", TASK["goals"]),
        (success, "ends", TASK["goals"]),
        (ReachBatch, "_begin_episode", TASK["reset"]),
        (ReachBatch, "step", TASK["step"]),
        *((Guard, name, TASK["guard"]) for name in ("note", "detect", "check_reward")),
        *(
            (Episodes, name, TASK["statistics"])
            for name in ("before", "add", "finish_goals", "finish_episodes")
        ),
        (BatchVecEnv, "step_wait", OTHERS[0]),
        (Normalize, "step_wait", OTHERS[1]),
        *((Networks, name, OTHERS[2]) for name in ("act", "values", "log_probs")),
        (RolloutBuffer, "compute_returns_and_advantage", OTHERS[4]),
        (FastPPO, "train", OTHERS[5]),
    ]
    for owner, name, label in watched:
        ledger.watch(owner, name, label)


def first_step(out: Path, begin: float, overrides: list[str]) -> None:
    """Start `train`; its end is that of this process."""
    ledger = Ledger("interpreter", begin)
    ledger.rename("the rest")
    ledger.watch_imports()
    from reach_rl.cli import front_door as app
    from reach_rl.cli import jobs
    from reach_rl.config import load
    from reach_rl.envs import pool
    from reach_rl.envs.batch import ReachBatch
    from reach_rl.learning import build
    from reach_rl.robots import model
    from reach_rl.training import session

    configuration = "configuration"
    watched: list[tuple[Any, str, str]] = [
        (load, "prove", configuration),
        (jobs, "new_folder", "the run's folder"),
        (model, "load_robot", "compiling the arm"),
        (pool, "goal_pool", "sampling goals"),
        (build, "make_model", "networks"),
        (session, "open_record", "opening the records"),
        (session, "write_run_files", "provenance"),
        (ReachBatch, "__init__", "environments"),
        (ReachBatch, "reset", "environments"),
    ]
    for owner, name, label in watched:
        ledger.watch(owner, name, label)
        _rename(getattr(owner, name), owner)
    stepped = ReachBatch.step

    def step(self: ReachBatch, *args: Any) -> Any:  # noqa: ANN401
        stepped(self, *args)
        parts = ledger.turn()
        out.write_text(json.dumps({"seconds": sum(parts.values()), "parts": parts}))
        os._exit(0)

    ReachBatch.step = step  # type: ignore[method-assign]
    from reach_rl.train import job

    raise SystemExit(app.front("train", job, overrides))


def _rename(charged: Any, owner: Any) -> None:  # noqa: ANN401
    """Have modules that took a function by name take the watched one."""
    plain = charged.__wrapped__
    for module in [m for name, m in sys.modules.items() if name.startswith("reach_rl")]:
        for name, value in list(vars(module).items()):
            if value is plain:
                setattr(module, name, charged)


if __name__ == "__main__":
    first_step(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
