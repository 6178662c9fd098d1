"""benchmarks/performance.json as a page of tables, and the plot of how cost grows."""

from pathlib import Path
from typing import Any

from performance_watch import OTHERS, PHYSICS, TASK

Figures = dict[str, Any]
AXES = {
    "n_envs": "environments",
    "threads": "physics threads",
    "substeps": "physics steps per environment step",
    "width": "width of both hidden layers",
}
GOALS = {
    "throughput": "at least 50 % with the default settings and 45 % with the notes'",
    "stock": "at least 10 times",
    "notes": "500K steps in 20 s, 10M in 6 minutes, on two cores",
    "startup": "below 6 s",
    "memory": "below 1 GiB",
    "profile": "below a quarter",
}


def page(found: Figures) -> str:
    """Markdown: a section for each part that was measured."""
    head = [
        "# Speed, measured",
        "",
        "Written by `python benchmarks/performance.py`; do not edit. What the figures mean is in",
        "[docs/performance.md](../docs/performance.md).",
        "",
    ]
    if not found:
        return "\n".join([*head, "Nothing is measured yet."]) + "\n"
    lines = head
    for name, section in SECTIONS.items():
        if name in found:
            lines += [*section(found[name]), "", _about(found[name]["about"]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _about(about: Figures) -> str:
    host, load = about["machine"], about["load_before"]
    toy = " **A toy: these figures mean nothing.**" if about["toy"] else ""
    versions = ", ".join(
        f"{name} {about['packages'].get(name, '?')}"
        for name in ("mujoco", "torch", "stable-baselines3", "numpy")
    )
    return (
        f"`{about['command']}`; medians of {about['repeats']}; {host['cpu']}, "
        f"{host['usable_cores']} usable cores, Python {host['python']}, {versions}; "
        f"load before {load[0]:.1f}; {about['took_s']:.0f} s; {about['time'][:10]}.{toy}"
    )


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _throughput(part: Figures) -> list[str]:
    rows = []
    for name, row in part["cases"].items():
        low, high = row["ratio_range"]
        spread = "" if name == "bare" else f"{row['ratio']:.1%} ({low:.1%} to {high:.1%})"
        rate = f"{row['steps_per_second']:,.0f}"
        rows.append([CASES[name], rate, spread, f"{row['peak_mib']:.0f} MiB"])
    heads = ["", "environment steps/s", "of bare mj_step, turn by turn", "peak memory"]
    goal = f"Wanted: {GOALS['throughput']}."
    return ["## Training beside bare physics", "", goal, "", *_table(heads, rows)]


CASES = {
    "bare": "`mj_step` alone on the same threads, same model and substeps",
    "moved": "the same, a call for each physics step, as controls that move need",
    "default": "training, default settings",
    "default, judged as it goes": "the same, with the periodic evaluations",
    "fast": "training, the preset `fast`",
    "notes": "training, the notes' hyperparameters (8 epochs, minibatches of 8192)",
}


def _stock(part: Figures) -> list[str]:
    names = {
        "default": "default settings",
        "one torch thread": "the same, one thread for stock's networks",
        "notes": "the notes' hyperparameters",
    }
    rows = [
        [names[case], f"{row['ours']:,.0f}", f"{row['stock']:,.0f}", f"{row['ratio']:.1f}"]
        for case, row in part["cases"].items()
    ]
    heads = ["", "ours, steps/s", "stock, steps/s", "ours / stock"]
    title = "## Beside stock SB3 PPO in sixteen processes"
    return [title, "", f"Wanted: {GOALS['stock']}.", "", *_table(heads, rows)]


def _fast(part: Figures) -> list[str]:
    rows = []
    for name, row in part["cases"].items():
        parts = [f"{us:.2f}" for us in row["microseconds"].values()]
        rows.append([name, f"{row['steps_per_second']:,.0f}", f"{row['ratio']:.1%}", *parts])
    heads = ["with", "steps/s", "of ours, turn by turn", "physics", "task", "policy", "update"]
    return [
        "## What each part of the lean path earns",
        "",
        "Microseconds per environment step on the right; the normaliser counts as task.",
        "",
        *_table(heads, rows),
    ]


def _runs(title: str, name: str, part: Figures) -> list[str]:
    rows = [
        [
            case,
            f"{row['runs']:.0f}",
            f"{row['training_s']:.1f} s",
            f"{row['process_s']:.1f} s",
            f"{row['steps_per_second']:,.0f}",
            f"{row['peak_mib']:.0f} MiB",
            f"{row['success_rate']:.1%}",
        ]
        for case, row in part.items()
        if case != "about"
    ]
    heads = ["run", "runs", "training", "process", "steps/s", "peak memory", "success"]
    return [title, "", f"Wanted: {GOALS[name]}.", "", *_table(heads, rows)]


def _notes(part: Figures) -> list[str]:
    return _runs("## The notes' budgets", "notes", part)


def _memory(part: Figures) -> list[str]:
    return _runs("## Memory of the default command, 150,000 steps", "memory", part)


def _scaling(part: Figures) -> list[str]:
    lines = ["## As work grows", "", "![Steps/s and memory](../docs/images/scaling.png)"]
    for axis, title in AXES.items():
        bare = part.get(f"bare {axis}", {})
        heads = [title, "steps/s", "peak memory", *(["bare mj_step"] if bare else [])]
        rows = []
        for value, row in part[axis].items():
            cells = [value, f"{row['steps_per_second']:,.0f}", f"{row['peak_mib']:.0f} MiB"]
            rows.append(cells + ([f"{bare[value]['steps_per_second']:,.0f}"] if bare else []))
        lines += ["", *_table(heads, rows)]
    return lines


def _startup(part: Figures) -> list[str]:
    parts: dict[str, float] = part["parts"]
    shown = {k: v for k, v in parts.items() if v >= 0.01 * part["seconds"]}
    rest = sum(parts.values()) - sum(shown.values())
    rows = [[name, f"{s:.2f} s"] for name, s in {**shown, "everything else": rest}.items()]
    lines = [
        "## From the start of the process to the first environment step",
        "",
        f"{part['seconds']:.2f} s (slowest {part['slowest_s']:.2f} s). Wanted: {GOALS['startup']}.",
        "",
        *_table(["what", "median"], rows),
    ]
    if part["commands"]:
        rows = [
            [name, f"{row['median_s']:.2f} s", f"{row['slowest_s']:.2f} s"]
            for name, row in part["commands"].items()
        ]
        lines += ["", *_table(["whole commands", "median", "slowest"], rows)]
    return lines


def _profile(part: Figures) -> list[str]:
    micro: dict[str, float] = part["microseconds"]
    whole, physics = sum(micro.values()), micro[PHYSICS]
    task = {name: micro[name] for name in TASK.values() if name in micro}

    def row(name: str, us: float) -> list[str]:
        return [name, f"{us:.2f}", f"{us / physics:.1%}", f"{us / whole:.1%}"]

    rows = [row(PHYSICS, physics)]
    rows += [row(name, us) for name, us in sorted(task.items(), key=lambda item: -item[1])]
    rows.append(row("**the task**", sum(task.values())))
    rows += [row(name, micro[name]) for name in OTHERS if name in micro]
    rows.append(row("**everything**", whole))
    heads = ["", "us per environment step", "of physics", "of everything"]
    return [
        "## What the task costs beside physics",
        "",
        f"Task / physics: {part['task_of_physics']:.1%}. Wanted: {GOALS['profile']}.",
        "",
        *_table(heads, rows),
    ]


SECTIONS = {
    "throughput": _throughput,
    "stock": _stock,
    "fast": _fast,
    "notes": _notes,
    "scaling": _scaling,
    "startup": _startup,
    "memory": _memory,
    "profile": _profile,
}


def draw(part: Figures, path: Path) -> None:
    """Steps/s and peak memory along each axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(AXES), figsize=(12, 5), sharex="col", sharey="row")
    for column, (axis, title) in enumerate(AXES.items()):
        rows = part[axis]
        x = [int(value) for value in rows]
        top, bottom = axes[0][column], axes[1][column]
        bare = part.get(f"bare {axis}")
        top.plot(x, [r["steps_per_second"] / 1000 for r in rows.values()], "o-", label="training")
        if bare:
            y = [r["steps_per_second"] / 1000 for r in bare.values()]
            top.plot(x, y, "s--", color="0.5", label="bare mj_step")
            top.legend(frameon=False)
        bottom.plot(x, [r["peak_mib"] for r in rows.values()], "o-")
        bottom.set_xscale("log", base=2)
        bottom.set_xticks(x, [f"{v:,}" for v in x], rotation=45 if len(x) > 6 else 0)
        bottom.minorticks_off()
        bottom.set_xlabel(title)
        for panel in (top, bottom):
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("thousand steps/s")
    axes[1][0].set_ylabel("peak memory (MiB)")
    axes[0][0].set_ylim(bottom=0)
    axes[1][0].set_ylim(bottom=0)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
