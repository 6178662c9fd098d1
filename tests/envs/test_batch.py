"""The batch itself: goals, episodes, bad physics, random models, snapshots, the curriculum."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import Config, GoalChange, RandomizationConfig, Start
from reach_rl.envs.batch import ReachBatch, Step
from reach_rl.mdp.curriculum import Setting
from reach_rl.mdp.state import nearest_way
from reach_rl.robots import load_robot
from tests.envs.conftest import ASSETS, EVERYTHING, LOOSE, NOTHING, quiet, seeing
from tests.small_runs import compose

Make = Callable[..., Config]


def actions(steps: int, n: int, joints: int = 6, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, n, joints))


def play(batch: ReachBatch, commands: np.ndarray) -> list[Step]:
    return [batch.step(action) for action in commands]


def test_goals_change_by_the_timer(make: Make) -> None:
    """At steps 15 and 30 of 40; the last observation is the old goal's, the new one's follows."""
    batch = ReachBatch(quiet(make()), 3)
    batch.reset()
    goal = batch.observe.slices["goal_position"]
    before, fresh = batch.state.goal_position.copy(), 0
    for t, action in enumerate(actions(80, 3), 1):
        step = batch.step(action)
        assert step.goal_changed.tolist() == [t % 40 in (15, 30)] * 3
        assert step.timed_out.tolist() == [t % 40 == 0] * 3
        now = step.goal_changed | step.timed_out
        assert step.cut.tolist() == np.flatnonzero(now).tolist()
        assert np.allclose(step.observation[:, goal], batch.state.goal_position, atol=1e-6)
        if now.any():
            assert np.allclose(step.last_observation[:, goal], before, atol=1e-6)
            fresh += int((batch.state.goal_position != before).any(axis=1).sum())
        before = batch.state.goal_position.copy()
    assert fresh > 14  # of 18, drawn from 64


def test_a_timer_that_ends_with_the_episode_draws_one_goal(make: Make) -> None:
    """Goals of 20 steps in an episode of 40: the end of the episode is no change of goal."""
    batch = ReachBatch(make(goal_period=20), 2)
    batch.reset()
    for t, step in enumerate(play(batch, actions(80, 2)), 1):
        assert step.goal_changed.tolist() == [t in (20, 60)] * 2
        assert step.timed_out.tolist() == [t in (40, 80)] * 2
    assert len(batch.episodes.drain().goals) == 8


def test_goals_change_after_a_hold_and_each_counts_once(make: Make) -> None:
    """0.1 s are six steps inside; sums agree with what was seen step by step."""
    batch = ReachBatch(make(**LOOSE), 4)
    batch.reset()
    reached, ends = 0, 0
    for action in 0.1 * actions(80, 4):
        before = batch.state.inside_steps.copy()
        step = batch.step(action)
        assert (before[step.goal_changed] == 5).all()
        assert batch.state.inside_steps.max() < 6
        reached += int(step.goal_changed.sum())
        ends += int(step.timed_out.sum())
    finished = batch.episodes.drain()
    assert reached > 4
    assert finished.episodes[:, 1].tolist() == [40] * 8 and ends == 8
    assert len(finished.goals) == reached + ends
    assert reached <= finished.goals[:, 0].sum() == finished.episodes[:, 2].sum()
    assert not len(batch.episodes.drain().goals)


def test_goals_that_never_change(make: Make) -> None:
    batch = ReachBatch(make(**(LOOSE | {"goal_change": GoalChange.NEVER})), 2)
    batch.reset()
    first = batch.goal_index.copy()
    steps = play(batch, 0.0 * actions(39, 2))
    assert not any(step.goal_changed.any() for step in steps)
    assert (batch.goal_index == first).all()
    assert batch.episodes.snapshot()["goals"].max() <= 1


def test_an_episode_starts_where_the_task_says(make: Make) -> None:
    """Home or another goal's joints, plus noise, at rest, holding still without an action."""
    for start, noise in ((Start.HOME, 0.05), (Start.REGION, 0.0)):
        batch = ReachBatch(quiet(make(start=start, start_noise=noise)), 20)
        batch.reset()
        state, pool = batch.state, batch.goals.joints
        if start is Start.HOME:
            offset = state.joint_position - batch.arm.home
            assert np.abs(offset).max() <= noise
            assert np.abs(offset).max() > 0.9 * noise
        else:
            known = (state.joint_position[:, None] == pool[None]).all(axis=2)
            assert known.any(axis=1).all()
            assert (known.argmax(axis=1) != batch.goal_index).any()
        assert (state.joint_velocity == 0).all()
        begin = state.joint_position.copy()
        play(batch, np.zeros((10, 20, 6)))
        assert np.abs(batch.state.joint_position - begin).max() < 2e-3


