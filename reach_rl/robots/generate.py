"""Write assets/robots/<name>.xml from assets/ur_family.yaml; with --check, only compare."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reach_rl.config.paths import assets_dir
from reach_rl.robots.family import read_family
from reach_rl.robots.mjcf import arm_xml


def documents(assets: Path) -> dict[Path, str]:
    """The text of every generated file, by path."""
    family = read_family(assets / "ur_family.yaml")
    return {
        assets / "robots" / f"{name}.xml": arm_xml(arm, family) for name, arm in family.arms.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 the files are out of step (only with --check)."""
    parser = argparse.ArgumentParser(prog="python -m reach_rl.robots.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--assets", type=Path, default=None, help="folder of ur_family.yaml")
    arguments = parser.parse_args(argv)
    wanted = documents(arguments.assets or assets_dir())
    stale = [path for path, text in wanted.items() if _read(path) != text]
    if arguments.check:
        for path in stale:
            print(f"{path} is out of step with ur_family.yaml; run: make assets", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
