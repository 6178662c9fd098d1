"""Rules across the keys of a run, about the files that it names, and what follows from both.

Each rule yields its problems; none of them stops the others. Those about files hold where the run
starts.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config import assets_dir
from reach_rl.config.problems import listing, meant, nearest, show, word
from reach_rl.config.schema import Config, GoalChange, ScheduleKind, Unit
from reach_rl.extend import entries

if TYPE_CHECKING:
    from reach_rl.config.composition import Composer

Broken = Iterator[tuple[str, str]]
"""The key that breaks a rule, and what is wrong with it."""


Check = Callable[[Any], Broken]
FileCheck = Callable[[Any, "Composer"], Broken]
"""It may ask what options there are."""


def _ppo(c: Config) -> Broken:
    p = c.ppo
    if p.batch_size == 1 and p.normalize_advantage:
        better = "try ppo.batch_size=2 or ppo.normalize_advantage=false"
        yield "ppo.batch_size", f"one sample has no deviation; {better}"
    if p.clip_range_schedule.kind is ScheduleKind.KL_ADAPTIVE:
        key = "ppo.clip_range_schedule.kind"
        yield key, f"is for the learning rate only; try {key}=linear"
    start = math.exp(min(p.policy_kwargs.log_std_init, 700.0))
    if p.min_std is not None and start < p.min_std:
        what = f"above the deviation that exploration starts with ({start:.2g})"
        better = "try ppo.min_std=null or a larger ppo.policy_kwargs.log_std_init"
        yield "ppo.min_std", f"{what}; {better}"
    if p.sde_sample_freq == 0:
        key = "ppo.sde_sample_freq"
        yield key, f"must be -1 (once per rollout) or at least 1; try {key}=-1"


def _rollout(c: Config) -> Broken:
    size, batch = rollout_size(c), c.ppo.batch_size
    made = f"{size} (vec_env.n_envs {c.vec_env.n_envs} x ppo.n_steps {c.ppo.n_steps})"
    if batch > size or size % batch:
        what = "larger than" if batch > size else "does not divide"
        better = divisor_near(size, max(1.0, size / 4) if batch > size else batch)
        yield "ppo.batch_size", f"{what} the rollout of {made}; try ppo.batch_size={better}"
    if c.total_timesteps < size:
        yield "total_timesteps", f"less than one rollout of {made}; try total_timesteps={size}"


def _time(c: Config) -> Broken:
    t, key, period = c.task, "task.hold_time", show(c.task.control_period)
    timer = t.goal_change is GoalChange.TIMER
    cause = "task.goal_period" if timer else "task.episode_steps"
    steps = min(t.goal_period, t.episode_steps) if timer else t.episode_steps
    if t.hold_steps > steps:
        what = f"{show(steps * t.control_period)} s for a goal ({cause} {steps} x {period} s)"
        better = show(max(1, steps // 2) * t.control_period)
        yield key, f"longer than the {what}; try {key}={better}"
    if t.goal_change is GoalChange.HOLD and t.hold_time == 0:
        yield key, f"goals that change after a hold need one; try {key}=0.5"


def _lengths(c: Config) -> Broken:
    joints = len(c.robot.joints)
    if joints == 0:
        yield "robot.joints", "has no joint; name those that the policy moves"
        return
    for name in ("actuators", "home", "velocity_limits"):
        items = getattr(c.robot, name)
        if items is not None and len(items) != joints:
            yield f"robot.{name}", f"has {len(items)} items for {joints} joints (robot.joints)"
    for key, items in (("robot.joints", c.robot.joints), ("robot.actuators", c.robot.actuators)):
        twice = sorted({item for item in items if items.count(item) > 1})
        if twice:
            yield key, f"names {listing(twice)} more than once"
    key, width = "task.region.joint_range", c.task.region.joint_range
    if width is not None and len(width) not in (1, joints):
        better = f"try {key}=[{show(min(width, default=1.0))}]"
        yield key, f"has {len(width)} items for {joints} joints; {better}"


_SENSED = {
    "position": ("m", "tool_position goal_position position_error"),
    "orientation": (
        "rad",
        "joint_position joint_angle orientation_error tool_quaternion goal_quaternion",
    ),
}
"""Threshold -> its unit, and the observation terms whose noise counts against it."""


def _noise(c: Config) -> Broken:
    for what, (unit, names) in _SENSED.items():
        key, limit = f"task.{what}_threshold", getattr(c.task, f"{what}_threshold")
        for name, term in ((name, c.observation.terms.get(name)) for name in names.split()):
            noise = 0.0 if term is None else term.noise
            noise *= 2.0 if name.endswith("quaternion") else 1.0  # half an angle
            if noise >= limit:
                cause = f"observation.terms.{name}.noise {show(noise)} {unit}"
                better = f"try {key}={show(2 * noise)}"
                yield key, f"not wider than the sensor noise ({cause}); {better}"


def _curriculum(c: Config) -> Broken:
    stages, fits = len(c.curriculum.stages), updates(c)
    if stages > fits:
        better = f"try total_timesteps={stages * rollout_size(c)}"
        yield "curriculum.stages", f"more than the run has policy updates ({fits}); {better}"
    if c.curriculum.unit is Unit.FRACTION and c.curriculum.duration > 1:
        better = "try curriculum.duration=1 or curriculum.unit=steps"
        yield "curriculum.duration", f"a fraction of the run is at most 1; {better}"
    for name, ramp in c.curriculum.ramps.items():
        if c.reward.terms.get(name) is None:
            better = f"try reward.terms.{name}={show(ramp.start)}"
            yield f"curriculum.ramps.{name}", f"the reward has no such term; {better}"


def _region(c: Config) -> Broken:
    r = c.task.region
    for name in ("servo_gain", "joint_damping", "joint_friction", "payload", "action_delay"):
        pair = getattr(c.task.randomization, name)
        yield from _pair(f"task.randomization.{name}", pair)
    if r.radius is not None:
        yield from _pair("task.region.radius", r.radius)
        if len(r.radius) == 2 and r.radius[1] <= r.pan_distance:
            what = f"task.region.pan_distance={show(r.pan_distance)}"
            yield "task.region.radius", f"nothing of it is farther than {what}"
    for name in ("box_low", "box_high", "cone_axis"):
        items = getattr(r, name)
        if items is not None and len(items) != 3:
            yield f"task.region.{name}", f"needs 3 items (x, y, z), has {len(items)}"
    for axis, low, high in zip("xyz", r.box_low or (), r.box_high or (), strict=False):
        if low is not None and high is not None and low >= high:
            what = f"{axis} is not below task.region.box_high={show(r.box_high)}"
            yield "task.region.box_low", what
    if (r.cone_axis is None) != (r.cone_angle is None):
        given = "cone_angle" if r.cone_axis is None else "cone_axis"
        better = "try task.region.cone_axis=[0,0,-1] and task.region.cone_angle=0.5"
        yield f"task.region.{given}", f"a cone needs an axis and an angle; {better}"
    if r.cone_axis is not None and not any(r.cone_axis):
        yield "task.region.cone_axis", "has no direction; try [0,0,-1]"


def _pair(key: str, pair: list[float] | list[int]) -> Broken:
    if len(pair) != 2 or pair[0] > pair[1]:
        both = [min(pair, default=0), max(pair, default=1)]
        yield key, f"must be [least, most]; try {key}={show(both)}"


def _others(c: Config) -> Broken:
    for part, terms in (("observation", c.observation.terms), ("reward", c.reward.terms)):
        if all(term is None for term in terms.values()):
            names = listing(entries(f"{part}_term"))
            yield f"{part}.terms", f"has no term; it needs one of {names}"
    if c.health.stop_on and not c.health.enabled:
        yield "health.stop_on", "nothing watches with health.enabled=false; try health.enabled=true"
    if c.video and c.evaluation.every == 0:
        yield "video", "films show periodic evaluations; try evaluation.every=250000"
    better = re.sub(r"[/\\#?%:]", "_", c.wandb.project)
    if better != c.wandb.project:
        what = r"must not hold any of / \ # ? % : ;"
        yield "wandb.project", f"{what} try wandb.project={better}"


PPO: tuple[Check, ...] = (_ppo, _rollout)
"""Those of our learner; who brings another does not keep to them."""
RULES: tuple[Check, ...] = (*PPO, _time, _lengths, _noise, _curriculum, _region, _others)
"""Of a run; they read no file."""
TASK: tuple[Check, ...] = (_time, _region)
"""Those that concern a task alone."""


def _robot(c: Config, _: object) -> Broken:
    models = assets_dir() / "robots"
    if c.robot.mjcf is None and not (models / f"{c.robot.name}.xml").is_file():
        near = nearest(c.robot.name, sorted(path.stem for path in models.glob("*.xml")))
        better = f"try robot={near}" if near else "give its file with robot.mjcf=PATH"
        key = "robot.name" if near else "robot.mjcf"
        yield key, f"there is no model of the name {c.robot.name}; {better}"
    elif c.robot.mjcf is not None and Path(c.robot.mjcf).is_dir():
        yield "robot.mjcf", "is a folder; give an XML file"
    elif c.robot.mjcf is not None and not Path(c.robot.mjcf).is_file():
        yield "robot.mjcf", f"no such file{_neighbour(c.robot.mjcf, 'robot.mjcf')}"


def _neighbour(path: str, key: str) -> str:
    """A file or folder beside a missing one that has nearly its name."""
    folder = Path(path).parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = nearest(Path(path).name, names)
    return f"; try {word(key, folder / near)}" if near else ""


def _no_run(path: str, key: str) -> str:
    """That a run is not there, and where to find what is."""
    return "no such folder" + (_neighbour(path, key) or "; reach-rl runs lists what there is")


def _also(c: Config, composer: "Composer") -> Broken:
    tasks = composer.options("task")
    for name in c.evaluation.also:
        if name not in tasks:
            yield "evaluation.also", f"no task {name}; {meant(name, tasks)}"


def _folders(c: Config, _: object) -> Broken:
    for key, value in (("run_dir", c.run_dir), ("resume", c.resume)):
        path = Path(str(value))
        if value not in (None, "auto") and path.is_file():
            yield key, "is a file; give a folder"
        elif above := next((p for p in path.parents if p.is_file()), None):
            yield key, f"{above} is a file; give a folder elsewhere"
    if c.resume not in (None, "auto") and not Path(str(c.resume)).exists():
        yield "resume", _no_run(str(c.resume), "resume")
    records = Path(c.run_dir or "") / "metrics.jsonl"
    if c.run_dir is not None and c.resume is None and records.is_file():
        better = "go on with it by resume=auto, or choose another folder"
        yield "run_dir", f"holds a run already; {better}"


FILES: tuple[FileCheck, ...] = (_robot, _also, _folders)
"""About the files that a run names."""


def run_file(run: str, checkpoint: str) -> Broken:
    """Whether run is the folder of a run that has the checkpoint (best, latest or a folder)."""
    folder, places = Path(run), (Path(checkpoint), Path(run) / "checkpoints" / checkpoint)
    if not folder.is_dir():
        yield "run", _no_run(run, "run")
    elif not (folder / "config.yaml").is_file():
        inside = [p.parent for glob in ("*/*", "*") for p in folder.glob(f"{glob}/config.yaml")]
        hint = f"; try {word('run', max(inside))}" if inside else ""
        yield "run", f"not the folder of a run (no config.yaml in it){hint}"
    elif checkpoint not in ("best", "latest") and not any(place.is_dir() for place in places):
        have = sorted(p.name for p in (folder / "checkpoints").glob("step_*"))
        yield "checkpoint", f"no such checkpoint; there are {listing(['best', 'latest', *have])}"


def bundle_file(bundle: str) -> Broken:
    """Whether bundle is a folder that export format=onnx has written."""
    parts = ("contract.json", "policy.onnx", "config.yaml")
    missing = [name for name in parts if not (Path(bundle) / name).is_file()]
    if not Path(bundle).is_dir():
        yield "bundle", "no such folder" + _neighbour(bundle, "bundle")
    elif missing:
        better = "make one with export run=DIR"
        yield "bundle", f"not a bundle (no {listing(missing)} in it); {better}"


def out_file(name: str) -> FileCheck:
    """The check that a file can be put where out says; name is one to propose."""

    def check(c: Any, _: object) -> Broken:  # noqa: ANN401  a configuration with out
        path = Path(c.out or "")
        if c.out is not None and path.is_dir():
            yield "out", f"is a folder; try {word('out', path / name)}"
        elif not path.parent.is_dir():
            yield "out", f"there is no folder {path.parent}; make it first"

    return check


@dataclass(frozen=True, slots=True)
class Derived:
    """What a run's configuration comes to."""

    rollout: int
    """Environment steps per rollout, all environments together."""
    rollouts: int
    """Rollouts, and as many updates, of the run."""
    total_steps: int
    """Environment steps that the run takes: the configured ones, up to whole rollouts."""
    minibatches: int
    """Minibatches per pass over a rollout."""
    gradient_steps: int
    """Gradient steps per update."""
    episodes: float
    """Episodes of the run, all environments together."""
    goals: float
    """Goals given in the run; with goals that change on success, the least number."""
    curriculum_end: float | None
    """Environment step at which ramps end; None without ramps."""


