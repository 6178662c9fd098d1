"""docs/extending.md: every example is registered and run as it stands there."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import mujoco
import numpy as np
import pytest

from reach_rl import extend
from reach_rl.config.load import ConfigError, compose
from reach_rl.deploy.bundle import Bundle, BundleError
from reach_rl.deploy.controller import Controller
from reach_rl.envs.batch import ReachBatch
from reach_rl.mdp.state import Arm, State
from reach_rl.mdp.terms import TermError
from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.record import read_records
from reach_rl.robots import display_spec, load_robot
from reach_rl.rundir.atomic import read_json
from tests.extending import fresh
from tests.small_runs import SMALL, command

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = {
    file: (code, [shlex.split(line) for line in commands.splitlines()])
    for code, file, commands in re.findall(
        r"^```python\n(# (\S+)\n.*?)^```\n\n```bash\n(.*?)^```$", PAGE, re.M | re.S
    )
}
TINY = (*SMALL, "total_timesteps=256", "evaluation.goals=2", "evaluation.every=256")
TINY += ("task.episode_steps=24", "task.goal_period=12", "task.hold_time=0.1")
ROWS = ["vec_env.n_envs=3", "ppo.batch_size=36", "task.region.pool=32", "progress=false"]


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    with fresh():
        yield


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Registers an example, runs its commands in an empty folder, and gives that."""
    monkeypatch.chdir(tmp_path)

    def made(file: str, run: bool = True) -> Path:
        code, commands = EXAMPLES[file]
        (tmp_path / file).write_text(code)
        extend.load_file(file)
        for line in commands if run else ():
            words = [word for word in line if word not in ("python", "-m", "reach-rl")]
            words[0] = words[0].removeprefix("reach_rl.")
            given = any(word.startswith("run_dir=") for word in words)
            tiny = (*TINY, *([] if given else ["run_dir=run"])) if words[0] == "train" else ()
            command(words[0], *tiny, *words[1:])
        return tmp_path

    return made


def last(folder: Path) -> dict[str, object]:
    """Everything that the records of a run hold, the newest of each."""
    found: dict[str, object] = {}
    for record in read_records(folder / "metrics.jsonl"):
        found |= record
    return found


def test_every_decorator_has_an_example():
    nouns = {noun for noun in extend.HOMES if hasattr(extend, noun)}
    assert nouns <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    for noun in nouns:
        assert any(f"@{noun}" in code for code, _ in EXAMPLES.values()), noun


def test_every_array_is_listed():
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))
    assert {f.name for kind in (State, Arm) for f in fields(kind)} <= told


def test_a_reward_term(example, capsys):
    folder = example("my_terms.py")
    assert last(folder / "run")["reward/elbow_height"] <= 0.0
    told = capsys.readouterr().out
    assert "How far the elbow is below a height" in told and "default  0.6" in told


def test_keys_with_bounds(example, capsys):
    folder = example("my_bounds.py")
    assert "reward/far_from_home" in last(folder / "run")
    with pytest.raises(ConfigError, match=r"far_from_home\.free=-1 .* must be at least 0"):
        compose(["reward.terms.far_from_home={weight: 1, free: -1}"])
    command("explain", "reward.terms.far_from_home.free")
    assert "what costs nothing" in capsys.readouterr().out


