"""Training through the public calls, with the NumPy reference on the same work as the baseline."""

from dataclasses import replace

import numpy as np
from fastprop.kernels.peak import fma_peak

import fastprop
from fastprop.peers import EPOCHS
from fastprop.workloads import LEARNING_RATE, WORKLOADS, flops_per_step

from .timing import seconds_in_turn

#: Rows of an epoch here: so many that an epoch of the reference takes about as long for every workload.
SAMPLES = {
    "xor-b1": 1024,
    "tabular-8-32-32-1-b32": 8192,
    "digits-64-128-10-b32": 8192,
    "mnist-784-128-10-b64": 2048,
    "lecun-784-300-100-10-b128": 1024,
    "rl-17-256-256-6-b256": 2048,
    "wide-1024x4-b256": 1024,
}


class Epoch:
    """An epoch over some of the data of a public workload."""

    param_names = ("workload",)
    params = (list(SAMPLES),)

    def setup(self, name):
        w = self.workload = replace(WORKLOADS[name], samples=SAMPLES[name])
        self.epoch = {library: EPOCHS[library](w, *w.data(), LEARNING_RATE, 1) for library in ("fastprop", "numpy")}
        for epoch in self.epoch.values():
            epoch()

    def time_fastprop(self, name):
        self.epoch["fastprop"]()

    def time_numpy(self, name):
        self.epoch["numpy"]()

    def track_speedup(self, name):
        """Times the speed of the NumPy reference, measured in turn."""
        fastprop, numpy = seconds_in_turn(self.epoch["fastprop"], self.epoch["numpy"])
        return numpy / fastprop

    track_speedup.unit = "times"

    def track_share_of_peak(self, name):
        """Of the multiply-add rate that a loop in registers reaches, measured in turn."""
        peaks = []
        seconds, _ = seconds_in_turn(self.epoch["fastprop"], lambda: peaks.append(fma_peak(repeats=20_000)), turns=3)
        return self.workload.steps * flops_per_step(self.workload) / seconds / 1e9 / max(peaks)

    track_share_of_peak.unit = "of peak"


class Threads:
    """An epoch with threads="auto", beside one thread."""

    param_names = ("workload",)
    params = (list(SAMPLES),)

    def setup(self, name):
        w = replace(WORKLOADS[name], samples=SAMPLES[name])
        self.one, self.auto = (EPOCHS["fastprop"](w, *w.data(), LEARNING_RATE, threads) for threads in (1, 0))
        for _ in range(4):  # until it has been found out which number is fastest
            self.one(), self.auto()

    def time_auto(self, name):
        self.auto()

    def track_speedup(self, name):
        """Times the speed of one thread, measured in turn."""
        one, auto = seconds_in_turn(self.one, self.auto)
        return one / auto

    track_speedup.unit = "times"


class Many:
    """An epoch of 64 small networks."""

    param_names = ("threads",)
    params = (["1", "auto"],)

    def setup(self, threads):
        w = replace(WORKLOADS["many-64x8-32-1-b32"], samples=2048)
        self.epoch = EPOCHS["fastprop"](w, *w.data(), LEARNING_RATE, {"1": 1, "auto": 0}[threads])
        self.epoch()

    def time_fit_many(self, threads):
        self.epoch()


class OneRow:
    """What a call from Python costs, with almost nothing to do in it."""

    def setup(self):
        self.net = fastprop.Network([16, 32, 1], seed=0)
        self.optimizer = fastprop.SGD(1e-6)
        self.x, self.y = np.ones((1, 16), np.float32), np.ones((1, 1), np.float32)
        self.time_train_step(), self.time_predict(), self.time_forward_backward_step()

    def time_train_step(self):
        self.net.train_step(self.x, self.y, self.optimizer)

    def time_forward_backward_step(self):
        self.net.forward(self.x)
        self.net.backward(self.y)
        self.net.step(self.optimizer)

    def time_predict(self):
        self.net.predict(self.x)
