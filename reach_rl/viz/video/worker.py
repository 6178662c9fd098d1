"""The process that films: a line of JSON in for each job, a line out when it is done.

    in   {"job": an .npz of film.save, "out": the .mp4 to make}
    out  {"out": the .mp4} or {"out": ..., "error": why not} or {"off": why no film can be made}

It ends with its input. Start it as python -m reach_rl.viz.video.worker [--behind].
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Serve jobs until there are no more; --behind leaves the processor to everybody else."""
    if "--behind" in sys.argv[1:]:
        _stand_back()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries may print
    for line in sys.stdin:
        for answer in _serve(json.loads(line)):
            print(json.dumps(answer), file=answers, flush=True)
            if "off" in answer:
                return 1
    return 0


def _serve(order: dict[str, str]) -> list[dict[str, Any]]:
    from reach_rl.robots.render import RenderError
    from reach_rl.viz.video.encode import VideoError, ffmpeg, preview
    from reach_rl.viz.video.film import load
    from reach_rl.viz.video.shoot import shoot

    job, out = Path(order["job"]), Path(order["out"])
    try:
        ffmpeg()
        shoot(load(job), out)
        with contextlib.suppress(VideoError, OSError):
            preview(out)
    except RenderError as error:
        return [{"off": str(error)}]
    except Exception as error:
        off = isinstance(error, VideoError) and "install" in str(error)
        text = " ".join(str(error).split()) or type(error).__name__
        return [{"off": text}] if off else [{"out": str(out), "error": text}]
    finally:
        job.unlink(missing_ok=True)
    return [{"out": str(out)}]


def _stand_back() -> None:
    """Run only where the processor has nothing else to do.

    Linux shares the processor among sessions first and heeds niceness within each, so that of a
    session of its own, as this process has, the whole has to stand back.
    """
    os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    sys.exit(main())
