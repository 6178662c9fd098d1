import io
from pathlib import Path

from rich.text import Text

from reach_rl.monitoring.terminal import TeeConsole


def test_terminal_and_log_get_the_same_words_and_only_one_the_colours(tmp_path):
    screen = io.StringIO()
    console = TeeConsole(
        tmp_path / "train.log", file=screen, force_terminal=True, color_system="standard"
    )
    console.print(Text("hello", style="bold red"))
    console.note("for the log")
    assert "\x1b[" in screen.getvalue() and "hello" in screen.getvalue()
    assert "for the log" not in screen.getvalue()
    console.close()
    console.print("after")
    assert (tmp_path / "train.log").read_text() == "hello\nfor the log\n"


def test_in_a_notebook_the_log_is_the_file_all_the_same(tmp_path, monkeypatch):
    """There rich would show what it is told to write into a file."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    console = TeeConsole(tmp_path / "train.log", file=io.StringIO())
    console.print("hello")
    console.close()
    assert console.is_jupyter
    assert (tmp_path / "train.log").read_text() == "hello\n"


def test_a_resumed_run_appends(tmp_path):
    for word in ("first", "second"):
        console = TeeConsole(tmp_path / "train.log", file=io.StringIO())
        console.print(word)
        console.close()
    assert (tmp_path / "train.log").read_text() == "first\nsecond\n"


class Closed(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


def test_a_terminal_that_went_away_does_not_stop_a_run(tmp_path):
    for error in (BrokenPipeError(), OSError(5, "Input/output error")):
        console = TeeConsole(tmp_path / "train.log", file=Closed(error))
        console.print("one")
        console.print("two")
        console.close()
    assert (tmp_path / "train.log").read_text() == "one\ntwo\n" * 2


def test_a_full_disk_silences_the_log_alone():
    screen = io.StringIO()
    console = TeeConsole(Path("/dev/full"), file=screen)
    console.print("one")
    console.print("two")
    assert screen.getvalue() == "one\ntwo\n"


def test_the_log_holds_no_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", "t0psecret")
    console = TeeConsole(tmp_path / "train.log", file=io.StringIO())
    console.print("warning: https://me:pass@host refused t0psecret")
    console.close()
    assert (tmp_path / "train.log").read_text() == "warning: https://***@host refused ***\n"
