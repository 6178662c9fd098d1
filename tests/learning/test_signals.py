"""Stopping when asked to."""

import os
import signal
import threading

import pytest

from reach_rl.learning.signals import Stop, Stopped, listening


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
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    found: list[Stop] = []

    def work():
        with listening() as stop:
            found.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].signal is None
    assert signal.getsignal(signal.SIGINT) is before
