"""Films of judged episodes: what is filmed and when, and the processes that draw, never waited for.

evaluation.recording --Episode--> Film --> python -m reach_rl.viz.shoot, one for each film --> MP4
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from reach_rl import origins
from reach_rl.config.schema import Config, RobotConfig
from reach_rl.config.validation import typed
from reach_rl.evaluation.recording import NOBODY, Episode, Tracks, Watcher
from reach_rl.monitoring.record import Record

AFTER_SUCCESS = 0.8
"""An episode is shown for this long after its goal was held (s of the episode)."""

MOST_WAITING = 2
"""Films that may wait; of more, the oldest is given up, one of the same kind if there is one."""

NO_FILMS = 3
"""Exit code of the process where nothing on this machine can film; it has said why."""

FIXED, WORST = 1, 1
"""Episodes of a film: the same goals every time, and the worst ones of this time."""

SPEED, FRAMES_PER_SECOND = 2.0, 15
"""Quickly shown and coarse in time: fewer pictures to draw while a run needs the processor."""

WAIT_SECONDS, LONGEST_WAIT = 60.0, 3600.0
"""How long the end of a run waits for its last films, and a judgement for its own (s)."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Film:
    """Episodes of one policy and the words that go with them, as they travel in one file."""

    robot: RobotConfig
    title: str
    control_period: float
    """s"""
    position_threshold: float
    """m"""
    orientation_threshold: float
    """rad"""
    speed: float
    """How many times faster than real time it is shown."""
    frames_per_second: int
    episodes: Sequence[Episode]

    def steps(self, episode: Episode) -> np.ndarray:
        """(frames,) the control steps that are shown of an episode; the last one is among them."""
        last = len(episode.qpos) - 1
        if episode.success:
            end = episode.time_to_success + AFTER_SUCCESS
            last = min(last, round(end / self.control_period))
        stride = self.speed / (self.frames_per_second * self.control_period)
        shown = np.round(np.arange(0.0, last, stride)).astype(int)
        return np.unique(np.append(shown, last))

    def save(self, path: Path) -> None:
        """Write it as an .npz without pickle. Raises OSError."""
        arrays: dict[str, np.ndarray] = {}
        about = asdict(replace(self, episodes=()))
        for i, values in enumerate(map(asdict, self.episodes)):
            arrays |= {f"{i}/{k}": v for k, v in values.items() if isinstance(v, np.ndarray)}
            plain = {k: v for k, v in values.items() if not isinstance(v, np.ndarray)}
            about["episodes"] = [*about["episodes"], plain]
        with path.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def load_film(path: Path) -> Film:
    """Read what Film.save wrote. Raises OSError or ValueError."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        robot = typed(RobotConfig, about["robot"])
        if isinstance(robot, list):
            raise ValueError(robot[0].line())
        about["robot"] = robot
        for i, plain in enumerate(about["episodes"]):
            own = [name for name in file.files if name.startswith(f"{i}/")]
            arrays = {name.partition("/")[2]: file[name] for name in own}
            about["episodes"][i] = Episode(**plain, **arrays)
    return Film(**about)


def film_of(
    config: Config,
    title: str,
    episodes: Sequence[Episode],
    speed: float = 1.0,
    frames_per_second: int = 25,
) -> Film:
    """A film of episodes of a run; by default in real time."""
    task = config.task
    limits = task.position_threshold, task.orientation_threshold
    how = speed, frames_per_second
    return Film(config.robot, title, task.control_period, *limits, *how, tuple(episodes))


@dataclass(frozen=True, slots=True)
class Order:
    """A film that was asked for."""

    step: int
    kind: str
    """Such as best or periodic; with the step it names the file."""
    out: Path
    job: Path


class Filmer:
    """Films, one after the other, each in a process of its own.

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
        self._busy: tuple[Order, subprocess.Popen[str]] | None = None

    def order(self, film: Film, step: int, kind: str) -> None:
        """Ask for a film; a waiting one of the same kind makes room for it if there are many."""
        if self._off:
            return
        name = f"{step:012d}_{kind}"
        order = Order(step, kind, self.folder / f"{name}.mp4", self.folder / f".{name}.npz")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            film.save(order.job)
            self._waiting.append(order)
            self._make_room(kind)
            self._begin_next()
        except (OSError, ValueError) as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def finished(self) -> list[Order]:
        """The films that were finished since the last call."""
        done: list[Order] = []
        while self._busy is not None and self._busy[1].poll() is not None:
            order, process = self._busy
            said = process.communicate()[0].strip().rpartition("\n")[2]
            order.job.unlink(missing_ok=True)
            self._busy = None
            if process.returncode == 0:
                done.append(order)
            elif process.returncode == 1 and said:
                self._say(f"no film {order.out.name}: {said}")
            else:
                ended = f"the process that films has ended (exit code {process.returncode})"
                self._give_up(said if process.returncode == NO_FILMS else ended)
            try:
                self._begin_next()
            except OSError as error:
                self._give_up(f"{type(error).__name__}: {error}")
        return done

    def finish(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> list[Order]:
        """Wait for the films that were asked for, and leave out those that take too long.

        Args:
            seconds: the longest wait.
            enough: asked now and then; true ends the wait.
        """
        end = time.monotonic() + seconds
        done = self.finished()
        while self._busy is not None and time.monotonic() < end and not enough():
            time.sleep(0.05)
            done += self.finished()
        self.left_out += self.pending
        self.close()
        return done

    @property
    def pending(self) -> int:
        """Films that are asked for and not there yet."""
        return len(self._waiting) + (self._busy is not None)

    def close(self) -> None:
        """End the process at once and leave nothing half done behind."""
        if self._busy is not None:
            order, process = self._busy
            with suppress(OSError):
                os.killpg(process.pid, 9)
            process.communicate()
            for left in (order.job, *self.folder.glob(f".*.{process.pid}.part.*")):
                left.unlink(missing_ok=True)
        for order in self._waiting:
            order.job.unlink(missing_ok=True)
        self._waiting.clear()
        self._busy = None

    def _make_room(self, kind: str) -> None:
        while len(self._waiting) > MOST_WAITING:
            older = self._waiting[:-1]
            out = next((order for order in older if order.kind == kind), older[0])
            self._waiting.remove(out)
            out.job.unlink(missing_ok=True)
            self.left_out += 1

    def _begin_next(self) -> None:
        """Start the newest of the waiting films, which counts most when time is short."""
        if self._busy is not None or not self._waiting:
            return
        order = self._waiting.pop()
        command = [sys.executable, "-m", "reach_rl.viz.shoot", str(order.job), str(order.out)]
        command += origins.flags()  # parts of the scene may be of others
        # one thread for Mesa's software drawing
        threads = {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} if self._behind else {}
        process = subprocess.Popen(
            [*command, *["--behind"] * self._behind],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **threads},
            start_new_session=True,  # Ctrl-C is for the training
        )
        self._busy = order, process

    def _give_up(self, why: str) -> None:
        self._say(f"no films, all else goes on: {why}")
        self._off = True
        self.close()


