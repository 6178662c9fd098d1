"""The page of a sweep: what its study found, in the figures of optuna.visualization."""

import re
import warnings
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.problems import ConfigError, command, override
from reach_rl.rundir.atomic import read_json
from reach_rl.sweeps import results
from reach_rl.viz.report import plotting as draw
from reach_rl.viz.report.rendering import render

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_SECTIONS = ("search", "importance", "settings", "slices", "pruning")
_OURS = re.compile(r"&lt;(br|extra|/extra)&gt;")
_OUTCOMES = {"complete": draw.faded(draw.BLUE, 0.5), "pruned": draw.faded(draw.ORANGE, 0.7)}


def open_study(folder: Path) -> "Study":
    """The study of a sweep's folder. Raises ConfigError where it cannot be read."""
    try:
        return results.find(folder)
    except ConfigError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__} {error}".split())
        raise ConfigError(f"path={folder}: the study cannot be read ({text[:160]})") from error


def sweep_page(study: "Study", folder: Path) -> str:
    """The page of a study.

    Args:
        study: what was searched, and how far.
        folder: of the sweep.
    """
    head, winner = results.header(study), read_json(folder / "winner.json")
    best, objectives = head["best"], head["objectives"]
    aim = " and ".join(f"{name} was {how}d" for name, how in objectives.items())
    settings = best["params"].items() if best else ()
    return render(
        "sweep.html",
        kicker="Sweep",
        title=str(head["study"]),
        state="running" if head["trials"].get("running") else "",
        folder=str(folder),
        head=head,
        said={key: _line(head.get(key)) for key in ("space", "overrides", "command")},
        counts=", ".join(f"{count} {state}" for state, count in head["trials"].items()),
        fresh=winner.get("fresh") if best and winner.get("trial") == best["number"] else None,
        aim=f"{aim}.".capitalize(),
        best=best,
        best_command=command("train", *(override(key, value) for key, value in settings)),
        objectives=list(objectives),
        keys=results.searched(study),
        trials=results.rows(study),
        figures={name: draw.figures(name, study) for name in _SECTIONS},
    )


def _line(value: object) -> str:
    """What a study says of itself on one line."""
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {text}" for name, text in value.items())
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")


def _targets(study: "Study") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each objective's name, and how Optuna's figures are told of it."""
    found = results.objectives(study)
    for index, objective in enumerate(found):
        of_many = {"target": lambda trial, index=index: trial.values[index]}
        yield objective.name, {"target_name": objective.name} | (of_many if found[1:] else {})


def _complete(study: "Study") -> "list[FrozenTrial]":
    return results.trials(study, "COMPLETE")


def _drawn(plot: "go.Figure", height: int, **layout: Any) -> dict[str, Any]:  # noqa: ANN401
    """One of Optuna's figures as the page shows it; texts of the study show as they are."""
    tree = _escaped(plot.to_plotly_json())
    usual = {"height": height, "hovermode": "closest", **layout}
    gone = ("template", "title", "plot_bgcolor")  # the page has its own
    tree["layout"] = {k: v for k, v in tree["layout"].items() if k not in gone} | usual
    return tree


