"""The asv suite. Everything is compiled in ``setup``; names stay, and parameters are only appended to."""

import os

# One thread for the NumPy reference too; before NumPy is imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