def test_observations_and_both_ways_of_exporting_them(example, capsys):
    folder = example("my_view.py")
    bundle = Bundle(folder / "runs/view/export_onnx_observation")
    parts = bundle.contract.observation
    assert list(parts.items())[-2:] == [("link_heights", 6), ("goal_distance", 1)]
    assert Bundle(folder / "runs/seen/export_onnx").contract.observation == {}
    with pytest.raises(ValueError, match="observe: the bundle takes the observation"):
        Controller(bundle, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes goal_position too"):
        bundle({})
    with pytest.raises(SystemExit) as ended:
        from reach_rl import cli

        cli.main(["export", "run=runs/view"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "observation.terms.link_heights: cannot be written" in told
    assert "format=onnx_observation" in told
    command("evaluate", "bundle=runs/view/export_onnx_observation", "goals=4", "yardstick=false")


def test_a_term_that_remembers_is_part_of_a_snapshot(example):
    example("my_memory.py")
    config = compose([*ROWS, "observation.terms.smooth_speed={}", "task.episode_steps=200"])
    batch, other = ReachBatch(config, 3), ReachBatch(config, 3)
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 3, 6))
    batch.reset()
    for action in actions[:20]:
        batch.step(action)
    kept = batch.snapshot()
    assert np.abs(kept["observation.terms.smooth_speed.speed"]).max() > 0.01
    other.restore(kept)
    for action in actions[20:]:
        here, there = batch.step(action), other.step(action)
        assert (here.observation == there.observation).all()
    place = batch.observe.slices["smooth_speed"]
    seen = batch.reset(np.array([1]))
    assert not seen[:, place].any()
    assert (batch.observe(batch.state)[1] == seen[0]).all()


def test_a_compiled_term(example):
    folder = example("my_loops.py")
    assert "reward/low_elbow" in last(folder / "run")
    batch = ReachBatch(compose([*ROWS, "reward.terms.low_elbow={weight: 1, height: 9}"]), 3)
    shares = batch.reward(batch.state)[1]
    assert (shares[:, -1] == 9.0 - batch.state.joint_anchor[:, 2, 2]).all()


def test_metrics_are_everywhere(example):
    folder = example("my_metrics.py")
    run = folder / "runs/measured"
    found = last(run)
    for name in ("rollout/elbow_drop", "eval/elbow_drop", "final/front/elbow_drop"):
        assert 0.0 <= found[name] < 0.7
        assert describe(name).unit == "m"
    assert 0.0 <= found["train/late_advantages"] <= 1.0
    assert read_json(run / "summary.json")["evaluation"]["elbow_drop"] >= 0.0
    command("train", f"resume={run}", "total_timesteps=512", "wandb=disabled")
    search = ["-m", "sweep=search", "hydra.sweeper.n_trials=1", "hydra.sweeper.seeds=1"]
    search += ["hydra.sweeper.preset_dir=.", "hydra.sweeper.confirm_seeds=0"]
    search += ["hydra.sweeper.objective=evaluation.elbow_drop", "hydra.sweeper.direction=minimize"]
    command("train", *search, *TINY, "ppo.learning_rate=choice(1e-3,1e-4)")


def test_a_driver(example, capsys):
    example("my_driver.py")
    assert "jacobian knows the Jacobian; no limits, no table" in capsys.readouterr().out


def test_a_callback_ends_a_run_that_is_judged(example, capsys):
    folder = example("my_stop.py")

    @extend.callback
    def at_once(run):
        assert run.memory["patience"] and run.step == 256 and run.values["time/fps"]
        run.stop("enough")

    command("train", *SMALL, "run_dir=stopped")
    assert "ended at step 256: enough" in capsys.readouterr().out
    assert read_json(folder / "stopped/summary.json")["total_timesteps"] == 256


def test_a_health_check_is_known_by_its_name(example):
    example("my_check.py")
    assert extend.entries("health_check")["too_still"].title == "the arm hardly moves"


def test_a_curriculum(example):
    folder = example("my_curriculum.py")
    assert last(folder / "run")["curriculum/position_threshold"] == pytest.approx(0.02)


def test_an_action_of_another_size(example):
    folder = example("my_action.py")
    found = last(folder / "runs/pairs")
    assert {"std/action_0", "std/action_2"} < found.keys() and "std/action_3" not in found
    bundle = Bundle(folder / "runs/pairs/export_onnx")
    assert bundle.contract.actions == 3
    assert bundle.first_state(np.zeros((5, 6))).keys() == {"last_target"}


def test_a_goal_source(example):
    example("my_goals.py", run=False)
    batch = ReachBatch(compose([*ROWS, "task.goals=around_home"]), 3)
    assert np.abs(batch.goals.joints - batch.arm.home).max() <= 0.3
    with pytest.raises(ConfigError, match=r"task\.goals=regoin .*must be region or around_home"):
        compose(["task.goals=regoin"])


def test_a_part_of_the_scene(example):
    example("my_cell.py", run=False)
    config = compose(["robot.parts.wall={behind: 0.5}"]).robot
    for model in (load_robot(config).model, display_spec(config).compile()):
        wall = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, "wall")
        assert model.geom_pos[wall].tolist() == [-0.52, 0, 0.5]
    plain = load_robot(compose().robot)
    assert plain.model.npair < load_robot(config).model.npair
    assert (plain.home == load_robot(config).home).all()


