"""Success of the default command for every arm and three seeds: python benchmarks/front.py.

--robots ur5e,ur20 and --seeds 0,1 pick some; --jobs 2 runs two side by side.
Each run is that of `make train ARGS="robot=... seed=..."`. Writes benchmarks/front.json, which
keeps what it holds of other arms and seeds, and the table benchmarks/front.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROBOTS = ("ur3e", "ur5e", "ur7e", "ur10e", "ur12e", "ur15", "ur16e", "ur20", "ur30")


def main() -> None:
    """Run what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--robots", default=",".join(ROBOTS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("overrides", nargs="*", help="further overrides of the command")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    args = parser.parse_args()
    store = HERE / "front.json"
    results = json.loads(store.read_text()) if store.is_file() else {}
    wanted = [(r, s) for s in args.seeds.split(",") for r in args.robots.split(",")]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(one, robot, seed, args): (robot, seed) for robot, seed in wanted}
        for job in as_completed(jobs):
            results["/".join(jobs[job])] = job.result()
            store.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            (HERE / "front.md").write_text(table(results))
    print((HERE / "front.md").read_text())


def one(robot: str, seed: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm with one seed; its figures."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "reach_rl.train", f"robot={robot}", f"seed={seed}"]
        command += [f"run_dir={run}", "wandb=disabled", "picture=false", *args.overrides]
        if args.jobs > 1:  # the same figures: they do not depend on the number of threads
            command.append("vec_env.threads=1")
        print(" ".join(command[1:]), flush=True)
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
        summary = json.loads((run / "summary.json").read_text())
    for figure in ("wall_time_s", "steps_per_second") if args.jobs > 1 else ():
        summary.pop(figure)  # runs side by side slow each other down
    for evaluation in (summary["evaluation"], *summary["also"].values()):
        evaluation.pop("worst", None)
        evaluation.pop("regions", None)
    return summary


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row per arm, the worst seed where it says so."""
    lines = [
        "| arm | seeds | success, worst seed | median / p95 error | rest, median | top speed "
        "| self / table contact | near, worst seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for robot in ROBOTS:
        runs = [r for key, r in results.items() if key.split("/")[0] == robot]
        if runs:
            lines.append(row(robot, runs))
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    lines += ["", f"`python benchmarks/front.py`; {machine}; 1000 held-out goals a run, seed 7."]
    return "\n".join(lines) + "\n"


def row(robot: str, runs: list[dict[str, Any]]) -> str:
    """One arm; errors, speeds, contacts and times are those of its worst seed."""
    front = [run["evaluation"] for run in runs]
    near = [run["also"]["near"]["success_rate"] for run in runs if "near" in run["also"]]

    def worst(name: str, part: str | None = None) -> float:
        return max(e[name] if part is None else e[name][part] for e in front)

    cells = [
        robot,
        str(len(runs)),
        f"{100 * min(e['success_rate'] for e in front):.1f} %",
        f"{worst('position_error_mm', 'median'):.1f} / {worst('position_error_mm', 'p95'):.1f} mm, "
        f"{worst('orientation_error_deg', 'median'):.2f} / "
        f"{worst('orientation_error_deg', 'p95'):.2f} deg",
        f"{worst('final_joint_speed_rad_s', 'median'):.4f} rad/s",
        f"{100 * worst('max_joint_speed_of_limit'):.0f} % of limit",
        f"{100 * worst('self_collision_rate'):.1f} / {100 * worst('table_collision_rate'):.1f} %",
        f"{100 * min(near):.1f} %" if near else "",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
