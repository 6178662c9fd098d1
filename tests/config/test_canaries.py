"""Files from others, made to run code: at worst they are an error. A canary shows what ran."""

import itertools
import json
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from reach_rl.cli.front_door import front
from reach_rl.config.load import ConfigError, compose, load_run, to_tree

ROOT = Path(__file__).parents[2]
QUICK = "total_timesteps=1"
"""Too little for a rollout: whatever else a run does, it ends with exit code 2."""


@pytest.fixture
def canary(tmp_path):
    """A file that must not be there in the end, and the folder of a package that leaves it."""
    path = tmp_path / "canary"
    package = tmp_path / "modules" / "canary_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(path)!r}, 'w')\n")
    (package / "x.yaml").write_text("seed: 3\n")
    yield path
    assert not path.exists()


def touch(path):
    """Keys that make Hydra's instantiate leave the canary."""
    return {"_target_": "os.system", "command": f"touch {path}"}


def write(canary, files):
    """Configuration files beside the canary; the folder of them."""
    folder = canary.parent / "conf"
    for name, content in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        glob = "" if "/" not in name or name.startswith("hydra") else "# @package _global_\n"
        path.write_text(glob + text)
    return str(folder)


def never(*job):
    raise AssertionError("no job may start")


@pytest.fixture
def run(canary, monkeypatch, capsys):
    """Runs train on a folder of configuration files; its exit code and what it printed."""
    monkeypatch.chdir(canary.parent)
    monkeypatch.syspath_prepend(str(canary.parent / "modules"))

    def run(*arguments, files):
        code = front("train", never, ["--config-dir", write(canary, files), *arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out + printed.err

    return run


def hydra(canary):
    """Hydra's own keys by which a file could run code."""
    return {
        "callbacks": {"callbacks": {"x": touch(canary)}},
        "logging": {
            "job_logging": {
                "version": 1,
                "handlers": {"x": {"()": "os.system", "command": f"touch {canary}"}},
            }
        },
        "environment": {"job": {"env_set": {"PYTHONPATH": str(canary.parent / "modules")}}},
        "sweep": {"sweep": {"dir": "x", "deep": touch(canary)}},
        "launcher": {"launcher": touch(canary)},
        "sweeper": {"sweeper": {"params": touch(canary)}},
    }


KINDS = ("callbacks", "logging", "environment", "sweep", "launcher", "sweeper")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", ["experiment", "sweep"])
def test_a_preset_or_search_space_cannot_run_code(run, canary, kind, group):
    many = ["-m"] if group == "sweep" else []
    files = {f"{group}/theirs": {"hydra": hydra(canary)[kind]}}
    code, _ = run(*many, f"{group}=theirs", "wandb=disabled", files=files)
    assert code == 2


def test_the_same_from_a_shell(canary):
    """The canary would be left: the modules are on the path, and Hydra really composes."""
    folder = write(canary, {"experiment/theirs": {"hydra": hydra(canary)["callbacks"]}})
    modules = str(canary.parent / "modules")
    command = [sys.executable, "-m", "reach_rl.train", "--config-dir", folder, "experiment=theirs"]
    for more in ([], ["--cfg", "job"]):
        done = subprocess.run(
            [*command, *more],
            cwd=canary.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), modules])},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 2 and "would name code to run" in done.stderr


def test_a_package_is_not_imported_to_search_it(run):
    own = (ROOT / "conf" / "train.yaml").read_text()
    for key, more in (
        ("searchpath", [QUICK]),
        ('"search\\x70ath"', ["--cfg", "job"]),  # YAML's other way to write it
        ("searchpath", ["-m", "seed=1,2", QUICK]),
    ):
        text = own.replace("hydra:\n", f"hydra:\n  {key}: [pkg://canary_package]\n")
        files = {"theirs": text}
        code, said = run("--config-name", "theirs", *more, files=files)
        assert code == 2
        assert "would import a package, which a configuration may not" in said


def test_shell_commands_of_a_launcher_are_typed_or_not_there(run, canary):
    launcher = {
        "defaults": ["submitit_slurm"],
        "setup": [f"touch {canary}"],
        "additional_parameters": {"export": "LD_PRELOAD=/tmp/x.so"},
    }
    files = {"hydra/launcher/theirs": launcher}
    code, said = run("-m", "seed=1,2", "hydra/launcher=theirs", files=files)
    assert code == 2
    for key in ("setup", "additional_parameters"):
        assert f"hydra.launcher.{key}: commands are taken from the command line only" in said


def test_a_credential_cannot_be_read_into_a_configuration(run, monkeypatch):
    monkeypatch.setenv("REACH_RL_TEST_TOKEN", "do-not-tell-anybody")
    files = {"experiment/theirs": {"wandb": {"notes": "${oc.env:REACH_RL_TEST_TOKEN}"}}}
    for more in (["experiment=theirs"], ["-m", "seed=1,2", "experiment=theirs"]):
        code, said = run(*more, files=files)
        assert code == 2
        assert "would read a credential into a configuration" in said
        assert "do-not-tell" not in said


def test_other_variables_may_be_read(run, canary):
    files = {"experiment/theirs": {"wandb": {"group": "${oc.env:REACH_RL_TEST_GROUP,mine}"}}}
    code, _ = run("experiment=theirs", "--cfg", "job", files=files)
    assert code == 0
    config = compose(["experiment=theirs"], config_dir=canary.parent / "conf")
    assert config.wandb.group == "mine"


