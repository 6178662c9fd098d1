import io

import pytest

from reach_rl.config.rules import derive
from reach_rl.monitoring.tables import evaluation_table, in_words, startup
from reach_rl.monitoring.terminal import TeeConsole
from tests.small_runs import compose

OBSERVATION = {"joint_angle": slice(0, 12), "joint_velocity": slice(12, 18)}


def printed(draw, width=80, **options):
    out = io.StringIO()
    draw(TeeConsole(file=out, width=width, **options))
    return out.getvalue()


def words(text):
    """Without the breaks of its lines."""
    return " ".join(text.split())


def start(overrides, slices=OBSERVATION, kept=None):
    config = compose(overrides)
    if slices is None:
        slices = {name: slice(i, i + 1) for i, name in enumerate(config.observation.terms)}
    return printed(lambda console: startup(config, slices, console, kept))


EVALUATION = {
    "goals": 1000,
    "success_rate": 0.991,
    "success_ci95": [0.983, 0.995],
    "position_error_mm": {"median": 1.234, "p95": 4.5},
    "orientation_error_deg": {"median": 0.3, "p95": 1.2},
    "time_to_success_s": {"median": 1.2, "p95": 2.5},
    "final_joint_speed_rad_s": {"median": 0.01, "p95": 0.05},
    "self_collision_rate": 0.002,
    "table_collision_rate": 0.0,
    "share_above_speed_limit": 0.0,
    "share_outside_joint_range": 1.2e-5,
    "share_at_torque_limit": 0.015,
    "thresholds": {"position_m": 0.02, "orientation_rad": 0.1, "hold_s": 0.5},
}


def test_derived_numbers_round_up_to_whole_rollouts():
    config = compose(
        ["vec_env.n_envs=10", "ppo.n_steps=10", "ppo.batch_size=25", "ppo.n_epochs=4",
         "total_timesteps=1001", "task.episode_steps=100", "task.goal_period=30"]
    )  # fmt: skip
    d = derive(config)
    assert (d.rollout, d.rollouts, d.total_steps) == (100, 11, 1100)
    assert (d.minibatches, d.gradient_steps) == (4, 16)
    assert (d.episodes, d.goals, d.curriculum_end) == (11.0, 44.0, None)
    words = in_words(config)
    assert "1,100 in 11 rollouts (1,001, rounded up" in words["steps"]
    assert "16 gradient steps = 4 passes x 4 minibatches of 25" in words["update"]


@pytest.mark.parametrize(
    ("unit", "duration", "end"), [("steps", 500, 500), ("episodes", 2, 750), ("fraction", 0.5, 600)]
)
def test_the_curriculum_ends_where_its_unit_says(unit, duration, end):
    config = compose(
        ["vec_env.n_envs=10", "ppo.n_steps=10", "ppo.batch_size=50", "total_timesteps=1200",
         "reward=notes", "curriculum=notes",
         f"curriculum.unit={unit}", f"curriculum.duration={duration}"]
    )  # fmt: skip
    assert derive(config).curriculum_end == end


def test_the_start_names_every_term_scale_noise_and_weight():
    text = start(["observation=default"], kept=0.4567)
    assert "45.7% of the samples kept" in text
    assert "Observation: 18 numbers" in text
    assert "12-17" in text and "keypoint_kernel" in text and "0.2, 0.05, 0.01" in text
    assert "Curriculum" not in text


def test_the_start_of_the_notes_tells_the_ramps():
    text = start(["experiment=notes"], slices=None)
    assert "+-0.01" in text
    assert "-0.0001 to -0.005" in text
    assert "4,500 episodes, to step 1,687,500 (17% of the run)" in words(text)


def test_a_ramp_longer_than_the_run_says_so():
    text = start(["experiment=notes_quick"], slices=None)
    assert "after the run's end" in words(text)


def test_stages_are_told():
    text = words(start(["curriculum=staged"], slices=None))
    assert "50 mm" in text and "until 80% success over" in text and "100% of the joint" in text


def test_a_term_without_weight_is_left_out():
    assert "stillness" not in start(["reward.terms.stillness.weight=0"])


@pytest.mark.parametrize("overrides", [[], ["experiment=notes"], ["curriculum=staged"]])
def test_piped_tables_are_plain_ascii_within_80_columns(overrides):
    text = start(overrides, slices=None)
    assert text.isascii() and "\x1b" not in text and "..." not in text
    assert max(map(len, text.splitlines())) <= 80


def test_evaluations_stand_side_by_side():
    near = {**EVALUATION, "success_rate": 0.9, "time_to_success_s": {"median": None, "p95": None}}
    text = printed(lambda c: c.print(evaluation_table({"front": EVALUATION, "near": near})))
    assert "within 20 mm and 5.7 deg for 0.5 s" in text
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines() if line}
    assert rows["success"][-2:] == ["99.1%", "90.0%"]
    assert rows["position error*"][-4:] == ["1.23", "/", "4.5", "mm"]
    assert rows["time to success*"][-1] == "-"
    shares = ("steps over a speed limit", "steps at a torque limit")
    assert [rows[name][-1] for name in shares] == ["0.00%", "1.50%"]
    assert text.isascii() and max(map(len, text.splitlines())) <= 80


def test_thresholds_that_differ_are_not_claimed_for_all():
    other = {**EVALUATION, "thresholds": {**EVALUATION["thresholds"], "position_m": 0.03}}
    text = printed(lambda c: c.print(evaluation_table({"a": EVALUATION, "b": other})))
    assert "within" not in text
