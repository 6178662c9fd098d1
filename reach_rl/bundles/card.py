"""The model card of a bundle, in Markdown, and what the Hugging Face hub wants beside it."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reach_rl.rundir import atomic

Tree = Mapping[str, Any]


def card(contract: Tree) -> str:
    """The card of a bundle.

    Args:
        contract: of contract.json.
    """
    robot, task, control = contract["robot"], contract["task"], contract["control"]
    parts = [
        f"# {title(contract)}",
        f"A policy that brings the tool of a {robot['name']} to a full pose, position and "
        f"orientation, and holds it there. It was trained in simulation (MuJoCo) with PPO by "
        f"reach_rl {contract['reach_rl']}, for {_count(contract['policy']['trained_steps'])} "
        f"control steps, on goals of the region `{task['region']}`.",
        f"`policy.onnx` (opset {contract['policy']['opset']}) holds everything from joint state "
        f"and goal pose to joint targets: kinematics, observation, normalisation, network and the "
        f"meaning of its action. It is called {control['rate_hz']:g} times a second.",
        "## In and out",
        _ports(contract),
        f"Joints, in this order: {', '.join(f'`{name}`' for name in robot['joints'])}. "
        f"Every array is of 64-bit numbers, with n calls side by side in front.",
        *(f"Frame `{name}`: {text}" for name, text in contract["frames"].items()),
        _state(contract["state"]),
        "## Results",
        _results(contract),
        f"Against the policy that was trained, joint targets differ by at most "
        f"{contract['proof']['largest_difference_rad']:.1g} rad over "
        f"{contract['proof']['observations']:,} recorded observations. `golden.npz` holds inputs "
        f"and outputs to check an own runtime by.",
        "## Use",
        USE,
        "## Limits",
        "\n".join(f"- {line}" for line in limits(contract)),
    ]
    return "\n\n".join(parts) + "\n"


def title(contract: Tree) -> str:
    """Its headline."""
    return f"{contract['robot']['name']} reaches poses of {contract['task']['region']}"


def front_matter(contract: Tree, name: str) -> str:
    """The YAML in front of a card on the Hugging Face hub.

    Args:
        contract: of contract.json.
        name: of the model.
    """
    results = contract.get("results")
    tree: dict[str, Any] = {
        "license": "apache-2.0",
        "library_name": "reach_rl",
        "pipeline_tag": "reinforcement-learning",
        "tags": [
            "reinforcement-learning",
            "robotics",
            "ppo",
            "mujoco",
            "onnx",
            "stable-baselines3",
            contract["robot"]["name"],
        ],
    }
    if results is not None:
        tree["model-index"] = [{"name": name, "results": [_index(contract, results)]}]
    return f"---\n{yaml.safe_dump(tree, sort_keys=False)}---\n\n"


def _index(contract: Tree, results: Tree) -> dict[str, Any]:
    metrics = [
        ("success_rate", "Success rate", results["success_rate"]),
        (
            "position_error_mm",
            "Position error, median (mm)",
            results["position_error_mm"]["median"],
        ),
        (
            "orientation_error_deg",
            "Orientation error, median (deg)",
            results["orientation_error_deg"]["median"],
        ),
    ]
    where = f"{contract['robot']['name']}/{results['region']}"
    return {
        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
        "dataset": {
            "name": f"{results['goals']} held-out goals of {where}, seed {results['seed']}",
            "type": f"reach_rl/{where}",
        },
        "metrics": [
            {"type": kind, "name": words, "value": round(value, 6)}
            for kind, words, value in metrics
            if value is not None
        ],
    }


WEIGHTS = ("policy.safetensors", "normalizer.safetensors")

HUB_FILES = frozenset({*WEIGHTS, "results.json", ".gitattributes"})
"""Beside the bundle's own files."""

ATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("onnx", "safetensors", "npz")
)