def derive(config: Config) -> Derived:
    """The derived numbers of a run."""
    ppo, task, curriculum = config.ppo, config.task, config.curriculum
    rollout, rollouts = rollout_size(config), updates(config)
    total, minibatches = rollouts * rollout, math.ceil(rollout / ppo.batch_size)
    units = {Unit.STEPS: 1, Unit.EPISODES: task.episode_steps, Unit.FRACTION: total}
    episodes, goals = total / task.episode_steps, 1
    if task.goal_change is GoalChange.TIMER:
        goals = math.ceil(task.episode_steps / task.goal_period)
    return Derived(
        rollout=rollout,
        rollouts=rollouts,
        total_steps=total,
        minibatches=minibatches,
        gradient_steps=minibatches * ppo.n_epochs,
        episodes=episodes,
        goals=episodes * goals,
        curriculum_end=curriculum.duration * units[curriculum.unit] if curriculum.ramps else None,
    )


def rollout_size(config: Config) -> int:
    """Environment steps of one rollout, all environments together."""
    return config.ppo.n_steps * config.vec_env.n_envs


def updates(config: Config) -> int:
    """Rollouts, hence policy updates, of the run; the last one is completed."""
    return math.ceil(config.total_timesteps / rollout_size(config))


def divisor_near(number: int, wanted: float) -> int:
    """The divisor of number that is nearest to wanted in ratio."""
    pairs = ((d, number // d) for d in range(1, math.isqrt(number) + 1) if number % d == 0)
    divisors = {divisor for pair in pairs for divisor in pair}
    return min(sorted(divisors), key=lambda d: abs(math.log(d / wanted)))
