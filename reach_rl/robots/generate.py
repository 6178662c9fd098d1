"""Write assets/robots/<name>.xml from assets/ur_family.yaml; with --check, only compare.

One arm becomes readable XML text, always the same for the same numbers.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import mujoco
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from reach_rl.config import assets_dir, read_yaml
from reach_rl.robots.family import HOME, NAMES, Numbers, PublishedArm, read_family


def documents(assets: Path) -> dict[Path, str]:
    """The text of every generated file, by path."""
    arms, colours = read_family(assets / "ur_family.yaml")
    return {assets / "robots" / f"{name}.xml": arm_xml(arm, colours) for name, arm in arms.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 the files are out of step (only with --check)."""
    parser = argparse.ArgumentParser(
        prog="python -m reach_rl.robots.generate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--assets", type=Path, default=None, help="folder of ur_family.yaml")
    arguments = parser.parse_args(argv)
    assets = arguments.assets or assets_dir()
    try:
        wanted = documents(assets)
    except (LookupError, UndefinedError) as error:
        print(f"ur_family.yaml: an arm of conf/robot lacks {error}", file=sys.stderr)
        return 1
    stale = [p for p, text in wanted.items() if not p.is_file() or p.read_text("utf-8") != text]
    if arguments.check:
        for path in stale:
            print(f"{path} is out of step with ur_family.yaml; run: make assets", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path}")
    numbered = read_yaml(assets / "ur_family.yaml")["robots"]
    if unmade := [name for name in numbered if name not in NAMES]:
        print(f"no model of {', '.join(unmade)}: there is no conf/robot/<name>.yaml")
    return 0


def arm_xml(arm: PublishedArm, colours: Numbers) -> str:
    """The MJCF document of one arm: templates/arm.xml with its numbers, laid out."""
    environment = Environment(
        loader=PackageLoader("reach_rl.robots"), undefined=StrictUndefined, autoescape=False
    )
    environment.filters |= {"n": _nums, "radians": math.radians}
    template = environment.get_template("arm.xml")
    text = template.render(
        arm=arm, colours=colours, numbers=arm.numbers, home=HOME, quat=_quat, radians=math.radians
    )
    start = text.index("<mujoco")
    root = ET.fromstring(text[start:])
    ET.indent(root)
    return text[:start] + ET.tostring(root, encoding="unicode") + "\n"


def _quat(rpy: Sequence[float]) -> str:
    """Quaternion w x y z of fixed-axis angles, scaled to whole numbers.

    The published angles are quarter turns, written with a calibration's rounding.
    """
    turns = np.rint(np.asarray(rpy) / (math.pi / 2))
    if np.abs(turns * math.pi / 2 - rpy).max() > 1e-6:
        raise ValueError(f"joint frame angles {rpy} are not multiples of pi/2")
    quat = np.empty(4)
    mujoco.mju_euler2Quat(quat, turns * math.pi / 2, "XYZ")
    return _nums(np.round(quat / quat[np.argmax(np.abs(quat))], 12))


def _nums(values: float | Iterable[float]) -> str:
    """Numbers as they stand in an attribute."""
    listed = [values] if isinstance(values, int | float) else values
    return " ".join(f"{0.0 if abs(value) < 1e-9 else value:.10g}" for value in listed)


if __name__ == "__main__":
    sys.exit(main())