class TrainingFilms:
    """What of a run is filmed and when; with video=false, nothing."""

    def __init__(self, config: Config, folder: Path, say: Say) -> None:
        """Film into <folder>/videos; `say` tells the user a line."""
        self.config = config
        self._say = say
        self._filmer = Filmer(folder / "videos", say)
        self._last = 0

    def begin(self, step: int) -> None:
        """The run begins at, or goes on from, this environment step."""
        self._last = step

    def watcher(self) -> Watcher:
        """Who is to watch the next evaluation."""
        return Tracks(FIXED, WORST) if self.config.video else NOBODY

    def evaluated(self, step: int, watcher: Watcher, best: bool) -> None:
        """Film what was watched, if it was the best so far or a film is due."""
        due = step // self.config.video_every > self._last // self.config.video_every
        if not isinstance(watcher, Tracks) or not (best or due):
            return
        self._last = step
        kind = "best" if best else "periodic"
        title = f"{self.config.robot.name}   {step:,} steps   {kind if best else ''}".rstrip()
        film = film_of(self.config, title, watcher.episodes(), SPEED, FRAMES_PER_SECOND)
        self._filmer.order(film, step, kind)

    def tell(self, record: Record) -> None:
        """Record the films that were finished since the last call."""
        _record(record, self._filmer.finished())

    def finish(self, record: Record, asked: Callable[[], bool]) -> None:
        """Wait a little for the last films, unless `asked` says to stop, and record them."""
        if self._filmer.pending:
            self._say(f"waiting up to {WAIT_SECONDS:.0f} s for the last films")
        _record(record, self._filmer.finish(WAIT_SECONDS, asked))
        if self._filmer.left_out:
            self._say(f"{self._filmer.left_out} films left out, there was no time for them")

    def close(self) -> None:
        """Stop filming at once."""
        self._filmer.close()


def _record(record: Record, films: Iterable[Order]) -> None:
    for film in films:
        record.video(film.step, f"video/{film.kind}", film.out)


def film_judgement(
    config: Config, run: Path, step: int, seed: int, watched: Tracks, say: Say
) -> Path | None:
    """Film a few of the goals of one judgement and the worst, in real time, and wait for it.

    Args:
        config: what was judged.
        run: folder of the run; the film goes into its videos folder.
        step: environment steps that the policy was trained for.
        seed: of the goals.
        watched: the episodes.
        say: tells the user a line.

    Returns:
        The film; None if it could not be made, which was said.
    """
    episodes, region = watched.episodes(), config.task.region.name
    say(f"filming {len(episodes)} episodes")
    filmer = Filmer(run / "videos", say, behind=False)
    title = f"{config.robot.name}   {region}   {step:,} steps"
    filmer.order(film_of(config, title, episodes), step, f"{region}_seed{seed}")
    made = filmer.finish(LONGEST_WAIT)
    for order in made:
        say(f"film in {order.out}")
    return made[0].out if made else None
