"""Makes the checkpoint that every later version must read: python -m tests.rundir.make_corpus.

To be run once for each format, when a release first writes it; what it makes is never made anew.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from reach_rl.config.load import compose
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import FORMAT
from reach_rl.training.session import train
from reach_rl.training.snapshot import policy_of

CORPUS = Path(__file__).parent / "corpus"
TINY = (
    "experiment=notes",
    "vec_env=batch",
    "vec_env.n_envs=2",
    "vec_env.threads=1",
    "ppo.n_steps=64",
    "ppo.batch_size=64",
    "ppo.n_epochs=1",
    "ppo.policy_kwargs.net_arch.pi=[4]",
    "ppo.policy_kwargs.net_arch.vf=[4]",
    "task.region.pool=16",
    "task.episode_steps=40",
    "task.hold_time=0.02",
    "task.randomization.servo_gain=[0.8,1.2]",
    "task.randomization.payload=[0,1]",
    "task.randomization.action_delay=[0,2]",
    "evaluation.goals=2",
    "evaluation.periodic_goals=2",
    "evaluation.every=256",
    "evaluation.also=[]",
    "checkpoint.every=256",
    "total_timesteps=256",
    "wandb=disabled",
    "picture=false",
    "progress=false",
)


def main() -> None:
    """Train, and keep the checkpoint with what its policy answers."""
    target = CORPUS / f"format_{FORMAT}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(compose(TINY), folder)
        saved = checkpoint.resolve(folder / "checkpoints", "latest")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(saved, target / saved.name)
        policy = policy_of(checkpoint.read(target / saved.name))
    seen = np.linspace(-2, 2, 3 * len(policy.mean)).reshape(3, -1).astype(np.float32)
    np.savetxt(target / "answers.csv", policy(seen), fmt="%.7f", delimiter=",")
    print(f"{target}: {sum(p.stat().st_size for p in target.rglob('*') if p.is_file()):,} bytes")


if __name__ == "__main__":
    main()
