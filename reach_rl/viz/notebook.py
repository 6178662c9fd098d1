"""An evaluation that shows itself: as tables in a terminal or a notebook, and as figures."""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.jupyter import JupyterMixin

from reach_rl.config.problems import ConfigError, meant
from reach_rl.evaluation.result import Evaluation
from reach_rl.monitoring.tables import by_region, evaluation_table, worst_goals
from reach_rl.monitoring.terminal import plain_console
from reach_rl.viz.report import goal_figures  # noqa: F401  where they register
from reach_rl.viz.report.plotting import Figure, figures
from reach_rl.viz.report.subject import Group as RunGroup
from reach_rl.viz.report.subject import RunData

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True, slots=True, repr=False)
class ShownEvaluation(Evaluation, JupyterMixin):
    """What an evaluation found: arrays with a row per goal, figures for people, tables, pictures.

    In a notebook it is its tables; so it is when printed.
    """

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """The same evaluation, which shows itself."""
        return cls(**{f.name: getattr(evaluation, f.name) for f in fields(Evaluation)})

    def figure(self, name: str = "goals") -> "PlotlyFigure":
        """A figure of the report, as Plotly's own object.

        Args:
            name: `goals`, all of them in space by outcome, or another one of `figure_names`.

        Raises:
            ConfigError: there is no such figure.
        """
        from plotly.graph_objects import Figure as PlotlyFigure

        drawn = self._drawn()
        if name not in drawn:
            raise ConfigError(f"figure={name}: no such figure; {meant(name, list(drawn))}")
        return PlotlyFigure(drawn[name].plot)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """What `figure` can draw."""
        return tuple(self._drawn())

    def _drawn(self) -> dict[str, Figure]:
        known = {key: {} for key in ("config", "status", "summary", "provenance", "curves")}
        run = RunData(Path(), **known, alerts=(), evaluation=self, videos=(), notes=())
        group = [RunGroup("", [run])]
        found = figures("goals", group)
        return {figure.name.replace("goals -", "goals-").strip(): figure for figure in found}

    def __rich__(self) -> Group:
        """Its tables."""
        summary, conditions = self.summary(), self.conditions
        title = f"{conditions.robot}, {conditions.region}"
        table = evaluation_table({conditions.region: summary}, title)
        return Group(table, by_region(summary, {}), worst_goals(summary))

    def __repr__(self) -> str:
        """Its tables as text."""
        text = io.StringIO()
        plain_console(text).print(self)
        return text.getvalue().rstrip()
