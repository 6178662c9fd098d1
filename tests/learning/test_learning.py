"""Training makes the arm better at its task."""

import numpy as np

from reach_rl.envs.pool import VALIDATION, goal_pool
from reach_rl.evaluation.protocol import evaluate
from reach_rl.monitoring.record import Record
from reach_rl.monitoring.terminal import TeeConsole
from reach_rl.rundir.atomic import Disk
from reach_rl.rundir.folder import RunFolder
from reach_rl.training.loop import TrainingLoop
from reach_rl.training.stopping import StopRequest

GOALS = 64


def test_a_short_training_cuts_the_error(small, tmp_path):
    config = small(
        "vec_env.n_envs=64",
        "vec_env.threads=0",
        "ppo.n_steps=24",
        "ppo.batch_size=256",
        "ppo.n_epochs=4",
        "ppo.learning_rate=2e-3",
        "ppo.policy_kwargs.net_arch.pi=[64,64]",
        "ppo.policy_kwargs.net_arch.vf=[64,64]",
        "total_timesteps=60000",
        "task.region.pool=2048",
        "task.position_threshold=0.1",
        "task.orientation_threshold=0.6",
    )
    home = RunFolder(tmp_path, Disk(print))
    run = TrainingLoop(config, tmp_path, TeeConsole(quiet=True), home)
    goals = goal_pool(config, run.robot, run.threads, count=GOALS, seed=7, stream=VALIDATION)

    def judged():
        run.model.policy.set_training_mode(False)
        return evaluate(
            run.policy(), config, goals, threads=run.threads, robot=run.robot, physics_records=False
        )

    before = judged()
    run.learn(Record([]), StopRequest())
    after = judged()
    run.close()
    home.lock.release()
    assert after.success.mean() > before.success.mean() + 0.4
    assert np.median(after.position_error) < 0.5 * np.median(before.position_error)
    assert np.median(after.orientation_error) < 0.5 * np.median(before.orientation_error)