def complete_for_hub(
    folder: Path, weights: Path, contract: Tree, results: Tree | None, name: str
) -> None:
    """Add to a bundle what the Hugging Face hub shows and stores; nothing is sent anywhere.

    Args:
        folder: with the bundle in it.
        weights: folder of the checkpoint.
        contract: of contract.json.
        results: figures of the bundle, where it was judged.
        name: of the model on the hub.
    """
    for part in WEIGHTS:
        shutil.copyfile(weights / part, folder / part)
    atomic.write_atomic(folder / "results.json", atomic.json_text(dict(results or {})))
    atomic.write_atomic(folder / ".gitattributes", ATTRIBUTES)
    atomic.write_atomic(folder / "README.md", front_matter(contract, name) + card(contract))


def limits(contract: Tree) -> list[str]:
    """What it does not do, in sentences."""
    task = contract["task"]
    lags = dict.fromkeys(f"{lag:g}" for lag in contract["robot"]["servo_lag_s"])
    return [
        "It has only ever moved a simulated arm. Nobody has tried it on a real one.",
        f"It knows goals of `{task['region']}` and what lies between them and home. A goal outside "
        f"the reachable set is approached as far as it goes, with no warning.",
        "It sees no obstacles, people or tools. In simulation there were the arm, the table below "
        "it, and nothing else.",
        f"Its targets are for position servos that follow with a lag of "
        f"{', '.join(lags)} s; on others it moves differently "
        f"(`export servo_lag=`).",
        f"A goal counts as reached within {1e3 * task['position_m']:g} mm and "
        f"{math.degrees(task['orientation_rad']):.1f} deg for {task['hold_s']:g} s.",
        "The safety functions of the robot and its risk assessment are not replaced by anything "
        "here.",
    ]


USE = """```python
from reach_rl.deploy import Bundle, Controller, Goal

controller = Controller(Bundle("."), robot)  # robot: read() and write(), see docs/deploy.md
print(controller.run(Goal(position, quaternion), seconds=8.0))
```

`reach_rl.deploy` needs numpy and onnxruntime alone. `python -m reach_rl.evaluate bundle=DIR` judges
the folder in simulation."""


def _ports(contract: Tree) -> str:
    lines = ["| | name | shape | unit | frame | what |", "|---|---|---|---|---|---|"]
    for kind in ("inputs", "outputs"):
        for port in contract[kind]:
            shape = ", ".join(map(str, port["shape"]))
            lines.append(
                f"| {kind[:-1]} | `{port['name']}` | ({shape}) | {port['unit'] or '-'} "
                f"| {port['frame'] or '-'} | {port['meaning']} |"
            )
    return "\n".join(lines)


def _state(state: Mapping[str, str]) -> str:
    if not state:
        return "It remembers nothing from one call to the next."
    pairs = ", ".join(f"`{name}` takes `{source}`" for name, source in state.items())
    return f"It remembers nothing by itself: of the call before, {pairs}."


def _results(contract: Tree) -> str:
    results = contract.get("results")
    if results is None:
        return "Not judged (`goals=0`)."
    low, high = results["success_ci95"]
    rows = [
        ("success", f"{results['success_rate']:.1%} (95 % interval {low:.1%} to {high:.1%})"),
        ("position error", _pair(results["position_error_mm"], "mm")),
        ("orientation error", _pair(results["orientation_error_deg"], "deg")),
        ("time to success", _pair(results["time_to_success_s"], "s")),
        ("touched itself / the table", f"{results['self_collision_rate']:.1%} / "
         f"{results['table_collision_rate']:.1%} of the episodes"),
    ]  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"This bundle, run by onnxruntime on {results['goals']:,} held-out goals of "
        f"`{results['region']}` in simulation (seed {results['seed']}); median / 95th percentile:"
        f"\n\n| | |\n|---|---|\n{table}"
    )


def _pair(pair: Mapping[str, float | None], unit: str) -> str:
    return "-" if pair["median"] is None else f"{pair['median']:.3g} / {pair['p95']:.3g} {unit}"


def _count(steps: object) -> str:
    return f"{steps:,}" if isinstance(steps, int) else "an unknown number of"
