"""Steps per second of the faces of one batch: SB3's, and Gymnasium's with each autoreset mode.

python benchmarks/gym_faces.py [n_envs] [seconds]     (512 and 4; half a minute)
"""

import sys
import time
from collections.abc import Callable

import gymnasium
import numpy as np

import reach_rl


def stepper(env: object, actions: np.ndarray) -> Callable[[], object]:
    """A function that steps an environment once with the next of some actions (k, n, j)."""
    env.reset()  # type: ignore[attr-defined]
    order = iter(range(10**9))
    return lambda: env.step(actions[next(order) % len(actions)])  # type: ignore[attr-defined]


def rate(step: Callable[[], object], seconds: float) -> float:
    """Calls per second."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - begin)


def main(n_envs: int = 512, seconds: float = 4.0, turns: int = 8) -> dict[str, float]:
    """Measure in turns, print, and return how each compares with make_vec_env."""
    config = reach_rl.compose(["vec_env.stagger=false"], own_learner=True)
    faces: dict[str, object] = {"make_vec_env": reach_rl.make_vec_env(config, n_envs)}
    for mode in ("NextStep", "SameStep"):
        faces[f"make_vec, {mode}"] = gymnasium.make_vec(
            "ReachRL/UR5e-v0", n_envs, config=config, autoreset_mode=mode
        )
    actions = np.random.default_rng(0).uniform(-1, 1, (64, n_envs, 6)).astype(np.float32)
    steppers = {name: stepper(env, actions) for name, env in faces.items()}
    rates = np.array(
        [[rate(step, seconds / turns) for step in steppers.values()] for _ in range(turns + 1)]
    )[1:]
    ratios = np.median(rates / rates[:, :1], axis=0)
    for name, each, ratio in zip(steppers, n_envs * np.median(rates, axis=0), ratios, strict=True):
        print(f"{name:<20} {each:>9,.0f} steps/s   {ratio:.3f} of make_vec_env")
    return dict(zip(steppers, ratios.tolist(), strict=True))


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["512"])[0]), float((sys.argv[2:] or ["4"])[0]))
