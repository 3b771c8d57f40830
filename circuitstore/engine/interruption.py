"""Signals that ask a build to end: SIGTERM and SIGHUP end it as Ctrl-C does.

SLURM, Docker and a closed terminal send these. Without a handler the process would be gone at once, with all
finished cells of the batch that was being computed, and its worker processes would stay. With one, each batch
commits the cells that are finished, and the process ends with exit code 128 + number of the signal, as shells
expect.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

TOLD_TO_END = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
LOOK_SECONDS = 1.0  # between two looks of a worker process at who its parent is
GRACE_SECONDS = 10.0  # how long worker processes may take to commit what is finished


class InterruptedBy(KeyboardInterrupt):
    """A signal, `number`, asked this process to end."""

    def __init__(self, number: int):
        super().__init__(f"signal {number}")
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `InterruptedBy` in this block.

    That happens once, so that tidying up is not disturbed. A signal that somebody handles already, or that
    the process was started to ignore, as by `nohup`, is left alone.
    """

    def interrupt(number: int, frame: object) -> None:
        for other in free:
            signal.signal(other, signal.SIG_IGN)
        raise InterruptedBy(number)

    free = [number for number in TOLD_TO_END if signal.getsignal(number) == signal.SIG_DFL]
    with _handled(free, interrupt):
        yield


def exit_code(error: BaseException | None) -> int:
    """128 + number of the signal that an exception, or what caused it, stands for; SIGINT if it is none."""
    while error is not None and not isinstance(error, InterruptedBy):
        error = error.__cause__ or error.__context__
    return 128 + (error.number if isinstance(error, InterruptedBy) else signal.SIGINT)


class Relay:
    """Passes the first signal on to worker processes, so that each can commit what is finished.

    `number` is that signal, 0 before it comes. Workers that do not end their batch in time are killed. A
    second Ctrl-C raises at once.
    """

    def __init__(self, workers: Callable[[], Sequence[int]], grace: float = GRACE_SECONDS):
        self.workers, self.number = workers, 0
        self._late = threading.Timer(grace, self._tell, [getattr(signal, "SIGKILL", signal.SIGTERM)])
        self._late.daemon = True

    @contextmanager
    def relaying(self) -> Iterator[None]:
        """Relay SIGINT, SIGTERM and SIGHUP in this block, and raise for the one that came at its end."""
        ignored = [number for number in TOLD_TO_END if signal.getsignal(number) == signal.SIG_IGN]
        with _handled(
            [number for number in (signal.SIGINT, *TOLD_TO_END) if number not in ignored], self._on
        ):
            try:
                yield
            finally:
                self._late.cancel()
        if self.number:
            raise InterruptedBy(self.number)

    def _on(self, number: int, frame: object) -> None:
        if self.number and number == signal.SIGINT:
            raise InterruptedBy(number)
        if not self.number:
            self.number = number
            self._late.start()
            self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for worker in self.workers():
            try:
                os.kill(worker, number)
            except ProcessLookupError:  # it has ended since
                continue


class Worker:
    """What a worker does about signals, and when its build is gone: it ends its batch, begins no other."""

    def __init__(self) -> None:
        self.ending, self.busy = False, False

    def prepare(self) -> None:
        """Handle signals, and look after the build, from now on: called once, as this process starts."""
        for number in (signal.SIGINT, *TOLD_TO_END):
            signal.signal(number, self._on)
        threading.Thread(target=self._outlive_nobody, args=[os.getppid()], daemon=True).start()

    def run(self, work: Callable[[], Any]) -> Any:
        """The result of some work; None if a signal came before or meanwhile."""
        if self.ending:
            return None
        self.busy = True
        try:
            return work()
        except InterruptedBy:
            return None
        finally:
            self.busy = False

    def _outlive_nobody(self, parent: int) -> None:
        """End this process soon after the build that started it, which may have been killed (SIGKILL).

        It commits what is finished first. Whoever has lost its parent is given another one by the system.
        """
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.busy and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS / 10)
        os._exit(128 + signal.SIGTERM)

    def _on(self, number: int, frame: object) -> None:
        first, self.ending = not self.ending, True
        if first and self.busy:
            raise InterruptedBy(number)


@contextmanager
def _handled(numbers: Sequence[int], handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle signals in this block; nothing outside of the main thread, where Python can handle none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
