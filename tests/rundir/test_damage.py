"""Every kind of damage to a checkpoint is seen, told and set aside; old formats stay readable."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from reach_rl.config.load import ConfigError
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import FORMAT, self_hash
from reach_rl.rundir.checkpoint import MANIFEST as NAME
from reach_rl.training.session import train
from reach_rl.training.snapshot import policy_of

CORPUS = Path(__file__).parent / "corpus"
OLD = sorted(CORPUS.glob("format_*/step_*"))


@pytest.fixture(scope="module")
def saved():
    return checkpoint.read(OLD[-1])


@pytest.fixture(scope="module")
def runs(saved, tmp_path_factory):
    """A run with a good checkpoint of step 256 and one of step 512, which is the latest."""
    folder = tmp_path_factory.mktemp("runs") / "checkpoints"
    for step in (256, 512):
        progress = {**saved.progress, "num_timesteps": step}
        path = checkpoint.write(folder, step, replace(saved, progress=progress))
        checkpoint.point(folder, "latest", path)
    checkpoint.point(folder, "best", folder / "step_000000000256")
    return folder


@pytest.fixture
def copy(runs, tmp_path):
    """The two, to be damaged: the folder of the latest."""
    shutil.copytree(runs, tmp_path / "run/checkpoints")
    return tmp_path / "run/checkpoints/step_000000000512"


def manifest(folder, **changes):
    """Rewrite the manifest with a right hash of its own."""
    tree = json.loads((folder / NAME).read_text())
    del tree["sha256"]
    tree |= changes
    (folder / NAME).write_text(json.dumps({**tree, "sha256": self_hash(tree)}))


def rehash(folder):
    """Make the manifest agree with the files, as somebody would who means harm."""
    files = {}
    for path in folder.iterdir():
        if path.name != NAME:
            data = path.read_bytes()
            files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest(folder, files=files)


def arrays(folder, part, change):
    """Change the arrays of a part and hash it anew."""
    path = folder / f"{part}.safetensors"
    held = load_file(path)
    change(held)
    save_file(held, path)
    rehash(folder)


def set_to(name, value):
    return lambda held: held.update({name: value})


def fill(name, value):
    def change(held):
        held[name].flat[0] = value

    return change


def header(folder, change):
    """Change the JSON header of policy.safetensors and hash it anew."""
    path = folder / "policy.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(change(json.loads(data[8 : 8 + size]))).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    rehash(folder)


def longer(tree):
    first = next(iter(tree))
    tree[first]["data_offsets"][1] += 10**9
    return tree


def progress(folder, **changes):
    path = folder / "learner.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    rehash(folder)


def replaced(folder, name, make):
    (folder / name).unlink()
    make(folder / name)


def linked(folder):
    """The checkpoint is a link to one somewhere else."""
    elsewhere = folder.parent.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


def as_file(folder):
    shutil.rmtree(folder)
    folder.write_text("not a folder")


WHOLE = (
    "flip",
    "truncate",
    "empty",
    "remove",
    "append",
)


def harm(folder, name, how):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.unlink()
    if how != "remove":
        whole = bytes(data)
        path.write_bytes(
            {"flip": whole, "truncate": whole[: len(data) // 2], "empty": b""}.get(
                how, whole + b"}"
            )
        )


FILES = {
    f"{how} {name}": lambda folder, name=name, how=how: harm(folder, name, how)
    for how, name in zip(
        WHOLE * 2, [*sorted(checkpoint.FILES | {NAME}), "config.yaml", NAME], strict=True
    )
}
DAMAGE = FILES | {
    "manifest is a list": lambda f: (f / NAME).write_text("[]"),
    "manifest is a number": lambda f: (f / NAME).write_text("3"),
    "manifest is no text": lambda f: (f / NAME).write_bytes(b"\xff\xfe\x00" * 99),
    "manifest is nested deep": lambda f: (f / NAME).write_text("[" * 200_000),
    "manifest is huge": lambda f: (f / NAME).write_text(" " * 3_000_000 + "{}"),
    "manifest names no file": lambda f: manifest(f, files={}),
    "manifest names files elsewhere": lambda f: manifest(f, files={"../../x": {"bytes": 1}}),
    "manifest holds lists for files": lambda f: manifest(
        f, files={name: [] for name in checkpoint.FILES}
    ),
    "manifest of format 0": lambda f: manifest(f, format=0),
    "manifest of format true": lambda f: manifest(f, format=True),
    "manifest of format text": lambda f: manifest(f, format="1"),
    "manifest without a hash": lambda f: (f / NAME).write_text('{"format": 1, "files": {}}'),
    "manifest of another step": lambda f: manifest(f, step=511),
    "wrong size": lambda f: manifest(
        f, files=json.loads((f / NAME).read_text())["files"] | {"config.yaml": {"bytes": 1}}
    ),
    "size is no number": lambda f: manifest(
        f, files=json.loads((f / NAME).read_text())["files"] | {"config.yaml": {"bytes": "all"}}
    ),
    "a file too many": lambda f: (f / "more.bin").write_bytes(b"x"),
    "a file is a link": lambda f: (
        (f / "config.yaml").rename(f.parent / "there"),
        (f / "config.yaml").symlink_to(f.parent / "there"),
    ),
    "a file is a folder": lambda f: replaced(f, "config.yaml", Path.mkdir),
    "a file is a pipe": lambda f: replaced(f, "learner.json", os.mkfifo),
    "the folder is a link": linked,
    "the folder is a file": as_file,
    "the folder is empty": lambda f: [path.unlink() for path in f.iterdir()],
    "header lies about sizes": lambda f: header(f, longer),
    "header is no JSON": lambda f: (
        (f / "policy.safetensors").write_bytes(b"\x04\0\0\0\0\0\0\0null"),
        rehash(f),
    ),
    "header is endless": lambda f: (
        (f / "policy.safetensors").write_bytes(b"\xff" * 64),
        rehash(f),
    ),
    "another type": lambda f: arrays(f, "policy", set_to("log_std", np.zeros(6))),
    "a parameter is not a number": lambda f: arrays(f, "policy", fill("log_std", np.nan)),
    "the optimiser is infinite": lambda f: arrays(f, "optimizer", fill("0.exp_avg", np.inf)),
    "the normaliser is not a number": lambda f: arrays(f, "normalizer", fill("obs_mean", np.nan)),
    "a variance is negative": lambda f: arrays(f, "normalizer", fill("obs_var", -1.0)),
    "the normaliser lacks the returns": lambda f: arrays(
        f, "normalizer", lambda held: held.pop("returns")
    ),
    "an environment too few": lambda f: arrays(
        f, "environment", lambda held: held.update({k: v[:1] for k, v in held.items()})
    ),
    "no environment at all": lambda f: arrays(f, "environment", dict.clear),
    "counters of another step": lambda f: progress(f, num_timesteps=1),
    "counters are a list": lambda f: ((f / "learner.json").write_text("[]"), rehash(f)),
    "configuration of other keys": lambda f: ((f / "config.yaml").write_text("a: 1"), rehash(f)),
    "configuration is no YAML": lambda f: ((f / "config.yaml").write_text("a: ["), rehash(f)),
    "configuration names code": lambda f: (
        (f / "config.yaml").write_text("!!python/object/apply:os.system [true]"),
        rehash(f),
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_and_set_aside_and_the_newest_good_one_is_used(copy, kind):
    DAMAGE[kind](copy)
    with pytest.raises(ConfigError) as error:
        checkpoint.read(copy)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)
    assert str(copy) in str(error.value) and "damaged" in str(error.value)
    said = []
    found = checkpoint.newest(copy.parent, said.append)
    assert found.progress["num_timesteps"] == 256
    if said:  # a pointer to what is no checkpoint counts for nothing
        assert len(said) == 1 and "set aside as damaged_step_000000000512" in said[0]
        assert not os.path.lexists(copy)
        assert os.path.lexists(copy.with_name(f"damaged_{copy.name}"))
    assert checkpoint.newest(copy.parent, pytest.fail).progress["num_timesteps"] == 256


def test_there_are_enough_kinds():
    assert len(DAMAGE) >= 40


UNFIT = {
    "another shape": ("policy", set_to("action_net.weight", np.zeros((6, 5), np.float32))),
    "a parameter is missing": ("policy", lambda held: held.pop("log_std")),
    "a parameter too many": ("policy", set_to("more", np.zeros(1, np.float32))),
    "no action": ("policy", lambda held: held.pop("action_net.bias")),
    "the optimiser has another shape": ("optimizer", set_to("1.exp_avg", np.zeros(1, np.float32))),
    "the optimiser lacks one": ("optimizer", lambda held: held.pop("1.exp_avg")),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_parameters_that_do_not_fit_the_networks_are_one_line(copy, kind):
    part, change = UNFIT[kind]
    arrays(copy, part, change)
    saved = checkpoint.read(copy)
    with pytest.raises(ConfigError, match="does not fit") as error:
        if part == "policy":
            policy_of(saved)
        else:
            train(replace(saved.config, resume=str(copy.parent.parent)), copy.parent.parent)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "step_000000000999", "../..", "../checkpoints/step_000000000256", "/etc", "x" * 100_000],
)
@pytest.mark.parametrize("name", ["latest", "best"])
def test_a_pointer_to_nowhere_counts_for_nothing(copy, name, text):
    (copy.parent / name).write_text(text)
    assert not checkpoint.pointed(copy.parent, name)
    assert checkpoint.newest(copy.parent, pytest.fail).progress["num_timesteps"] == 512
    with pytest.raises(ConfigError, match=f"checkpoint={name}: not found"):
        checkpoint.resolve(copy.parent, name)


def test_a_pointer_may_be_a_folder_or_no_text(copy):
    (copy.parent / "latest").write_bytes(b"\xff\xfe")
    (copy.parent / "best").unlink()
    (copy.parent / "best").mkdir()
    assert not checkpoint.pointed(copy.parent, "latest")
    assert not checkpoint.pointed(copy.parent, "best")
    assert checkpoint.newest(copy.parent, pytest.fail).progress["num_timesteps"] == 512


def test_what_is_half_written_is_not_taken(copy):
    half = copy.with_name(".step_000000000768.1.tmp")
    shutil.copytree(copy, half)
    assert checkpoint.newest(copy.parent, pytest.fail).progress["num_timesteps"] == 512


def test_a_newer_format_is_set_aside_for_an_older_good_one(copy):
    manifest(copy, format=FORMAT + 1)
    said = []
    assert checkpoint.newest(copy.parent, said.append).progress["num_timesteps"] == 256
    assert len(said) == 1 and "written by a newer reach_rl" in said[0] and "set aside" in said[0]


def test_a_best_that_is_damaged_does_not_stop_the_verdict(copy):
    (copy.with_name("step_000000000256") / "policy.safetensors").write_bytes(b"")
    said = []
    assert checkpoint.whole(copy.parent, "best", said.append) is None
    assert len(said) == 1 and "best is not used" in said[0]
    assert checkpoint.whole(copy.parent, "latest", said.append) == copy


@pytest.mark.parametrize("folder", OLD, ids=lambda path: path.parent.name)
def test_every_released_format_stays_readable(folder, tmp_path):
    policy = policy_of(checkpoint.read(folder))
    seen = np.linspace(-2, 2, 3 * len(policy.mean)).reshape(3, -1).astype(np.float32)
    answers = np.loadtxt(folder.parent / "answers.csv", delimiter=",")
    np.testing.assert_allclose(policy(seen), answers, atol=1e-5)
    shutil.copytree(folder, tmp_path / "checkpoints" / folder.name)
    config = checkpoint.read(folder).config
    asked = replace(config, resume=str(tmp_path), total_timesteps=384)
    assert isinstance(train(asked, tmp_path), dict)
    latest = checkpoint.read(checkpoint.resolve(tmp_path / "checkpoints", "latest"))
    assert latest.progress["num_timesteps"] == 384


def test_there_is_a_checkpoint_of_each_format():
    assert {path.parent.name for path in OLD} == {f"format_{n}" for n in range(1, FORMAT + 1)}
    assert sum(p.stat().st_size for p in CORPUS.rglob("*") if p.is_file()) < 60_000 * FORMAT
