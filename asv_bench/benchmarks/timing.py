"""Two things measured in turn, for ratios that a drifting machine does not spoil."""

import time
from statistics import median


def seconds_in_turn(*functions, turns=5, at_least=0.01):
    """Seconds of a call of each function: the median of some turns, which last so many seconds or more."""
    counts = [max(1, round(at_least / _seconds(function, 1))) for function in functions]
    rounds = [
        [_seconds(function, count) for function, count in zip(functions, counts, strict=True)] for _ in range(turns)
    ]
    return [median(times) for times in zip(*rounds, strict=True)]


def _seconds(function, count):
    start = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - start) / count
