"""Stopping when asked to."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reach_rl.training.stopping import Stopped, StopRequest, listening

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)]
)
def test_the_first_signal_is_noted(number, code):
    before = signal.getsignal(number)
    with listening() as stop:
        stop.check()
        assert stop.exit_code == 0 and stop.name == ""
        os.kill(os.getpid(), number)
        assert stop.signal == number
        assert stop.exit_code == code
        assert stop.name == signal.Signals(number).name
        with pytest.raises(Stopped):
            stop.check()
    assert signal.getsignal(number) == before


def test_the_second_signal_acts_as_it_always_did():
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        _a_second_signal_acts()
    finally:
        signal.signal(signal.SIGINT, inherited)


def _a_second_signal_acts():
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_same_signal_at_once_again_is_an_echo(monkeypatch):
    """Ctrl-C reaches a job directly and through the process that launched it."""
    with listening() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(stop, "since", stop.since - 1)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_sigterm_kills():
    code = """
import os, signal, sys
from reach_rl.training.stopping import listening
with listening() as stop:
    os.kill(os.getpid(), signal.SIGUSR1)
    print("noted", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("alive", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "noted\n")


def test_the_signal_of_a_requeue_counts_where_it_is_handled_and_comes_last():
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda *_: seen.append("requeued"))
    try:
        with listening() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            os.kill(os.getpid(), signal.SIGUSR2)
            assert stop.exit_code == 143
            seen.append("saved")
        assert seen == ["saved", "requeued"]
        with listening() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR2)
            seen.append("saved")
        assert seen[2:] == ["saved", "requeued"]
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        with listening() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    found: list[StopRequest] = []

    def work():
        with listening() as stop:
            found.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].signal is None
    assert signal.getsignal(signal.SIGINT) is before
