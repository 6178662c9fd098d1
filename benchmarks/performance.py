"""How fast training is, and what it costs: python benchmarks/performance.py --what all.

--what throughput,stock picks parts, --repeats 5 says how many turns each figure is the median of,
--toy tries the script itself in a folder that --out names. Writes benchmarks/performance.json,
which keeps the parts that were not measured, the page benchmarks/performance.md and the plot
docs/images/scaling.png. Let nothing else run meanwhile; the load before each part is recorded.
"""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from performance_page import draw, page
from performance_parts import PARTS, Scale, clean_environment

from reach_rl.rundir.atomic import read_json, write_json
from reach_rl.rundir.provenance import machine, versions
from reach_rl.rundir.status import now

HERE = Path(__file__).parent


def main() -> None:
    """Measure what is asked for, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--what", default="all", help=f"all, page, or some of {','.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=5, help="turns or runs of each figure")
    parser.add_argument("--long-repeats", type=int, default=1, help="runs of ten million steps")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    parser.add_argument("--out", type=Path, help="folder for all files, in place of the project's")
    args = parser.parse_args()
    wanted = list(PARTS) if args.what == "all" else args.what.split(",")
    if args.what == "page":
        wanted = []
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        parser.error(f"--what {','.join(unknown)}: there are {', '.join(PARTS)}, all and page")
    if args.toy and args.out is None:
        parser.error("--toy measures nothing of worth; give --out DIR")
    clean_environment()
    store = (args.out or HERE) / "performance.json"
    picture = (args.out or HERE.parent / "docs" / "images") / "scaling.png"
    scale = Scale(args.repeats, args.long_repeats, args.toy)
    found = read_json(store)
    for name in wanted:
        print(f"== {name}", file=sys.stderr, flush=True)
        found[name] = measured(name, scale)
        write_json(store, {part: found[part] for part in PARTS if part in found})
    if "scaling" in wanted or (args.what == "page" and "scaling" in found):
        draw(found["scaling"], picture)
    text = page(found)
    store.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def measured(name: str, scale: Scale) -> dict[str, Any]:
    """The figures of a part, and where and how they were measured."""
    load, begin = list(os.getloadavg()), time.monotonic()
    figures = PARTS[name](scale)
    host = machine()
    del host["host"], host["os"]
    return {
        **figures,
        "about": {
            "command": f"python benchmarks/performance.py {shlex.join(sys.argv[1:])}".strip(),
            "time": now(),
            "repeats": scale.repeats,
            "toy": scale.toy,
            "took_s": round(time.monotonic() - begin, 1),
            "load_before": load,
            "machine": host,
            "packages": versions(),
        },
    }


if __name__ == "__main__":
    main()
