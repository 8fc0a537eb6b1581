"""Threads that go through a kernel together, and how many of them are worth it.

A kernel holds no lock of Python's while it runs, so ordinary threads run it side by side and meet at the barriers of
``kernels/barrier.py``. Between two calls they wait for work, which costs nothing; a child process that ``fork`` made
starts its own. docs/threads.md describes the whole.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

Lock = threading.Lock
_acquire, _release = type(Lock()).acquire, type(Lock()).release


class _Worker:
    """A daemon thread that does one piece of work each time ``called`` is released, and then releases ``finished``."""

    def __init__(self) -> None:
        self.work: Callable[[], None] | None = None
        self.called, self.finished = Lock(), Lock()
        self.called.acquire()
        self.finished.acquire()
        threading.Thread(target=self._run, name="fastprop", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.called.acquire()
            if self.work is not None:
                self.work()
            self.work = None  # let go of what it holds
            self.finished.release()


_idle: list[_Worker] = []  # append and pop are atomic
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # threads do not survive a fork


def together(threads: int, work: Callable[[int, int], None], give_up: Callable[[], None]) -> None:
    """Call ``work(thread, threads)`` for each thread of 0..threads-1 at the same time, the first one here.

    Fewer threads where the system grants no more. If one fails, ``give_up`` must make the others return; the first
    error is raised once all have.
    """
    if threads == 1:
        return work(0, 1)
    crew = _crew(threads - 1)
    errors: list[BaseException] = []
    begun: list[object] = []
    ended: list[object] = []

    def attempt(thread: int) -> None:
        try:
            work(thread, len(crew) + 1)
        except BaseException as error:
            errors.append(error)
            give_up()

    try:
        for number, worker in enumerate(crew, start=1):
            worker.work = lambda thread=number: attempt(thread)  # type: ignore[misc]
        # A signal can be handled between any two bytecodes, but not within a call into C: so it is always known how
        # many have begun, and below how many have ended.
        begun.extend(map(_release, [worker.called for worker in crew]))
        attempt(0)
    except BaseException as error:  # Ctrl-C outside the kernel
        errors.append(error)
        give_up()
    while len(ended) < len(begun):
        try:
            ended.extend(map(_acquire, [worker.finished for worker in crew[len(ended) : len(begun)]]))
        except BaseException as error:
            errors.append(error)
    _idle.extend(crew)
    if errors:
        raise errors[0]


def _crew(count: int) -> list[_Worker]:
    """At most so many workers."""
    crew: list[_Worker] = []
    while len(crew) < count:
        try:
            crew.append(_idle.pop())
        except IndexError:
            try:
                crew.append(_Worker())
            except RuntimeError:  # the system grants no more threads
                break
    return crew


def usable() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pace:
    """How many threads a training loop takes: what was fastest, as measured on the way.

    The result has the same bits whatever the number, so all that is at stake is time. Which is fastest depends on the
    shapes, and on who else is using the cores: now and then all numbers are tried again, less often each time that the
    same one wins. The least of several times counts, so that one disturbance decides nothing. Where a trial confirms
    what was to be expected, the next one waits until this one's cost is a small part of the time.
    """

    #: After so many slices of work comes another trial, at first and at the last; in a trial each has so many turns.
    #: A trial that was disturbed may choose the wrong number, so the next one must not be far.
    SOON, LATE, TURNS = 2, 512, 2
    #: What an expected choice may cost of the time. A slice of a large network is a step, which may take a second.
    COST = 0.03

    def __init__(self, most: int, first: int) -> None:
        self._choices = sorted({1, *(most >> k for k in range(most.bit_length()))})
        #: the number for the next slice, which is to be shorter while the numbers are tried
        self.threads, self.trying = first, len(self._choices) > 1
        self._seconds: dict[int, float] = {}  # the least for a row in this trial
        self._turns: list[int] = []
        self._cold = True
        self._expected, self._chosen, self._period, self._left = first, first, self.SOON, 0
        self._took, self._rows, self._owed = 0.0, 0, 0.0  # by this trial, and seconds of work until the next one

    def saw(self, seconds: float, rows: int) -> None:
        """Take note of how long the last slice took, and choose for the next."""
        if self._cold:  # the first one filled caches and touched pages
            self._cold = False
            self._try()
        elif self.trying:
            now = seconds / max(rows, 1)
            self._took, self._rows = self._took + seconds, self._rows + rows
            self._seconds[self.threads] = min(now, self._seconds.get(self.threads, now))
            if self._turns:
                self.threads = self._turns.pop(0)
            else:
                self._choose()
        elif self._left <= 0 and self._owed <= 0:
            self._try()
        else:
            self._left, self._owed = self._left - 1, self._owed - seconds

    def _try(self) -> None:
        if len(self._choices) > 1:
            others = [count for count in self._choices if count != self.threads]
            self._turns, self._seconds, self.trying = [*others, self.threads] * self.TURNS, {}, True
            self._took, self._rows, self._owed = 0.0, 0, 0.0
            self.threads = self._turns.pop(0)

    def _choose(self) -> None:
        self.threads = min(self._seconds, key=self._seconds.__getitem__)
        self._period = min(2 * self._period, self.LATE) if self.threads == self._chosen else self.SOON
        if self.threads == self._chosen == self._expected:
            self._owed = (self._took - self._seconds[self.threads] * self._rows) / self.COST
        self._chosen, self._left, self.trying = self.threads, self._period, False


def microseconds(multiplications: float) -> float:
    """What a step of so many multiplications takes on one thread, within a factor of two."""
    return multiplications / 6e4


#: A step of fewer microseconds is never tried on several threads.
TINY = 8.0


def worth(most: int, multiplications: float, steps: int = 1) -> int:
    """How many threads to begin with, at most ``most``, for so many steps of so many multiplications each.

    Where a step takes less than some 50 µs, passing what one thread wrote to another costs more than it gains; and it
    takes as long to wake the others up.
    """
    step = microseconds(multiplications)
    return most if step > 50 and step * steps > 150 else 1
