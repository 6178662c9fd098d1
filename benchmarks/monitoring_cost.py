"""What all monitoring together costs of training time.

    python benchmarks/monitoring_cost.py [--what video] [--repeats 6] [--out FILE.json] [KEY=VALUE]

Pairs of equal runs, each in a process of its own, in the order on off, off on, ...:

on    metrics.jsonl, TensorBoard, W&B offline, its service included, every figure, the health
      checks, the records of the periodic evaluations, checkpoints to W&B
off   none of these: no writer, no figure is computed, nothing is checked

Both take the same steps with the same seed, and judge and save at the same steps, since the best
checkpoint is chosen by that. With --what video both are monitored, and "on" also films every new
best and every quarter of the run. Measured is the learning from a third of the run on, when W&B has
started, to the last checkpoint: by the clock and, where other programs run too, by the process's
own processor time (which counts W&B's thread, not its service). How long the record takes to close
afterwards is told beside it. Four minutes on two quiet cores.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reach_rl.evaluation.statistics import mean_interval


def main() -> None:
    """Measure pairs and print the ratio with its interval; or, as a child, do one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=6, help="pairs of runs")
    parser.add_argument("--steps", type=int, default=600_000, help="environment steps of a run")
    parser.add_argument("--what", choices=("monitoring", "video"), default="monitoring")
    parser.add_argument("--out", type=Path, help="file for the figures")
    parser.add_argument("--one", choices=("on", "off"), help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="of the configuration")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one == "on", args.what, args.steps, args.overrides)))
        return
    pairs = []
    for k in range(args.repeats):
        order = ("on", "off") if k % 2 == 0 else ("off", "on")
        pair = {which: child(which, args.what, args.steps, args.overrides) for which in order}
        pairs.append(pair)
        print(
            f"{k + 1:>3}  on {pair['on']['learn_s']:.2f} s, off {pair['off']['learn_s']:.2f} s: "
            f"{pair['on']['learn_s'] / pair['off']['learn_s'] - 1:+.2%}",
            flush=True,
        )
    about = {"what": args.what, "steps": args.steps, "overrides": args.overrides}
    result = about | figures(pairs) | {"pairs": pairs}
    for name, what in (("cost", "training time"), ("processor_cost", "its processor time")):
        low, high = result[f"{name}_ci95"]
        print(f"{args.what} costs {result[name]:+.2%} of {what} ({low:+.2%} to {high:+.2%})")
    print(f"{len(pairs)} pairs; closing the record takes {result['close_s']:.1f} s")
    if args.out is not None:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


def child(which: str, what: str, steps: int, overrides: list[str]) -> dict[str, float]:
    """One run in a process of its own."""
    words = [sys.executable, __file__, "--one", which, "--what", what, "--steps", str(steps)]
    words += overrides
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(on: bool, what: str, steps: int, overrides: list[str]) -> dict[str, float]:
    """Learn once; seconds of learning and of closing the record."""
    import os

    from reach_rl.config.load import compose
    from reach_rl.monitoring.record import Opening, Record, open_record
    from reach_rl.monitoring.terminal import TeeConsole
    from reach_rl.rundir.atomic import Disk
    from reach_rl.rundir.folder import RunFolder
    from reach_rl.training.loop import TrainingLoop
    from reach_rl.training.stopping import listening

    with tempfile.TemporaryDirectory() as name, listening() as stop:
        folder = Path(name)
        os.environ.update({"WANDB_DATA_DIR": name, "WANDB_CACHE_DIR": name})
        filmed = on and what == "video"
        watched = on or what == "video"
        config = compose(
            [
                f"total_timesteps={steps}",
                "progress=false",
                f"wandb={'offline' if watched else 'disabled'}",
                f"health.enabled={str(watched).lower()}",
                f"video={str(filmed).lower()}",
                f"video_every={max(1, steps // 4)}",
                *overrides,
            ]
        )
        console = TeeConsole(file=sys.stderr, quiet=True)
        run = TrainingLoop(config, folder, console, RunFolder(folder, Disk(print)))
        if not watched:
            without_figures()
        record = open_record(Opening(folder, config, say=lambda _: None)) if watched else Record([])
        begun: list[float] = []

        def tick() -> None:
            if not begun and 3 * run.model.num_timesteps >= steps:
                begun.extend((time.perf_counter(), time.process_time()))

        run.learn(record, stop, tick)
        learned, busy = time.perf_counter(), time.process_time()
        record.close(0)
        closed = time.perf_counter()
        run.close()
    return {
        "learn_s": learned - begun[0],
        "learn_cpu_s": busy - begun[1],
        "close_s": closed - learned,
    }


def without_figures() -> None:
    """Leave out the figures that are computed for the records alone."""
    from reach_rl.mdp.curriculum import Curriculum
    from reach_rl.training import loop as run
    from reach_rl.training.divergence import DivergenceWatch
    from reach_rl.training.rollout_metrics import Window

    def nothing(*_: object) -> dict[str, Any]:
        return {}

    run.learner_metrics = nothing
    for owner in (Window, Curriculum, DivergenceWatch):
        owner.metrics = nothing  # type: ignore[method-assign]


def figures(pairs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """By wall clock and by processor: the mean ratio on / off less 1, with its interval."""
    found: dict[str, Any] = {"close_s": statistics.median(pair["on"]["close_s"] for pair in pairs)}
    for name, seconds in (("cost", "learn_s"), ("processor_cost", "learn_cpu_s")):
        logs = [math.log(pair["on"][seconds] / pair["off"][seconds]) for pair in pairs]
        mean, *ends = map(math.expm1, mean_interval(logs))
        found |= {name: mean, f"{name}_ci95": ends}
    return found


if __name__ == "__main__":
    main()
