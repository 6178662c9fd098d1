"""What is filmed and when: of a training run what is best or due, of a judgement a few goals."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from reach_rl.config.schema import Config
from reach_rl.evaluation.recording import NOBODY, Tracks, Watcher
from reach_rl.monitoring.record import Record
from reach_rl.viz.video.film import film_of
from reach_rl.viz.video.filmer import Filmer, Order

FIXED, WORST = 1, 1
"""Episodes of a film: the same goals every time, and the worst ones of this time."""

SPEED, FRAMES_PER_SECOND = 2.0, 15
"""Quickly shown and coarse in time: fewer pictures to draw while a run needs the processor."""

WAIT_SECONDS = 60.0
"""How long the end of a run waits for its last films."""

LONGEST_WAIT = 3600.0
"""How long a judgement waits for its film (s)."""


class Asked(Protocol):
    """Somebody's wish to stop."""

    @property
    def asked(self) -> bool:
        """Whether there is one."""
        ...


class TrainingFilms:
    """What of a run is filmed and when; with video=false, nothing."""

    def __init__(self, config: Config, folder: Path, say: Callable[[str], None]) -> None:
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

    def finish(self, record: Record, stop: Asked) -> None:
        """Wait a little for the last films, unless somebody asks to stop, and record them."""
        if self._filmer.pending:
            self._say(f"waiting up to {WAIT_SECONDS:.0f} s for the last films")
        _record(record, self._filmer.finish(WAIT_SECONDS, lambda: stop.asked))
        if self._filmer.left_out:
            self._say(f"{self._filmer.left_out} films left out, there was no time for them")

    def close(self) -> None:
        """Stop filming at once."""
        self._filmer.close()


def _record(record: Record, films: Iterable[Order]) -> None:
    for film in films:
        record.video(film.step, f"video/{film.kind}", film.out)


def tracks() -> Tracks:
    """Who is to watch a judgement that is filmed."""
    return Tracks(fixed=2, worst=2)


def film_judgement(
    config: Config, run: Path, step: int, seed: int, watched: Tracks, say: Callable[[str], None]
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
