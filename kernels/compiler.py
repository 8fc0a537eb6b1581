"""Numba's compiler, arranged for kernels: what it links with what, which of its passes run, and where LLVM works.

Numba would optimise a kernel, and make machine code of it, once by itself and once more in each function that calls
it, and again in their callers: with five levels of calls that was nine tenths of the compilation. Here a kernel stays
text until a module takes it in, and LLVM works on each module once. Modules are

- an entry point with the kernels it calls;
- a kernel that is *apart*, with the kernels it calls: these are nearly all of the code. LLVM works on them in a second
  thread while Numba goes on with the next kernel, and they serve all entry points.

This file leans on inner parts of Numba and llvmlite, which is why ``pyproject.toml`` bounds their versions.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import base, cgutils, compiler, interpreter, transforms, typed_passes, types, untyped_passes
from numba.core.cgutils import normalize_ir_text
from numba.core.codegen import CodeLibrary, JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.lowering import Lower
from numba.core.postproc import PostProcessor, VariableLifetime
from numba.core.runtime import rtsys

#: Environment variables, read once at import, that change the machine code.
SETTINGS = ("FASTPROP_SIMD", "FASTPROP_CHECKED")

#: The checked build: every index is verified against its array.
CHECKED = os.environ.get("FASTPROP_CHECKED", "0") not in ("", "0")

#: LLVM's level for a module. Numba's is 3, after a first round that brings reference counts together.
LEVEL = 2


class _Uncompiled:
    """What Numba asks a library when it has compiled a function, of one that has no machine code yet."""

    def get_pointer_to_function(self, name):
        return 0

    # Numba tells each function's environment to the machine code, through ``library.codegen.set_env``.
    @property
    def codegen(self):
        return self

    def set_env(self, env_name, env):
        pass


class KernelLibrary(_Uncompiled, JITCodeLibrary):
    """LLVM IR that waits to be taken into a module."""

    def __init__(self, codegen, name):
        CodeLibrary.__init__(self, codegen, name)  # without the modules of a JITCodeLibrary
        self._linking_libraries = []

    def add_ir_module(self, ir_module):
        (self.symbol,) = (each.name for each in ir_module.functions if not each.is_declaration and not each.linkage)
        text = normalize_ir_text(str(ir_module))
        # The function's environment is for Python objects. Where it is nobody else's, LLVM finds that nobody needs it.
        text = text.replace(" = common global ", " = internal global ")
        # What makes the arguments of an exception may be in several kernels.
        self.text = text.replace("define external ", "define linkonce_odr ")

    def finalize(self):
        self._finalized = True

    @cached_property
    def _module(self):
        module = llvm.parse_assembly(self.text)
        module.get_function(self.symbol).linkage = llvm.Linkage.linkonce_odr
        return module

    def _get_module_for_linking(self):
        return self._module


class OutlineLibrary(KernelLibrary):
    """A kernel that is never inlined."""

    def add_ir_module(self, ir_module):
        for function in ir_module.functions:
            if not function.is_declaration:
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)


class ApartLibrary(KernelLibrary):
    """A kernel that is a module, with the kernels it calls.

    Machine code of different processes may meet in one, from files of the cache; so the name it has there says what
    it is made of.
    """

    unrolled = False

    def get_pointer_to_function(self, name):
        self._ensure_finalized()  # now, not when something is linked with it: LLVM can begin
        return super().get_pointer_to_function(name)

    def finalize(self):
        super().finalize()
        linked, self.apart = _callees(self)
        texts, private = [self.text], set()
        for library in linked:
            if isinstance(library, KernelLibrary):
                texts.append(library.text)
                private.add(library.symbol)
            else:
                texts.append(str(library._get_module_for_linking()))
                private.update(function.name for function in library.get_defined_functions())
        for kernel in self.apart:
            texts = [text.replace(f'"{kernel.symbol}"', f'"{kernel.name_in_memory}"') for text in texts]
        self.name_in_memory = f"{self.symbol}.{hashlib.sha256(''.join(texts).encode()).hexdigest()[:16]}"
        texts[0] = texts[0].replace(f'"{self.symbol}"', f'"{self.name_in_memory}"')
        self._job, self._future = (texts, private, self._codegen, self.unrolled), None
        if _second_thread:
            with contextlib.suppress(RuntimeError):  # no thread can be started, now or any more
                self._future = _second_thread.submit(_machine_code, *self._job)

    def withdraw(self):
        """Whether the second thread has left it alone, and now will."""
        return self._future is None or self._future.cancel()

    @cached_property
    def machine_code(self):
        return _machine_code(*self._job) if self.withdraw() else self._future.result()


class UnrolledLibrary(ApartLibrary):
    """A kernel that is apart and a long loop, with which the processor has more to do if a turn is several of its own.

    Others are not unrolled. Most loops end after a few turns, and the way into an unrolled one and out of it takes
    longer than what is saved.
    """

    unrolled = True


def _callees(library, *, all_linked=False):
    """What a library has to be linked with, namely what it calls and what the kernels among that call; and, not linked
    but called, the kernels that are apart."""
    linked, apart, waiting = [], [], [library]
    for each in waiting:  # grows while it is read
        for callee in each._linking_libraries:
            if isinstance(callee, ApartLibrary) and not all_linked:
                apart += [callee] if callee not in apart else []
            elif callee not in linked:
                linked.append(callee)
                waiting += [callee] if isinstance(callee, KernelLibrary) else []
    return linked, apart


def _machine_code(texts, private, codegen, unrolled):
    """Machine code of a module that is linked from these; the named functions are nobody else's."""
    context = llvm.create_context()  # of its own, so that threads need not wait for one another
    module = llvm.parse_assembly(texts[0], context)
    for text in texts[1:]:
        module.link_in(llvm.parse_assembly(text, context))
    for function in module.functions:
        if function.name in private:
            function.linkage = llvm.Linkage.private
    options = {"opt": 3}
    codegen._customize_tm_options(options)
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(**options)
    _optimize(module, machine, unrolled)
    return machine.emit_object(module)


