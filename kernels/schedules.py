"""Learning rates: α as a function of the number of the update, or of the course of the loss.

An optimizer's numbers stand in one array, ``hyper``, float64. This file names the first of them, ``updates.py`` the
others.
"""

import math

from .jit import njit

LEARNING_RATE = 0  # α, or where its schedule begins, or the highest rate of ANNEAL
SCHEDULE = 1  # one of the following
CONSTANT, PLATEAU, DECAY, ANNEAL = range(4)
SINCE = 2  # updates made before the schedule was set
NUMBERS = 3  # the first of the schedule's own numbers
FACTOR, EVERY, SMOOTH = range(3, 6)  # of DECAY
START, FINAL, RISE, LAST, SMOOTH_RISE = range(3, 8)  # of ANNEAL
PATIENCE, TOLERANCE, MINIMUM, BEST, WAITED = range(4, 9)  # of PLATEAU, beside FACTOR; the last two are its state
WATCHING = 9  # not 0: ``train`` tells the loss of each epoch
OTHERS = 10


@njit
def learning_rate(hyper, step):
    """α of update number ``step``, from 1; t counts the updates since the schedule was set."""
    kind, rate = hyper[SCHEDULE], hyper[LEARNING_RATE]
    if kind <= PLATEAU:
        return rate
    t = step - 1.0 - hyper[SINCE]
    if kind == DECAY:  # α γ^(t / every), or α γ^⌊t / every⌋
        periods = t / hyper[EVERY]
        return rate * math.pow(hyper[FACTOR], periods if hyper[SMOOTH] != 0 else math.floor(periods))
    if t >= hyper[LAST]:
        return hyper[FINAL]
    if t < hyper[RISE]:
        begin, end, part = hyper[START], rate, t / hyper[RISE]
        if hyper[SMOOTH_RISE] == 0:
            return begin + (end - begin) * part
    else:
        begin, end, part = rate, hyper[FINAL], (t - hyper[RISE]) / (hyper[LAST] - hyper[RISE])
    return end + (begin - end) * 0.5 * (1.0 + math.cos(math.pi * part))


@njit
def watch(hyper, loss):
    """The end of an epoch: reduce α if more than PATIENCE epochs have not bettered the least loss by TOLERANCE."""
    if hyper[SCHEDULE] != PLATEAU:
        return
    if loss < hyper[BEST] - hyper[TOLERANCE] * abs(hyper[BEST]):
        hyper[BEST], hyper[WAITED] = loss, 0.0
        return
    hyper[WAITED] += 1.0
    if hyper[WAITED] > hyper[PATIENCE]:
        hyper[LEARNING_RATE] = max(hyper[LEARNING_RATE] * hyper[FACTOR], hyper[MINIMUM])
        hyper[WAITED] = 0.0
