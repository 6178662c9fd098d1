"""SB3's SubprocVecEnv whose workers answer in time, or are replaced: nothing hangs for ever.

The protocol, the results and SB3's methods are SB3's own; they speak to each worker through a
Worker, which looks like the pipe that they expect. A worker that dies, raises or does not answer
within its deadline is killed and replaced: its environment begins a new episode, and the learner
sees the old one cut off. Waiting is left to the kernel (a receive timeout on the socket), so that
the deadline costs nothing while all is well.
"""

import faulthandler
import multiprocessing
import os
import signal
import socket
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import CloudpickleWrapper
from stable_baselines3.common.vec_env.subproc_vec_env import _worker

Make = Callable[[], gymnasium.Env[Any, Any]]

START = 120.0
"""More time for the first answer of a worker, which has libraries to load (s)."""

_STACK = signal.SIGUSR2 if hasattr(signal, "SIGUSR2") else None
_STACK_WAIT = 1.0


class WorkerFailure(RuntimeError):
    """A worker died or hangs, and has been replaced often enough."""


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a worker sends in place of an answer before it ends."""

    trace: str


def _serve(
    remote: Connection,
    parent: Connection,
    make: CloudpickleWrapper,
    others: Sequence[Connection],
    stack: str,
) -> None:
    """SB3's worker, which sends the traceback of what ended it."""
    for connection in others:  # copies that a fork made: they would keep dead pipes open
        connection.close()
    with open(stack, "w", encoding="utf-8") as file:
        if _STACK is not None:
            faulthandler.register(_STACK, file, all_threads=True)
        try:
            _worker(remote, parent, make)
        except (Exception, SystemExit):
            with suppress(OSError):
                remote.send(_Raised(traceback.format_exc()))


class Worker:
    """One environment in a process of its own, with the face of a pipe to it."""

    def __init__(self, owner: "WorkerVecEnv", index: int, make: Make) -> None:
        """Start the process."""
        self.owner, self.index, self.make = owner, index, make
        self.seed: int | None = None
        """That it was last reset with."""
        self.action: np.ndarray | None = None
        self._message: tuple[str, Any] = ("", None)
        self._setting: tuple[str, Any] | None = None
        self._seen: Any = None
        self._cut = False
        self._begun = False
        self._asked = False
        self._start()

    def _start(self) -> None:
        context = self.owner.context
        ours, theirs = context.Pipe()
        self._stack = self.owner.folder / f"{self.index}.txt"
        forked = context.get_start_method() == "fork"
        others = [w.connection for w in self.owner.remotes if w is not self] if forked else []
        arguments = (theirs, ours, CloudpickleWrapper(self.make), others, str(self._stack))
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.connection = ours
        self._fresh = True
        self._deadline(self.owner.timeout + START)

    def send(self, message: tuple[str, Any]) -> None:
        """Ask for something; trouble shows when the answer is received."""
        if self._asked:  # an answer that nobody has waited for
            with suppress(_Gone):
                self._receive()
        self._message, self._asked = message, True
        name, data = message
        if name == "step":
            self.action = data
        elif name == "reset" and data[0] is not None:
            self.seed = data[0]
        elif name == "env_method" and data[0] == "apply":
            self._setting = message
        with suppress(OSError):
            self.connection.send(message)

    def recv(self) -> Any:  # noqa: ANN401  whatever the worker answers
        """The answer; of a worker that was replaced, what SB3 takes for the end of an episode.

        Raises:
            WorkerFailure: it died or hangs, and so did too many before.
        """
        name, self._asked = self._message[0], False
        try:
            answer = self._receive()
            if self._cut and name == "step":
                answer = self._cut_off(answer[0], answer[3], answer[4])
        except _Gone as gone:
            answer = self._replace(str(gone))
        if name in ("step", "reset"):
            self._seen, self._begun = answer[0], True
        return answer

    def close(self, patience: float) -> None:
        """End the process, by force if it takes longer than that (s)."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(START)
        self.connection.close()

    def _receive(self) -> Any:  # noqa: ANN401
        try:
            answer = self.connection.recv()
        except BlockingIOError:
            raise _Gone(self._hangs()) from None
        except (EOFError, OSError):
            raise _Gone(self._died()) from None
        if isinstance(answer, _Raised):
            raise _Gone(f"raised an exception\n{answer.trace.rstrip()}")
        if self._fresh:
            self._fresh = False
            self._deadline(self.owner.timeout)
        return answer

    def _replace(self, why: str) -> Any:  # noqa: ANN401
        """Put another process in the place of this one, and let it answer."""
        while True:
            text = self._report(why)
            self.close(0.0)
            self.owner.lost(text, self._begun)
            try:
                self._start()
                return self._catch_up()
            except _Gone as gone:
                why = str(gone)

    def _catch_up(self) -> Any:  # noqa: ANN401
        """Bring a new process to where it can answer, and let it."""
        name, data = self._message
        if self._setting is not None:
            self._ask(self._setting)
        # a stream of random numbers that no other worker has
        self.seed = (self.index if self.seed is None else self.seed) + len(self.owner.remotes)
        if name == "reset":
            self._cut = False
            return self._ask(("reset", (self.seed, data[1])))
        observation, info = self._ask(("reset", (self.seed, {})))
        if name == "step":
            return self._cut_off(observation, {}, info)
        self._cut = True
        return self._ask(self._message)

    def _cut_off(self, observation: Any, info: dict[str, Any], reset_info: Any) -> Any:  # noqa: ANN401
        """The answer to a step that says: the episode was cut off, and this is the next one."""
        self._cut = False
        end = {"TimeLimit.truncated": True, "terminal_observation": self._seen}
        return observation, 0.0, True, {**info, **end}, reset_info

    def _ask(self, message: tuple[str, Any]) -> Any:  # noqa: ANN401
        """An answer of a worker that has just been started. Raises _Gone."""
        with suppress(OSError):
            self.connection.send(message)
        return self._receive()

    def _deadline(self, seconds: float) -> None:
        """How long the kernel lets a read or a write on the pipe wait."""
        whole, part = divmod(seconds, 1.0)
        value = struct.pack("@ll", int(whole), int(1e6 * part))
        with socket.socket(fileno=os.dup(self.connection.fileno())) as view:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                view.setsockopt(socket.SOL_SOCKET, option, value)

    def _died(self) -> str:
        self.process.join(1.0)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"died with exit code {code}"

    def _hangs(self) -> str:
        """That it does not answer, and where it is, if it can still tell."""
        text = f"does not answer for {self.owner.timeout:g} s"
        if _STACK is None or self.process.pid is None:
            return text
        with suppress(OSError):
            os.kill(self.process.pid, _STACK)
        end = time.monotonic() + _STACK_WAIT
        while time.monotonic() < end:
            time.sleep(0.05)
            stack = self._stack.read_text(encoding="utf-8") if self._stack.exists() else ""
            if stack:
                return f"{text}; it is at\n{stack.rstrip()}"
        return f"{text}, nor tells where it is ({_state(self.process.pid)})"

    def _report(self, why: str) -> str:
        action = "none" if self.action is None else np.array2string(self.action, precision=4)
        first, _, trace = why.partition("\n")
        return (
            f"the worker of environment {self.index} (process {self.process.pid}, seed "
            f"{self.seed}) {first}; asked for {self._message[0]}; last action {action}"
            + (f"\n{trace}" if trace else "")
        )


class _Gone(Exception):
    """A worker gave no answer; the text says why."""


def _state(pid: int) -> str:
    """What a process of this machine is doing."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return "state unknown"
    return {"T": "it is stopped", "t": "it is being debugged"}.get(letter, f"state {letter}")


