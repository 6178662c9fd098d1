"""reach_rl: policies that bring the tool of a robot arm to a full pose and hold it there."""

from importlib.util import find_spec

__version__ = "0.1.0"

ROBOTS = {
    "UR3e": "ur3e",
    "UR5e": "ur5e",
    "UR7e": "ur7e",
    "UR10e": "ur10e",
    "UR12e": "ur12e",
    "UR15": "ur15",
    "UR16e": "ur16e",
    "UR20": "ur20",
    "UR30": "ur30",
}
"""Name in a Gymnasium id -> robot option."""

if find_spec("gymnasium"):  # a robot's computer has reach_rl.deploy to run, and no more
    from gymnasium.envs.registration import register

    for _title, _robot in ROBOTS.items():
        register(
            id=f"ReachRL/{_title}-v0",
            entry_point="reach_rl.envs.gym_env:ReachEnv",
            kwargs={"robot": _robot},
        )