def test_nan_in_one_simulation_ends_its_episode_and_touches_no_other(make: Make) -> None:
    """Twice in the same simulation: each time counted, everything finite, others bit for bit."""
    commands = actions(30, 4)
    calm, sick = ReachBatch(make(), 4), ReachBatch(make(), 4)
    calm.reset(), sick.reset()
    others = np.array([0, 1, 3])
    for t, action in enumerate(commands):
        if t in (7, 20):
            sick._qvel[2, 3] = np.nan
        a, b = calm.step(action), sick.step(action)
        assert np.isfinite(b.observation).all()
        assert np.isfinite(b.last_observation).all()
        assert np.isfinite(b.reward).all()
        assert b.timed_out.tolist() == [False, False, t in (7, 20), False]
        assert (a.observation[others] == b.observation[others]).all()
        assert (a.reward[others] == b.reward[others]).all()
        if t in (7, 20):
            assert b.reward[2] == 0.0
            assert b.cut.tolist() == [2]
            assert sick.age[2] == 0
    finished = sick.episodes.drain()
    assert finished.physics_resets == 2
    assert finished.episodes[:, 1].tolist() == [8, 13]
    assert np.isfinite(finished.episodes).all()
    assert calm.episodes.drain().physics_resets == 0


@pytest.mark.parametrize("taken_at", [7, 47])
def test_a_restored_batch_goes_on_bit_for_bit(make: Make, taken_at: int) -> None:
    """In the first or second episode, with noise and everything random; into a fresh batch."""
    config = make(randomization=EVERYTHING, start=Start.REGION)
    commands = actions(100, 3)
    one, other = ReachBatch(config, 3), ReachBatch(config, 3, threads=2)
    one.reset(), other.reset()
    play(one, commands[:taken_at])
    play(other, actions(5, 3, seed=9))
    snapshot = one.snapshot()
    kept = {name: value.copy() for name, value in snapshot.items()}
    one.episodes.drain()
    expected = play(one, commands[taken_at:])
    assert all((snapshot[name] == kept[name]).all() for name in kept)
    other.restore(snapshot)
    other.episodes.drain()
    for a, b in zip(expected, play(other, commands[taken_at:]), strict=True):
        assert (a.observation == b.observation).all()
        assert (a.reward == b.reward).all()
        assert (a.timed_out == b.timed_out).all()
        assert (a.goal_changed == b.goal_changed).all()
        assert (a.last_observation == b.last_observation).all()
    done, again = one.episodes.drain(), other.episodes.drain()
    np.testing.assert_array_equal(done.episodes, again.episodes)
    np.testing.assert_array_equal(done.goals, again.goals)


def test_the_curriculum_reaches_the_batch(make: Make) -> None:
    """Weights, thresholds and the share of the region take effect."""
    batch = ReachBatch(make(), 200)
    names = batch.reward.names
    batch.apply(Setting({"distance": -50.0}, 5.0, 4.0, 0.5))
    batch.reset()
    within = batch.goals.within(0.5)
    assert 1 <= within < len(batch.goals)
    assert batch.goal_index.max() < within
    step = batch.step(np.zeros((200, 6)))
    shares = batch.episodes.snapshot()["shares"]
    distance = shares[:, names.index("distance")]
    assert np.allclose(distance, -50.0 * batch.state.distance)
    assert np.allclose(shares.sum(axis=1), step.reward)
    assert (batch.state.inside_steps == 1).all()


def test_stagger_spreads_the_ends(make: Make) -> None:
    """Ten environments, a first episode end every four steps; later episodes are whole."""
    batch = ReachBatch(make(), 10)
    batch.reset()
    batch.stagger()
    ends = [np.flatnonzero(step.timed_out).tolist() for step in play(batch, actions(80, 10))]
    assert [t + 1 for t, rows in enumerate(ends[:40]) if rows] == list(range(4, 41, 4))
    assert ends[:40] == ends[40:]
    lengths = batch.episodes.drain().episodes[:, 1].tolist()
    assert sorted(lengths[:10]) == list(range(4, 41, 4))
    assert lengths[10:] == [40] * 10


def ranges(**changes: list) -> RandomizationConfig:
    return replace(NOTHING, **changes)


def test_no_randomization_keeps_the_shared_model(make: Make) -> None:
    batch = ReachBatch(make(), 2)
    batch.reset()
    for name in ("actuator_gainprm", "dof_damping", "dof_frictionloss", "body_mass"):
        assert batch.batch.expanded(name) is None


