"""Threads that work on one batch: which part of the work is whose, and where each waits for the others.

All threads run the same kernel, each with its own number ``thread`` of 0..threads-1, and meet at barriers. They share
``sync`` (int64): what they wait for, each on a cache line of its own, and what one has to tell the others.
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
SYNC = 24

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
