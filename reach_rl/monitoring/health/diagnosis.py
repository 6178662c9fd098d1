"""What a check is, and how its signs become findings: once each, after they lasted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reach_rl.config.schema import Config
from reach_rl.extend import Check, Sign, entries, health_check
from reach_rl.monitoring.health.history import History
from reach_rl.monitoring.metrics import sheet
from reach_rl.monitoring.record import STEP, Record, read_records

Say = Callable[[str], None]

SILENT = 8
"""Records before the first finding; shorter runs say nothing."""

LASTING = 3
"""Records for which a sign must last, at least."""

NAME = "health/check"
"""In the record of a warning: the name of its check."""


_WORDS = sheet("health/checks.yaml")


def check(look: Callable[[History], Sign | None]) -> Callable[[History], Sign | None]:
    """Register a function of the history as the check of its name, with its words."""
    name = look.__name__
    if name not in _WORDS:
        raise TypeError(f"the check {name} has no words yet; write them into health/checks.yaml")
    return health_check(**_WORDS[name])(look)


@dataclass(frozen=True, slots=True)
class Finding:
    """A sign that lasted."""

    check: Check
    step: int
    seen: str
    """What was seen, against what."""
    remedies: tuple[str, str]

    @property
    def text(self) -> str:
        """What was seen, against what, and what to type."""
        return f"{self.seen}; try {' or '.join(self.remedies)}"


class Diagnosis:
    """Reads the records of one run in their order."""

    def __init__(self, config: Config) -> None:
        """Begin with a run's first record."""
        self.config = config.health
        self.history = History(config)
        self._since: dict[str, tuple[int, int]] = {}
        """Check -> step and number of the record with which its sign began."""
        self._told: set[str] = set()
        self.stop = ""
        """Why the run is to end, if it is."""

    def feed(self, step: int, values: Mapping[str, Any]) -> list[Finding]:
        """Read a record; what has now lasted long enough to tell."""
        if NAME in values:
            self._told.add(values[NAME])
            return []
        if not self.config.enabled or "train/n_updates" not in values:
            return []
        self.history.add(step, values)
        found = [
            finding for check in entries("health_check").values() if (finding := self._look(check))
        ]
        self._told |= {finding.check.name for finding in found}
        return found

    def replay(self, path: Path) -> None:
        """Read what earlier processes recorded in metrics.jsonl; they have told what there was."""
        for record in read_records(path) if path.exists() else ():
            self.feed(record[STEP], record)

    def report(self, record: Record, step: int, values: Mapping[str, Any], say: Say) -> None:
        """Read a record; tell what there is to tell, once, and note whether to stop."""
        for finding in self.feed(step, values):
            name, title, text = finding.check.name, finding.check.title, finding.text
            say(f"warning: {title} ({name}): {text}")
            record.alert(step, title, text, name)
            if not self.stop and {"any", name} & set(self.config.stop_on):
                self.stop = f"{title} (health.stop_on={name}) at step {step:,}; {text}"

    def _look(self, check: Check) -> Finding | None:
        history, name = self.history, check.name
        begun = history.progress >= check.warm_up * self.config.warm_up
        begun &= history.step >= check.episodes * history.config.task.episode_steps
        if name in self._told or not begun:
            return None
        sign = check.look(history)
        if sign is None:
            self._since.pop(name, None)
            return None
        begin, record = self._since.setdefault(name, (history.step, history.records))
        lasted = history.step - begin >= check.lasts * self.config.persistence * history.total
        enough = history.records - record >= LASTING - 1 and history.records >= SILENT
        if not (lasted and enough):
            return None
        seen = f"{check.seen}; {check.against}".format(h=history, **sign.figures)
        return Finding(check, history.step, seen, sign.remedies)