def _optimize(module, machine, unrolled):
    options = llvm.create_pipeline_tuning_options(LEVEL)
    options.loop_unrolling = unrolled
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def load(kernels, codegen):
    """Bring machine code, by its name, into memory, where entry points find it."""
    engine = codegen._engine
    for name, machine_code in kernels.items():
        if not engine.is_symbol_defined(name):
            engine._ee.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
            engine._defined_symbols.add(name)


class EntryLibrary(JITCodeLibrary):
    """An entry point with kernels that nobody else can see: so LLVM may change what they are passed.

    Their linkage is private and not merely internal: the run-time linker would still find an internal function by its
    name, and give it to another module, which calls it with the arguments it had before.
    """

    unrolled = False

    def finalize(self):
        self._linking_libraries, self._apart = _callees(self)
        super().finalize()

    def _optimize_final_module(self):
        module, names = self._final_module, {kernel.symbol: kernel.name_in_memory for kernel in self._apart}
        for function in module.functions:
            if function.name in names:
                function.name = names[function.name]
            elif not function.is_declaration and function.linkage == llvm.Linkage.linkonce_odr:
                function.linkage = llvm.Linkage.private
        _optimize(module, self._codegen._tm, self.unrolled)

    def _finalize_final_module(self):
        self._object = self._codegen._tm.emit_object(self._final_module)
        kernels = list(self._apart)
        for kernel in kernels:  # grows while it is read
            kernels += [callee for callee in kernel.apart if callee not in kernels]
        self.kernels = {k.name_in_memory: k.machine_code for k in reversed(kernels) if k.withdraw()}
        self.kernels |= {k.name_in_memory: k.machine_code for k in kernels}  # what the second thread has begun
        load(self.kernels, self._codegen)
        self._compiled_object = self._object  # for the engine, which takes it away
        super()._finalize_final_module()

    def _get_compiled_object(self):
        return self._object


class FormulaLibrary(_Uncompiled, JITCodeLibrary):
    """LLVM IR with that of the kernels it calls: functions that are not kernels can be linked with it too."""

    def finalize(self):
        for library in _callees(self, all_linked=True)[0]:
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout


