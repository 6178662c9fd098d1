"""Environment steps per second of every vectorisation, and of bare physics beside them.

    python benchmarks/throughput.py [--seconds 10]

Each line is what `python -m reach_rl.bench` measures; the figures depend on the machine, which is
named. Let nothing else run meanwhile.
"""

import argparse

from reach_rl.config.load import compose
from reach_rl.config.provenance import machine
from reach_rl.learning.throughput import measure

CASES = {
    "default": (),
    "1024 environments": ("vec_env.n_envs=1024", "ppo.n_steps=6"),
    "64 environments": ("vec_env.n_envs=64", "ppo.n_steps=96"),
    "SB3's own code": ("ppo.fast=false",),
    "experiment=notes": ("experiment=notes",),
    "notes, subproc": ("experiment=notes", "vec_env=subproc"),
    "notes, dummy": ("experiment=notes", "vec_env=dummy", "vec_env.n_envs=16"),
}


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    host = machine()
    print(f"{host['cpu']}, {host['usable_cores']} cores, Python {host['python']}")
    print(f"{'':<20}{'steps/s':>9}{'bare':>9}{'ratio':>8}   physics / task / policy / update (us)")
    for name, overrides in CASES.items():
        result = measure(compose(overrides), seconds, lambda done, total: None)
        parts = " / ".join(f"{us:.1f}" for us in result["microseconds"].values())
        print(
            f"{name:<20}{result['steps_per_second']:>9,.0f}"
            f"{result['bare_steps_per_second']:>9,.0f}{result['ratio']:>8.1%}   {parts}"
        )


if __name__ == "__main__":
    main()
