"""Backpropagation in compiled kernels: train multilayer perceptrons on a CPU.

`Network` is the way in; `SGD` and `Adam` update it; `fastprop.reference` is the same mathematics in plain NumPy.
"""

from importlib.metadata import version as _version

from .activations import ELU, Activation, LeakyReLU
from .errors import DivergenceError
from .history import History
from .losses import Huber, Loss
from .network import Network
from .optimizers import SGD, Adam, Optimizer

__version__ = _version("fastprop-numba")

__all__ = [
    "ELU",
    "SGD",
    "Activation",
    "Adam",
    "DivergenceError",
    "History",
    "Huber",
    "LeakyReLU",
    "Loss",
    "Network",
    "Optimizer",
]
