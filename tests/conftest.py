"""What all tests share: one folder for compiled kernels, the names that docstring examples use, seeded numbers."""

import os
import shutil
import tempfile

import numpy as np
import pytest

# Before anything imports Numba. A run compiles each kernel once, its child processes included.
if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="fastprop-tests-")
    _TEMPORARY = os.environ["NUMBA_CACHE_DIR"]
else:
    _TEMPORARY = None


def pytest_unconfigure():
    if _TEMPORARY:
        shutil.rmtree(_TEMPORARY, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _names_in_examples(doctest_namespace):
    import fastprop

    doctest_namespace.update(fastprop=fastprop, np=np)


@pytest.fixture
def rng():
    """The same numbers in each test, whichever tests run."""
    return np.random.default_rng(20)
