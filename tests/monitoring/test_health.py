"""The diagnosis, on recorded runs that were sick on purpose or healthy, and on made-up signs."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reach_rl.config.composition import Composer
from reach_rl.config.load import prove
from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.config.verbs import VERBS
from reach_rl.extend import entries
from reach_rl.monitoring.health.diagnosis import Diagnosis, Finding
from reach_rl.monitoring.health.history import REWARD, History
from tests.small_runs import compose

HISTORIES = json.loads(gzip.decompress((Path(__file__).parent / "histories.json.gz").read_bytes()))
"""Made by python benchmarks/health.py --pack."""
SICK = [name for name, run in HISTORIES.items() if run["accepted"]]
HEALTHY = [name for name, run in HISTORIES.items() if not run["accepted"]]

Records = list[dict[str, Any]]
Change = Callable[[dict[str, Any], float], dict[str, Any]]


@cache
def composer() -> Composer:
    return Composer("train", None)


def composed(overrides: Sequence[str]) -> Config:
    """As compose, of which a hundred would take long; remedies come again and again."""
    return _composed(tuple(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    proof = prove(composer(), VERBS["train"], overrides)
    assert not proof.problems, proof.problems
    return proof.config


@cache
def config_of(name: str) -> Config:
    return composed(HISTORIES[name]["overrides"])


def records_of(name: str) -> Records:
    run = HISTORIES[name]
    rows = zip(run["steps"], *run["columns"].values(), strict=True)
    return [dict(zip(("global_step", *run["columns"]), row, strict=True)) for row in rows]


def changed(change: Change, base: str = "default") -> Records:
    """A healthy history with some values changed, given the record and the share of the run."""
    records = records_of(base)
    last = records[-1]["global_step"]
    return [r | change(r, r["global_step"] / last) for r in records]


def diagnose(config: Config, records: Records) -> list[Finding]:
    doctor = Diagnosis(config)
    return [found for r in records for found in doctor.feed(r["global_step"], r)]


def names(findings: list[Finding]) -> list[str]:
    return [finding.check.name for finding in findings]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_without_evaluations_is_left_alone(name):
    """Training explores, and may reach nothing while the policy's mean action does."""
    hidden = changed(lambda r, t: {k: None for k in r if k.startswith("eval/")}, name)
    assert names(diagnose(config_of(name), hidden)) == []


def check_words(finding: Finding, config: Config, overrides: Sequence[str]) -> None:
    """Figures, what they are held against, and two remedies that can be typed and change it."""
    first, second = finding.remedies
    assert first != second
    assert finding.text.endswith(f"; try {first} or {second}")
    assert any(character.isdigit() for character in finding.seen), finding.seen
    for remedy in (first, second):
        better = composed([*overrides, *remedy.split()])
        assert better != config, remedy


@pytest.mark.parametrize("name", SICK)
def test_a_sick_run_is_named(name):
    found = names(diagnose(config_of(name), records_of(name)))
    assert set(found) & set(HISTORIES[name]["accepted"]), found


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_left_alone(name):
    assert names(diagnose(config_of(name), records_of(name))) == []


def lost(record: dict[str, Any], share: float) -> dict[str, float]:
    """What a run shows that gets nowhere."""
    return {
        "rollout/success_rate": 0.0,
        "eval/success_rate": 0.0,
        "rollout/position_error_mm": 300.0,
        "rollout/orientation_error_deg": 70.0,
        "eval/position_error_mm_median": 300.0,
        "eval/orientation_error_deg_median": 70.0,
    }


def reward(record: dict[str, Any], per_step: float) -> dict[str, float]:
    return {"rollout/ep_rew_mean": per_step * record["rollout/ep_len_mean"]}