class BlockLibrary(EntryLibrary):
    """Loops that LLVM makes loops over vectors of: of whole registers, where it would take half of AVX-512's."""

    unrolled = True

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


class _Interpreter(interpreter.Interpreter):
    """Numba's reader of bytecode, without a second look for ``with``, ``*args``, ``**kwargs`` and large tuples."""

    def post_process(self, peepholes, func_ir):
        return func_ir


@register_pass(mutates_CFG=True, analysis_only=False)
class _Translation(untyped_passes.TranslateByteCode):
    _name = "kernel_translation"

    def run_pass(self, state):
        state["func_ir"] = _Interpreter(state["func_id"]).interpret(state["bc"])
        return True


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

    def lower_expr(self, resty, expr):
        """A loop over a range counts up to its end, where Numba would count how often it goes round."""
        builder = self.builder
        if expr.op in ("getiter", "iternext", "pair_first", "pair_second"):
            value, kind = self.loadvar(expr.value.name), self.typeof(expr.value.name)
            if isinstance(kind, types.RangeType):
                start, stop, step = (builder.extract_value(value, i) for i in range(3))
                place = cgutils.alloca_once_value(builder, start)
                return self._struct(resty, (place, stop, step))
            if isinstance(kind, types.RangeIteratorType):
                place, stop, step = (builder.extract_value(value, i) for i in range(3))
                now, zero = builder.load(place), step.type(0)
                builder.store(builder.add(now, step, flags=["nsw"]), place)
                up, down = builder.icmp_signed("<", now, stop), builder.icmp_signed(">", now, stop)
                return self._struct(resty, (now, builder.select(builder.icmp_signed(">", step, zero), up, down)))
            if isinstance(kind, types.Pair):
                return builder.extract_value(value, ("pair_first", "pair_second").index(expr.op))
        return super().lower_expr(resty, expr)

    def _struct(self, kind, members):
        value = ir.Constant(self.context.get_value_type(kind), ir.Undefined)
        for i, member in enumerate(members):
            value = self.builder.insert_value(value, member, i)
        return value


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed_passes.NativeLowering):
    _name = "kernel_lowering"
    lowering_class = _Lowering


class KernelCompiler(_Compiler):
    """Numba's compiler, into a `KernelLibrary`, without the passes for what kernels do not have.

    These are closures, ``with``, functions that Numba inlines itself, array expressions, reference counts, and
    variables of several types, for which there would be an SSA form; LLVM makes its own.
    """

    _library: type[JITCodeLibrary] = KernelLibrary
    _passes = (
        _Translation,
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


class OutlineCompiler(KernelCompiler):
    """Numba's compiler, into an `OutlineLibrary`."""

    _library = OutlineLibrary


class ApartCompiler(KernelCompiler):
    """Numba's compiler, into an `ApartLibrary`."""

    _library = ApartLibrary


class UnrolledCompiler(KernelCompiler):
    """Numba's compiler, into an `UnrolledLibrary`."""

    _library = UnrolledLibrary


class EntryCompiler(KernelCompiler):
    """Numba's compiler, into an `EntryLibrary`."""

    _library = EntryLibrary


class BlockCompiler(_Compiler):
    """Numba's compiler, into a `BlockLibrary`."""

    _library = BlockLibrary


class FormulaCompiler(_Compiler):
    """Numba's compiler, into an `EntryLibrary` for numbers; for vectors, which Python has not, a `FormulaLibrary`."""

    def __init__(self, typingctx, targetctx, library, args, *rest):
        numbers = all(isinstance(arg, (types.Number, types.Boolean)) for arg in args)
        self._library = EntryLibrary if numbers else FormulaLibrary
        super().__init__(typingctx, targetctx, library, args, *rest)


class _LockForOthers:
    """llvmlite's lock around each call of LLVM, without which one thread may go: one with LLVM contexts of its own."""

    def __init__(self, lock):
        self._lock, self._exempt = lock, None

    def exempt_this_thread(self):
        self._exempt = threading.get_ident()

    def acquire(self):
        if threading.get_ident() != self._exempt:
            self._lock.acquire()

    def release(self):
        if threading.get_ident() != self._exempt:
            self._lock.release()


_second_thread: ThreadPoolExecutor | None = None


@contextlib.contextmanager
def compiling():
    """Compile here: with Numba's lock, so nobody else does, a second thread for LLVM, and the short cuts below."""
    global _second_thread
    with global_compiler_lock, contextlib.ExitStack() as stack:
        for owner, name, function in _short_cuts():
            stack.enter_context(_instead(owner, name, function))
        lock = _LockForOthers(llvm.ffi.lib._lock._lock)
        stack.enter_context(_instead(llvm.ffi.lib._lock, "_lock", lock))
        _second_thread = ThreadPoolExecutor(1, "fastprop-llvm", lock.exempt_this_thread)
        # A thread that waits for Python's own lock gets it after so long. LLVM's needs it for moments, but often.
        patience = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)
        try:
            yield
        finally:
            sys.setswitchinterval(patience)
            _second_thread.shutdown(cancel_futures=True)
            _second_thread = None


