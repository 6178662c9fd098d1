"""How soon a preset arrives, and how well it ends: python benchmarks/learning_speed.py.

--preset fast|precise|..., --robots, --seeds and --task pick the runs, one after the other, alone on
the machine; --jobs 2 runs two side by side and leaves out the times. Every run keeps a checkpoint
each --every steps. Afterwards each of them is judged on the same 1000 held-out goals, of a seed
that no setting was chosen on: the time to 99 % is that of the first checkpoint from which on all
are at 99 % or above. Times are those of training, with everything on that a user's run has; the
start of the process comes on top. Writes benchmarks/<preset>_<task>.json, which keeps what it holds
of other runs and takes none of them again, and the table beside it.
"""

import argparse
import json
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sweeping import HERE, keep, python_path, train

from reach_rl.envs.vec_env import threads_of
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.monitoring.record import STEP, read_records
from reach_rl.robots import load_robot
from reach_rl.training.snapshot import load

ROBOTS = "ur3e,ur5e,ur10e,ur16e,ur20"
GOALS, SEED = 1000, 11
LEVELS = (0.95, 0.99)


def main() -> None:
    """Train, judge and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--task", default="front")
    parser.add_argument("--robots", default=ROBOTS)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--every", type=int, default=50_000, help="steps between checkpoints")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("overrides", nargs="*", help="further overrides of the command")
    args = parser.parse_args()
    python_path()
    name = f"{args.preset}_{args.task}"
    store = HERE / f"{name}.json"
    runs = json.loads(store.read_text())["runs"] if store.is_file() else {}
    wanted = [(r, int(s)) for s in args.seeds.split(",") for r in args.robots.split(",")]
    wanted = [(r, s) for r, s in wanted if f"{r}/{s}" not in runs]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(one, robot, seed, args): (robot, seed) for robot, seed in wanted}
        for job in as_completed(jobs):
            robot, seed = jobs[job]
            runs[f"{robot}/{seed}"] = job.result()
            print(f"{robot}/{seed}", json.dumps(runs[f"{robot}/{seed}"]["curve"]), flush=True)
            command = f"python benchmarks/{Path(__file__).name} --preset {args.preset} "
            command += f"--task {args.task}"
            keep(name, {"goals": GOALS, "seed": SEED, "runs": runs}, table(runs), command)


def one(robot: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm with one seed and judge its checkpoints."""
    alone = args.jobs == 1
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        often = [f"checkpoint.every={args.every}", "checkpoint.keep_every=1"]
        often.append("evaluation.goals=10")  # at the end of training; it is judged below
        what = [f"experiment={args.preset}", f"task={args.task}", f"robot={robot}", f"seed={seed}"]
        threads = [] if alone else ["vec_env.threads=1"]  # the same figures
        train(*what, f"run_dir={run}", *often, *threads, *args.overrides)
        told = [r for r in read_records(run / "metrics.jsonl") if "time/time_elapsed" in r]
        folders = sorted((run / "checkpoints").glob("step_*"))
        if args.every == 0:
            folders = folders[-1:]
        curve = [judged(run, path.name, 0 if alone else 1) for path in folders]
    summary = curve[-1].pop("evaluation")
    for point in curve:
        point.pop("evaluation", None)
        if alone:
            before = [r["time/time_elapsed"] for r in told if r[STEP] <= point["steps"]]
            point["seconds"] = before[-1]
    return {"curve": curve, "evaluation": summary}


def judged(run: Path, name: str, threads: int) -> dict[str, Any]:
    """One checkpoint on the held-out goals."""
    subject = load(run, name)
    robot = load_robot(subject.config.robot, subject.config.task.physics_step)
    threads = threads_of(threads)
    goals = held_out_goals(subject.config, robot, GOALS, SEED, threads)
    result = evaluate(
        subject.policy, subject.config, goals, threads=threads, robot=robot, seed=SEED
    ).summary(name)
    steps = int(str(subject.saved.progress["num_timesteps"]))
    kept = {k: v for k, v in result.items() if k not in ("worst", "regions")}
    return {"steps": steps, "success": result["success_rate"], "evaluation": kept}


def crossing(curve: list[dict[str, Any]], level: float) -> dict[str, Any] | None:
    """The first point from which on the success stays at a level; None if there is none."""
    found = None
    for point in reversed(curve):
        if point["success"] < level:
            break
        found = point
    return found


def table(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Markdown: a row per arm, medians over seeds, and the worst seed where it says so."""
    lines = [
        "| arm | seeds | 95 % after | 99 % after, median / worst | end, worst seed "
        "| position, worst median / p95 | orientation, worst median / p95 "
        "| steps above a speed limit / at a torque limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for robot in dict.fromkeys(key.split("/")[0] for key in runs):
        lines.append(row(robot, [r for key, r in runs.items() if key.split("/")[0] == robot]))
    return lines


def row(robot: str, runs: list[dict[str, Any]]) -> str:
    """One arm."""
    ends = [run["evaluation"] for run in runs]

    def worst(name: str, part: str) -> float:
        return max(end[name][part] for end in ends)

    speed, torque = (
        max(end[name] for end in ends)
        for name in ("share_above_speed_limit", "share_at_torque_limit")
    )
    cells = [
        robot,
        str(len(runs)),
        after(runs, 0.95),
        f"{after(runs, 0.99)} / {after(runs, 0.99, max)}",
        f"{100 * min(end['success_rate'] for end in ends):.1f} %",
        f"{worst('position_error_mm', 'median'):.2f} / {worst('position_error_mm', 'p95'):.2f} mm",
        f"{worst('orientation_error_deg', 'median'):.2f} / "
        f"{worst('orientation_error_deg', 'p95'):.2f} deg",
        f"{100 * speed:.4g} / {100 * torque:.2g} %",
    ]
    return "| " + " | ".join(cells) + " |"


def after(runs: list[dict[str, Any]], level: float, of: Any = statistics.median) -> str:  # noqa: ANN401
    """Seconds, or steps where times were not taken, until a level is reached for good."""
    found = [crossing(run["curve"], level) for run in runs]
    points = [point for point in found if point is not None]
    if len(points) < len(found):
        missing = len(found) - len(points)
        if of is max or missing * 2 >= len(found):
            return f"not in {missing} of {len(found)}"
    seconds = [point.get("seconds") for point in points]
    if all(second is not None for second in seconds):
        return f"{of(seconds):.1f} s"
    return f"{of(point['steps'] for point in points) / 1000:.0f}k steps"


if __name__ == "__main__":
    sys.exit(main())