SIGNS: dict[str, tuple[tuple[str, ...], Change]] = {
    "approx_kl": ((), lambda r, t: {"train/approx_kl": 0.08 if t > 0.4 else 0.01}),
    "clip_fraction_high": ((), lambda r, t: {"train/clip_fraction": 0.35}),
    "clip_fraction_low": (
        ("ppo.learning_rate=1e-6", "ppo.learning_rate_schedule.kind=constant"),
        lambda r, t: (
            lost(r, t)
            | {"train/clip_fraction": 0.0, "train/approx_kl": 1e-5}
            | {"train/learning_rate": 1e-6}
        ),
    ),
    "grad_norm": ((), lambda r, t: {"train/grad_norm": 1.0 if t < 0.5 else 200.0}),
    "entropy_collapse": ((), lambda r, t: lost(r, t) | {"train/std": max(0.05, 1.0 - 4 * t)}),
    "std_growing": ((), lambda r, t: lost(r, t) | {"train/std": 1.0 + 2 * t}),
    "value_loss_growing": (
        (),
        lambda r, t: lost(r, t) | {"train/value_loss": 0.1 + t, "train/explained_variance": 0.3},
    ),
    "value_frozen": (
        (),
        lambda r, t: (
            {"train/value_std": 0.01, "train/return_std": 1.0} | {"train/explained_variance": 0.001}
        ),
    ),
    "explained_variance": ((), lambda r, t: lost(r, t) | {"train/explained_variance": -0.2}),
    "minibatch_small": (("ppo.batch_size=16",), lost),
    "horizon_short": (("ppo.gamma=0.7",), lost),
    "reward_flat": ((), lambda r, t: lost(r, t) | reward(r, -0.4)),
    "reward_falling": ((), lambda r, t: lost(r, t) | reward(r, -0.3 if t < 0.4 else -0.3 - t)),
    "reward_misaligned": (
        (),
        lambda r, t: lost(r, t) | reward(r, t) | {"rollout/position_error_mm": 300 + 600 * t},
    ),
    "reward_penalties": ((), lambda r, t: lost(r, t) | {"reward/action_rate": -500.0}),
    "reward_scale": (
        ("reward.normalize=false",),
        lambda r, t: lost(r, t) | {"train/return_std": 90},
    ),
    "success_flat": ((), lost),
    "goals_unreachable": ((), lost),
    "hovering": (
        (),
        lambda r, t: (
            lost(r, t)
            | {"rollout/position_error_mm": 30.0, "eval/position_error_mm_median": 30.0}
            | {"rollout/orientation_error_deg": 4.0, "eval/orientation_error_deg_median": 4.0}
        ),
    ),
    "chatter": ((), lambda r, t: {"eval/final_joint_speed_rad_s_median": 0.5}),
    "action_saturation": ((), lambda r, t: lost(r, t) | {"rollout/action_saturation": 0.8}),
    "observation_dead": ((), lambda r, t: {"observation/joint_velocity": 0.0}),
    "observation_scale": (
        ("observation.normalize=false",),
        lambda r, t: lost(r, t) | {"normalizer/seen_std_max": 40.0},
    ),
    "episode_length": ((), lambda r, t: {"rollout/ep_len_mean": 120.0}),
    "physics_resets": ((), lambda r, t: {"health/physics_resets": int(20 * max(0.0, t - 0.5))}),
    "throughput": ((), lambda r, t: {"time/iteration_s": 2.0 if t < 0.5 else 20.0}),
}


@pytest.mark.parametrize("name", entries("health_check"))
def test_each_sign_is_seen(name):
    overrides, change = SIGNS[name]
    command = [*HISTORIES["default"]["overrides"], *overrides]
    config = composed(command) if overrides else config_of("default")
    found = {f.check.name: f for f in diagnose(config, changed(change))}
    assert name in found
    check_words(found[name], config, command)


@pytest.mark.parametrize("name", ["reward_falling", "reward_flat", "hovering", "goals_unreachable"])
def test_a_moving_curriculum_excuses_the_reward(name):
    records, config = changed(SIGNS[name][1]), config_of("default")
    assert name in names(diagnose(config, records))
    for i, record in enumerate(records):  # as of any kind of curriculum that still sets something
        record["curriculum/action_rate"] = -0.005 - 0.05 * i / len(records)
    assert name not in names(diagnose(config, records))


def test_rising_success_excuses_a_falling_reward():
    falling = SIGNS["reward_falling"][1]
    records = changed(lambda r, t: falling(r, t) | {"rollout/success_rate": t})
    assert "reward_falling" not in names(diagnose(config_of("default"), records))


def test_one_slow_rollout_or_a_short_while_is_no_stall():
    hiccup = changed(lambda r, t: {"time/iteration_s": 50.0 if 0.50 < t < 0.53 else 2.0})
    quick = changed(lambda r, t: {"time/iteration_s": 0.2 if t < 0.5 else 2.0})
    for records in (hiccup, quick):
        assert names(diagnose(config_of("default"), records)) == []


def kl(begin: float, end: float) -> Records:
    return changed(lambda r, t: {"train/approx_kl": 0.2 if begin <= t < end else 0.01})


def test_a_sign_must_last():
    config = config_of("default")
    short = kl(0.5, 0.5 + 0.4 * config.health.persistence)
    assert names(diagnose(config, short)) == []
    (finding,) = diagnose(config, kl(0.5, 0.8))
    lasted = finding.step / config.total_timesteps - 0.5
    assert config.health.persistence <= lasted < 3 * config.health.persistence


def test_nothing_is_said_during_the_warm_up():
    config = config_of("default")
    assert names(diagnose(config, kl(0.0, 0.05))) == []
    late = replace(config, health=replace(config.health, warm_up=0.6))
    (finding,) = diagnose(late, kl(0.0, 1.1))
    assert finding.step >= 0.6 * config.total_timesteps


