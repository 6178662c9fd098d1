"""Nothing that reads a file in this package can run what is in the file."""

import ast
import pickle
from pathlib import Path

import pytest

import reach_rl
from reach_rl.config.load import ConfigError
from reach_rl.learning import checkpoint

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
            owner = node.func.value
            yield (owner.id if isinstance(owner, ast.Name) else "", node.func.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "builtins", node.func.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_reads_pickles_or_evaluates_text(path):
    found = set(names_in(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found & CALLS
    assert not {module for module, name in found if not name} & FORBIDDEN


def test_the_search_finds_what_it_looks_for():
    text = "import pickle\nimport torch\ntorch.load('x')\neval('1')"
    found = set(names_in(ast.parse(text)))
    assert ("pickle", "") in found
    assert {("torch", "load"), ("builtins", "eval")} <= found


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
