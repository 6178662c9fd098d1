"""Processes that work in turns: what is compared meets the same machine at the same time.

A process is started with what it is to do and with the overrides of its configuration. It builds
everything, warms up, and waits. Each turn it is asked for so many environment steps, takes them,
tells its figures and waits again; a process that waits costs nothing.

    bare      mj_step on the configured threads
    moved     the same in a call for each physics step, as controls that move within a step need
    learn     rollouts and updates; "learn, WITHOUT": with something of SB3's own in place of ours
    train     `train` with all that surrounds them: records, checks, guard, checkpoints, evaluations
    stock     Stable-Baselines3's own PPO, VecNormalize and SubprocVecEnv
    profile   as learn, with the seconds of each function
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reach_rl.config.schema import Config

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 30.0
"""Time that a process has to end (s)."""

Figures = dict[str, Any]
Turn = Callable[[int], Figures]
"""Takes at least so many environment steps; returns `steps`, `seconds` and more."""


class Worker:
    """The other end of a process."""

    def __init__(self, kind: str, overrides: Sequence[str], root: Path = ROOT) -> None:
        """Start it, with the code of a checkout; it is built meanwhile."""
        self.name = " ".join([kind, *overrides])
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(root / "benchmarks" / "turns.py"), kind, *overrides],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def ready(self) -> None:
        """Wait until it is built."""
        self._answer()

    def take(self, steps: int) -> Figures:
        """One turn."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end, with its folders and processes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _answer(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"{self.name}: it died\n{self._log.read()[-4000:]}")
        return json.loads(line)


def in_turns(
    cases: Mapping[str, tuple[str, Sequence[str], int]],
    repeats: int,
    say: Callable[[str], None],
    roots: Mapping[str, Path] | None = None,
) -> dict[str, list[Figures]]:
    """Let processes work in turns, after one turn each that does not count.

    Args:
        cases: name -> what to do, overrides, environment steps of a turn.
        repeats: turns that count.
        say: told of progress.
        roots: name -> the checkout whose code does it, where it is not this one.

    Returns:
        Name -> the figures of each turn.
    """
    found: dict[str, list[Figures]] = {name: [] for name in cases}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, (kind, overrides, _) in cases.items():
            workers[name] = Worker(kind, overrides, (roots or {}).get(name, ROOT))
            stack.callback(workers[name].close)
        for worker in workers.values():
            worker.ready()
        for turn in range(repeats + 1):
            for name, (_, _, steps) in cases.items():
                figures = workers[name].take(steps)
                rate = figures["steps"] / figures["seconds"]
                say(f"{turn or 'warm':>5}  {name:<28}{rate:>10,.0f} steps/s")
                if turn:
                    found[name].append(figures | {"steps_per_second": rate})
    return found


# ---- inside the process


def main() -> None:
    """Build what the command line says and answer turns until the input ends."""
    kind, *overrides = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed does not disturb the answers
    from reach_rl.config.load import compose

    config: Config = compose(overrides)
    BUILDERS[kind](config, Channel(out))


class Channel:
    """Where turns are asked for and answered."""

    def __init__(self, out: Any) -> None:  # noqa: ANN401  a text stream
        self._out = out
        self._asked: float | None = None

    def tell(self, figures: Figures) -> None:
        """Answer; `seconds` is the time since the turn was asked for, if figures lack it."""
        seconds = 0.0 if self._asked is None else time.perf_counter() - self._asked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = {"seconds": seconds, "peak_mib": peak} | figures
        self._out.write(json.dumps(told) + "\n")
        self._out.flush()

    def asked(self) -> int | None:
        """Steps of the next turn; None at the end."""
        line = sys.stdin.readline()
        self._asked = time.perf_counter()
        return int(line) if line else None

    def serve(self, turn: Turn) -> None:
        """Say that all is ready, and answer turns until the end."""
        self.tell({})
        while (steps := self.asked()) is not None:
            self.tell(turn(steps))


def bare(config: "Config", channel: Channel, *, at_once: bool = True) -> None:
    """mj_step alone."""
    from reach_rl.training.throughput import BarePhysics

    physics = BarePhysics(config, at_once=at_once)

    def turn(steps: int) -> Figures:
        begin, seconds = physics.steps, physics.seconds
        while physics.steps - begin < steps:
            physics.move()
        return {"steps": physics.steps - begin, "seconds": physics.seconds - seconds}

    channel.serve(turn)


def one_core(learning: Any) -> None:  # noqa: ANN401  a Learning
    """Update both networks on one core."""
    learning.model.side_by_side = False


def sb3_update(learning: Any) -> None:  # noqa: ANN401
    """Recorded operations and automatic differentiation, as SB3 updates."""
    from stable_baselines3 import PPO

    learning.model.train = lambda: PPO.train(learning.model)


def sb3_collecting(learning: Any) -> None:  # noqa: ANN401
    """A value for each step, and a call for each time-out, as SB3 collects."""
    from stable_baselines3 import PPO

    model = learning.model
    model.collect_rollouts = lambda *args: PPO.collect_rollouts(model, *args)


