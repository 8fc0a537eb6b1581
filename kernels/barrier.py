"""Threads that work on one batch: which part of the work is whose, and where each waits for the others.

All threads run the same kernel, each with its own number ``thread`` of 0..threads-1, and meet at barriers. They share
``sync`` (int64): what they wait for, each on a cache line of its own, and what one has to tell the others.

Cores are not equally fast where they are shared with others, and all wait for the slowest. So each thread notes how
fast it is, and the parts it gets are in proportion.
"""

import numpy as np

from .jit import njit
from .simd import atomic_add, atomic_load, atomic_store, give_way, spin

ARRIVED = 0  # how many threads wait at the barrier
TURN = 8  # how often all have met
FAILED = 16  # not 0: a thread will never come
WRONG_INPUTS = 17  # not 0: a thread found such data in its rows
WRONG_TARGETS = 18
WRONG_PARAMETERS = 19
SPEEDS = 24  # a line for each thread: how fast it gets rows of a batch done, and numbers of W; the same, smoothed
LINE = 8
OF_BATCH, OF_WEIGHTS, SMOOTH = np.arange(3)  # places in such a line: int64, or Numba would make a version for each

#: The whole of what is shared out by speeds.
WHOLE = np.int64(1 << 20)
FASTEST = np.int64(1 << 50)
ROUND_UP = 0.999  # so that a third of three grains is one

#: So many looks, some microseconds, before a waiting thread lets others have its core.
PATIENT_LOOKS = 2000
ONE = np.int64(1)


@njit(inline=False)
def wait(sync, threads):
    """Return True once all threads have come here, False if one never will."""
    turn = atomic_load(sync, TURN)
    if atomic_add(sync, ARRIVED, ONE) == threads - 1:
        atomic_store(sync, ARRIVED, 0)
        atomic_add(sync, TURN, ONE)
        return True
    looks = 0
    while atomic_load(sync, TURN) == turn:
        if atomic_load(sync, FAILED) != 0:
            return False
        looks += 1
        if looks < PATIENT_LOOKS:
            spin()
        else:
            give_way()
    return True


@njit
def border(count, grain, thread, threads):
    """Where the part of a thread begins if 0..count-1 is shared in whole grains; the last one ends at ``count``."""
    if thread == 0:
        return np.int64(0)
    if thread == threads:
        return count
    return min(count, -(-count // grain) * thread // threads * grain)


@njit
def note_speed(sync, kind, thread, done, time):
    """Note, before a barrier, how long the thread took over so much.

    A step says little: a thread that was interrupted is not slow. And what moves from one thread to another has to move
    between their caches too, so small changes are kept from the others.
    """
    if time <= 0:  # no clock is known: equal parts for ever
        return
    at = SPEEDS + thread * LINE + kind
    mean = sync[at + SMOOTH]
    now = 2 * mean  # where it had nothing to do: until it gets something again
    if done > 0:
        now = np.int64(1e9 * done / time)
    if mean == 0:
        mean = now
    mean = min(mean + (min(max(now, mean // 2), 2 * mean) - mean) // 4, FASTEST)
    sync[at + SMOOTH] = mean
    if abs(mean - sync[at]) > mean // 32:
        sync[at] = mean


@njit
def share_of(sync, kind, thread, threads):
    """The thread's part of what is shared out by speed, from where to where of WHOLE; equal parts for a start.

    To be called by all threads between the same two barriers, and not where speeds are noted.
    """
    low, high, total = 0.0, 0.0, 0.0
    for other in range(threads):
        speed = sync[SPEEDS + other * LINE + kind]
        if speed == 0:
            return -(-WHOLE * thread // threads), -(-WHOLE * (thread + 1) // threads)
        low += speed * (other < thread)
        high += speed * (other <= thread)
        total += speed
    return np.int64(WHOLE * (low / total) + ROUND_UP), np.int64(WHOLE * (high / total) + ROUND_UP)
