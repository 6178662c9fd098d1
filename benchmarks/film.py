"""Film a trained arm going from goal to goal: python benchmarks/film.py RUN OUT.gif [GOALS]."""

import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from reach_rl.config.load import load_run
from reach_rl.config.schema import GoalChange
from reach_rl.envs.batch import ReachBatch
from reach_rl.robots import display_spec
from reach_rl.robots.display import Offscreen
from reach_rl.rundir import checkpoint
from reach_rl.training.snapshot import policy_of

SECONDS_PER_GOAL = 2.0
FRAMES_PER_SECOND = 25


def main() -> None:
    """Drive the best policy of a run through goals and write what the camera sees."""
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    goals = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    config = load_run(run)
    period = round(SECONDS_PER_GOAL / config.task.control_period)
    task = replace(
        config.task,
        goal_change=GoalChange.TIMER,
        goal_period=period,
        episode_steps=goals * period + 1,
        start_noise=0.0,
    )
    config = replace(config, task=task, seed=config.seed + 1_000_000)
    batch = ReachBatch(config, 1)
    policy = policy_of(checkpoint.read(checkpoint.resolve(run / "checkpoints", "best")))
    camera = Offscreen(display_spec(config.robot).compile(), (480, 400))
    every = round(1.0 / (FRAMES_PER_SECOND * config.task.control_period))
    frames = []
    observation = batch.reset()
    for step in range(goals * period):
        if step % every == 0:
            goal = (batch.state.goal_position[0], batch.state.goal_quaternion[0])
            pixels = camera.picture(batch.batch.bind("qpos")[0], goal)
            frames.append(Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE))
        observation = batch.step(policy(observation)).observation
    camera.close()
    frames[0].save(
        out, save_all=True, append_images=frames[1:], duration=1000 // FRAMES_PER_SECOND, loop=0
    )
    print(f"{out}: {len(frames)} frames, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