def sb3_normaliser(learning: Any) -> None:  # noqa: ANN401
    """SB3's own VecNormalize, which Normalize is but for the arithmetic."""
    from stable_baselines3.common.vec_env import VecNormalize

    learning.env.__class__ = VecNormalize


def sb3_everything(learning: Any) -> None:  # noqa: ANN401
    """As ppo.fast=false, and SB3's normaliser."""
    learning.model.fast = False
    sb3_normaliser(learning)


def learn(
    config: "Config", channel: Channel, change: Callable[[Any], None] = lambda learning: None
) -> None:
    """Rollouts and updates, and the share of their parts."""
    from reach_rl.training.throughput import Learning

    learning = Learning(config)
    change(learning)

    def turn(steps: int) -> Figures:
        begin, before = learning.steps, dict(learning.seconds)
        while learning.steps - begin < steps:
            learning.iterate()
        parts = {name: s - before[name] for name, s in learning.seconds.items()}
        return {"steps": learning.steps - begin, "seconds": sum(parts.values()), "split": parts}

    channel.serve(turn)


def profile(config: "Config", channel: Channel) -> None:
    """Rollouts and updates, and the seconds of each function."""
    from ledger import Ledger
    from performance_watch import watch_learning

    from reach_rl.training.throughput import Learning

    ledger = Ledger("collecting, the rest")
    watch_learning(ledger)
    learning = Learning(config)

    def turn(steps: int) -> Figures:
        begin = learning.steps
        ledger.turn()
        while learning.steps - begin < steps:
            learning.iterate()
        parts = ledger.turn()
        return {"steps": learning.steps - begin, "seconds": sum(parts.values()), "parts": parts}

    channel.serve(turn)


def train(config: "Config", channel: Channel) -> None:
    """The whole loop of a run: it pauses after a rollout and its update, where a turn is over."""
    from reach_rl.training.stopping import listening

    with listening() as stop, _run(config) as (run, record):
        channel.tell({})
        left = channel.asked() or 0
        begin = 0

        def tick() -> None:
            nonlocal left, begin
            done = run.model.num_timesteps - begin
            if done < left:
                return
            channel.tell({"steps": done})
            begin = run.model.num_timesteps
            asked = channel.asked()
            left = asked or 0
            if asked is None:
                stop.pruned = "measured"

        run.learn(record, stop, tick)


@contextmanager
def _run(config: "Config") -> Iterator[tuple[Any, Any]]:
    """A run and its record, as a session makes them, in a folder that goes."""
    from reach_rl.monitoring.record import Opening, open_record
    from reach_rl.monitoring.terminal import TeeConsole
    from reach_rl.rundir.atomic import Disk
    from reach_rl.rundir.folder import RunFolder
    from reach_rl.training.loop import TrainingLoop

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = RunFolder(folder, Disk(print))
        run = TrainingLoop(config, folder, TeeConsole(file=sys.stderr, quiet=True), home)
        try:
            with open_record(Opening(folder, config, say=print)) as record:
                yield run, record
        finally:
            run.close()
            home.lock.release()


def stock(config: "Config", channel: Channel) -> None:
    """Stable-Baselines3 as it comes, one process per environment."""
    import multiprocessing

    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

    from reach_rl.envs.gym_env import ReachEnv
    from reach_rl.envs.pool import goal_pool
    from reach_rl.learning.policy import policy_kwargs
    from reach_rl.robots import load_robot

    if config.torch_threads:  # 0: as torch has it
        torch.set_num_threads(config.torch_threads)
    goals = goal_pool(config, load_robot(config.robot, config.task.physics_step))
    multiprocessing.set_forkserver_preload([ReachEnv.__module__])
    numbers = range(config.vec_env.n_envs)
    makers: Any = [partial(ReachEnv, config, seed=i, goals=goals) for i in numbers]
    env = VecNormalize(SubprocVecEnv(makers), gamma=config.ppo.gamma)
    names = ("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda")
    names += ("clip_range", "ent_coef", "vf_coef", "max_grad_norm")
    arguments = {name: getattr(config.ppo, name) for name in names}
    arguments["policy_kwargs"] = policy_kwargs(config.ppo.policy_kwargs)
    model = PPO("MlpPolicy", env, device="cpu", seed=config.seed, **arguments)

    def turn(steps: int) -> Figures:
        begin = model.num_timesteps
        model.learn(steps, reset_num_timesteps=model.num_timesteps == 0)
        return {"steps": model.num_timesteps - begin}

    channel.serve(turn)
    env.close()


BUILDERS: dict[str, Callable[["Config", Channel], None]] = {
    "bare": bare,
    "moved": partial(bare, at_once=False),
    "learn": learn,
    **{
        f"learn, {change.__name__}": partial(learn, change=change)
        for change in (one_core, sb3_update, sb3_collecting, sb3_normaliser, sb3_everything)
    },
    "profile": profile,
    "train": train,
    "stock": stock,
}

if __name__ == "__main__":
    main()
