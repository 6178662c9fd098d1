"""The keys of a search: the closed lists against Optuna's own, the grammar, every mistake."""

import dataclasses
import inspect

import optuna
import pytest

from reach_rl.cli.front_door import front
from reach_rl.config import conf_dir, search
from reach_rl.config.composition import Composer
from reach_rl.config.multirun import space
from reach_rl.config.search import KINDS, Search, parts
from reach_rl.config.sheets import Sheet
from reach_rl.config.verbs import VERBS

OPTUNAS = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "qmc": optuna.samplers.QMCSampler,
    "random": optuna.samplers.RandomSampler,
    "grid": optuna.samplers.GridSampler,
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}


def _names(schema: type) -> set[str]:
    return {field.name for field in dataclasses.fields(schema)} - {"name"}


@pytest.mark.parametrize("name", OPTUNAS)
def test_arguments_are_optunas(name: str):
    schema = {**parts("sampler"), **parts("pruner")}[name]
    assert _names(schema) <= set(inspect.signature(OPTUNAS[name]).parameters)


def test_every_argument_has_its_meaning():
    folder = conf_dir() / "hydra" / "sweeper"
    assert {name for kind in KINDS for name in parts(kind)} == set(OPTUNAS)
    for path in (path for kind in KINDS for path in (folder / kind).glob("*.yaml")):
        sheet = Sheet(path.stem, path)
        assert set(sheet.comments) == set(sheet.tree) - {"name"}


def test_the_file_of_the_search_has_every_key_and_its_meaning():
    sheet = Sheet("optuna", conf_dir() / "hydra" / "sweeper" / "optuna.yaml")
    keys = _names(Search) - {"sampler", "pruner"}
    assert set(sheet.tree) - {"_target_"} == keys
    assert set(sheet.comments) == keys


def dimensions(*lines: str):
    composer = Composer()
    found, problems = space(VERBS["train"], [composer.parse(line) for line in lines])
    return problems or found


@pytest.mark.parametrize(
    ("line", "kind", "low", "high", "step", "log"),
    [
        ("ppo.gamma=interval(0.5,1)", "float", 0.5, 1.0, None, False),
        ("ppo.learning_rate=tag(log,interval(1e-5,1e-2))", "float", 1e-5, 1e-2, None, True),
        ("ppo.n_epochs=interval(2,10)", "int", 2, 10, None, False),
        ("ppo.n_epochs=int(interval(2,10))", "int", 2, 10, None, False),
        ("ppo.n_epochs=tag(log,int(interval(2,64)))", "int", 2, 64, None, True),
        ("ppo.n_epochs=range(2,11,4)", "int", 2, 10, 4, False),
        ("ppo.gamma=range(0.5,1,0.2)", "float", 0.5, 0.9, 0.2, False),
    ],
)
def test_ranges(line: str, kind: str, low: float, high: float, step: float | None, log: bool):
    (found,) = dimensions(line)
    assert (found.kind, found.low, found.high, found.step, found.log) == (
        kind,
        low,
        pytest.approx(high),
        step,
        log,
    )


@pytest.mark.parametrize(
    ("line", "choices", "texts"),
    [
        ("ppo.batch_size=64,128", (64, 128), ("64", "128")),
        ("ppo.batch_size=choice(64,128)", (64, 128), ("64", "128")),
        ("ppo.target_kl=null,0.02", (None, 0.02), ("null", "0.02")),
        ("ppo.use_sde=true,false", (True, False), ("true", "false")),
        ("robot=ur3e,ur5e", ("ur3e", "ur5e"), ("ur3e", "ur5e")),
        ("ppo.policy_kwargs.net_arch.pi=[64,64],[8]", ("[64,64]", "[8]"), ("[64,64]", "[8]")),
    ],
)
def test_choices(line: str, choices: tuple, texts: tuple):
    (found,) = dimensions(line)
    assert found.choices == choices
    assert found.texts == texts
    assert found.override(choices[1]) == f"{line.partition('=')[0]}={texts[1]}"


