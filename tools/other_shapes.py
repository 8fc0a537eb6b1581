"""Networks and batches unlike those of fastprop/workloads.py: `fastprop bench --workloads tools/other_shapes.py`.

From one row to 10,000 a batch, odd widths and powers of two, deep and narrow, wide at either end.
"""

import importlib.util
import sys
from pathlib import Path

# By its path: the peers may be in environments without fastprop.
_path = Path(__file__).parent.parent / "fastprop" / "workloads.py"
_spec = importlib.util.spec_from_file_location("public_workloads", _path)
_public = sys.modules["public_workloads"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_public)
_regressor, _classifier, LEARNING_RATE = _public._regressor, _public._classifier, _public.LEARNING_RATE

WORKLOADS = {
    "digits-b1": _classifier((64, 128, 10), "relu", 1, 2048, "sgd"),
    "mnist-b1": _classifier((784, 128, 10), "relu", 1, 512, "sgd"),
    "16-32-1-b1": _regressor((16, 32, 1), "tanh", 1, 4096, "adam"),
    "256-256-10-b1": _classifier((256, 256, 10), "relu", 1, 512, "adam"),
    "8-64-64-2-b2": _classifier((8, 64, 64, 2), "relu", 2, 4096, "adam"),
    "128x3-10-b4": _classifier((128, 128, 128, 10), "relu", 4, 2048, "adam"),
    "100-100-10-b8": _classifier((100, 100, 10), "tanh", 8, 2048, "momentum"),
    "30-20-10-5-b16": _classifier((30, 20, 10, 5), "sigmoid", 16, 4096, "sgd"),
    "3-5-2-b20": _classifier((3, 5, 2), "tanh", 20, 4000, "sgd"),
    "13-57-31-7-b50": _regressor((13, 57, 31, 7), "tanh", 50, 5000, "momentum"),
    "333-777-55-b100": _classifier((333, 777, 55), "relu", 100, 2000, "adam"),
    "10-16x10-1-b64": _regressor((10, *(16,) * 10, 1), "tanh", 64, 8192, "adam"),
    "64x20-b128": _regressor((64,) * 21, "relu", 128, 2048, "adam"),
    "512x3-b256": _regressor((512, 512, 512), "relu", 256, 2048, "adam"),
    "513x3-b257": _regressor((513, 513, 513), "relu", 257, 2056, "adam"),
    "784-512-512-10-b512": _classifier((784, 512, 512, 10), "relu", 512, 4096, "adam"),
    "5000-32-2-b16": _classifier((5000, 32, 2), "relu", 16, 512, "adam"),
    "20000-64-10-b128": _classifier((20000, 64, 10), "relu", 128, 1024, "sgd"),
    "32-64-1000-b64": _classifier((32, 64, 1000), "relu", 64, 4096, "adam"),
    "50-1000-1-b1000": _regressor((50, 1000, 1), "relu", 1000, 8000, "adam"),
    "5-10-1-b10000": _regressor((5, 10, 1), "tanh", 10000, 20000, "sgd"),
    "20-64-64-1-b10000": _regressor((20, 64, 64, 1), "tanh", 10000, 10000, "adam"),
    "100-256-10-b10000": _classifier((100, 256, 10), "relu", 10000, 10000, "adam"),
}
