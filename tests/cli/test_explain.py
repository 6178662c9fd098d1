import pytest

from docs import generate
from reach_rl.cli import dispatch, explain
from reach_rl.cli.explain import all_meanings, meaning_of
from reach_rl.config.problems import ConfigError
from reach_rl.config.sheets import meaning, sheets
from reach_rl.config.verbs import VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_key_has_a_meaning(verb: str):
    schema = VERBS[verb].schema
    means = all_meanings(schema, sheets(), verb)
    bare = [
        k.path for k in generate.schema_paths(schema) if not meaning_of(schema, means, k.path).text
    ]
    assert bare == []


def test_one_key():
    text = explain.answer(["ppo.learning_rate", "ppo.learning_rate=0.5"])
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()[1:]}
    assert rows["type"] == "a number"
    assert rows["range"] == "above 0"
    assert rows["value"] == "0.5"
    assert text.splitlines()[0] == "ppo.learning_rate"
    assert "step size of Adam" in rows["meaning"]
    assert "  set by   command line" in text


def test_the_file_that_set_it():
    assert "set by   conf/ppo/default.yaml" in explain.answer(["ppo.gamma"])
    assert "set by   conf/ppo/notes.yaml" in explain.answer(["ppo.gamma", "experiment=notes"])
    assert "set by   conf/experiment/notes" in explain.answer(
        ["vec_env.n_envs", "experiment=notes"]
    )


def test_unit_and_choices():
    text = explain.answer(["task.position_threshold"])
    assert "unit     m\n" in text
    assert "timer, hold or never" in explain.answer(["task.goal_change"])


def test_a_group():
    text = explain.answer(["ppo"])
    assert text.startswith("ppo=default   (options: default,")
    assert "ppo.gae_lambda = 0.95" in text
    assert "hidden layers of the policy (units)" in text


def test_presets():
    assert "  notes_quick\n      The classic settings" in explain.answer(["experiment"])


def test_a_key_of_a_term_takes_the_meaning_of_its_kind():
    assert "sensor noise" in explain.answer(
        ["observation.terms.joint_angle.noise", "observation=default"]
    )


def test_a_key_of_another_verb():
    assert "held-out goals" in explain.answer(["evaluate.goals"])


def test_overview_and_mistakes(capsys: pytest.CaptureFixture[str]):
    assert "total_timesteps = " in explain.answer([])
    with pytest.raises(ConfigError, match=r"^ppo\.gama: unknown key; did you mean ppo\.gamma\?$"):
        explain.answer(["ppo.gama"])
    assert dispatch(["explain", "ppo.gamma", "robot=ur6e"]) == 2
    assert "did you mean ur16e?" in capsys.readouterr().err
    assert dispatch(["explain", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("error: nonsense: unknown key;")


@pytest.mark.parametrize(
    ("comment", "text", "unit"),
    [
        ("distance of the tool (m)", "distance of the tool", "m"),
        ("home, or region (at a goal) (choice)", "home, or region (at a goal)", "choice"),
        ("no unit", "no unit", ""),
    ],
)
def test_comments(comment: str, text: str, unit: str):
    assert (meaning(comment).text, meaning(comment).unit) == (text, unit)


def test_the_reference_is_in_step():
    assert generate.main(["--check"]) == 0, "run make docs"


def test_the_reference_has_every_key():
    page = generate.page()
    for key in generate.schema_paths(VERBS["train"].schema):
        assert f"`{key.path.replace('*', 'NAME')}`" in page
