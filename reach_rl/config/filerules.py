"""Rules about files and folders that a configuration names; they hold where the run starts."""

from collections.abc import Iterator
from pathlib import Path

from reach_rl.config.paths import assets_dir
from reach_rl.config.problems import Problem, listing, nearest
from reach_rl.config.schema import Config


def file_rules(config: Config, tasks: list[str]) -> list[Problem]:
    """Every broken rule; tasks are the options of the task group."""
    return [*_robot(config), *_also(config, tasks), *_folders(config)]


def _robot(c: Config) -> Iterator[Problem]:
    models = assets_dir() / "robots"
    if c.robot.mjcf is None:
        if not (models / f"{c.robot.name}.xml").is_file():
            near = nearest(c.robot.name, sorted(path.stem for path in models.glob("*.xml")))
            text = f"there is no model of the name {c.robot.name}; "
            if near:
                yield Problem("robot.name", c.robot.name, f"{text}try robot={near}")
            else:
                yield Problem("robot.mjcf", None, f"{text}give its file with robot.mjcf=PATH")
    elif not Path(c.robot.mjcf).is_file():
        folder = Path(c.robot.mjcf).is_dir()
        hint = "; give an XML file" if folder else _neighbour(c.robot.mjcf, "robot.mjcf")
        what = "is a folder" if folder else "no such file"
        yield Problem("robot.mjcf", c.robot.mjcf, what + hint)


def _neighbour(path: str, key: str) -> str:
    """A file or folder beside a missing one that has nearly its name."""
    folder = Path(path).parent
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    near = nearest(Path(path).name, names)
    return f"; try {key}={folder / near}" if near else ""


def _no_run(path: str, key: str) -> str:
    """That a run is not there, and where to find what is."""
    return "no such folder" + (_neighbour(path, key) or "; reach-rl runs lists what there is")


def _also(c: Config, tasks: list[str]) -> Iterator[Problem]:
    for name in c.evaluation.also:
        if name not in tasks:
            near = nearest(name, tasks)
            hint = f"did you mean {near}?" if near else f"there are {listing(tasks)}"
            yield Problem("evaluation.also", c.evaluation.also, f"no task {name}; {hint}")


def _folders(c: Config) -> Iterator[Problem]:
    for key, value in (("run_dir", c.run_dir), ("resume", c.resume)):
        if value not in (None, "auto") and Path(str(value)).is_file():
            yield Problem(key, value, "is a file; give a folder")
    if c.resume not in (None, "auto") and not Path(str(c.resume)).exists():
        yield Problem("resume", c.resume, _no_run(str(c.resume), "resume"))
    records = Path(c.run_dir or "") / "metrics.jsonl"
    if c.run_dir is not None and c.resume is None and records.is_file():
        text = "holds a run already; go on with it by resume=auto, or choose another folder"
        yield Problem("run_dir", c.run_dir, text)


def run_rules(run: str, checkpoint: str) -> list[Problem]:
    """Whether run is the folder of a run that has the checkpoint (best, latest or a folder)."""
    folder = Path(run)
    if not folder.is_dir():
        return [Problem("run", run, _no_run(run, "run"))]
    if not (folder / "config.yaml").is_file():
        inside = sorted(p.parent for p in folder.glob("*/*/config.yaml"))
        inside += sorted(p.parent for p in folder.glob("*/config.yaml"))
        hint = f"; try run={inside[-1]}" if inside else ""
        return [Problem("run", run, f"not the folder of a run (no config.yaml in it){hint}")]
    if checkpoint in ("best", "latest") or Path(checkpoint).is_dir():
        return []
    if (folder / "checkpoints" / checkpoint).is_dir():
        return []
    have = sorted(p.name for p in (folder / "checkpoints").glob("step_*"))
    text = f"no such checkpoint; there are {listing(['best', 'latest', *have])}"
    return [Problem("checkpoint", checkpoint, text)]


def bundle_rules(bundle: str) -> list[Problem]:
    """Whether bundle is a folder that export format=onnx has written."""
    folder = Path(bundle)
    if not folder.is_dir():
        return [Problem("bundle", bundle, "no such folder" + _neighbour(bundle, "bundle"))]
    missing = [
        n for n in ("contract.json", "policy.onnx", "config.yaml") if not (folder / n).is_file()
    ]
    if missing:
        text = f"not a bundle (no {listing(missing)} in it); make one with export run=DIR"
        return [Problem("bundle", bundle, text)]
    return []


def out_rules(out: str | None, name: str) -> list[Problem]:
    """Whether a file of figures can be put there; name is one to propose."""
    if out is None:
        return []
    path = Path(out)
    if path.is_dir():
        return [Problem("out", out, f"is a folder; try out={path / name}")]
    if not path.parent.is_dir():
        return [Problem("out", out, f"there is no folder {path.parent}; make it first")]
    return []
