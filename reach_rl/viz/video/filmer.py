"""Hands films to a process that makes them, and says what has become of them. Never waits.

This module is also that process: python -m reach_rl.viz.video.filmer [--behind]. It takes a line
of JSON for each job, gives one when it is done, and ends with its input.

    in   {"job": an .npz of film.save, "out": the .mp4 to make}
    out  {"out": the .mp4} or {"out": ..., "error": why not} or {"off": why no film can be made}
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reach_rl
from reach_rl.viz.video.film import Film, load, save

MOST_WAITING = 2
"""Films that may wait; of more, the oldest that nobody insists on is given up."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """A film that was asked for."""

    step: int
    kind: str
    """Such as best or periodic; with the step it names the file."""
    out: Path
    job: Path


class Filmer:
    """One process that films, started with the first order.

    Nothing that goes wrong with it stops the caller: it is said once, and there are no more films.
    """

    def __init__(self, folder: Path, say: Say, behind: bool = True) -> None:
        """Make films in a folder.

        Args:
            folder: where the .mp4 files go; made with the first film.
            say: tells the user a line.
            behind: leave the processor to everybody else.
        """
        self.folder = folder
        self.left_out = 0
        self._say = say
        self._behind = behind
        self._off = False
        self._waiting: list[Order] = []
        self._busy: Order | None = None
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def order(self, film: Film, step: int, kind: str) -> None:
        """Ask for a film; a waiting one of the same kind makes room for it if there are many."""
        if self._off:
            return
        name = f"{step:012d}_{kind}"
        order = Order(step, kind, self.folder / f"{name}.mp4", self.folder / f".{name}.npz")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save(film, order.job)
            self._waiting.append(order)
            self._make_room(kind)
            self._feed()
        except (OSError, ValueError) as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def finished(self) -> list[Order]:
        """The films that were finished since the last call."""
        done: list[Order] = []
        while not self._off:
            try:
                line = self._answers.get_nowait()
            except queue.Empty:
                break
            self._take(line, done)
        return done

    def finish(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> list[Order]:
        """Wait for the films that were asked for, and end the process.

        Args:
            seconds: the longest wait.
            enough: asked now and then; true ends the wait.
        """
        done = self.finished()
        end = time.monotonic() + seconds
        while self._busy is not None and time.monotonic() < end and not enough():
            with suppress(queue.Empty):
                self._take(self._answers.get(timeout=0.1), done)
        self.left_out += self.pending
        self.close()
        return done

    @property
    def pending(self) -> int:
        """Films that are asked for and not there yet."""
        return len(self._waiting) + (self._busy is not None)

    def close(self) -> None:
        """End the process at once and leave nothing half done behind."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                os.killpg(process.pid, 9)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            for part in self.folder.glob(f".*.{process.pid}.part.*"):
                part.unlink(missing_ok=True)
        for order in (*self._waiting, *([self._busy] if self._busy else [])):
            order.job.unlink(missing_ok=True)
        self._waiting.clear()
        self._busy = None

    def _make_room(self, kind: str) -> None:
        """Of too many waiting films give up an older one, of the same kind if there is one."""
        while len(self._waiting) > MOST_WAITING:
            older = self._waiting[:-1]
            out = next((order for order in older if order.kind == kind), older[0])
            self._waiting.remove(out)
            out.job.unlink(missing_ok=True)
            self.left_out += 1

    def _feed(self) -> None:
        """Give the process its next job if it has none."""
        if self._busy is not None or not self._waiting:
            return
        process = self._process or self._start()
        order = self._busy = self._waiting.pop()  # the newest; when time is short, it counts most
        assert process.stdin is not None
        print(
            json.dumps({"job": str(order.job), "out": str(order.out)}),
            file=process.stdin,
            flush=True,
        )

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(reach_rl.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        if self._behind:  # one thread for Mesa's software drawing
            environment |= {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "reach_rl.viz.video.filmer", *["--behind"] * self._behind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the training
        )
        threading.Thread(target=self._listen, args=(process,), name="films", daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with suppress(OSError, ValueError):
            for line in process.stdout:
                self._answers.put(line)
        self._answers.put(None)

    def _take(self, line: str | None, done: list[Order]) -> None:
        """Act on what the process said; None: it has ended."""
        order, self._busy = self._busy, None
        if line is None:
            self._busy = order
            code = self._process.poll() if self._process is not None else None
            self._give_up(f"the process that films has ended (exit code {code})")
            return
        answer = json.loads(line)
        if "off" in answer:
            self._busy = order
            self._give_up(answer["off"])
        elif "error" in answer:
            self._say(f"no film {Path(answer['out']).name}: {answer['error']}")
        elif order is not None:
            done.append(order)
        try:
            if not self._off:
                self._feed()
        except OSError as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self._say(f"no films, all else goes on: {why}")
        self._off = True
        self.close()


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
    from reach_rl.viz.video.shoot import shoot

    job, out = Path(order["job"]), Path(order["out"])
    try:
        ffmpeg()
        shoot(load(job), out)
        with suppress(VideoError, OSError):
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
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    sys.exit(main())
