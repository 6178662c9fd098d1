"""The film of one judgement: a few of its goals and the worst, in real time."""

from collections.abc import Callable
from pathlib import Path

from reach_rl.config.schema import Config
from reach_rl.evaluation.recording import Tracks
from reach_rl.viz.video.film import film_of
from reach_rl.viz.video.filmer import Filmer

LONGEST_WAIT = 3600.0


def tracks() -> Tracks:
    """Who is to watch the judgement."""
    return Tracks(fixed=2, worst=2)


def film(
    config: Config, run: Path, step: int, seed: int, watched: Tracks, say: Callable[[str], None]
) -> Path | None:
    """Film what was watched, and wait for it.

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
    episodes = watched.episodes()
    region = config.task.region.name
    say(f"filming {len(episodes)} episodes")
    filmer = Filmer(run / "videos", say, behind=False)
    title = f"{config.robot.name}   {region}   {step:,} steps"
    filmer.order(film_of(config, title, episodes), step, f"{region}_seed{seed}")
    made = filmer.finish(LONGEST_WAIT)
    for order in made:
        say(f"film in {order.out}")
    return made[0].out if made else None