def test_random_models_are_drawn_within_their_ranges_for_every_episode(make: Make) -> None:
    """Servo gains by a common factor on stiffness and damping, friction, damping, payload."""
    batch = ReachBatch(make(randomization=EVERYTHING, episode_steps=15), 50)
    batch.reset()
    robot, model = batch.robot, batch.robot.model
    fields = batch.batch

    def drawn() -> tuple[np.ndarray, ...]:
        gain = fields.expanded("actuator_gainprm")[:, :, 0] / model.actuator_gainprm[:, 0]
        for k in (1, 2):
            bias = fields.expanded("actuator_biasprm")[:, :, k] / model.actuator_biasprm[:, k]
            assert np.allclose(bias, gain)
        limit = robot.torque_limits
        damping, friction = (
            (fields.expanded(name).reshape(50, -1) - getattr(model, name).reshape(-1)) / limit
            for name in ("dof_damping", "dof_frictionloss")
        )
        mass = fields.expanded("body_mass")[:, robot.payload_body]
        return gain.copy(), damping.copy(), friction.copy(), mass.copy()

    first = drawn()
    for values, low, high in zip(first, (0.7, 0, 0, 0), (1.3, 0.05, 0.03, 2.0), strict=True):
        assert values.min() >= low - 1e-12
        assert values.max() <= high + 1e-12
        assert values.min() < low + 0.1 * (high - low)
        assert values.max() > high - 0.1 * (high - low)
    assert set(batch.delay.tolist()) == {0, 1, 2}
    play(batch, np.zeros((14, 50, 6)))
    assert all((a == b).all() for a, b in zip(first, drawn(), strict=True))
    batch.step(np.zeros((50, 6)))
    assert all((a != b).mean() > 0.99 for a, b in zip(first, drawn(), strict=True))


@pytest.mark.parametrize(
    "randomization",
    [
        ranges(servo_gain=[0.5, 0.5]),
        ranges(joint_damping=[0.1, 0.1]),
        ranges(joint_friction=[0.1, 0.1]),
        ranges(payload=[4.0, 4.0]),
    ],
)
def test_each_random_parameter_moves_the_arm_otherwise(
    make: Make, randomization: RandomizationConfig
) -> None:
    """A range without width, so that the random streams are used alike but for it."""
    ends = []
    for chosen in (NOTHING, randomization):
        batch = ReachBatch(make(randomization=chosen, start_noise=0.0), 1)
        batch.reset()
        play(batch, np.full((10, 1, 6), 0.8))
        ends.append(batch.state.joint_position.copy())
    assert 1e-4 < np.abs(ends[0] - ends[1]).max() < 1.0


def test_a_delayed_action_takes_effect_later(make: Make) -> None:
    """Two periods: the arm moves as if the actions had been two zeros and then these."""
    commands = actions(20, 2)
    task = {"start_noise": 0.0, "goal_change": GoalChange.NEVER}
    late = ReachBatch(quiet(make(randomization=ranges(action_delay=[2, 2]), **task)), 2)
    now = ReachBatch(quiet(make(**task)), 2)
    late.reset(), now.reset()
    play(late, commands)
    play(now, np.concatenate([np.zeros((2, 2, 6)), commands[:-2]]))
    assert (late.state.joint_position == now.state.joint_position).all()
    assert (late.state.action == commands[-1]).all()


def test_actions_under_way_end_with_the_episode(make: Make) -> None:
    """A new episode with a delay begins at rest, whatever the last one's actions were."""
    batch = ReachBatch(make(randomization=ranges(action_delay=[3, 3]), episode_steps=10), 2)
    batch.reset()
    play(batch, np.ones((10, 2, 6)))
    begin = batch.state.joint_position.copy()
    play(batch, np.ones((3, 2, 6)))
    assert np.abs(batch.state.joint_position - begin).max() < 2e-3
    play(batch, np.ones((3, 2, 6)))
    assert np.abs(batch.state.joint_position - begin).min() > 1e-2


def arm7(config: Config) -> Config:
    """A made-up arm with seven joints, one without limits, on a pedestal away from the origin."""
    robot = replace(
        config.robot,
        name="arm7",
        mjcf=str(ASSETS / "arm7.xml"),
        joints=[f"j{i}" for i in range(1, 8)],
        actuators=[f"a{i}" for i in range(1, 8)],
        tcp_site="tip",
        home=None,
    )
    region = replace(config.task.region, joint_range=[0.8], box_low=None, pan_distance=0.0)
    config = replace(config, robot=robot, task=replace(config.task, region=region))
    return seeing(config, joint_error=None)  # there is no closed form of it


