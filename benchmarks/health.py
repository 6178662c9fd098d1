"""What the diagnosis says of runs that are sick on purpose, and of healthy ones.

python benchmarks/health.py                     runs what is missing, one after another
python benchmarks/health.py --only "gamma 0.5"  makes one anew
python benchmarks/health.py --seed 100 --keep DIR   on other seeds, with their records kept in DIR
python benchmarks/health.py --replay --keep DIR     diagnoses kept records again, without training
python benchmarks/health.py --pack --keep DIR       packs kept records as the histories of the tests

Writes benchmarks/health.json after each run and the table benchmarks/health.md; with --keep both
go to DIR. The runs and the names that count as right are in benchmarks/health_cases.py.
"""

import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from health_cases import CASES, HEALTHY, SICK, Case  # noqa: E402

SETTINGS = (
    "wandb=disabled",
    "picture=false",
    "progress=false",
    "checkpoint.every=0",
    "evaluation.every=100000",
    "evaluation.goals=100",
    "evaluation.also=[]",
)
"""What all runs share: evaluations for the record, no pictures."""
HISTORIES = "tests/monitoring/histories.json.gz"
LOOKED_AT = (
    "train/approx_kl",
    "train/clip_fraction",
    "train/grad_norm",
    "train/std",
    "train/value_loss",
    "train/value_std",
    "train/return_std",
    "train/explained_variance",
    "train/learning_rate",
    "train/n_updates",
    "rollout/ep_",
    "rollout/success_rate",
    "rollout/position_error_mm",
    "rollout/orientation_error_deg",
    "rollout/action_saturation",
    "reward/",
    "observation/",
    "curriculum/",
    "normalizer/seen",
    "health/physics_resets",
    "eval/success_rate",
    "eval/position_error_mm_median",
    "eval/orientation_error_deg_median",
    "eval/final_joint_speed_rad_s_median",
)
"""Beginnings of the metrics that are packed; times belong to the machine of that day."""


