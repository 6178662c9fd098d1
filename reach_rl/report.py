"""One HTML page of a run, of several runs, or of a sweep: python -m reach_rl.report path=DIR."""

from pathlib import Path

from reach_rl.cli.front_door import run
from reach_rl.config.verbs import ReportConfig
from reach_rl.rundir.atomic import write_wanted

NAME = "report.html"


def job(wanted: ReportConfig) -> dict[str, str]:
    """Write the page and say where it is; returns that, under `report`.

    Raises:
        ConfigError: there is nothing to report on, or the page cannot be written.
    """
    from reach_rl.monitoring.terminal import TeeConsole
    from reach_rl.viz.report import page_of

    paths = [wanted.path] if isinstance(wanted.path, str) else list(wanted.path)
    folder = Path(paths[0]) if len(paths) == 1 else Path()
    out = folder / NAME if wanted.out is None else Path(wanted.out)
    write_wanted("out", out, page_of(paths, wanted.video_mb))
    TeeConsole().print(f"report in {out}", soft_wrap=True, markup=False, highlight=False)
    return {"report": str(out)}


if __name__ == "__main__":
    run("report", job)