GOOD = "ppo.gamma=interval(0.9,0.99)"
MISTAKES = [
    ("sweep=search", "nothing to search; give a range"),
    ("sweep=search ppo.gamma=interval(0.99,0.9)", "the range ends before it begins"),
    ("sweep=search ppo.gamma=interval(0.9,1.2)", "must be at least 0 and at most 1"),
    ("sweep=search ppo.gamma=tag(log,interval(0,0.9))", "a log range begins above 0, not at 0"),
    ("sweep=search ppo.n_epochs=range(5,5)", "the range is empty"),
    ("sweep=search ppo.n_epochs=interval(2.5,5)", "the ends must be whole numbers"),
    ("sweep=search ppo.gamma=0.9,0.9", "0.9 is there twice"),
    (f"sweep=search {GOOD} hydra/sweeper/sampler=tpa", "try hydra/sweeper/sampler=tpe"),
    (f"sweep=search {GOOD} hydra/sweeper/pruner=medean", "try hydra/sweeper/pruner=median"),
    (f"sweep=search {GOOD} hydra/sweeper/sampler=grid", "a grid needs steps"),
    (f"sweep=search {GOOD} hydra/sweeper/sampler=cmaes", "needs two ranges of numbers or more"),
    (f"sweep=search {GOOD} hydra/sweeper/pruner=wilcoxon", "try hydra.sweeper.seeds=5"),
    (f"sweep=search {GOOD} hydra.sweeper.n_trails=3", "did you mean hydra.sweeper.n_trials?"),
    (f"sweep=search {GOOD} hydra.sweeper.sampler.popsize=3", "add hydra/sweeper/sampler=cmaes"),
    (
        f"sweep=search {GOOD} hydra.sweeper.sampler.n_start=3",
        "did you mean hydra.sweeper.sampler.n_startup_trials?",
    ),
    (f"sweep=search {GOOD} hydra.sweeper.n_trials=0", "try hydra.sweeper.n_trials=1"),
    (f"sweep=search {GOOD} hydra.sweeper.sampler.seed=x", "must be a whole number"),
    (f"sweep=search {GOOD} hydra.sweeper.failure_rate=2", "try hydra.sweeper.failure_rate=1"),
    (
        f"sweep=search {GOOD} hydra.sweeper.objective=evaluation.sucess_rate",
        "did you mean hydra.sweeper.objective=evaluation.success_rate?",
    ),
    (f"sweep=search {GOOD} hydra.sweeper.direction=up", "must be maximize or minimize"),
    (
        f"sweep=search {GOOD} hydra.sweeper.objective=[score,evaluation.success_rate]",
        "cannot judge several objectives; add hydra/sweeper/pruner=none",
    ),
    (f"sweep=search {GOOD} hydra.sweeper.objective=wall_time_s", "is known at the end only"),
    (f"sweep=search {GOOD} hydra.sweeper.storage=study.db", "must be an URL that begins with"),
    (f"sweep=search {GOOD} hydra.sweeper.n_jobs=2", "add hydra/launcher=joblib"),
    (f"sweep=search {GOOD} hydra.sweeper.each=['robot=ur6e']", "no such option"),
    (f"sweep=search {GOOD} hydra.sweeper.combine=best", "must be mean or worst"),
    (f"sweep=search {GOOD} hydra.sweeper.study_name=a/b", "becomes the name of a folder"),
    ("seed=1,2 hydra.sweeper.n_trials=3", "only a search has it; add sweep=search"),
    ("ppo.gamma=interval(0,1)", "needs a search; add sweep=search"),
]


@pytest.mark.parametrize(("line", "text"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes_are_one_line_before_anything_starts(
    line: str, text: str, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
):
    def never(*_: object) -> None:
        raise AssertionError("the job must not start")

    monkeypatch.chdir(tmp_path)
    assert front("train", never, ["-m", *line.split(" ")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any(text in problem for problem in lines), lines
    assert all(problem.startswith("error: ") for problem in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ppo", "reward", "curriculum", "robust", "pareto"])
def test_shipped_searches_are_right(name: str):
    from reach_rl.config.multirun import prove_jobs

    problems, _ = prove_jobs(Composer(), VERBS["train"], [f"sweep={name}"])
    assert problems == []
    hydra = Composer().compose([f"sweep={name}"]).hydra
    typed = search.read(hydra["sweeper"])
    assert typed.study_name == name
    assert hydra["sweep"]["dir"] == "multirun/${hydra.sweeper.study_name}"


def test_a_plain_grid_stays_hydras_own():
    composed = Composer().compose(["sweep=seeds"])
    assert composed.hydra["runtime"]["choices"]["hydra/sweeper"] == "basic"
    assert "now:" in composed.hydra["sweep"]["dir"]


@dataclasses.dataclass
class Theirs:
    """The node that the published Optuna sweeper registers, in short."""

    _target_: str = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    n_jobs: int = 2


def test_a_sweeper_of_the_same_name_that_is_installed_changes_nothing():
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    ConfigStore.instance().store("optuna", Theirs, group="hydra/sweeper", provider="other")
    ConfigStore.instance().store("tpe", Theirs, group="hydra/sweeper/sampler", provider="other")
    sweeper = Composer().compose(["sweep=search"]).hydra["sweeper"]
    assert sweeper["_target_"] == "hydra_plugins.reach_rl_optuna.sweeper.OptunaSweeper"
    assert sweeper["n_trials"] == 50
    assert sweeper["sampler"]["name"] == "tpe"
