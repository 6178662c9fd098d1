"""Rules across the keys of a run, and about the files and folders that it names.

Each rule yields its problems; none of them stops the others. Those about files hold where the run
starts.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from reach_rl.config import derived
from reach_rl.config.commands import word
from reach_rl.config.paths import assets_dir
from reach_rl.config.problems import NOTHING, Problem, listing, nearest, show
from reach_rl.config.schema import Config, GoalChange, ScheduleKind, TaskConfig
from reach_rl.extend import entries


def rules(config: Config) -> list[Problem]:
    """Every broken rule of a typed configuration; reads no file."""
    checks = (_names, _ppo, _rollout, _time, _lengths, _noise, _curriculum, _region, _others)
    return [problem for check in checks for problem in check(config)]


def task_rules(task: TaskConfig) -> list[Problem]:
    """The rules that concern a task alone."""
    return [*_task_time(task), *_pairs(task), *_task_region(task)]


def _names(c: Config) -> Iterator[Problem]:
    for part, terms in (("observation", c.observation.terms), ("reward", c.reward.terms)):
        if all(term is None for term in terms.values()):
            known = listing(entries(f"{part}_term"))
            yield Problem(f"{part}.terms", NOTHING, f"has no term; it needs one of {known}")


def _ppo(c: Config) -> Iterator[Problem]:
    p = c.ppo
    if p.batch_size == 1 and p.normalize_advantage:
        text = "one sample has no deviation; try ppo.batch_size=2 or ppo.normalize_advantage=false"
        yield Problem("ppo.batch_size", 1, text)
    if p.clip_range_schedule.kind is ScheduleKind.KL_ADAPTIVE:
        key, kind = "ppo.clip_range_schedule.kind", "kl_adaptive"
        yield Problem(key, kind, f"is for the learning rate only; try {key}=linear")
    start = math.exp(min(p.policy_kwargs.log_std_init, 700.0))
    if p.min_std is not None and start < p.min_std:
        what = f"above the deviation that exploration starts with ({start:.2g})"
        better = "try ppo.min_std=null or a larger ppo.policy_kwargs.log_std_init"
        yield Problem("ppo.min_std", p.min_std, f"{what}; {better}")
    if p.sde_sample_freq == 0:
        key = "ppo.sde_sample_freq"
        yield Problem(key, 0, f"must be -1 (once per rollout) or at least 1; try {key}=-1")


def _rollout(c: Config) -> Iterator[Problem]:
    size, batch = derived.rollout_size(c), c.ppo.batch_size
    made = f"{size} (vec_env.n_envs {c.vec_env.n_envs} x ppo.n_steps {c.ppo.n_steps})"
    if batch > size:
        better = derived.divisor_near(size, max(1.0, size / 4))
        text = f"larger than the rollout of {made}; try ppo.batch_size={better}"
        yield Problem("ppo.batch_size", batch, text)
    elif size % batch:
        better = derived.divisor_near(size, batch)
        text = f"does not divide the rollout of {made}; try ppo.batch_size={better}"
        yield Problem("ppo.batch_size", batch, text)
    if c.total_timesteps < size:
        text = f"less than one rollout of {made}; try total_timesteps={size}"
        yield Problem("total_timesteps", c.total_timesteps, text)


def _time(c: Config) -> Iterator[Problem]:
    yield from _task_time(c.task)


def _task_time(t: TaskConfig) -> Iterator[Problem]:
    period = t.control_period
    timer = t.goal_change is GoalChange.TIMER
    key = "task.goal_period" if timer else "task.episode_steps"
    steps = min(t.goal_period, t.episode_steps) if timer else t.episode_steps
    if t.hold_steps > steps:
        text = (
            f"longer than the {show(steps * period)} s for a goal ({key} {steps} x "
            f"{show(period)} s); try task.hold_time={show(max(1, steps // 2) * period)}"
        )
        yield Problem("task.hold_time", t.hold_time, text)
    if t.goal_change is GoalChange.HOLD and t.hold_time == 0:
        text = "goals that change after a hold need one; try task.hold_time=0.5"
        yield Problem("task.hold_time", t.hold_time, text)


def _lengths(c: Config) -> Iterator[Problem]:
    joints = len(c.robot.joints)
    if joints == 0:
        yield Problem("robot.joints", [], "has no joint; name those that the policy moves")
        return
    for key, items in (
        ("robot.actuators", c.robot.actuators),
        ("robot.home", c.robot.home),
        ("robot.velocity_limits", c.robot.velocity_limits),
    ):
        if items is not None and len(items) != joints:
            yield Problem(key, items, f"has {len(items)} items for {joints} joints (robot.joints)")
    for key, items in (("robot.joints", c.robot.joints), ("robot.actuators", c.robot.actuators)):
        twice = sorted({item for item in items if items.count(item) > 1})
        if twice:
            yield Problem(key, items, f"names {listing(twice)} more than once")
    width = c.task.region.joint_range
    if width is not None and len(width) not in (1, joints):
        better = f"task.region.joint_range=[{show(min(width, default=1.0))}]"
        text = f"has {len(width)} items for {joints} joints; try {better}"
        yield Problem("task.region.joint_range", width, text)


def _noise(c: Config) -> Iterator[Problem]:
    metres = dict.fromkeys(("tool_position", "goal_position", "position_error"), 1.0)
    angles = {"joint_position": 1.0, "joint_angle": 1.0, "orientation_error": 1.0} | dict.fromkeys(
        ("tool_quaternion", "goal_quaternion"), 2.0
    )
    for key, limit, unit, factors in (
        ("task.position_threshold", c.task.position_threshold, "m", metres),
        ("task.orientation_threshold", c.task.orientation_threshold, "rad", angles),
    ):
        for name, factor in factors.items():
            term = c.observation.terms.get(name)
            noise = factor * term.noise if term is not None else 0.0
            if noise >= limit:
                what = f"observation.terms.{name}.noise {show(noise)} {unit}"
                text = f"not wider than the sensor noise ({what}); try {key}={show(2 * noise)}"
                yield Problem(key, limit, text)


def _curriculum(c: Config) -> Iterator[Problem]:
    stages, ramps = c.curriculum.stages, c.curriculum.ramps
    if len(stages) > derived.updates(c):
        size = derived.rollout_size(c)
        text = (
            f"the run has fewer policy updates ({derived.updates(c)}); "
            f"try total_timesteps={len(stages) * size}"
        )
        yield Problem("curriculum.stages", f"{len(stages)} stages", text)
    if c.curriculum.unit == "fraction" and c.curriculum.duration > 1:
        text = (
            "a fraction of the run is at most 1; try curriculum.duration=1 or curriculum.unit=steps"
        )
        yield Problem("curriculum.duration", c.curriculum.duration, text)
    for name in ramps:
        if name in (entries("reward_term")) and c.reward.terms.get(name) is None:
            value = f"{{weight:{show(ramps[name].start)},scales:null}}"
            text = f"the reward has no such term; try +reward.terms.{name}={value}"
            yield Problem(f"curriculum.ramps.{name}", NOTHING, text)


def _region(c: Config) -> Iterator[Problem]:
    yield from _pairs(c.task)
    yield from _task_region(c.task)


def _pairs(t: TaskConfig) -> Iterator[Problem]:
    r = t.randomization
    for name in ("servo_gain", "joint_damping", "joint_friction", "payload", "action_delay"):
        yield from _pair(f"task.randomization.{name}", getattr(r, name))
    if t.region.radius is not None:
        yield from _pair("task.region.radius", t.region.radius)


def _pair(key: str, pair: list[float] | list[int]) -> Iterator[Problem]:
    if len(pair) != 2:
        both = (pair * 2)[:2] if len(pair) == 1 else [min(pair, default=0), max(pair, default=1)]
        yield Problem(key, pair, f"must be [least, most]; try {key}={show(both)}")
    elif pair[0] > pair[1]:
        yield Problem(key, pair, f"least is above most; try {key}={show(pair[::-1])}")


def _task_region(t: TaskConfig) -> Iterator[Problem]:
    region = t.region
    for name in ("box_low", "box_high", "cone_axis"):
        items = getattr(region, name)
        if items is not None and len(items) != 3:
            yield Problem(
                f"task.region.{name}", items, f"needs 3 items (x, y, z), has {len(items)}"
            )
    corners = zip(region.box_low or [], region.box_high or [], strict=False)
    for axis, (low, high) in zip("xyz", corners, strict=False):
        if low is not None and high is not None and low >= high:
            text = f"{axis} is not below task.region.box_high={show(region.box_high)}"
            yield Problem("task.region.box_low", region.box_low, text)
    if (region.cone_axis is None) != (region.cone_angle is None):
        given, lacking = ("cone_axis", "cone_angle=0.5")
        if region.cone_axis is None:
            given, lacking = ("cone_angle", "cone_axis=[0,0,-1]")
        text = f"a cone needs an axis and an angle; try task.region.{lacking}"
        yield Problem(f"task.region.{given}", getattr(region, given), text)
    if region.cone_axis is not None and not any(region.cone_axis):
        yield Problem("task.region.cone_axis", region.cone_axis, "has no direction; try [0,0,-1]")
    if (
        region.radius is not None
        and len(region.radius) == 2
        and region.radius[1] <= region.pan_distance
    ):
        text = f"nothing of it is farther than task.region.pan_distance={show(region.pan_distance)}"
        yield Problem("task.region.radius", region.radius, text)


def _others(c: Config) -> Iterator[Problem]:
    if c.health.stop_on and not c.health.enabled:
        text = "nothing watches with health.enabled=false; try health.enabled=true"
        yield Problem("health.stop_on", c.health.stop_on, text)
    if c.video and c.evaluation.every == 0:
        text = "films show periodic evaluations, and there are none; try evaluation.every=250000"
        yield Problem("video", True, text)
    if any(char in c.wandb.project for char in "/\\#?%:"):
        better = "".join("_" if char in "/\\#?%:" else char for char in c.wandb.project)
        text = f"must not hold any of / \\ # ? % : ; try wandb.project={better}"
        yield Problem("wandb.project", c.wandb.project, text)


def file_rules(config: Config, tasks: list[str]) -> list[Problem]:
    """Every broken rule; tasks are the options of the task group."""
    return [*_robot(config), *_also(config, tasks), *_folders(config)]


def _robot(c: Config) -> Iterator[Problem]:
    models = assets_dir() / "robots"
    if c.robot.mjcf is None:
        if not (models / f"{c.robot.name}.xml").is_file():
            near = nearest(c.robot.name, sorted(path.stem for path in models.glob("*.xml")))
            text = f"there is no model of the name {c.robot.name}; "
            if near:
                yield Problem("robot.name", c.robot.name, f"{text}try robot={near}")
            else:
                yield Problem("robot.mjcf", None, f"{text}give its file with robot.mjcf=PATH")
    elif not Path(c.robot.mjcf).is_file():
        folder = Path(c.robot.mjcf).is_dir()
        hint = "; give an XML file" if folder else _neighbour(c.robot.mjcf, "robot.mjcf")
        what = "is a folder" if folder else "no such file"
        yield Problem("robot.mjcf", c.robot.mjcf, what + hint)


def _neighbour(path: str, key: str) -> str:
    """A file or folder beside a missing one that has nearly its name."""
    folder = Path(path).parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = nearest(Path(path).name, names)
    return f"; try {word(key, folder / near)}" if near else ""


def _no_run(path: str, key: str) -> str:
    """That a run is not there, and where to find what is."""
    return "no such folder" + (_neighbour(path, key) or "; reach-rl runs lists what there is")


def _also(c: Config, tasks: list[str]) -> Iterator[Problem]:
    for name in c.evaluation.also:
        if name not in tasks:
            near = nearest(name, tasks)
            hint = f"did you mean {near}?" if near else f"there are {listing(tasks)}"
            yield Problem("evaluation.also", c.evaluation.also, f"no task {name}; {hint}")


def _folders(c: Config) -> Iterator[Problem]:
    for key, value in (("run_dir", c.run_dir), ("resume", c.resume)):
        if value not in (None, "auto") and Path(str(value)).is_file():
            yield Problem(key, value, "is a file; give a folder")
    if c.resume not in (None, "auto") and not Path(str(c.resume)).exists():
        yield Problem("resume", c.resume, _no_run(str(c.resume), "resume"))
    records = Path(c.run_dir or "") / "metrics.jsonl"
    if c.run_dir is not None and c.resume is None and records.is_file():
        text = "holds a run already; go on with it by resume=auto, or choose another folder"
        yield Problem("run_dir", c.run_dir, text)


def run_rules(run: str, checkpoint: str) -> list[Problem]:
    """Whether run is the folder of a run that has the checkpoint (best, latest or a folder)."""
    folder = Path(run)
    if not folder.is_dir():
        return [Problem("run", run, _no_run(run, "run"))]
    if not (folder / "config.yaml").is_file():
        inside = sorted(p.parent for p in folder.glob("*/*/config.yaml"))
        inside += sorted(p.parent for p in folder.glob("*/config.yaml"))
        hint = f"; try {word('run', inside[-1])}" if inside else ""
        return [Problem("run", run, f"not the folder of a run (no config.yaml in it){hint}")]
    if checkpoint in ("best", "latest") or Path(checkpoint).is_dir():
        return []
    if (folder / "checkpoints" / checkpoint).is_dir():
        return []
    have = sorted(p.name for p in (folder / "checkpoints").glob("step_*"))
    text = f"no such checkpoint; there are {listing(['best', 'latest', *have])}"
    return [Problem("checkpoint", checkpoint, text)]


def bundle_rules(bundle: str) -> list[Problem]:
    """Whether bundle is a folder that export format=onnx has written."""
    folder = Path(bundle)
    if not folder.is_dir():
        return [Problem("bundle", bundle, "no such folder" + _neighbour(bundle, "bundle"))]
    missing = [
        n for n in ("contract.json", "policy.onnx", "config.yaml") if not (folder / n).is_file()
    ]
    if missing:
        text = f"not a bundle (no {listing(missing)} in it); make one with export run=DIR"
        return [Problem("bundle", bundle, text)]
    return []


def out_rules(out: str | None, name: str) -> list[Problem]:
    """Whether a file of figures can be put there; name is one to propose."""
    if out is None:
        return []
    path = Path(out)
    if path.is_dir():
        return [Problem("out", out, f"is a folder; try {word('out', path / name)}")]
    if not path.parent.is_dir():
        return [Problem("out", out, f"there is no folder {path.parent}; make it first")]
    return []