def _escaped(tree: Any) -> Any:  # noqa: ANN401  what Plotly takes
    if isinstance(tree, str):
        plain = re.sub("^'(.*)'$", r"\1", tree)  # Optuna quotes the choices of a category
        return _OURS.sub(r"<\1>", escape(plain, quote=False))
    if isinstance(tree, dict):
        return {key: _escaped(value) for key, value in tree.items()}
    return [_escaped(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


@draw.figure("search", caption="The line should level off: more trials then bring little.")
def history(study: "Study") -> Iterator[draw.Figure]:
    """Values of the trials in order, and the best so far; a figure for each objective."""
    from optuna.visualization import plot_optimization_history

    for name, target in _targets(study) if _complete(study) else ():
        plot = _drawn(plot_optimization_history(study, **target), 320)
        alt = f"{name} of {len(_complete(study))} complete trials in order, and the best so far."
        yield draw.Figure(f"history {name}", plot, alt, f"History of {name}")


@draw.figure("search", "Front", wide=True)
def front(study: "Study") -> draw.Figure | None:
    """Of several objectives: the trials, and those that no other beats in everything."""
    from optuna.visualization import plot_pareto_front

    found = results.objectives(study)[:2]
    if len(found) < 2 or not _complete(study):
        return None
    names = [objective.name for objective in found]
    two = None if len(study.directions) == 2 else lambda trial: trial.values[:2]
    plot = _drawn(plot_pareto_front(study, target_names=names, targets=two), 380)
    words = [f"{o.name} should be {'large' if o.maximise else 'small'}" for o in found]
    return draw.Figure(
        "front",
        plot,
        f"{names[1]} over {names[0]} of all complete trials; {len(results.front(study))} form the "
        "front.",
        caption=f"The best trials are beaten by no other in everything; {' and '.join(words)}.",
    )


@draw.figure(
    "importance",
    caption="Share of each searched key in what sets the best trials apart (PED-ANOVA).",
)
def importance(study: "Study") -> Iterator[draw.Figure]:
    """What made the difference: a figure for each objective whose importances are known."""
    from optuna.visualization import plot_param_importances

    axes = {"xaxis": {"tickformat": ".0%"}, "yaxis": {}}
    for index, (name, shares) in enumerate(results.importance(study).items()):
        if len(shares) > 1:
            how = results.importance_arguments(study, index)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it looks at the smallest, which is meant
                found = plot_param_importances(study, target_name=name, **how)
            plot = _drawn(found, max(200, 60 + 32 * len(shares)), **axes)
            plot["data"][0] |= {"marker": {"color": draw.BLUE}, "texttemplate": "%{x:.0%}"}
            first, share = next(iter(shares.items()))
            alt = f"Importances of {len(shares)} keys for {name}; largest: {first}, {share:.0%}."
            yield draw.Figure(f"importance {name}", plot, alt, f"What mattered for {name}")


@draw.figure(
    "settings",
    caption="One line a complete trial, the stronger the better. Where strong lines meet is what "
    "matters.",
    wide=True,
)
def parallel(study: "Study") -> Iterator[draw.Figure]:
    """Parallel coordinates, a figure for each objective."""
    from optuna.visualization import plot_parallel_coordinate

    for name, target in _targets(study) if len(_complete(study)) > 1 else ():
        plot = _drawn(plot_parallel_coordinate(study, **target), 400)
        layout = plot["layout"]
        for note in layout["annotations"]:
            note["font"] = {"color": draw.INK, "size": 11}
        for shape in layout["shapes"]:
            shape["line"]["color"] = draw.MUTED
        layout["xaxis"] |= {"side": "top", "fixedrange": True}
        alt = f"Parallel coordinates of {len(_complete(study))} trials, by {name}."
        yield draw.Figure(f"parallel {name}", plot, alt, f"Parallel coordinates, by {name}")


@draw.figure("slices")
def slices(study: "Study") -> Iterator[draw.Figure]:
    """Every objective over every searched key."""
    from optuna.visualization import plot_slice

    done = _complete(study)
    for key in results.searched(study):
        for name, target in _targets(study) if any(key in trial.params for trial in done) else ():
            plot = _drawn(plot_slice(study, [key], **target), 260)
            for trace in plot["data"]:
                trace["marker"]["showscale"] = False
            title = key.removeprefix("ppo.").removeprefix("reward.terms.")
            caption = f"{name} over {key}; later trials are stronger in colour."
            yield draw.Figure(f"slice {key} {name}", plot, caption, title, caption)


@draw.figure("pruning", "Pruning", wide=True)
def pruning(study: "Study") -> draw.Figure | None:
    """What trials reported on their way, by how they ended."""
    from optuna.visualization import plot_intermediate_values

    winner = results.best(study)
    best = winner and f"Trial{winner.number}"
    states = {f"Trial{trial.number}": results.state(trial) for trial in results.trials(study)}
    axes = {"xaxis": draw.named("evaluation")}
    axes["yaxis"] = draw.named(results.objectives(study)[0].name)
    plot = _drawn(plot_intermediate_values(study), 340, **axes)
    if not plot["data"]:
        return None
    for trace in plot["data"]:
        name = trace["name"]
        color = draw.INK if name == best else _OUTCOMES.get(states[name], draw.MUTED)
        trace["line"] = {"color": color, "width": 3 if name == best else 1.4}
        trace["marker"] = {"color": color, "size": 5}
    pruned = len(results.trials(study, "PRUNED"))
    return draw.Figure(
        "pruning",
        plot,
        f"Reported values of {len(plot['data'])} trials over evaluations; {pruned} were pruned.",
        caption="What trials reported at each evaluation: blue complete, orange pruned, thick "
        "the best. Pruned ones should end low; one that ends among the best was pruned too early.",
    )