def _short_cuts():
    """What Numba need not do for kernels, or not again and again: whose, its name, and what to do instead."""
    resolve, resolved = types.Function.get_call_type, {}

    def look_up(function, context, args, kws):
        """Resolve an operator or an intrinsic for types of arguments once.

        Numba would try all overloads of ``+``, eight or so, at every ``+``, and again when it lowers it.
        """
        if kws:
            return resolve(function, context, args, kws)
        if (function, args) not in resolved:
            resolved[function, args] = resolve(function, context, args, kws)
        return resolved[function, args]

    refreshed = set()

    def refresh(context):
        """Look once for each context for what modules have registered; none of them is imported meanwhile."""
        if context not in refreshed:
            base.BaseContext.refresh(context)
            refreshed.add(context)

    def load_registries(context):
        """Look where kernels find what they need, and where Numba has looked before. It would import much more, among
        that SciPy for the linear algebra of arrays."""
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401
        from numba.np import arrayobj  # noqa: F401

        rtsys.initialize(context)
        for registry in (mathimpl.registry, *context._registries):
            context.install_registry(registry)

    analyse = PostProcessor.run

    def order_blocks(processor, emit_dels=False, extend_lifetimes=False):
        """Find out how long variables live where this is wanted: for reference counts alone."""
        if emit_dels:
            analyse(processor, emit_dels, extend_lifetimes)
        else:
            function = processor.func_ir
            function.blocks = transforms.canonicalize_cfg(function.blocks)
            function.variable_lifetime = VariableLifetime(function.blocks)
            function.generator_info = None

    call_function = base.user_function

    def call_kernel(fndesc, libraries):
        """What puts in a call of a function: nobody asks how a kernel ended, for it raises nothing."""
        if CHECKED or not isinstance(libraries[0], KernelLibrary):
            return call_function(fndesc, libraries)

        def put_in(context, builder, sig, args, loc):
            function = context.declare_function(builder.module, fndesc)
            result, exception = (argument.type.pointee for argument in function.args[:2])
            result, exception = cgutils.alloca_once(builder, result), ir.Constant(exception.as_pointer(), None)
            packed = context.get_arg_packer(fndesc.argtypes).as_arguments(builder, args)
            builder.call(function, (result, exception, *packed))
            return context.get_returned_value(builder, fndesc.restype, builder.load(result))

        put_in.signature, put_in.libs = fndesc.argtypes, tuple(libraries)
        return put_in

    return (
        (types.Function, "get_call_type", look_up),
        (CPUContext, "refresh", refresh),
        (CPUContext, "load_additional_registries", load_registries),
        (base, "user_function", call_kernel),
        (PostProcessor, "run", order_blocks),
    )


@contextlib.contextmanager
def _instead(owner, name, other):
    """Have something else in a place for a while."""
    own = vars(owner).get(name)  # None: inherited
    setattr(owner, name, other)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
