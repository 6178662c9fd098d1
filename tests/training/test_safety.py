"""Nothing that reads a file in this package can run what is in the file."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import reach_rl
from reach_rl.config.load import ConfigError
from reach_rl.rundir import checkpoint
from reach_rl.training.session import train

MODULES = sorted(Path(reach_rl.__file__).parent.rglob("*.py"))
FORBIDDEN = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "runpy"}
CALLS = {
    ("torch", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("VecNormalize", "load"),
    ("PPO", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("builtins", "eval"),
    ("builtins", "exec"),
}


def names_in(tree):
    """Imported top-level modules, and calls as (owner, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0], ""
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if "allow_pickle=False" in map(ast.unparse, node.keywords):
                continue
            owner = node.func.value
            yield (owner.id if isinstance(owner, ast.Name) else "", node.func.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "builtins", node.func.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_reads_pickles_or_evaluates_text(path):
    found = set(names_in(ast.parse(path.read_text(encoding="utf-8"))))
    own = (
        {("builtins", "exec")} if path.stem == "origins" else set()
    )  # of files that a person names
    assert found & CALLS == own
    assert not {module for module, name in found if not name} & FORBIDDEN


def test_the_search_finds_what_it_looks_for():
    text = "import pickle\nimport torch\ntorch.load('x')\neval('1')\nnp.load(x, allow_pickle=y)"
    found = set(names_in(ast.parse(text)))
    assert ("pickle", "") in found
    assert {("torch", "load"), ("builtins", "eval"), ("np", "load")} <= found
    assert not set(names_in(ast.parse("np.load(x, allow_pickle=False)")))


class Canary:
    """Leaves a file behind if anything unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_a_checkpoints_file_is_not_run(tmp_path):
    canary = tmp_path / "canary"
    folder = tmp_path / "step_000000000001"
    folder.mkdir()
    for name in (*checkpoint.FILES, "MANIFEST.json"):
        (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ConfigError, match="damaged"):
        checkpoint.read(folder)
    assert not canary.exists()


UNPICKLED = """
import sys
from dataclasses import replace
from pathlib import Path

from reach_rl import evaluate, train
from reach_rl.cli.front_door import front
from reach_rl.rundir import checkpoint
from reach_rl.training.snapshot import policy_of

folder, words = sys.argv[1], sys.argv[2:]
found = []

def by_numba():  # of the code that it compiled, which lies beside the project's own
    frame = sys._getframe(2)
    while frame is not None and "numba" not in frame.f_globals.get("__name__", ""):
        frame = frame.f_back
    return frame is not None

def hear(event, args):
    if event == "pickle.find_class" and not by_numba():
        found.append(args)

sys.addaudithook(hear)
assert front("train", train.job, [f"resume={folder}", "total_timesteps=512"]) == 0
assert front("evaluate", evaluate.job, [f"run={folder}", "goals=4", "progress=false"]) == 0
policy_of(checkpoint.read(checkpoint.resolve(Path(folder) / "checkpoints", "latest")))
print("unpickled:", found)
"""


def test_going_on_and_judging_unpickle_nothing(small, tmp_path):
    """The interpreter itself tells of every class that a pickle names (Numba's left out)."""
    assert isinstance(train(small("total_timesteps=256"), tmp_path), dict)
    command = [sys.executable, "-c", UNPICKLED, str(tmp_path)]
    root = Path(reach_rl.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("unpickled: []\n")
