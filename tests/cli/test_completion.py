import fcntl
import os
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from reach_rl import cli
from reach_rl.cli.completion import answer, complete

ROOT = Path(__file__).parents[2]
VERBS = ["train", "evaluate", "explain", "completion"]


@pytest.mark.parametrize(
    ("line", "among", "never"),
    [
        ("reach-rl tr", {"train"}, {"evaluate"}),
        ("reach-rl ", set(VERBS), set()),
        ("reach-rl train ", {"robot=", "seed=", "ppo.", "vec_env="}, {"ppo.gamma="}),
        ("reach-rl train robot=ur1", {"robot=ur10e", "robot=ur15"}, {"robot=ur5e"}),
        ("reach-rl train -m robot=ur3e,ur5", {"robot=ur3e,ur5e"}, set()),
        ("reach-rl train ppo.learning_rate_s", {"ppo.learning_rate_schedule.kind="}, set()),
        ("reach-rl train progress=", {"progress=true", "progress=false"}, set()),
        ("reach-rl train task.goal_change=", {"task.goal_change=hold"}, set()),
        ("reach-rl train ppo.device=", {"ppo.device=cuda"}, set()),
        ("reach-rl train vec_env.start_method=", {"vec_env.start_method=null"}, set()),
        ("reach-rl train reward.terms.stil", {"reward.terms.stillness.weight="}, set()),
        ("reach-rl train --mu", {"--multirun"}, set()),
        ("reach-rl evaluate ", {"run=", "task="}, {"robot=", "ppo."}),
        ("reach-rl explain ppo.gam", {"ppo.gamma"}, {"ppo.gamma="}),
        ("reach-rl completion ", {"bash", "zsh", "fish"}, set()),
        ("reach-rl train seed=", set(), {"seed=true"}),
    ],
)
def test_candidates(line: str, among: set[str], never: set[str]):
    found = set(complete(line, VERBS))
    assert among <= found
    assert not never & found


def test_options_of_ones_own(tmp_path: Path):
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "lab_arm.yaml").write_text("defaults: [ur5e]\n")
    line = f"reach-rl train --config-dir {tmp_path} robot=la"
    assert complete(line, VERBS) == ["robot=lab_arm"]


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment in which `reach-rl` is this checkout."""
    script = tmp_path / "reach-rl"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m reach_rl.cli "$@"\n')
    script.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("typed", "words", "replies"),
    [
        ("reach-rl train robot=ur1", ["reach-rl", "train", "robot", "=", "ur1"], "ur10e "),
        ("reach-rl train ppo.gam", ["reach-rl", "train", "ppo.gam"], "ppo.gamma="),
        ("reach-rl expl", ["reach-rl", "expl"], "explain "),
    ],
)
def test_bash(command: dict[str, str], typed: str, words: list[str], replies: str):
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"{answer(['bash'])}\nCOMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}; "
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _reach_rl; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", script], env=command, capture_output=True, text=True, check=True
    )
    assert replies in done.stdout.splitlines()


SHELLS = [
    ("bash", ["--norc", "--noprofile", "-i"], "source <(reach-rl completion bash)"),
    (
        "zsh",
        ["-f", "-i"],
        "bindkey -e; autoload -Uz compinit; compinit -u -D; source <(reach-rl completion zsh)",
    ),
    ("fish", ["--no-config", "-i"], "reach-rl completion fish | source"),
]


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("reach-rl expl", "reach-rl explain "),
        ("reach-rl train robot=ur7", "reach-rl train robot=ur7e "),
        ("reach-rl train -m robot=ur3e,ur7", "reach-rl train -m robot=ur3e,ur7e "),
        ("reach-rl train ppo.gam", "reach-rl train ppo.gamma="),
    ],
)
@pytest.mark.parametrize(("shell", "flags", "load"), SHELLS, ids=[shell[0] for shell in SHELLS])
def test_the_tab_key(
    shell: str,
    flags: list[str],
    load: str,
    command: dict[str, str],
    tmp_path: Path,
    typed: str,
    becomes: str,
):
    """A shell on a terminal sources the script; control-a puts `echo` before what the tab made."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    out = tmp_path / "out"
    keys = f"{load}\n{typed}\t<' > {out}\x01echo '>\n"
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [shell, *flags],
        env=command | {"TERM": "dumb", "INPUTRC": os.devnull, "HOME": str(tmp_path)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # fish wants a terminal of its own
    )
    os.close(theirs)
    try:
        os.write(ours, keys.encode())
        deadline = time.monotonic() + 30
        while not (out.is_file() and out.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert out.read_text() == f">{becomes}<\n"
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(shell: str, tmp_path: Path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(answer([shell]))
    subprocess.run([shell, "-n", str(script)], check=True)


def test_the_verb(capsys: pytest.CaptureFixture[str]):
    assert cli.dispatch(["completion", "bash"]) == 0
    assert capsys.readouterr().out == answer(["bash"]) + "\n"
    assert cli.dispatch(["completion", "bsh"]) == 2
    assert capsys.readouterr().err == ("error: bsh: no such shell; try reach-rl completion bash\n")
