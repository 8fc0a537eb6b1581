"""What a process pays before it trains, and the memory in which it trains."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from fastprop.peers import EPOCHS
from fastprop.workloads import LEARNING_RATE, WORKLOADS

from .training import SAMPLES

FIRST_STEP = """
import numpy as np
import fastprop

net = fastprop.Network([64, 128, 10], output="softmax", seed=0)
net.fit(np.ones((32, 64), np.float32), np.zeros(32, np.int64))
"""
TRIVIAL = """
import numba

@numba.njit(cache=True)
def next_after(x):
    return x + 1.0

next_after(1.0)
"""


def timeraw_import():
    return "from fastprop import Network"


def timeraw_import_numba():
    """The baseline of the import."""
    return "import numba"


class FirstStep:
    """Seconds from the start of a process to the end of its first trained step."""

    timeout = 600

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()
        self.environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder.name}

    def teardown(self):
        self.folder.cleanup()

    def track_cold(self):
        """With an empty cache of compiled kernels."""
        return self._seconds(FIRST_STEP)

    def track_warm_excess(self):
        """With a full cache, more than a process that runs one cached Numba function; measured in turn."""
        for code in (TRIVIAL, FIRST_STEP):
            self._seconds(code)
        return median(self._seconds(FIRST_STEP) - self._seconds(TRIVIAL) for _ in range(5))

    track_cold.unit = track_warm_excess.unit = "s"

    def _seconds(self, code):
        script = Path(self.folder.name, "trivial.py" if code is TRIVIAL else "first_step.py")
        if not script.exists():
            script.write_text(code)
        start = time.perf_counter()
        subprocess.run([sys.executable, script], env=self.environment, check=True)
        return time.perf_counter() - start


class Memory:
    """Resident memory at its highest, with interpreter, libraries and data."""

    param_names = ("workload",)
    params = (["xor-b1", "mnist-784-128-10-b64", "wide-1024x4-b256"],)

    def setup_cache(self):
        """Compile in a process that is not measured."""
        self.setup("xor-b1")
        self.epoch()

    def setup(self, name):
        w = replace(WORKLOADS[name], samples=SAMPLES[name])
        self.epoch = EPOCHS["fastprop"](w, *w.data(), LEARNING_RATE, 1)

    def peakmem_fit(self, name):
        self.epoch()
