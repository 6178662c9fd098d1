"""Whether training has become slower: python benchmarks/bench_check.py, or make bench-check.

Trains as the checkout is now beside the commit that benchmarks/performance.json was measured with,
both alive at once and in short turns: so they meet the same machine, whatever else it does, and
what they differ by is the code. Ends with 1 if the median of the pairs is more than 10 % slower,
with 2 if there is nothing to compare with. A minute on a quiet machine.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from performance_parts import Scale, clean_environment, say
from turns import in_turns

HERE = Path(__file__).resolve().parent
LOSS = 0.10


def main() -> int:
    """Compare and say so; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--since", help="commit to compare with; default: of performance.json")
    parser.add_argument("--pairs", type=int, default=20, help="of turns")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    args = parser.parse_args()
    clean_environment()
    with tempfile.TemporaryDirectory() as name:
        try:
            since = args.since or _git("log", "-1", "--format=%h", "performance.json").decode()
            _extract(since.strip(), Path(name))
        except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
            why = getattr(error, "stderr", b"").decode().strip() or str(error)
            print(f"bench-check: no commit to compare with ({why})", file=sys.stderr)
            return 2
        found = ratios(Path(name), Scale(args.pairs, toy=args.toy))
    return verdict(found, since.strip())


def ratios(then: Path, scale: Scale) -> list[float]:
    """Environment steps per second now over those of another checkout, pair by pair."""
    turn = scale.steps(24_576)
    long = f"total_timesteps={(scale.repeats + 3) * max(turn, 40_000)}"
    case = ("train", scale.words(long, "evaluation.every=0"), turn)
    found = in_turns({"then": case, "now": case}, scale.repeats, say, {"then": then})
    pairs = zip(found["now"], found["then"], strict=True)
    return [now["steps_per_second"] / then["steps_per_second"] for now, then in pairs]


def verdict(found: Sequence[float], since: str) -> int:
    """Say how speeds compare; the exit code."""
    low, middle, high = statistics.quantiles(found, n=4)
    text = f"training has {middle:.1%} of the speed of {since}"
    print(f"{text} (half of {len(found)} pairs: {low:.1%} to {high:.1%})")
    if not middle >= 1.0 - LOSS:  # of what is no number too
        print(f"bench-check: lost more than {LOSS:.0%}", file=sys.stderr)
        return 1
    return 0


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=HERE, capture_output=True, check=True).stdout


def _extract(commit: str, folder: Path) -> None:
    """Lay the files of a commit out in a folder."""
    root = _git("rev-parse", "--show-toplevel").decode().strip()
    content = io.BytesIO(_git("-C", root, "archive", commit))
    with tarfile.open(fileobj=content) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    raise SystemExit(main())