class WorkerVecEnv(SubprocVecEnv):
    """One process per environment; see the module."""

    def __init__(
        self, makers: Sequence[Make], start_method: str | None, timeout: float, restarts: int
    ) -> None:
        """Start the workers.

        Args:
            makers: one per environment.
            start_method: fork, spawn or forkserver; None: SB3's choice.
            timeout: for every answer but the first of a worker (s).
            restarts: how many workers may be replaced, all together.

        Raises:
            WorkerFailure: the first worker cannot make its environment.
        """
        there = multiprocessing.get_all_start_methods()
        default = "forkserver" if "forkserver" in there else "spawn"
        self.context: Any = multiprocessing.get_context(start_method or default)
        self.timeout, self.restarts = timeout, restarts
        self.waiting = self.closed = False
        self._temporary = tempfile.TemporaryDirectory(prefix="reach_rl_workers_")
        self.folder = Path(self._temporary.name)
        self._replaced: list[str] = []
        self.remotes: list[Worker] = []  # type: ignore[assignment]
        try:
            for index, make in enumerate(makers):
                self.remotes.append(Worker(self, index, make))
            self.remotes[0].send(("get_spaces", None))
            spaces = self.remotes[0].recv()
        except BaseException:
            self._end(0.0)
            raise
        VecEnv.__init__(self, len(makers), *spaces)

    @property
    def processes(self) -> list[Any]:  # type: ignore[override]
        """The processes, one per environment."""
        return [worker.process for worker in self.remotes]

    @processes.setter
    def processes(self, value: object) -> None:
        raise AttributeError("workers have their processes themselves")

    def lost(self, text: str, begun: bool) -> None:
        """A worker is to be replaced. Raises WorkerFailure if it may not be."""
        if not begun:  # it would not fare better
            raise WorkerFailure(text)
        if self.restarts <= 0:
            raise WorkerFailure(f"{text}\nno more are replaced; see vec_env.worker_restarts")
        self.restarts -= 1
        self._replaced.append(f"{text}; another has taken its place and begins a new episode")

    def revive(self) -> None:
        """Let dead workers be replaced once more, for the sake of what is to be saved."""
        self.restarts += len(self.remotes)

    def taken(self) -> list[str]:
        """What is to be told of workers that were replaced since the last call."""
        replaced, self._replaced = self._replaced, []
        return replaced

    def close(self) -> None:
        """End the workers; one that does not end by itself is killed."""
        if not self.closed:
            self._end(min(5.0, self.timeout))

    def _end(self, patience: float) -> None:
        self.closed = True
        for worker in self.remotes:
            with suppress(OSError):
                worker.connection.send(("close", None))
        end = time.monotonic() + patience
        for worker in self.remotes:
            worker.close(max(0.0, end - time.monotonic()))
        self._temporary.cleanup()
