"""The parts of benchmarks/performance.py: what each runs, and the figures it comes to."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import startup
from performance_watch import PHYSICS, TASK
from sweeping import python_path
from turns import Figures, in_turns

HERE = Path(__file__).parent
QUIET = ("wandb=disabled", "progress=false")
NOTES = ("ppo=notes", "vec_env.n_envs=512", "ppo.n_steps=64")
"""The notes' hyperparameters (8 epochs, minibatches of 8192) on their 32,768 samples a rollout."""
PROFILED = ("vec_env.n_envs=256", "vec_env.rollout_steps=24")
"""The task is compared with the physics at 256 environments."""
STOCK = ("vec_env=subproc", "vec_env.n_envs=16", "torch_threads=0")
"""Sixteen workers, and as many threads of the networks as torch takes by itself."""
TINY = (
    *("task.region.pool=64", "vec_env.threads=1", "evaluation.goals=4", "evaluation.also=[]"),
    *("evaluation.periodic_goals=4", "picture=false"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    repeats: int = 5
    long_repeats: int = 1
    toy: bool = False

    def steps(self, full: int) -> int:
        """Environment steps of a turn."""
        return full // 100 if self.toy else full

    def run_steps(self, full: int) -> int:
        """Environment steps of a run."""
        return min(full, 40_000) if self.toy else full

    def words(self, *overrides: str) -> tuple[str, ...]:
        """The overrides of a configuration."""
        small = tuple(word for word in TINY if self.toy)
        return (*QUIET, *small, *overrides)


def throughput(scale: Scale) -> Figures:
    """Training with all that surrounds it, beside mj_step alone on the same threads."""
    turn = scale.steps(252_000)
    long = f"total_timesteps={(scale.repeats + 3) * max(turn, 40_000)}"
    cases = {
        "bare": ("bare", scale.words(), 2 * turn),
        "moved": ("moved", scale.words(), 2 * turn),
        "default": ("train", scale.words(long, "evaluation.every=0"), turn),
        "default, judged as it goes": ("train", scale.words(long), turn),
        "fast": ("train", scale.words("experiment=fast", long), turn),
        "notes": ("train", scale.words(*NOTES, long, "evaluation.every=0"), turn),
    }
    found = in_turns(cases, scale.repeats, say)
    rows = {name: _row(found[name], found["bare"]) for name in cases}
    return {"cases": rows, "overrides": {name: list(case[1]) for name, case in cases.items()}}


def _row(turns: list[Figures], beside: list[Figures]) -> Figures:
    """Medians of steps/s, of the ratio to what ran beside it, turn by turn, and of memory."""
    rates = [t["steps_per_second"] for t in turns]
    pairs = zip(rates, beside, strict=True)
    ratios = [rate / other["steps_per_second"] for rate, other in pairs]
    return {
        "steps_per_second": statistics.median(rates),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "peak_mib": max(t["peak_mib"] for t in turns),
    }


def stock(scale: Scale) -> Figures:
    """Ours beside Stable-Baselines3's PPO with one process per environment."""
    turn = scale.steps(98_304)
    long = f"total_timesteps={(scale.repeats + 3) * max(turn, 40_000)}"
    small = ("vec_env.n_envs=2", "vec_env.rollout_steps=64") if scale.toy else ()
    few = ("ppo.batch_size=64",) if scale.toy else ()
    notes = ("ppo=notes", *((*small, "ppo.n_steps=64", *few) if scale.toy else ()))
    cases = {
        "ours, default": ("train", scale.words(long, "evaluation.every=0"), turn),
        "stock, default": ("stock", scale.words(*STOCK, *small, *few), 1),
        "stock, one torch thread": (
            "stock",
            scale.words(*STOCK, *small, *few, "torch_threads=1"),
            1,
        ),
        "ours, notes": ("train", scale.words(*NOTES, long, "evaluation.every=0"), turn),
        "stock, notes": ("stock", scale.words(*STOCK, *notes), 1),
    }
    found = in_turns(cases, scale.repeats, say)
    rows = {}
    for ours, theirs in (
        ("default", "default"),
        ("default", "one torch thread"),
        ("notes", "notes"),
    ):
        one, other = found[f"ours, {ours}"], found[f"stock, {theirs}"]
        rows[theirs] = {
            "ours": statistics.median(t["steps_per_second"] for t in one),
            "stock": statistics.median(t["steps_per_second"] for t in other),
            "ratio": _row(one, other)["ratio"],
        }
    return {"cases": rows}


FAST = {
    "all of ours": "learn",
    "both networks updated on one core": "learn, one_core",
    "SB3's update: recorded operations, Adam over a list": "learn, sb3_update",
    "SB3's collecting: a value a step, a call a time-out": "learn, sb3_collecting",
    "SB3's normaliser": "learn, sb3_normaliser",
    "SB3's everything: ppo.fast=false": "learn, sb3_everything",
}


def fast(scale: Scale) -> Figures:
    """What each part of the lean path earns: the same with SB3's own in its place."""
    turn = scale.steps(49_152)
    cases = {name: (kind, scale.words(), turn) for name, kind in FAST.items()}
    found = in_turns(cases, scale.repeats, say)
    ours = found["all of ours"]
    rows = {}
    for name, turns in found.items():
        names = turns[0]["split"]
        rows[name] = _row(turns, ours) | {
            "microseconds": {
                n: statistics.median(1e6 * t["split"][n] / t["steps"] for t in turns) for n in names
            }
        }
    return {"cases": rows}


def profile(scale: Scale) -> Figures:
    """The seconds of each function while a default run learns."""
    found = in_turns(
        {"profile": ("profile", scale.words(*PROFILED), scale.steps(98_304))}, scale.repeats, say
    )
    return shares(found["profile"])


def shares(turns: list[Figures]) -> Figures:
    """Median microseconds per environment step by function, and task over physics."""
    names = dict.fromkeys(name for turn in turns for name in turn["parts"])
    micro = {
        name: statistics.median(1e6 * t["parts"].get(name, 0.0) / t["steps"] for t in turns)
        for name in names
    }
    task = [sum(t["parts"].get(name, 0.0) for name in TASK.values()) for t in turns]
    ratios = [s / t["parts"][PHYSICS] for s, t in zip(task, turns, strict=True)]
    return {"microseconds": micro, "task_of_physics": statistics.median(ratios)}


def notes(scale: Scale) -> Figures:
    """The notes' budgets: whole runs, each in a process of its own, and their peak memory."""
    few, many = scale.run_steps(500_000), scale.run_steps(10_000_000)
    quick = (f"total_timesteps={few}",)
    found: dict[str, list[Figures]] = {}
    cases = {"500K, default": quick, "500K, notes' hyperparameters": (*NOTES, *quick)}
    for repeat in range(scale.repeats):
        for name, words in cases.items():
            _keep(found, name, repeat, run(scale.words(*words)))
    for repeat in range(scale.long_repeats):
        words = scale.words(f"total_timesteps={many}")
        _keep(found, "10M, default", repeat, run(words))
    return {name: _medians(runs) | {"runs": len(runs)} for name, runs in found.items()}


def memory(scale: Scale) -> Figures:
    """Peak memory of the default command, shorter: learning, judging and drawing."""
    words = scale.words(f"total_timesteps={scale.run_steps(150_000)}")
    found: dict[str, list[Figures]] = {}
    for repeat in range(scale.repeats):
        _keep(found, "default", repeat, run(words))
    return {name: _medians(runs) | {"runs": len(runs)} for name, runs in found.items()}


def _keep(found: dict[str, list[Figures]], name: str, repeat: int, figures: Figures) -> None:
    found.setdefault(name, []).append(figures)
    say(
        f"{repeat + 1:>5}  {name:<30} training {figures['training_s']:6.1f} s, process "
        f"{figures['process_s']:6.1f} s, {figures['peak_mib']:5.0f} MiB"
    )


def _medians(runs: list[Figures]) -> Figures:
    return {key: statistics.median(r[key] for r in runs) for key in runs[0]}


def run(overrides: Sequence[str]) -> Figures:
    """One `train` in a process of its own: seconds of training and in all, and peak memory."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as log:
        folder = Path(name) / "run"
        begin = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "reach_rl.train", f"run_dir={folder}", *overrides],
            cwd=name,
            stdout=log,
            stderr=log,
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            sys.exit(log.read()[-4000:])
        summary = json.loads((folder / "summary.json").read_text())
    return {
        "training_s": summary["wall_time_s"],
        "steps_per_second": summary["steps_per_second"],
        "process_s": seconds,
        "peak_mib": usage.ru_maxrss / 1024,
        "success_rate": summary["evaluation"]["success_rate"],
    }


def scaling(scale: Scale) -> Figures:
    """Steps/s and peak memory along four axes, all in turns; 24 processes, about 8 GiB."""
    steps = scale.steps(24_576)
    cases: dict[str, tuple[str, Sequence[str], int]] = {}
    for axis, values in axes(scale.toy).items():
        for value, words in values.items():
            cases[f"{axis}={value}"] = ("learn", scale.words(*words), steps)
            if axis in ("threads", "substeps"):
                cases[f"bare {axis}={value}"] = ("bare", scale.words(*words), steps)
    found = in_turns(cases, scale.repeats, say)
    table: Figures = {}
    for name, turns in found.items():
        axis, _, value = name.partition("=")
        table.setdefault(axis, {})[value] = {
            "steps_per_second": statistics.median(t["steps_per_second"] for t in turns),
            "peak_mib": max(t["peak_mib"] for t in turns),
        }
    return table


def axes(toy: bool = False) -> dict[str, dict[int, tuple[str, ...]]]:
    """Axis -> value -> overrides; a rollout holds 6,144 samples, or 6 steps if that is more."""
    n_envs = (16, 32) if toy else (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
    widths = (32, 64) if toy else (32, 64, 128, 256, 512)
    return {
        "n_envs": {
            n: (f"vec_env.n_envs={n}", f"vec_env.rollout_steps={max(6, 6144 // n)}") for n in n_envs
        },
        "threads": {n: (f"vec_env.threads={n}",) for n in (1, 2)},
        "substeps": {n: (f"task.substeps={n}",) for n in ((2, 4) if toy else (1, 2, 4, 8))},
        "width": {
            n: (
                f"ppo.policy_kwargs.net_arch.pi=[{n},{n}]",
                f"ppo.policy_kwargs.net_arch.vf=[{n},{n}]",
            )
            for n in widths
        },
    }


def start(scale: Scale) -> Figures:
    """From the start of a process to its first environment step, and how long commands take."""
    words = scale.words()
    first_step(words)  # fills the caches of files and bytecode
    found = [first_step(words) for _ in range(scale.repeats)]
    names = dict.fromkeys(name for one in found for name in one["parts"])
    parts = {n: statistics.median(one["parts"].get(n, 0.0) for one in found) for n in names}
    commands = {}
    for name, (arguments, code) in startup.CASES.items() if not scale.toy else ():
        took = [startup.seconds(arguments, code) for _ in range(scale.repeats)]
        commands[name] = {"median_s": statistics.median(took), "slowest_s": max(took)}
        say(f"{name:<30}{commands[name]['median_s']:6.2f} s")
    return {
        "seconds": statistics.median(one["seconds"] for one in found),
        "slowest_s": max(one["seconds"] for one in found),
        "parts": dict(sorted(parts.items(), key=lambda item: -item[1])),
        "commands": commands,
    }


def first_step(overrides: Sequence[str]) -> Figures:
    """One start of `train` up to its first environment step."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "start.json"
        words = [str(HERE / "performance_watch.py"), str(out), str(time.monotonic())]
        words += [f"run_dir={name}/run", *overrides]
        done = subprocess.run(
            [sys.executable, *words], cwd=name, capture_output=True, text=True, check=False
        )
        if not out.is_file():
            sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
        figures = json.loads(out.read_text())
    say(f"first step after {figures['seconds']:.2f} s")
    return figures


def clean_environment() -> None:
    """Have child processes find the checkout, and libraries choose their own threads."""
    python_path()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.pop(name, None)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


PARTS: dict[str, Callable[[Scale], Figures]] = {
    "throughput": throughput,
    "stock": stock,
    "fast": fast,
    "notes": notes,
    "scaling": scaling,
    "startup": start,
    "memory": memory,
    "profile": profile,
}
"""In the order of the page."""
