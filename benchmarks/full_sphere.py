"""Goals all around: inverse kinematics, and a policy beside it: python benchmarks/full_sphere.py.

Judges two kinds of inverse kinematics on 1000 held-out goals of task=full_sphere, from the task's
starts, through the same servos and limits: damped least squares (the yardstick of `evaluate`), and
straight in the joints to the nearest angles by closed form. --run DIR judges the policy of a run on
the same goals and starts. Writes benchmarks/full_sphere.json and the table
benchmarks/full_sphere.md. Neither depends on how fast the machine is.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SEED = 9
"""Goals of this seed were not looked at when settings were chosen."""
Figures = dict[str, Any]


def main() -> None:
    """Judge and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a finished run, to judge its policy")
    parser.add_argument("--robot", default="ur5e", help="the arm, without --run")
    parser.add_argument("--goals", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED, help="seed of goals and starts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the files written")
    args = parser.parse_args()
    found = judged(args)
    (args.out / "full_sphere.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    (args.out / "full_sphere.md").write_text(table(found))
    print((args.out / "full_sphere.md").read_text())


def judged(args: argparse.Namespace) -> Figures:
    """Who -> figures on the same goals, and under which conditions."""
    from reach_rl.config.load import compose
    from reach_rl.evaluation.drivers import JointSpeeds, driven, ik
    from reach_rl.evaluation.protocol import evaluate, held_out_goals
    from reach_rl.robots import load_robot
    from reach_rl.training.snapshot import load

    task = compose([f"robot={args.robot}", "task=full_sphere"]).task
    subject = load(args.run).on(task, None) if args.run else None
    config = subject.config if subject else compose([f"robot={args.robot}", "task=full_sphere"])
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, args.goals, args.seed, args.threads)
    # the yardstick finds the pose in the tool's own frame; a policy's key points are its own
    common = {"threads": args.threads, "robot": robot, "seed": args.seed}
    found: Figures = {}

    class StraightInTheJoints(JointSpeeds):
        """All joints together to the goal's nearest angles, at 4 times the distance a second."""

        def __call__(self, observation: np.ndarray) -> np.ndarray:
            return self.drive(4.0 * observation)

    there, driver = ik(replace(config, task=task), robot)
    found["dls"] = evaluate(driver, there, goals, **common).summary()
    there = driven(replace(config, task=task), "joint_error")
    straight = StraightInTheJoints(there, robot)
    found["straight"] = evaluate(straight, there, goals, **common).summary()
    if subject:
        result = evaluate(subject.policy, config, goals, **common)
        found["policy"] = result.summary(subject.folder.name)
    for figures in found.values():
        figures.pop("worst")
    return found


def table(found: Figures) -> str:
    """Markdown: a row for each part of the workspace, a column for each who."""
    words = {
        "dls": "damped least squares",
        "straight": "closed form, straight in the joints",
        "policy": "policy",
    }
    who = [name for name in words if name in found]
    first = found[who[0]]
    lines = [
        "| | " + " | ".join(words[name] for name in who) + " |",
        "|---" * (len(who) + 1) + "|",
        _row("goals reached and held", [_success(found[name]) for name in who]),
    ]
    for part in first["regions"]:
        regions = [found[name]["regions"][part] for name in who]
        lines.append(_row(f"{part} ({regions[0]['goals']:,} goals)", map(_success, regions)))
    for title, key, unit in (
        ("position error", "position_error_mm", "mm"),
        ("orientation error", "orientation_error_deg", "deg"),
        ("time to success", "time_to_success_s", "s"),
    ):
        lines.append(_row(title, [_pair(found[name][key], unit) for name in who]))
    for title, key in (
        ("episodes that touch the arm itself", "self_collision_rate"),
        ("episodes that touch the table", "table_collision_rate"),
        ("top joint speed, of limit", "max_joint_speed_of_limit"),
        ("steps above a speed limit", "share_above_speed_limit"),
        ("steps outside a joint range", "share_outside_joint_range"),
        ("steps at a torque limit", "share_at_torque_limit"),
    ):
        lines.append(_row(title, [f"{found[name][key]:.2%}" for name in who]))
    lines += [
        "",
        f"`python benchmarks/full_sphere.py`; {first['robot']}, {first['goals']:,} held-out goals "
        f"of `{first['region']}`, seed {first['seed']}, the same starts for all; errors and times: "
        f"median / 95th percentile, errors with failures.",
    ]
    return "\n".join(lines) + "\n"


def _row(title: str, cells: Any) -> str:  # noqa: ANN401
    return "| " + " | ".join((title, *cells)) + " |"


def _success(figures: Figures) -> str:
    low, high = figures["success_ci95"]
    return f"{figures['success_rate']:.1%} ({low:.1%} to {high:.1%})"


def _pair(pair: dict[str, float | None], unit: str) -> str:
    if pair["median"] is None:
        return "-"
    return f"{pair['median']:.2g} / {pair['p95']:.2g} {unit}"


if __name__ == "__main__":
    main()