def test_an_arm_with_seven_joints(make: Make) -> None:
    """Nearly all terms, whole episodes, and the arm goes to a goal's joints when told to."""
    config = quiet(arm7(make(randomization=EVERYTHING)))
    batch = ReachBatch(config, 3)
    observation = batch.reset()
    assert observation.shape == (3, batch.observe.size)
    for step in play(batch, actions(45, 3, 7)):
        assert np.isfinite(step.observation).all()
        assert np.isfinite(step.reward).all()
    assert len(batch.episodes.drain().episodes) == 3

    batch = ReachBatch(quiet(arm7(make(goal_change=GoalChange.NEVER, episode_steps=400))), 3)
    batch.reset()
    joints = batch.goals.joints[batch.goal_index]
    for _ in range(200):
        batch.step(np.clip(2.0 * (joints - batch.state.joint_position), -1, 1))
    assert batch.state.distance.max() < 0.01
    assert batch.state.angle.max() < 0.02
    assert batch.state.reached.all()


def test_the_error_of_the_joints_needs_a_closed_form(make: Make) -> None:
    """One line that says what to use instead."""
    term = make().observation.terms["joint_error"]
    with pytest.raises(ConfigError, match=r"joint_error: .* not of arm7; try .*damped_least_sq"):
        ReachBatch(seeing(arm7(make()), joint_error=term), 1)


def test_the_error_of_the_joints_leads_to_whatever_goal_there_is(make: Make) -> None:
    """Drawn, of a new pool, and after a snapshot, which holds goals and not the ways to them."""
    config = make(goal_change=GoalChange.NEVER, episode_steps=400)
    batch = ReachBatch(quiet(config), 4)
    part = batch.observe.slices["joint_error"]

    def follow(observation: np.ndarray) -> None:
        for _ in range(150):
            observation = batch.step(2.0 * observation[:, part]).observation
        assert batch.state.distance.max() < 1e-3 and batch.state.angle.max() < 1e-2
        assert np.abs(observation[:, part]).max() < 1e-2

    follow(batch.reset())
    here = batch.state.goal_position.copy()
    goals = ReachBatch(quiet(replace(config, seed=5)), 1).goals
    batch.goals = goals
    follow(batch.assign_goals(np.arange(4), np.array([3, 9, 27, 60])))
    np.testing.assert_array_equal(batch.state.goal_position, goals.position[[3, 9, 27, 60]])
    assert (np.abs(batch.state.goal_position - here).max(axis=1) > 0.01).all()
    snapshot = batch.snapshot()
    assert "state.goal_ways" not in snapshot
    other = ReachBatch(quiet(config), 4, goals=goals)
    other.reset()
    other.restore(snapshot)
    np.testing.assert_array_equal(other.state.goal_ways, batch.state.goal_ways)


def test_ways_that_nobody_looks_at_are_not_worked_out(make: Make) -> None:
    batch = ReachBatch(seeing(make(), joint_error=None), 2)
    batch.reset()
    assert batch.state.goal_ways.shape == (2, 0, 6)


def test_friction_needs_a_torque_limit(make: Make) -> None:
    """A fraction of infinity is an error in one line, not a NaN."""
    robot = load_robot(make().robot)
    robot = replace(robot, torque_limits=np.where(np.arange(6) == 1, np.inf, robot.torque_limits))
    config = make(randomization=ranges(joint_friction=[0.0, 0.1]))
    with pytest.raises(ConfigError, match=r'joint_friction: joint "shoulder_lift_joint" of ur5e'):
        ReachBatch(config, 1, robot=robot)
    ReachBatch(make(), 1, robot=robot).reset()


def test_joint_progress_adds_up_to_the_way_gone() -> None:
    """Of one goal; a new one begins at 0, whatever its distance."""
    config = compose(
        [
            "task=full_sphere",
            "task.region.pool=64",
            "task.goal_period=20",
            "task.hold_time=0.2",
            "task.episode_steps=40",
            "++reward.terms.joint_progress.weight=2",
            "++reward.terms.joint_progress.scales=null",
        ]
    )
    batch = ReachBatch(config, 3)
    batch.reset()
    ways = batch.goals.ways[batch.goal_index]
    start = nearest_way(batch.state.joint_position, ways, batch.arm)[0]
    gone = np.zeros(3)
    for t, action in enumerate(actions(21, 3), 1):
        if t == 20:
            end = nearest_way(batch.state.joint_position, ways, batch.arm)[0]
        step = batch.step(action)
        if t < 20:
            gone += batch.state.joint_progress
    assert step.goal_changed.tolist() == [False] * 3
    assert np.allclose(gone, start - end) and (np.abs(gone) > 0.01).all()
    assert (np.abs(batch.state.joint_progress) < 0.2).all()