class Canary:
    """Leaves a file behind if anything unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def aliases():
    """Nine times nine times nine ... of a value, in a few lines."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for one, other in itertools.pairwise("abcdefghi"):
        lines.append(f"{other}: &{other} [{', '.join(9 * [f'*{one}'])}]")
    return "\n".join(lines)


def configs(canary):
    """config.yaml of a run, made to run code."""
    tree = to_tree(compose([]))

    def changed(**values):
        return yaml.safe_dump({**tree, **values})

    return {
        "object": f"!!python/object/apply:os.system ['touch {canary}']",
        "name": "!!python/name:os.system ''",
        "module": "seed: !!python/module:canary_package",
        "pickle": pickle.dumps(Canary(canary)),
        "binary": b"\x00\xff" * 99,
        "target": changed(_target_="os.system", command=f"touch {canary}"),
        "target in a group": changed(robot={**tree["robot"], **touch(canary)}),
        "target in a term": changed(
            reward={**tree["reward"], "terms": {"progress": touch(canary)}}
        ),
        "activation": changed(
            ppo={
                **tree["ppo"],
                "policy_kwargs": {**tree["ppo"]["policy_kwargs"], "activation_fn": "os.system"},
            }
        ),
        "buffer": changed(ppo={**tree["ppo"], "rollout_buffer_class": "os.system"}),
        "buffer arguments": changed(
            ppo={**tree["ppo"], "rollout_buffer_kwargs": {"x": touch(canary)}}
        ),
        "interpolation": changed(seed="${oc.env:REACH_RL_TEST_TOKEN}"),
        "aliases": aliases(),
        "deep": "[" * 5000,
        "endless": "a: &a [*a]",
        "long": "a: [" + "1," * 200_000 + "]",
        "list": "[1, 2]",
        "empty": "",
    }


@pytest.mark.parametrize("kind", list(configs(Path("x"))))
def test_the_configuration_of_a_run_cannot_run_code(canary, kind, monkeypatch):
    monkeypatch.setenv("REACH_RL_TEST_TOKEN", "7")
    monkeypatch.syspath_prepend(str(canary.parent / "modules"))
    content = configs(canary)[kind]
    path = canary.parent / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_run(canary.parent)
    for line in caught.value.problems:
        assert "\n" not in line and len(line) < 2000


def test_an_interpolation_in_a_runs_configuration_stays_text(canary, monkeypatch):
    monkeypatch.setenv("REACH_RL_TEST_TOKEN", "do-not-tell-anybody")
    tree = to_tree(compose([]))
    tree["wandb"]["notes"] = "${oc.env:REACH_RL_TEST_TOKEN}"
    (canary.parent / "config.yaml").write_text(yaml.safe_dump(tree))
    assert load_run(canary.parent).wandb.notes == "${oc.env:REACH_RL_TEST_TOKEN}"


EVIL = "canary_package"
"""Can be imported, and leaves the canary when it is."""
NAMED = {
    "package": f"# extension {EVIL} 1.0 sha256:{64 * '0'}: reward_term theirs\n",
    "file": f"# extension evil.py sha256:{64 * '0'}: reward_term theirs\n",
    "path": f"# extension ../modules/{EVIL}: reward_term theirs\n",
    "noun": f"# extension {EVIL}: {EVIL} theirs, observation_term {EVIL}\n",
}


def with_code(folder, canary):
    """A folder that brings code along: a file, its copy, a package and its entry point."""
    about = folder / f"{EVIL}-1.0.dist-info"
    for place in (folder, folder / "extensions", about):
        place.mkdir(parents=True, exist_ok=True)
        (place / "evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {EVIL}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[reach_rl]\nx = {EVIL}\n")
    return folder


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("place", ["run", "bundle"])
def test_a_run_or_bundle_that_names_an_extension_imports_nothing(
    canary, place, kind, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(str(canary.parent / "modules"))
    folder = with_code(canary.parent / place, canary)
    monkeypatch.chdir(folder)
    tree = to_tree(compose([]))
    tree["reward"]["terms"]["theirs"] = {"weight": 1.0}
    (folder / "config.yaml").write_text(NAMED[kind] + yaml.safe_dump(tree))
    made = {"extensions": {EVIL: {"version": "1.0", "place": "evil.py", "registers": ["metric x"]}}}
    for name in ("provenance.json", "contract.json"):
        (folder / name).write_text(json.dumps(made))
    (folder / "policy.onnx").write_text("")
    (folder / "checkpoints" / "step_000000000001").mkdir(parents=True)
    verbs = ("evaluate",) if place == "bundle" else ("evaluate", "export", "play", "train")
    for verb in verbs:
        word = "resume=." if verb == "train" else f"{place}=."
        assert front(verb, import_module(f"reach_rl.{verb}").job, [word]) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "tree",
    [
        {"extend": ["evil.py"]},
        {"extensions": {"evil.py": f"{EVIL}.x"}},
        {"reward": {"terms": {f"{EVIL}:x": 1.0}}},
        {"action": {"kind": f"{EVIL}.x"}},
        {"hydra": {"searchpath": ["file://."]}},
    ],
)
def test_a_config_dir_that_names_an_extension_imports_nothing(run, canary, tree):
    with_code(canary.parent / "conf", canary)
    code, _ = run("experiment=theirs", "wandb=disabled", QUICK, files={"experiment/theirs": tree})
    assert code == 2
