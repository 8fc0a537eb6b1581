"""The one decorator of the kernels, and the cache that keeps their machine code on disk.

Only this file touches Numba's own ``njit``. A kernel is written as ::

    @njit
    def kernel(...): ...

and a function that Python calls as ``@njit(entry=TYPES)``. A kernel can be called from compiled code alone. Numba would
optimise it, and make machine code of it, once by itself and once more in each function that calls it, and again in
their callers: with five levels of calls that was nine tenths of the compilation. Here a kernel stays as it is until
an entry point takes it in; LLVM optimises the entry as one module, once, and the cache on disk holds entries only.

Numba's own cache looks at the file in which a function is defined, and at nothing that function calls. Here the key
of a cached entry holds the text of every kernel file, the settings of the build, the versions and the processor, and
each key has a file of its own, written beside and renamed into place: two processes that fill the cache at once
write the same bytes to the same name.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import os
import pickle
import platform
import sys
import tempfile
import uuid
import warnings
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import compiler, typed_passes, types, untyped_passes
from numba.core.caching import _Cache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

#: Environment variables, read once at import, that change the machine code.
SETTINGS = ("FASTPROP_SIMD", "FASTPROP_CHECKED")

#: The checked build: every index is verified against its array.
CHECKED = os.environ.get("FASTPROP_CHECKED", "0") not in ("", "0")

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


def njit(function=None, *, entry: dict | None = None, inline: bool | None = None):
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
    """

    def decorate(python_function):
        if entry is not None:
            return Entry(python_function, entry)
        options = {"forceinline": inline is True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return _Kernel(
            python_function,
            targetoptions={"nopython": True} | options | FLAGS,
            pipeline_class=_OutlineCompiler if inline is False else _KernelCompiler,
        )

    return decorate if function is None else decorate(function)


def standalone(function):
    """A function that may call kernels, compiled as entry points are but not kept on disk: for tests and benchmarks."""
    return numba.njit(function, pipeline_class=_EntryCompiler, **FLAGS)


def formula(function):
    """A function of numbers or vectors that may call kernels: for Python, users' compiled functions and kernels."""
    return numba.njit(function, pipeline_class=_FormulaCompiler, **FLAGS)


def block(function, dtype):
    """A C function, whose ``address`` compiled code can call, of a pointer to ``dtype``, integers and a float64.

    It returns a float64, and may call kernels.
    """
    integers = [numba.int64] * (len(inspect.signature(function).parameters) - 2)
    pointer = types.CPointer(numba.from_dtype(dtype))
    signature = numba.float64(pointer, *integers, numba.float64)
    return numba.cfunc(signature, pipeline_class=_BlockCompiler, **FLAGS)(function)


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
        with global_compiler_lock, _each_call_resolved_once():
            self[dtype] = self.dispatcher.compile(tuple(make(number) for make in self._types))
        return self[dtype]

    def __call__(self, *arguments):
        return self[arguments[self._place_of_dtype].dtype](*arguments)

    @property
    def signatures(self):
        """The argument types compiled so far."""
        return self.dispatcher.signatures


@contextlib.contextmanager
def _each_call_resolved_once():
    """Have Numba remember which implementation an operator or an intrinsic has for which types of arguments.

    It would try all overloads of ``+``, eight or so, at every ``+``, and again when it lowers it: a sixth of the
    compilation. Nobody else compiles meanwhile: the caller holds Numba's lock.
    """
    resolve, resolved = types.Function.get_call_type, {}

    def look_up(function, context, args, kws):
        if kws:
            return resolve(function, context, args, kws)
        if (function, args) not in resolved:
            resolved[function, args] = resolve(function, context, args, kws)
        return resolved[function, args]

    types.Function.get_call_type = look_up
    try:
        yield
    finally:
        del types.Function.get_call_type  # the inherited one is in its place again


class _Kernel(CPUDispatcher):
    """A function that only compiled code can call."""

    def add_overload(self, cres):
        self.overloads[tuple(cres.signature.args)] = cres

    def _compile_for_args(self, *args, **kwargs):
        raise TypeError(
            f"{self.__name__} is a kernel, which only compiled code can call: see fastprop.kernels.jit.standalone"
        )


class _KernelLibrary(JITCodeLibrary):
    """LLVM IR that waits to be linked into an entry point, which also finds the kernels that this one calls."""

    def finalize(self):
        self._finalize_final_module()

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0

    # Numba tells each function's environment to the machine code, through ``library.codegen.set_env``.
    @property
    def codegen(self):
        return self

    def set_env(self, env_name, env):
        pass


def _callees(library):
    """What a library has to be linked with: the libraries it calls, and those that its kernels call."""
    libraries = list(library._linking_libraries)
    for callee in libraries:  # grows while it is read
        if isinstance(callee, _KernelLibrary):
            libraries += [other for other in callee._linking_libraries if other not in libraries]
    return libraries


class _OutlineLibrary(_KernelLibrary):
    """A kernel that is never inlined."""

    def add_ir_module(self, ir_module):
        for function in ir_module.functions:
            if not function.is_declaration:
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)


