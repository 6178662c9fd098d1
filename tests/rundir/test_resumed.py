"""Going on with a run by its own configuration: what may change, what warns, what is refused."""

import json

import pytest
import yaml

from reach_rl.cli.front_door import front
from reach_rl.config.load import to_tree
from reach_rl.rundir.resume import refused, warnings
from tests.small_runs import compose

SAVED = (
    "robot=ur3e",
    "curriculum=staged",
    "vec_env.n_envs=32",
    "ppo.n_steps=16",
    "ppo.batch_size=128",
    "ppo.learning_rate=5e-4",
    "total_timesteps=100000",
    "evaluation.every=77",
    "seed=3",
)


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was stopped."""
    folder = tmp_path / "run"
    (folder / "checkpoints/step_000000000512").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(compose(SAVED))))
    (folder / "metrics.jsonl").write_text('{"global_step": 512}\n')
    return folder


@pytest.fixture
def go_on(run, capsys):
    """Calls train resume=DIR with further words; the job's configuration, or the errors."""

    def call(*words, how=None):
        seen = []

        def job(config, folder):
            seen.append((config, folder))

        code = front("train", job, [*(how or [f"resume={run}"]), *words])
        errors = capsys.readouterr().err.splitlines()
        assert code == (2 if errors else 0)
        return errors or seen[0]

    return call


def differences(config):
    before, after = to_tree(compose(SAVED)), to_tree(config)
    return {key for key in after if before[key] != after[key]} - {"resume", "run_dir"}


def test_the_runs_own_configuration_holds(go_on, run):
    config, folder = go_on()
    assert differences(config) == set()
    assert (folder, config.resume) == (run, str(run))
    config, folder = go_on(how=[f"run_dir={run}", "resume=auto"])
    assert differences(config) == set()
    assert (folder, config.resume) == (run, "auto")


def test_what_the_command_line_names_changes(go_on):
    config, _ = go_on("total_timesteps=200000")
    assert differences(config) == {"total_timesteps"} and config.total_timesteps == 200_000
    default = compose([])
    config, _ = go_on(f"ppo.learning_rate={default.ppo.learning_rate}", "evaluation=default")
    assert config.ppo.learning_rate == default.ppo.learning_rate
    assert config.evaluation == default.evaluation
    assert config.ppo.n_steps == 16


def test_a_key_that_only_this_run_has_can_be_named(go_on):
    """The default composition has no stages, no ramps and no such term."""
    config, _ = go_on(
        "curriculum.stages.0.advance_at=0.25", "+curriculum.ramps.stillness={start: 0, end: 1}"
    )
    assert config.curriculum.stages[0].advance_at == 0.25
    assert config.curriculum.ramps["stillness"].end == 1


def test_a_mistake_is_judged_by_the_runs_configuration(go_on, run):
    (error,) = go_on("ppo.batch_size=1000")
    assert error.startswith("error: ppo.batch_size=1000 (command line): larger than the rollout")
    assert "512 (vec_env.n_envs 32 x ppo.n_steps 16)" in error
    (error,) = go_on("ppo.lerning_rate=1")
    assert "did you mean" in error or "try" in error
    (error,) = go_on("curriculum.stages.7.advance_at=0.1")
    assert "not there yet" in error
    assert not list(run.glob("*.log"))


def test_what_was_saved_cannot_take_another_shape(go_on):
    errors = go_on(
        "robot=ur10e",
        "action=increment",
        "ppo.policy_kwargs.net_arch.pi=[8]",
        "vec_env.n_envs=8",
        "reward.terms.stillness=null",
        "reward.terms.keypoint_distance.weight=-2.0",
        "ppo.use_sde=true",
    )
    keys = {error.removeprefix("error: ").partition("=")[0] for error in errors}
    assert keys >= {
        "robot.name",
        "action.kind",
        "ppo.policy_kwargs.net_arch.pi",
        "vec_env.n_envs",
        "reward.terms.stillness",
        "ppo.use_sde",
    }
    assert all("cannot change when a run goes on; it was " in error for error in errors)
    assert (
        "error: vec_env.n_envs=8 (command line): cannot change when a run goes on; it was 32"
        in errors
    )


@pytest.mark.parametrize(
    ("word", "warns"),
    [
        ("total_timesteps=200000", False),
        ("evaluation.goals=10", False),
        ("checkpoint.keep_every=3", False),
        ("wandb=offline", False),
        ("vec_env.threads=2", False),
        ("ppo.learning_rate=1e-4", True),
        ("reward.terms.keypoint_distance.weight=-2.0", True),
        ("ppo.gamma=0.9", True),
        ("task.position_threshold=0.05", True),
    ],
)
def test_what_makes_it_another_run_warns(word, warns):
    before, after = to_tree(compose(SAVED)), to_tree(compose([*SAVED, word]))
    assert refused(before, after) == {}
    key = word.partition("=")[0]
    said = warnings(before, after)
    assert len(said) == warns
    assert all(line.startswith(f"warning: {key} changes from ") for line in said)


def test_a_run_without_its_config_goes_on_by_that_of_its_checkpoint(go_on, run):
    text = (run / "config.yaml").read_text()
    (run / "checkpoints/step_000000000512/config.yaml").write_text(text)
    for damage in ("robot: [", "nothing: 3", ""):
        (run / "config.yaml").write_text(damage)
        config, _ = go_on()
        assert differences(config) == set()


def test_an_older_configuration_gets_the_keys_that_it_does_not_know(go_on, run):
    tree = to_tree(compose(SAVED))
    del tree["checkpoint"]["keep_every"], tree["guard"]
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    config, _ = go_on()
    assert differences(config) == set()


def test_a_requeued_job_goes_on_by_itself(go_on, run, monkeypatch, tmp_path):
    (error,) = go_on(how=[f"run_dir={run}"])
    assert "holds a run already" in error
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    config, folder = go_on(how=[f"run_dir={run}"])
    assert (config.resume, folder) == ("auto", run)
    assert differences(config) == set()


def test_a_requeued_job_finds_the_folder_that_it_had_chosen(go_on, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/ur3e/2026-01-01_00-00-00"
    folder.parent.mkdir(parents=True)
    run.rename(folder)
    (folder / "status.json").write_text(json.dumps({"job": "slurm 77"}))
    (folder / "provenance.json").write_text(json.dumps({"overrides": list(SAVED)}))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert go_on(how=list(SAVED))[1] != folder
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert go_on(how=list(SAVED))[1] == folder
    assert go_on("seed=4", how=list(SAVED[:-1]))[1] != folder
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    assert go_on(how=list(SAVED))[1] != folder


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["resume=auto"], "add hydra.sweep.dir=DIR"),
        (["resume=somewhere"], "all jobs would share it"),
    ],
)
def test_a_multirun_goes_on_in_its_folder(go_on, words, hint):
    errors = go_on("-m", "seed=1,2", how=words)
    assert any(hint in error for error in errors)
