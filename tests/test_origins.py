"""Code of others: files, installed packages, notebooks; what is refused, and what is carried."""

import subprocess
import sys
import time

import cloudpickle
import pytest

from reach_rl import extend, origins
from reach_rl.cli import dispatch
from reach_rl.cli.front_door import front
from reach_rl.cli.jobs import HydraJob
from reach_rl.config.composition import Composer
from reach_rl.config.load import ConfigError, compose
from reach_rl.config.verbs import TRAIN
from reach_rl.viz.films import film_of, load_film
from tests.extending import TERM, forget_all, fresh, package

PRESET = "# @package _global_\n# A preset of mine.   python -m reach_rl.train experiment=lab\n"
PRESET += "reward:\n  terms:\n    low_tool:\n      weight: -0.5\n"


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fresh():
        yield


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package where this process looks for some."""

    def install(code=TERM, preset=PRESET):
        package(tmp_path / "site", "lab", code, preset)
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
        forget_all()

    return install


def written(tmp_path, text=TERM, name="my_terms.py"):
    (tmp_path / name).write_text(text)
    return name


def never(*job):
    raise AssertionError("no job may start")


def test_a_file_brings_a_term_with_its_keys(tmp_path):
    given = []
    words = ["--extend", written(tmp_path), "reward.terms.low_tool={weight: -0.1, height: 0.5}"]
    assert front("train", lambda config, folder: given.append(config), words) == 0
    term = given[0].reward.terms["low_tool"]
    assert (term.weight, term.height) == (-0.1, 0.5)
    with pytest.raises(ConfigError, match="did you mean"):
        compose(["reward.terms.low_tool={weight: -0.1, heigth: 0.5}"])


def test_explain_tells_of_it(tmp_path, capsys):
    assert dispatch(["explain", f"--extend={written(tmp_path)}", "reward.terms"]) == 0
    assert "low_tool" in capsys.readouterr().out


def test_explain_says_how_to_change_a_key_of_it(tmp_path, capsys):
    file = written(tmp_path)
    assert dispatch(["explain", f"--extend={file}", "reward.terms.low_tool.height"]) == 0
    assert f"train --extend {file}" in " ".join(capsys.readouterr().out.split())


MISTAKES = {
    "none": (None, "no such file or directory; there are other.py"),
    "nothing": ("", None),
    "syntax": ("def f(:\n", "line 1, SyntaxError: invalid syntax; mend the file"),
    "error": ("\n\nx = y\n", "line 3, NameError: name 'y' is not defined; mend the file"),
    "library": (
        "import lost_library\n",
        "ModuleNotFoundError: No module named 'lost_library'",
    ),
    "exit": ("raise SystemExit(3)\n", "line 1, SystemExit: 3; mend the file"),
    "ours": (
        TERM.replace("low_tool", "progress"),
        "reach_rl.mdp.rewards has one too",
    ),
    "twice": (TERM + TERM, "reward_term low_tool: it has it twice; give it another name"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_a_file_is_one_line_and_leaves_nothing(tmp_path, capsys, kind):
    text, line = MISTAKES[kind]
    (tmp_path / "other.py").write_text("")
    if text is not None:
        written(tmp_path, text)
    code = front("train", never if line else lambda *_: 0, ["--extend", "my_terms.py"])
    said = capsys.readouterr().err
    if line is None:
        assert code == 0
        return
    assert code == 2
    assert said.startswith("error: --extend my_terms.py: ") and said.count("\n") == 1
    assert line in said
    assert not extend.registered() and not origins._FILES


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--extend"], "--extend: needs a file; try --extend my_terms.py"),
        (["--extend", "terms.txt"], "no Python file; give one that ends in .py"),
        (["--extend", "site"], "is a folder"),
        (["--extend", "my terms.py"], "rename it; letters, digits and _, as my_terms.py"),
        (["--extend", "my_terms.py", "--extend=site/my_terms.py"], "another file of that name"),
    ],
)
def test_what_is_no_extension_is_one_line(tmp_path, capsys, words, line):
    (tmp_path / "site").mkdir()
    for name in ("terms.txt", "my terms.py", "my_terms.py"):
        written(tmp_path, TERM, name)
    written(tmp_path, "\n" + TERM, "site/my_terms.py")
    assert front("evaluate", never, words) == 2
    assert line in capsys.readouterr().err


def test_a_changed_file_is_loaded_anew(tmp_path):
    name = written(tmp_path)
    extend.load_file(name)
    first = extend.entries("reward_term")["low_tool"]
    extend.load_file(name)
    assert extend.entries("reward_term")["low_tool"] is first
    written(tmp_path, TERM.replace("low_tool", "lower_tool"))
    extend.load_file(name)
    assert list(extend.registered()) == [("reward_term", "lower_tool")]


def test_a_cell_of_a_notebook_runs_twice(monkeypatch):
    for _ in range(2):
        exec(TERM, {"__name__": "__main__"})
    assert extend.registered() == {("reward_term", "low_tool"): "__main__"}
    with pytest.raises(ValueError, match="__main__ has one too"):
        exec(TERM, {"__name__": "another"})


def test_a_package_brings_terms_and_presets(installed, capsys):
    installed()
    assert compose(["experiment=lab"]).reward.terms["low_tool"].weight == -0.5
    assert dispatch(["explain", "reward.terms.low_tool", "experiment=lab"]) == 0
    assert "experiment/lab.yaml" in capsys.readouterr().out
    assert front("train", never, ["--help"]) == 0
    assert " lab" in capsys.readouterr().out
    assert dispatch(["extensions"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "lab 1.2" and "experiment=lab" in "".join(said[:8])
    assert any(line.split() == ["reward_term", "low_tool"] for line in said[:8])
    assert "reach_rl 0" in "\n".join(said)


def test_the_presets_of_a_package_are_found_without_importing_it(installed):
    installed("raise AssertionError")
    assert "experiment/lab" in Composer().files
    assert "lab" not in sys.modules


def test_a_broken_package_is_one_line(installed, capsys):
    installed("import lost_library\n")
    assert front("train", never, ["reward.terms.progress=1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the installed package lab 1.2, lab.terms: ModuleNotFoundError" in said
    assert said.strip().endswith("or pip uninstall lab")


def test_the_folder_one_works_in_is_not_where_packages_are(tmp_path):
    """python -m searches it first; it may be the folder of a run."""
    package(tmp_path, "lab", f"open({str(tmp_path / 'canary')!r}, 'w')\n{TERM}", PRESET)
    command = [sys.executable, "-m", "reach_rl.cli", "explain", "reward.terms"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "low_tool" not in done.stdout and not (tmp_path / "canary").exists()


def test_looking_for_packages_is_cheap():
    times = []
    for _ in range(5):
        origins.packages.cache_clear()
        start = time.process_time()
        origins.packages()
        times.append(time.process_time() - start)
    assert min(times) < 0.02


def test_a_file_arrives_elsewhere_with_the_content_it_had(tmp_path):
    extend.load_file(written(tmp_path))
    pickled = cloudpickle.dumps(origins.Carried())
    (tmp_path / "my_terms.py").write_text("raise AssertionError")
    forget_all()
    cloudpickle.loads(pickled)
    assert compose(["reward.terms.low_tool=-0.1"]).reward.terms["low_tool"].weight == -0.1


def test_a_term_of_a_notebook_arrives_elsewhere():
    exec(TERM, {"__name__": "__main__"})
    pickled = cloudpickle.dumps(origins.Carried())
    forget_all()
    cloudpickle.loads(pickled)
    assert extend.registered() == {("reward_term", "low_tool"): "__main__"}


def test_a_head_is_read_as_it_was_written(tmp_path, installed):
    installed(TERM.replace("low_tool", "other_tool"))
    extend.load_file(written(tmp_path))
    extend.entries("reward_term")
    found = origins.needed(origins.head(extend.registered()) + "seed: 1\n")
    assert {(n.name, n.version, n.terms) for n in found} == {
        ("my_terms.py", "", ("reward_term low_tool",)),
        ("lab", "1.2", ("reward_term other_tool",)),
    }
    assert all(n.known and not n.others() for n in found)


@pytest.mark.parametrize("line", ["# extension x;rm: reward_term y", "# extension a b c: d e", ""])
def test_a_head_of_another_form_is_not_shown(line):
    assert not origins.needed(line)


def test_a_job_brings_it_to_the_process_of_a_launcher(tmp_path):
    """As joblib and submitit pickle it; the file is gone by then."""
    extend.load_file(written(tmp_path))
    job = HydraJob(TRAIN, dispatch, ())
    (tmp_path / "my_terms.py").unlink()
    code = (
        "import cloudpickle, sys; job = cloudpickle.load(sys.stdin.buffer)\n"
        "from reach_rl.extend import entries; print('low_tool' in entries('reward_term'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=cloudpickle.dumps(job), capture_output=True, check=True
    )
    assert done.stdout == b"True\n"


def test_a_preset_of_a_search_is_not_written_into_a_package(installed):
    """The first of the user's folders is where presets go."""
    installed()
    assert not Composer().folders
    assert "experiment/lab" in Composer().files


PART = """from reach_rl.extend import scene_part


@scene_part
def shelf(spec, *, height: float = 0.3):
    return spec
"""


def test_a_film_knows_the_parts_of_the_scene(tmp_path):
    extend.load_file(written(tmp_path, PART))
    config = compose(["robot.parts.shelf={height: 0.2}"])
    film_of(config, "x", []).save(tmp_path / "film.npz")
    assert load_film(tmp_path / "film.npz").robot == config.robot