class _FormulaLibrary(_KernelLibrary):
    """LLVM IR with that of the kernels it calls: functions that are not kernels can be linked with it too."""

    def finalize(self):
        for library in _callees(self):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        super().finalize()


class _EntryLibrary(JITCodeLibrary):
    """An entry point with all its kernels, which nobody else can see: so LLVM may change what they are passed.

    Their linkage is private and not merely internal: the run-time linker would still find an internal function by its
    name, and give it to another module, which calls it with the arguments it had before.
    """

    def finalize(self):
        self._linking_libraries = _callees(self)
        super().finalize()

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.linkonce_odr:
                function.linkage = llvm.Linkage.private
        # Numba's way is all at level 3, after a first round that brings reference counts together.
        passes, builder = self._codegen._module_pass_manager(opt=2)
        passes.run(self._final_module, builder)


class _BlockLibrary(_EntryLibrary):
    """Loops that LLVM makes loops over vectors of: of whole registers, where it would take half of AVX-512's."""

    def add_ir_module(self, ir_module):
        for function in ir_module.functions:
            if not function.is_declaration:
                set.add(function.attributes, '"prefer-vector-width"="512"')  # llvmlite knows no such attributes
        super().add_ir_module(ir_module)


class _Compiler(compiler.Compiler):
    """Numba's compiler, into a library of ours."""

    _library: type[JITCodeLibrary]
    _numbers = itertools.count()

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        library = self._library(targetctx.codegen(), f"fastprop.{next(self._numbers)}")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


class _Lowering(Lower):
    """Numba's way from its IR to LLVM's, without what serves reference counts and debuggers alone.

    Numba has zeros in each variable at first, and reads what it held before each assignment, to give that back.
    """

    def storevar(self, value, name, argidx=None):
        self._alloca_var(name, self.typeof(name))
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def alloca_lltype(self, name, lltype, datamodel=None):
        with self.builder.goto_entry_block():
            return self.builder.alloca(lltype, name=name)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed_passes.NativeLowering):
    _name = "kernel_lowering"
    lowering_class = _Lowering


class _KernelCompiler(_Compiler):
    """Numba's compiler, into a `_KernelLibrary`, without the passes for what kernels do not have.

    These are closures, ``with``, functions that Numba inlines itself, array expressions, reference counts, and
    variables of several types, for which there would be an SSA form; LLVM makes its own.
    """

    _library = _KernelLibrary
    _passes = (
        untyped_passes.TranslateByteCode,
        untyped_passes.FixupArgs,
        untyped_passes.IRProcessing,
        untyped_passes.GenericRewrites,
        typed_passes.NopythonTypeInference,
        typed_passes.AnnotateTypes,
        _KernelLowering,
        typed_passes.NoPythonBackend,
    )

    def define_pipelines(self):
        if CHECKED:  # its kernels count references
            return super().define_pipelines()
        passes = PassManager("kernel")
        for each in self._passes:
            passes.add_pass(each, each.name())
        passes.finalize()
        return [passes]


