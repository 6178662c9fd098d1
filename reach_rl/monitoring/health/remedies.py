"""Overrides to type, from what the configuration has."""

from functools import reduce

from reach_rl.config.schema import Config


def number(value: float) -> str:
    """A number for an override: short, and exact enough."""
    return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e")


def times(config: Config, key: str, factor: float) -> str:
    """A key with its value times a factor."""
    return f"{key}={number(factor * reduce(getattr, key.split('.'), config))}"  # pyright: ignore


def slower_learning(config: Config, factor: float = 3.0) -> str:
    """A smaller step of Adam."""
    return times(config, "ppo.learning_rate", 1.0 / factor)


def entropy_bonus(config: Config) -> str:
    """More exploration."""
    return f"ppo.ent_coef={number(max(2 * config.ppo.ent_coef, 0.003))}"


def term_weight(config: Config, name: str, weight: float, scales: str = "null") -> str:
    """A reward term with this weight; `scales` where the reward lacks the term."""
    terms = config.reward.terms
    if terms.get(name) is not None:
        return f"reward.terms.{name}.weight={number(weight)}"
    plus = "" if name in terms else "+"
    return f"{plus}reward.terms.{name}={{weight:{number(weight)},scales:{scales}}}"


def times_weight(
    config: Config, name: str, factor: float, usual: float, scales: str = "null"
) -> str:
    """A reward term with its weight times a factor, or the usual weight where it has none."""
    term = config.reward.terms.get(name)
    weight = factor * term.weight if term is not None and term.weight else usual
    return term_weight(config, name, weight, scales)


def ramp(config: Config, name: str, start: float, end: float) -> str:
    """A reward weight that grows over the run."""
    plus = "" if name in config.curriculum.ramps else "+"
    return f"{plus}curriculum.ramps.{name}={{start:{number(start)},end:{number(end)}}}"


def narrow_kernel(config: Config, width: float) -> str:
    """The key-point kernel with a narrowest width (m)."""
    scales = f"[0.2,0.05,{number(width)}]"
    if config.reward.terms.get("keypoint_kernel") is not None:
        return f"reward.terms.keypoint_kernel.scales={scales}"
    return term_weight(config, "keypoint_kernel", 1.0, scales)


def easier_goals(config: Config) -> str:
    """Easy goals first."""
    stages = config.curriculum.stages
    if not stages:
        return "curriculum=staged"
    return f"curriculum.stages.0.region_share={number(stages[0].region_share / 2)}"


def smaller_region(config: Config) -> str:
    """Goals from half the joint range."""
    width = config.task.region.joint_range
    if width is None:
        return "task=front"
    return f"task.region.joint_range=[{','.join(number(angle / 2) for angle in width)}]"


def calmer_physics(config: Config) -> tuple[str, str]:
    """Shorter physics steps, or an arm that moves less."""
    task = config.task
    finer = f"task.physics_step={number(task.physics_step / 2)} task.substeps={2 * task.substeps}"
    kind = "torque" if config.action.kind == "offset" else "speed"
    return finer, times(config, f"action.{kind}", 0.5)