def test_what_does_not_fit_is_told_at_the_start():
    @extend.reward_term
    def flat(state, arm):
        """Of one environment only."""
        return 1.0

    @extend.observation_term
    def broken(state, arm):
        """Divides by nothing."""
        return state.joint_position / 0.0 * 0.0

    @extend.observation_term
    def raising(state, arm):
        """No such array."""
        return state.elbow

    terms = ["reward.terms.flat=1", "observation.terms.broken={}", "observation.terms.raising={}"]
    config = compose([*ROWS, *terms])
    with pytest.raises(ConfigError) as caught, np.errstate(all="ignore"):
        ReachBatch(config, 3)
    first, second = caught.value.problems
    assert first.startswith("observation.terms.broken: gave numbers that are not finite, in 18")
    assert second.startswith("observation.terms.raising: AttributeError: 'State' object has no")
    assert "test_extending.py, line" in second
    with pytest.raises(ConfigError) as caught:
        ReachBatch(compose([*ROWS, terms[0]]), 3)
    assert caught.value.problems == [
        "reward.terms.flat: gave float64 (), but (3,) numbers are expected"
    ]


def test_a_kind_that_gives_something_else_is_told_at_the_start(tmp_path: Path, capsys):
    @extend.action_kind(size=2)
    def half(limits, action, state, target):
        """Of the wrong shape."""
        return action

    @extend.curriculum_kind
    def nothing(setting, curriculum):
        """Forgets to return."""

    with pytest.raises(ConfigError, match=r"action\.kind=half: ValueError: gave \(3, 2\), not"):
        ReachBatch(compose([*ROWS, "action.kind=half"]), 3)
    with pytest.raises(SystemExit) as ended:
        from reach_rl import cli

        cli.main(["train", *TINY, f"run_dir={tmp_path / 'run'}", "curriculum.kinds.nothing={}"])
    assert ended.value.code == 2
    line = "error: curriculum.kinds.nothing: TypeError: gave None, but a Setting is expected"
    assert line in capsys.readouterr().err


def test_keys_are_searched():
    from reach_rl.config.composition import Composer
    from reach_rl.config.overrides import check
    from reach_rl.config.schema import Config

    @extend.reward_term
    def low(state, arm, *, height: float = 0.6):
        """How far the elbow is below a height (m)."""
        return np.maximum(0.0, height - state.joint_anchor[:, 2, 2])

    space = ["reward.terms.low=-0.1", "reward.terms.low.height=interval(0.3,0.8)"]
    problems, good = check(Composer(), Config, space, multirun=True)
    assert not problems and [o.get_key_element() for o in good] == [
        "++reward.terms.low.weight",
        "++reward.terms.low.height",
    ]


def test_a_term_that_raises_later_names_itself():
    @extend.reward_term
    def fragile(state, arm):
        """Until the arm moves."""
        assert not state.action.any(), "it moved"
        return state.distance

    batch = ReachBatch(compose([*ROWS, "reward.terms.fragile=1"]), 3)
    batch.reset()
    batch.step(np.zeros((3, 6)))
    with pytest.raises(TermError, match=r"^reward\.terms\.fragile: AssertionError: it moved"):
        batch.step(np.ones((3, 6)))


def test_what_cannot_be_a_key_is_refused_by_the_decorator():
    with pytest.raises(TypeError, match="put \\* before height"):

        @extend.reward_term
        def one(state, arm, height=0.6): ...

    with pytest.raises(TypeError, match="say what height is"):

        @extend.reward_term
        def two(state, arm, *, height=0.6): ...

    @extend.reward_term
    def four(state, arm, *, height: np.ndarray = np.ones(1)): ...  # noqa: B008

    with pytest.raises(ConfigError, match=r"reward_term four: a key .*numpy\.ndarray"):
        compose(["reward.terms.four=1"])

    with pytest.raises(TypeError, match="every one has weight already"):

        @extend.reward_term
        def three(state, arm, *, weight: float = 0.6): ...


def test_an_unknown_bundle_is_still_refused(tmp_path: Path):
    (tmp_path / "contract.json").write_text('{"format": 9}')
    with pytest.raises(BundleError, match="format 9"):
        Bundle(tmp_path)
