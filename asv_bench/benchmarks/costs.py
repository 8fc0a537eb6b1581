"""What backpropagation saves: the same gradient by several methods, on one network and as networks grow."""

import numpy as np

import fastprop
from fastprop import costs

from .timing import seconds_in_turn

WIDTHS = [8, 32]


class Gradient:
    """The gradient of one observation of a w-w-w-w network."""

    param_names = ("method", "w")
    params = (list(costs.METHODS), WIDTHS)

    def setup(self, method, w):
        net = fastprop.Network([w] * 4, hidden="tanh", seed=0)
        self.work = costs._Workspace(net, np.ones(w), np.zeros(w))
        self.work.run(method)

    def time_gradient(self, method, w):
        self.work.again(method)

    def track_multiplications(self, method, w):
        return self.work.again(method)

    def track_times_as_long_as_backpropagation(self, method, w):
        """Measured in turn."""
        one, backpropagation = seconds_in_turn(
            lambda: self.work.again(method), lambda: self.work.again("backpropagation")
        )
        return one / backpropagation

    track_times_as_long_as_backpropagation.unit = "times"


class Growth:
    """p of the law P^p by which the seconds of a method grow with the number of parameters P."""

    timeout = 300
    param_names = ("method",)
    params = (list(costs.METHODS),)

    def setup_cache(self):
        return costs.growth("width", most=2e7)

    def track_power(self, found, method):
        return costs.exponent(found, method, "seconds")
