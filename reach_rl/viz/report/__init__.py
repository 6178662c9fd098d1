"""One self-contained HTML page of a run, of several runs, or of a sweep."""

from collections.abc import Sequence
from pathlib import Path

from reach_rl.rundir.atomic import write_atomic

__all__ = ["page_of", "write_report"]


def write_report(paths: Sequence[str], out: Path, video_mb: float = 16.0) -> None:
    """Write the page of what is at the paths, in one step.

    Args:
        paths: folders of runs, of a multirun, or of a sweep.
        out: the file.
        video_mb: most megabytes of video in the page.

    Raises:
        ConfigError: a path does not exist, or there is no run in it.
    """
    write_atomic(out, page_of(paths, video_mb))


def page_of(paths: Sequence[str], video_mb: float = 16.0) -> str:
    """The page as text; as write_report."""
    from reach_rl.viz.report.find import subject
    from reach_rl.viz.report.html import render
    from reach_rl.viz.report.pages import run_page, runs_page
    from reach_rl.viz.report.read import read_run

    found = subject(paths)
    if found.sweep is not None:
        from reach_rl.viz.report.study import open_study
        from reach_rl.viz.report.sweep_page import sweep_page

        return render(sweep_page(open_study(found.sweep), found.sweep))
    runs = [read_run(folder) for folder in found.runs]
    if len(runs) == 1:
        return render(run_page(runs[0], video_mb))
    return render(runs_page(runs, found.name, video_mb))