class _OutlineCompiler(_KernelCompiler):
    """Numba's compiler, into an `_OutlineLibrary`."""

    _library = _OutlineLibrary


class _EntryCompiler(_Compiler):
    """Numba's compiler, into an `_EntryLibrary`."""

    _library = _EntryLibrary


class _BlockCompiler(_Compiler):
    """Numba's compiler, into a `_BlockLibrary`."""

    _library = _BlockLibrary


class _FormulaCompiler(_Compiler):
    """Numba's compiler, into an `_EntryLibrary` for numbers; for vectors, which Python has not, a `_FormulaLibrary`."""

    def __init__(self, typingctx, targetctx, library, args, *rest):
        numbers = all(isinstance(arg, (types.Number, types.Boolean)) for arg in args)
        self._library = _EntryLibrary if numbers else _FormulaLibrary
        super().__init__(typingctx, targetctx, library, args, *rest)


class KernelCache(_Cache):
    """Machine code of one entry point, a file for each key. The protocol is Numba's ``_Cache``."""

    def __init__(self, function):
        self._name = function.__qualname__
        self._enabled = True

    @property
    def cache_path(self):
        return None if FOLDER is None else str(FOLDER)

    def enable(self):
        self._enabled = True

    def disable(self):
        self._enabled = False

    def flush(self):
        for path in self._files():
            path.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        if FOLDER is None or not self._enabled:
            return None
        target_context.refresh()
        try:
            data = self._path(sig, target_context).read_bytes()
        except OSError:
            return None
        digest, payload = data[:32], data[32:]
        if hashlib.sha256(payload).digest() != digest:
            return None  # cut short or damaged: compile again, and write it anew
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig, data):
        if FOLDER is None or not self._enabled:
            return
        payload = dumps(data._reduce())
        path = self._path(sig, data.target_context)
        # A full disk or a folder that vanished costs the next process a compilation, not this one its training.
        with contextlib.suppress(OSError):
            if path.parent.name == "__pycache__":  # beside the kernels: nobody else's, so old versions can go
                for old in self._files():
                    if FINGERPRINT not in old.name:
                        old.unlink(missing_ok=True)
            temporary = path.with_suffix(f".{uuid.uuid4().hex[:12]}.tmp")
            try:
                temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def _files(self):
        return [] if FOLDER is None else list(FOLDER.glob(f"fastprop-{self._name}-*.nbc"))

    def _path(self, sig, target_context) -> Path:
        key = (
            str(sig),
            target_context.codegen().magic_tuple(),
            platform.python_implementation(),
            sys.version_info[:2],
            numba.__version__,
            llvmlite.__version__,
            np.__version__,
            tuple(os.environ.get(name, "") for name in SETTINGS),
        )
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:20]
        assert FOLDER is not None  # its callers have looked
        return FOLDER / f"fastprop-{self._name}-{FINGERPRINT}-{digest}.nbc"


def _fingerprint() -> str:
    """Digest of the text of all kernel files: a change in any of them changes every key."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _folder() -> Path | None:
    """NUMBA_CACHE_DIR if it is set; else beside the kernels; else the user's cache folder; else none."""
    chosen = getattr(numba.config, "CACHE_DIR", "")
    if chosen:
        candidates = [Path(chosen)]
    else:
        candidates = [
            Path(__file__).parent / "__pycache__",
            Path(AppDirs("fastprop", appauthor=False).user_cache_dir),
        ]
    for folder in candidates:
        if _writable(folder):
            return folder
    warnings.warn(
        "fastprop: none of the folders for compiled kernels can be written "
        f"({', '.join(map(str, candidates))}), so each process compiles them anew; "
        "set NUMBA_CACHE_DIR to a writable folder",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


FINGERPRINT = _fingerprint()
FOLDER = _folder()