def test_each_warning_comes_once():
    twice = changed(lambda r, t: {"train/approx_kl": 0.2 if 0.2 < t < 0.4 or t > 0.6 else 0.01})
    found = names(diagnose(config_of("default"), twice))
    assert found == ["approx_kl"]


def test_nothing_is_said_when_it_is_off():
    config = config_of("default")
    off = replace(config, health=replace(config.health, enabled=False))
    assert names(diagnose(off, kl(0.0, 1.0))) == []


def test_going_on_is_as_if_there_had_been_no_stop(tmp_path):
    """At every record; a warning that was told is not told again, the others come as they would."""
    config, records = config_of("60 passes"), records_of("60 passes")
    whole = [(f.check.name, f.step, f.text) for f in diagnose(config, records)]
    assert len(whole) > 2
    told = {name: step for name, step, _ in whole}
    for cut in range(0, len(records), 3):
        lines = []
        for record in records[:cut]:
            lines.append(record)
            step = record["global_step"]
            lines += [
                {"global_step": step, "health/check": n} for n, s in told.items() if s == step
            ]
        path = tmp_path / "metrics.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        doctor = Diagnosis(config)
        doctor.replay(path)
        rest = [
            (f.check.name, f.step, f.text)
            for record in records[cut:]
            for f in doctor.feed(record["global_step"], record)
        ]
        seen = records[cut - 1]["global_step"] if cut else 0
        assert rest == [found for found in whole if found[1] > seen]


def test_what_was_told_under_other_settings_is_not_told_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"global_step": 1, "health/check": "approx_kl", "health/alert": "x"}\n')
    doctor = Diagnosis(config_of("default"))
    doctor.replay(path)
    found = [f for r in kl(0.2, 0.9) for f in doctor.feed(r["global_step"], r)]
    assert found == []


def test_names_in_stop_on_are_checked():
    with pytest.raises(ConfigError, match="did you mean approx_kl"):
        compose(["health.stop_on=[aprox_kl]"])
    with pytest.raises(ConfigError, match=r"try health\.enabled=true"):
        compose(["health.stop_on=[any]", "health.enabled=false"])
    assert compose(["health.stop_on=[any]"]).health.stop_on == ["any"]


def test_history_counts_reward_by_step_and_leaves_out_what_is_not_finite():
    history = History(config_of("default"))
    history.add(6144, {"rollout/ep_rew_mean": -30.0, "rollout/ep_len_mean": 15.0, "a": None})
    history.add(12288, {"rollout/ep_rew_mean": -60.0, "rollout/ep_len_mean": 60.0, "a": 1.0})
    assert history.recent(REWARD).tolist() == [-2.0, -1.0]
    assert history.recent("a").tolist() == [1.0]
    assert history.progress == pytest.approx(12288 / 251904)


def test_history_answers_as_plain_lists_would():
    """With every look at a column taken anew after each record, over many times its first room."""
    rng = np.random.default_rng(0)
    history = History(config_of("default"))
    steps, numbers = [], []
    for step in range(1024, history.total + 1, 1024):
        value = float(rng.normal(2.0))
        steps.append(step)
        numbers.append(value)
        history.add(step, {"a": value, "b": 1})
        if len(steps) % 3:
            continue  # several numbers are taken in at once
        at, all_of = np.array(steps), np.array(numbers)
        begin = step - 0.1 * history.total
        lately = all_of[at >= begin] if (at >= begin).sum() > 2 else all_of[-3:]
        assert history.recent("a", 0.1).tolist() == lately.tolist()
        assert history.mean("a", 0.1) == lately.mean()
        soon = all_of[at <= 0.3 * history.total]
        assert history.between("a", 0.0, 0.3).tolist() == soon.tolist()
        twentieths = np.minimum(at * 20 // history.total, 20)
        means = [all_of[twentieths == k].mean() for k in np.unique(twentieths) if k < 20]
        assert history.parts("a") == pytest.approx(means)
        assert history.best_low("a") == pytest.approx(min(means, default=0.0))
        assert history.last("a") == value
        assert history.most("a") == max(numbers)
    assert len(steps) > 200
    nothing = (history.mean("c"), history.last("c"), history.most("c"), history.best_low("c"))
    assert np.isnan(nothing).all()


def test_a_family_is_found_by_its_prefix():
    history = History(config_of("default"))
    history.add(1, {"reward/a": 1.0, "rewarding": 1.0, "observation/a": 1.0, "reward/b": None})
    history.add(2, {"reward/b": 1.0, "reward/a": 1.0})
    assert list(history.names("reward/")) == ["reward/a", "reward/b"]
    assert list(history.names("std/")) == []
