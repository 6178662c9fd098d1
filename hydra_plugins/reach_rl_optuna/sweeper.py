"""The sweeper `hydra/sweeper=optuna`: hands the search over to reach_rl.sweeps."""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Runs the trials of an Optuna study as Hydra's jobs.

    Its arguments are described in conf/hydra/sweeper/optuna.yaml and checked by
    reach_rl.config.search.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401  as in the YAML file
        """Take `hydra.sweeper` as it is; sweep() reads it from the configuration."""
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.task: TaskFunction | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remember what Hydra gives to every sweeper."""
        self.hydra_context, self.config, self.task = hydra_context, config, task_function
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> None:
        """Go on with the study until it has its trials."""
        from reach_rl.sweeps.sweep import sweep
        from reach_rl.training.stopping import listening

        assert self.config is not None and self.launcher is not None
        assert self.hydra_context is not None and self.task is not None
        sweep(self.config, self.launcher, self.task, self.hydra_context, arguments, listening)
