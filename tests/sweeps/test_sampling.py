"""What a trial's number alone decides of what is drawn."""

import optuna
import pytest

from reach_rl.config import search
from reach_rl.config.composition import Composer
from reach_rl.config.multirun import space
from reach_rl.config.verbs import VERBS
from reach_rl.sweeps.study import pruner, sampler, suggest

LINES = ["ppo.gamma=interval(0.5,1)", "ppo.n_epochs=range(1,9)", "robot=ur3e,ur5e,ur10e"]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


def points(composer: Composer, name: str, count: int = 4, *words: str) -> list[dict]:
    tree = composer.compose(["sweep=search", f"hydra/sweeper/sampler={name}", *words]).hydra
    wanted = search.read(tree["sweeper"])
    dimensions, _ = space(VERBS["train"], [composer.parse(line) for line in LINES])
    study = optuna.create_study()
    for number in range(count):
        study.sampler = sampler(wanted, dimensions, number)
        trial = study.ask()
        for dimension in dimensions:
            suggest(trial, dimension)
        study.tell(trial, float(number))
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", ["random", "tpe", "qmc", "nsgaii", "cmaes", "gp"])
def test_numbers_differ_and_repeat(composer: Composer, name: str):
    drawn = points(composer, name)
    assert len({point["ppo.gamma"] for point in drawn}) == len(drawn)
    assert points(composer, name) == drawn
    other = points(composer, name, 4, "hydra.sweeper.sampler.seed=1")
    assert [p["ppo.gamma"] for p in other] != [p["ppo.gamma"] for p in drawn]


def test_without_a_seed_it_is_another_each_time(composer: Composer):
    seed = "hydra.sweeper.sampler.seed=null"
    assert points(composer, "random", 2, seed) != points(composer, "random", 2, seed)


@pytest.mark.parametrize("name", ["none", "median", "percentile", "hyperband", "wilcoxon"])
def test_pruners_are_optunas(composer: Composer, name: str):
    tree = composer.compose(["sweep=search", f"hydra/sweeper/pruner={name}"]).hydra["sweeper"]
    made = type(pruner(search.read(tree).pruner)).__name__.lower()
    assert made == {"none": "nop"}.get(name, name) + "pruner"
