"""Build the project's W&B workspace: python -m reach_rl.dashboard entity=NAME dry_run=true."""

import os
from pathlib import Path
from typing import Any

from reach_rl.cli.front_door import run
from reach_rl.config.problems import ConfigError
from reach_rl.config.verbs import DashboardConfig


def job(wanted: DashboardConfig) -> dict[str, Any]:
    """Save the workspace, or with dry_run write its JSON; returns where it is, under `workspace`.

    Raises:
        ConfigError: a package or the credentials are missing, W&B refuses, or the file cannot be
            written.
    """
    from reach_rl.monitoring.wandb import has_credentials

    if not wanted.dry_run and not has_credentials(os.environ):
        raise ConfigError(
            "no W&B credentials: log in with `wandb login`, or see what would be built by "
            "dry_run=true"
        )
    try:
        from reach_rl.viz.workspace import workspace

        made = workspace(wanted.entity or "ENTITY", wanted.project, wanted.name)
    except ImportError as error:
        raise ConfigError(
            f"{error.name or 'wandb_workspaces'} is missing; pip install 'reach_rl[dashboards]'"
        ) from error
    if wanted.dry_run:
        return {"workspace": _write(made, wanted.out)}
    return {"workspace": _save(made)}


def _write(made: Any, out: str | None) -> str | None:  # noqa: ANN401  a Workspace
    """The workspace as JSON, into a file or onto the terminal."""
    from reach_rl.rundir.atomic import json_text, write_wanted

    view = made._to_model()
    spec = view.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    names = {"entity": view.entity, "project": view.project, "name": view.display_name}
    text = json_text({**names, "spec": spec})
    if out is None:
        print(text, end="")
        return None
    write_wanted("out", Path(out), text)
    print(f"workspace in {out}")
    return out


def _save(made: Any) -> str:  # noqa: ANN401  a Workspace
    import wandb

    wandb.termsetup(wandb.Settings(silent=True), None)
    try:
        made.save()
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"W&B did not take the workspace: {line}") from error
    print(f"workspace: {made.url}")
    return str(made.url)


if __name__ == "__main__":
    run("dashboard", job)
