"""Backpropagation in compiled kernels: train multilayer perceptrons on a CPU.

`Network` is the way in; optimizers such as `SGD` and `Adam` update it; `fastprop.reference` is the same mathematics in
plain NumPy.
"""

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import explain, metrics, reference
    from . import math as math
    from .activations import ELU, Activation, LeakyReLU
    from .callbacks import Callback, CSVLog, EarlyStopping, ProgressBar
    from .errors import DivergenceError
    from .files import Checkpoint, load, resume
    from .history import History
    from .interchange import from_sklearn, from_torch
    from .lbfgs import fit_lbfgs
    from .losses import CrossEntropy, Huber, Loss
    from .many import Ensemble, fit_many
    from .microscope import Microscope
    from .network import Network
    from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
    from .schedules import (
        ConstantRate,
        CosineDecay,
        ExponentialDecay,
        OneCycle,
        ReduceOnPlateau,
        Schedule,
        StepDecay,
    )
    from .trace import Trace

    __version__: str

__all__ = [
    "ELU",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ConstantRate",
    "CosineDecay",
    "CrossEntropy",
    "DivergenceError",
    "EarlyStopping",
    "Ensemble",
    "ExponentialDecay",
    "History",
    "Huber",
    "LeakyReLU",
    "Loss",
    "Microscope",
    "Network",
    "OneCycle",
    "Optimizer",
    "ProgressBar",
    "RMSprop",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "Trace",
    "explain",
    "fit_lbfgs",
    "fit_many",
    "from_sklearn",
    "from_torch",
    "load",
    "metrics",
    "reference",
    "resume",
]

# In a clone, which Python prefers to what is installed when it is started there, the kernels are not in this folder
# but beside it.
_folder = _os.path.dirname(__file__)
if not _os.path.isdir(_os.path.join(_folder, "kernels")) and _os.path.isdir(_os.path.join(_folder, "..", "kernels")):
    __path__.append(_os.path.dirname(_folder))

# Names come from their modules when they are first asked for: Numba takes a third of a second to import, for
# which neither `fastprop --help` nor the NumPy reference should wait.
_HOMES = {
    "ELU": "activations",
    "EarlyStopping": "callbacks",
    "SGD": "optimizers",
    "Activation": "activations",
    "Adagrad": "optimizers",
    "Adam": "optimizers",
    "AdamW": "optimizers",
    "CSVLog": "callbacks",
    "Callback": "callbacks",
    "Checkpoint": "files",
    "ConstantRate": "schedules",
    "CosineDecay": "schedules",
    "CrossEntropy": "losses",
    "DivergenceError": "errors",
    "Ensemble": "many",
    "ExponentialDecay": "schedules",
    "History": "history",
    "Huber": "losses",
    "LeakyReLU": "activations",
    "Loss": "losses",
    "Microscope": "microscope",
    "Network": "network",
    "OneCycle": "schedules",
    "Optimizer": "optimizers",
    "ProgressBar": "callbacks",
    "RMSprop": "optimizers",
    "ReduceOnPlateau": "schedules",
    "Schedule": "schedules",
    "StepDecay": "schedules",
    "Trace": "trace",
    "fit_lbfgs": "lbfgs",
    "fit_many": "many",
    "from_sklearn": "interchange",
    "from_torch": "interchange",
    "load": "files",
    "resume": "files",
}


def __getattr__(name: str) -> Any:
    value: Any
    if name in _HOMES:
        value = getattr(_import_module(f".{_HOMES[name]}", __name__), name)
    elif name in ("explain", "math", "metrics", "reference"):
        value = _import_module(f".{name}", __name__)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("fastprop-numba")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__", "math"})  # a star import leaves Python's math alone
