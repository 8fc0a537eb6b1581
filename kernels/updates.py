"""Updates: θ ← θ − α · (what the optimizer makes of ∇C), as PyTorch defines each optimizer.

``hyper`` holds the optimizer's numbers in the order of its own ``hyper`` property in ``fastprop.optimizers``.
Moment number k of the parameters stands at ``moments[k * len(parameters):]``.
"""

import math

from .jit import njit
from .layers import BIASES, STRIDE, WEIGHTS

SGD, ADAM = range(2)
LEARNING_RATE, WEIGHT_DECAY, MOMENTUM, NESTEROV = 0, 1, 2, 3
BETA1, BETA2, EPSILON = 2, 3, 4


@njit
def update(layers, optimizer, hyper, step, parameters, gradients, moments):
    """Update number ``step`` (from 1) of all parameters in place. Weight decay applies to W, not to b."""
    last = len(layers) - 1
    for m in range(1, last + 1):
        w, b, end = layers[m, WEIGHTS], layers[m, BIASES], layers[m, BIASES] + layers[m, STRIDE]
        decay = hyper[WEIGHT_DECAY]
        if optimizer == SGD:
            _sgd(hyper, decay, w, b, parameters, gradients, moments)
            _sgd(hyper, 0.0, b, end, parameters, gradients, moments)
        else:
            _adam(hyper, decay, step, w, b, parameters, gradients, moments)
            _adam(hyper, 0.0, step, b, end, parameters, gradients, moments)


@njit
def _sgd(hyper, decay, start, stop, parameters, gradients, moments):
    """v ← μ v + g; θ ← θ − α v, or θ − α (g + μ v) with Nesterov's look ahead."""
    number = parameters.dtype.type
    rate, mu, decay = number(hyper[LEARNING_RATE]), number(hyper[MOMENTUM]), number(decay)
    if mu == 0:
        for i in range(start, stop):
            parameters[i] -= rate * (gradients[i] + decay * parameters[i])
        return
    nesterov = hyper[NESTEROV] != 0
    for i in range(start, stop):
        g = gradients[i] + decay * parameters[i]
        v = mu * moments[i] + g
        moments[i] = v
        parameters[i] -= rate * (g + mu * v if nesterov else v)


@njit
def _adam(hyper, decay, step, start, stop, parameters, gradients, moments):
    """Kingma and Ba, "Adam" (ICLR 2015), algorithm 1, with ε beside the corrected √v̂."""
    number = parameters.dtype.type
    beta1, beta2 = hyper[BETA1], hyper[BETA2]
    rate = number(hyper[LEARNING_RATE] / (1.0 - math.pow(beta1, step)))
    root = number(1.0 / math.sqrt(1.0 - math.pow(beta2, step)))
    b1, c1, b2, c2 = number(beta1), number(1.0 - beta1), number(beta2), number(1.0 - beta2)
    epsilon, decay = number(hyper[EPSILON]), number(decay)
    second = len(parameters)
    for i in range(start, stop):
        g = gradients[i] + decay * parameters[i]
        m = b1 * moments[i] + c1 * g
        v = b2 * moments[second + i] + c2 * g * g
        moments[i], moments[second + i] = m, v
        parameters[i] -= rate * m / (math.sqrt(v) * root + epsilon)
