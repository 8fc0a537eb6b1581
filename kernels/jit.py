"""The one decorator of the kernels, and their entry points.

Only this file touches Numba's own ``njit``. A kernel is written as ::

    @njit
    def kernel(...): ...

and a function that Python calls as ``@njit(entry=TYPES)``. A kernel can be called from compiled code alone. How the two
are compiled is ``compiler.py``'s business, and how machine code is kept on disk ``cache.py``'s.
"""

from __future__ import annotations

import inspect

import numba
import numpy as np
from numba.core import types
from numba.core.registry import CPUDispatcher

from .cache import KernelCache
from .compiler import (
    CHECKED,
    ApartCompiler,
    BlockCompiler,
    EntryCompiler,
    FormulaCompiler,
    KernelCompiler,
    OutlineCompiler,
    UnrolledCompiler,
    compiling,
)

# NaN and infinities must survive and sums keep their order: of the fast-math flags only these two.
# Without Numba's runtime (_nrt) no kernel can allocate, and no array is reference-counted on its way through them. Only
# the checked build needs it, for the numbers in its error messages.
FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "boundscheck": CHECKED,
    "_nrt": CHECKED,
}


def njit(function=None, *, entry: dict | None = None, inline: bool | None = None, apart: bool | str = False):
    """Compile a kernel, or make an `Entry`.

    Parameters
    ----------
    function : callable
        The kernel. ``njit`` works with and without parentheses.
    entry : dict, optional
        Python calls it: make machine code of it and all it calls, and keep that on disk. The Numba type of each
        argument by its name, as a function of the type T of the network's numbers.
    inline : bool, optional
        True: always inline it into its callers, for functions of SIMD values, which must stay in registers. False:
        never, for loops that need the registers for themselves. Without it LLVM decides.
    apart : bool or {"unrolled"}
        Have a module of its own: for kernels with much code, on which LLVM then works while Numba compiles the next
        one, and only once for all entry points. A call passes all arguments, some nanoseconds. "unrolled": with loops
        that LLVM unrolls, which it leaves alone elsewhere.
    """
    compiler: type[KernelCompiler] = OutlineCompiler if inline is False else KernelCompiler
    if apart:
        compiler = UnrolledCompiler if apart == "unrolled" else ApartCompiler

    def decorate(python_function):
        if entry is not None:
            return Entry(python_function, entry)
        options = {"forceinline": inline is True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return _Kernel(
            python_function,
            targetoptions={"nopython": True} | options | FLAGS,
            pipeline_class=compiler,
        )

    return decorate if function is None else decorate(function)


def standalone(function):
    """A function that may call kernels, compiled as entry points are but not kept on disk: for tests and benchmarks."""
    return numba.njit(function, pipeline_class=EntryCompiler, no_cfunc_wrapper=True, **FLAGS)


def formula(function):
    """A function of numbers or vectors that may call kernels: for Python, users' compiled functions and kernels."""
    return numba.njit(function, pipeline_class=FormulaCompiler, **FLAGS)


def block(function, dtype):
    """A C function, whose ``address`` compiled code can call, of a pointer to ``dtype``, integers and a float64.

    It returns a float64, and may call kernels.
    """
    integers = [numba.int64] * (len(inspect.signature(function).parameters) - 2)
    pointer = types.CPointer(numba.from_dtype(dtype))
    signature = numba.float64(pointer, *integers, numba.float64)
    return numba.cfunc(signature, pipeline_class=BlockCompiler, **FLAGS)(function)


class Entry(dict):
    """A compiled function for Python: ``entry[dtype](...)``, compiled when it is first asked for.

    What it holds is the bare machine code. Numba's dispatcher would first find out the type of each argument, in
    microseconds where an array is read-only; here the types are known, and one signature serves read-only arrays too.
    """

    def __init__(self, function, types):
        super().__init__()
        names = list(inspect.signature(function).parameters)
        self._types = [types[name] for name in names]
        self._place_of_dtype = names.index("parameters")
        self.dispatcher = standalone(function)
        self.dispatcher._cache = KernelCache(function)

    def __missing__(self, dtype):
        number = numba.from_dtype(np.dtype(dtype))
        with compiling():
            self[dtype] = self.dispatcher.compile(tuple(make(number) for make in self._types))
        return self[dtype]

    def __call__(self, *arguments):
        return self[arguments[self._place_of_dtype].dtype](*arguments)

    @property
    def signatures(self):
        """The argument types compiled so far."""
        return self.dispatcher.signatures


class _Kernel(CPUDispatcher):
    """A function that only compiled code can call."""

    def add_overload(self, cres):
        self.overloads[tuple(cres.signature.args)] = cres

    def _compile_for_args(self, *args, **kwargs):
        raise TypeError(
            f"{self.__name__} is a kernel, which only compiled code can call: see fastprop.kernels.jit.standalone"
        )
