"""Real runs, a real study, and a browser to look at their pages."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from reach_rl.monitoring.record import Opening, open_record
from reach_rl.training.session import train
from reach_rl.viz.report import page_of
from reach_rl.viz.shoot import encode
from tests.small_runs import compose

TINY = (
    "vec_env.n_envs=8",
    "vec_env.threads=1",
    "ppo.n_steps=32",
    "ppo.batch_size=64",
    "ppo.n_epochs=1",
    "ppo.policy_kwargs.net_arch.pi=[16]",
    "ppo.policy_kwargs.net_arch.vf=[16]",
    "task.region.pool=64",
    "evaluation.goals=12",
    "evaluation.periodic_goals=8",
    "evaluation.every=512",
    "evaluation.also=[near]",
    "curriculum=staged",
    "checkpoint.every=0",
    "total_timesteps=1536",
    "task.episode_steps=60",
    "task.goal_period=30",
    "wandb=disabled",
    "picture=false",
    "progress=false",
)
TITLE = "Updates are too large"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three seeds of one configuration; the first one has been warned."""
    folder = tmp_path_factory.mktemp("seeds")
    for seed in range(3):
        config = compose([*TINY, f"seed={seed}"])
        train(config, folder / str(seed))
    config = compose([*TINY, "seed=0"])
    with open_record(Opening(folder / "0", config, step=1536)) as record:
        record.alert(1024, TITLE, "approx_kl was 0.07, above 0.05; try ppo.learning_rate=1e-4")
    (folder / "0" / "videos").mkdir()
    pictures = [(np.full((48, 64, 3), 50 * shade, np.uint8), 1) for shade in range(5)]
    encode(pictures, folder / "0" / "videos" / "000000001024_best.mp4", (64, 48), 5)
    return folder


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two keys with complete, pruned and failed trials."""
    optuna = pytest.importorskip("optuna")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = tmp_path_factory.mktemp("sweep")
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    study = optuna.create_study(
        storage=storage,
        study_name="ppo",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
    )
    study.set_metric_names(["objective"])

    def objective(trial: "optuna.Trial") -> float:
        rate = trial.suggest_float("ppo.learning_rate", 1e-5, 1e-2, log=True)
        kind = trial.suggest_categorical("action", ["offset", "increment"])
        if trial.number == 4:
            trial.set_user_attr("reason", "ValueError: <b>bad</b> numbers")
            raise ValueError
        top = 1.0 - 0.2 * abs(np.log10(rate) + 3) - 0.1 * (kind == "increment")
        for index in range(1, 4):
            trial.report(top * index / 3, index)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(top)

    study.optimize(objective, 16, catch=(ValueError,))
    return folder


@dataclass
class Look:
    """A page in the browser, and what it complained about or asked for."""

    page: object
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def look(browser, tmp_path_factory: pytest.TempPathFactory):
    """Opens the report of folders, once for each."""
    seen: dict[str, Look] = {}

    def opened(*folders: Path) -> Look:
        name = ",".join(map(str, folders))
        if name not in seen:
            out = tmp_path_factory.mktemp("page") / "report.html"
            out.write_text(page_of([str(folder) for folder in folders]))
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            it = Look(page)
            page.on("pageerror", lambda error: it.errors.append(str(error)))
            page.on("console", lambda m: it.errors.append(m.text) if m.type == "error" else None)
            page.on("request", lambda request: it.requests.append(request.url))
            page.goto(out.as_uri())
            page.wait_for_selector("html[data-ready]", timeout=60_000)
            seen[name] = it
        return seen[name]

    return opened
