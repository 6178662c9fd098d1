"""One self-contained HTML page of a run, of several runs, or of a sweep."""

from collections.abc import Sequence


def page_of(paths: Sequence[str], video_mb: float = 16.0) -> str:
    """The page of what is at the paths.

    Args:
        paths: folders of runs, of a multirun, or of a sweep.
        video_mb: most megabytes of video in the page.

    Raises:
        ConfigError: a path does not exist, or there is no run in it.
    """
    from reach_rl.rundir.listing import is_run
    from reach_rl.viz.report.pages import runs_page
    from reach_rl.viz.report.subject import folder_of, read_run, runs_in

    folders = [folder_of(text) for text in paths]
    if len(folders) == 1 and not is_run(folders[0]):  # else Optuna need not be loaded
        from reach_rl.sweeps.results import is_search
        from reach_rl.viz.report.study_page import open_study, sweep_page

        if is_search(folders[0]):
            return sweep_page(open_study(folders[0]), folders[0])
    found = dict.fromkeys(run for folder in folders for run in runs_in(folder))
    runs = [read_run(folder) for folder in found]
    return runs_page(runs, ", ".join(map(str, folders)), video_mb)