def main() -> None:
    """Make the runs that are asked for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="names of runs, separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="seed of every run")
    parser.add_argument("--keep", type=Path, help="folder for records and table")
    parser.add_argument("--replay", action="store_true", help="diagnose kept records, train none")
    parser.add_argument("--pack", action="store_true", help="write the histories of the tests")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="further overrides of every run")
    args = parser.parse_args()
    if args.child:
        train(CASES[args.child], args.overrides)
    if args.pack:
        return pack(args.keep)
    out = args.keep or HERE
    out.mkdir(parents=True, exist_ok=True)
    store = out / "health.json"
    results = json.loads(store.read_text()) if store.is_file() else {}
    wanted = args.only.split(",") if args.only else list(CASES)
    for name in wanted:
        if name in results and not (args.only or args.replay):
            continue
        found = replayed(name, args) if args.replay else one(CASES[name], args)
        if found is None:
            continue
        results[name] = found
        print(f"{name}: {', '.join(w['check'] for w in found['warnings']) or 'silent'}", flush=True)
        store.write_text(json.dumps(results, indent=1) + "\n")
        (out / "health.md").write_text(table(results))
    print((out / "health.md").read_text())


def train(case: Case, overrides: list[str]) -> None:
    """One run in this process, after its hook; exits."""
    if case.hook is not None:
        case.hook()
    from reach_rl.cli import main as command

    command(["train", *overrides])


def one(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Train a case in a process of its own; what its records warn of."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, __file__, "--child", case.name, *SETTINGS]
        command += [*case.overrides, f"total_timesteps={case.steps}", f"seed={args.seed}"]
        command += [f"run_dir={run}", *args.overrides]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
        if done.returncode not in (0, 3):
            sys.exit(f"{case.name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        if args.keep:
            kept = args.keep / _slug(case.name)
            kept.mkdir(exist_ok=True)
            for name in ("metrics.jsonl", "config.yaml", "summary.json", "train.log"):
                if (run / name).exists():
                    shutil.copy(run / name, kept / name)
        return judged(run, args.seed, done.returncode)


def replayed(name: str, args: argparse.Namespace) -> dict[str, Any] | None:
    """What kept records say now."""
    from reach_rl.config.load import load_run
    from reach_rl.monitoring.health.diagnosis import Diagnosis

    run = args.keep / _slug(name)
    if not (run / "metrics.jsonl").exists():
        return None
    config = load_run(run)
    before, doctor = judged(run, config.seed, 0), Diagnosis(config)
    before["warnings"] = [
        {"check": f.check.name, "step": f.step, "text": f.text}
        for record in _records(run)
        for f in doctor.feed(record["global_step"], record)
    ]
    return before


def _records(run: Path) -> list[dict[str, Any]]:
    from reach_rl.monitoring.record import read_records

    return [r for r in read_records(run / "metrics.jsonl") if "health/alert" not in r]


def pack(keep: Path) -> None:
    """Columns that checks look at, four digits each, of all kept runs in one file."""
    packed = {}
    for case in CASES.values():
        records = _records(keep / _slug(case.name))
        records = [r for r in records if "train/n_updates" in r]
        names = {name for r in records for name in r if name.startswith(LOOKED_AT)}
        names = sorted(name for name in names if not name.endswith("_p95"))
        columns = {name: [_short(r.get(name)) for r in records] for name in names}
        packed[case.name] = {
            "overrides": [*SETTINGS, *case.overrides, f"total_timesteps={case.steps}"],
            "accepted": sorted(case.accepted),
            "steps": [r["global_step"] for r in records],
            "columns": columns,
        }
    text = json.dumps(packed, separators=(",", ":")).encode()
    (HERE.parent / HISTORIES).write_bytes(gzip.compress(text, 9, mtime=0))


def _short(value: Any) -> float | None:  # noqa: ANN401
    return float(f"{value:.4g}") if isinstance(value, int | float) else None


def judged(run: Path, seed: int, code: int) -> dict[str, Any]:
    """Warnings and outcome of a finished run."""
    from reach_rl.monitoring.record import read_records

    records = list(read_records(run / "metrics.jsonl"))
    summary = run / "summary.json"
    evaluation = json.loads(summary.read_text())["evaluation"] if summary.exists() else {}
    return {
        "seed": seed,
        "exit_code": code,
        "steps": records[-1]["global_step"] if records else 0,
        "success_rate": evaluation.get("success_rate"),
        "warnings": [
            {
                "check": r["health/check"],
                "step": r["global_step"],
                "text": r["health/alert_text"],
            }
            for r in records
            if "health/check" in r
        ],
    }


def right(case: Case, found: dict[str, Any]) -> bool:
    """Whether a sick run was named, or a healthy one left alone."""
    names = {warning["check"] for warning in found["warnings"]}
    return bool(names & case.accepted) if case.sick else not names


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: sick runs, healthy runs, and the count of both."""
    lines = []
    for title, cases in (("Sick on purpose", SICK), ("Healthy", HEALTHY)):
        made = [case for case in cases if case.name in results]
        hits = sum(right(case, results[case.name]) for case in made)
        what = "named correctly" if title != "Healthy" else "without a warning"
        lines += [f"## {title}: {hits} of {len(made)} {what}", ""]
        lines += [
            "| run | what it is | success | warnings (at step) | right |",
            "|---|---|---|---|---|",
        ]
        lines += [row(case, results[case.name]) for case in made]
        lines.append("")
    seeds = ", ".join(str(s) for s in sorted({r["seed"] for r in results.values()}))
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    lines.append(f"`python benchmarks/health.py`; {machine}; seed {seeds}.")
    return "\n".join(lines) + "\n"


def row(case: Case, found: dict[str, Any]) -> str:
    """One run; the names that count as right are bold."""
    names = [
        (f"**{w['check']}**" if w["check"] in case.accepted else w["check"]) + f" ({w['step']:,})"
        for w in found["warnings"]
    ]
    rate = found["success_rate"]
    success = "-" if rate is None else f"{100 * rate:.0f} %"
    verdict = "yes" if right(case, found) else "no"
    return f"| {case.name} | {case.story} | {success} | {', '.join(names) or '-'} | {verdict} |"


def _slug(name: str) -> str:
    return name.replace(" ", "_").replace("(", "").replace(")", "")


if __name__ == "__main__":
    main()
