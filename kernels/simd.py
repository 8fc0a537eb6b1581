"""SIMD values for Numba: the one file that speaks LLVM IR.

A kernel that imports from here stays ordinary ``@njit`` code, but some of its variables are whole vectors::

    @njit
    def axpy(alpha, x, y):  # y ← α·x + y;  x, y (n,)
        for i in range(0, x.size, lanes(x)):
            count = x.size - i  # the last vector may be partial
            store_partial(y, i, fma(load_partial(x, i, count), alpha, load_partial(y, i, count)), count)

Three kinds of values
    ``Vector(dtype, lanes)``: one register of floats or integers. The array's dtype decides the type, so that
    one source serves float32 and float64: a vector always fills a register of `WIDTH` bytes.
    A *mask*: what comparisons give, ``Vector(boolean, lanes)``. Combine masks with ``& | ^ ~``, use them in
    `select`.
    ``Tile(vector, rows, vectors)``: a block of rows × vectors registers, which stays there while a matrix
    product sums into it. `rows` and `vectors` must be compile-time integers: literals or globals.

Operators
    ``+ - *`` and unary ``-`` on floats and integers; ``/`` on floats; ``<< >> & | ^ ~`` on integers, where
    ``>>`` keeps the sign of signed ones; ``& | ^ ~`` on masks; the six comparisons on floats and integers. A
    scalar beside a vector is cast to the lane type and repeated in every lane, as it is wherever a function of
    this module expects a vector: ``fma(x, 0.5, 1.0)``.
    They carry the fast-math flags of the ``@njit`` around them, here `contract` and `nsz`: a product may be
    fused with the sum it goes to. Write `fma` where the rounding matters, or where the bits must not depend
    on the surroundings.

Memory
    Arrays are C-contiguous, of any number of dimensions, and indexed flat, by elements; they may be read-only
    where they are only loaded from. An entry point gets them as ``View(dtype, ndim, mutable)``, an address and
    a shape, of which there are also ``len(x)``, ``x[i]`` and ``x[i, k]``; Numba's own arrays will do as well.
    Elements need no more than their natural alignment. Indices never wrap around. Nothing is checked, except in
    the *checked build* (`FASTPROP_CHECKED=1` in the environment before import): there each load and store, of
    single elements of views too, verifies its range, and raises `AccessError` with the kernel, the index and
    the size. Without it, no cost.

Width
    From the host: 64 bytes with AVX-512, 32 with AVX2 and FMA, else 16 ("portable", for any LLVM target).
    `FASTPROP_SIMD` in the environment, one of avx512, avx2, portable, forces a narrower one.

To add an operation, write an ``@intrinsic``. It gets the Numba types of its arguments, and returns the
signature and a function that emits IR with llvmlite's builder, in the caller's own code: no call is left.
Operators are registered directly, not by ``@overload``, which would compile one more function for each.
"""

import functools
import math
import operator
import os
import platform
import re
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.core.errors import TypingError
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import NativeValue, intrinsic, lower_builtin, lower_cast, models, register_model, unbox

from .compiler import CHECKED

# ------------------------------------------------------------------------------------------------------------
# The host
# ------------------------------------------------------------------------------------------------------------

#: bytes in a register, and the (rows, vectors) of the largest tile that leaves registers for its operands
_LEVELS = {"avx512": (64, 12, 2), "avx2": (32, 6, 2), "portable": (16, 6, 2)}


def _host_features():
    """Names of the CPU features that Numba compiles for."""
    flat = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return {name[1:] for name in flat.split(",") if name.startswith("+")}


def _choose_level(features, forced):
    """The SIMD level for CPU `features`; `forced` is the user's wish, or None."""
    available = ["portable"]
    if {"avx2", "fma"} <= features:
        available.append("avx2")
        if {"avx512f", "avx512dq", "avx512vl"} <= features:
            available.append("avx512")
    if not forced:
        return available[-1]
    if forced not in _LEVELS:
        raise ValueError(f"FASTPROP_SIMD must be one of {', '.join(_LEVELS)}; got {forced!r}")
    if forced not in available:
        raise ValueError(f"FASTPROP_SIMD={forced} asks for more than this CPU has: {', '.join(available)}")
    return forced


_FEATURES = _host_features()

#: "avx512", "avx2" or "portable"
LEVEL = _choose_level(_FEATURES, os.environ.get("FASTPROP_SIMD"))
#: bytes in a vector
WIDTH, TILE_ROWS, TILE_VECTORS = _LEVELS[LEVEL]

_X86 = platform.machine() in ("x86_64", "AMD64", "i686")
_ARM = platform.machine() in ("aarch64", "arm64")
#: The bits of the processor's register by which subnormal numbers are flushed to 0, as results and as operands.
_FLUSH = 1 << 15 | 1 << 6 if _X86 else 1 << 24

#: On a target without the instruction llvm.fma calls libm lane by lane; llvm.fmuladd may round twice instead.
FMA = "llvm.fma" if LEVEL != "portable" or _ARM else "llvm.fmuladd"


class AccessError(IndexError):
    """A vector load or store outside its array, reported by the checked build."""

    def __init__(self, kernel, access, index, count, size):
        super().__init__(kernel, access, index, count, size)
        self.kernel, self.access, self.index, self.count, self.size = kernel, access, index, count, size

    def __str__(self):
        where = f"at index {self.index} of an array of size {self.size}"
        return f"{self.kernel}: {self.access}, {self.count} elements {where}"


# ------------------------------------------------------------------------------------------------------------
# The types
# ------------------------------------------------------------------------------------------------------------


class Vector(types.Type):
    """Numba type of one register: `lanes` elements of `dtype`, a Numba float, integer or boolean (a mask)."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")

    @property
    def mask(self):
        return Vector(types.boolean, self.lanes)

    @property
    def is_float(self):
        return isinstance(self.dtype, types.Float)

    @property
    def is_integer(self):
        return isinstance(self.dtype, types.Integer)

    @property
    def is_mask(self):
        return isinstance(self.dtype, types.Boolean)


class Tile(types.Type):
    """Numba type of a block of `rows` × `vectors` registers of type `vector`."""

    def __init__(self, vector, rows, vectors):
        self.vector, self.rows, self.vectors = vector, rows, vectors
        super().__init__(name=f"Tile({vector}, {rows}, {vectors})")


class View(types.Type):
    """Numba type of what a kernel needs of a C-contiguous array, of one or two dimensions: where it begins, its shape.

    Numba's own arrays are seven numbers or more, which each call passes on, and their indices may be negative.
    """

    def __init__(self, dtype, ndim=1, mutable=True):
        self.dtype, self.ndim, self.mutable = dtype, ndim, mutable
        super().__init__(name=f"View({dtype}, {ndim}, mutable={mutable})")


def _lanes_of(lane, count):
    """LLVM's type of so many lanes; a single one is the number itself."""
    return lane if count == 1 else ir.VectorType(lane, count)


def _lane(kind):
    return getattr(kind, "element", kind)


def _count(kind):
    return getattr(kind, "count", 1)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        lane = ir.IntType(1) if fe_type.is_mask else dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, _lanes_of(lane, fe_type.lanes))


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        vector = dmm.lookup(fe_type.vector).get_value_type()
        super().__init__(dmm, fe_type, ir.ArrayType(vector, fe_type.rows * fe_type.vectors))


@register_model(View)
class _ViewModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        members = [("data", types.CPointer(fe_type.dtype)), ("shape", types.UniTuple(types.intp, fe_type.ndim))]
        super().__init__(dmm, fe_type, members)


def _vector_like(value):
    """The vector type that belongs to an array, a vector or a tile."""
    if isinstance(value, Vector):
        return value
    if isinstance(value, Tile):
        return value.vector
    if isinstance(value, (View, types.Array)):
        if isinstance(value, types.Array) and value.layout != "C":
            raise TypingError(f"SIMD access needs a C-contiguous array, got {value}")
        if isinstance(value.dtype, (types.Float, types.Integer)):
            return Vector(value.dtype, WIDTH * 8 // value.dtype.bitwidth)
    raise TypingError(f"expected an array of numbers, a vector or a tile, got {value}")


def _require(condition, message, *got):
    if not condition:
        raise TypingError(f"{message}, got {', '.join(map(str, got))}")


def _writable(array):
    _require(isinstance(array, (View, types.Array)) and array.mutable, "expected a writable array", array)
    return _vector_like(array)


def _common(*values):
    """The vector type that vectors (all alike) and scalars share."""
    vectors = {value for value in values if isinstance(value, Vector)}
    others = [value for value in values if not isinstance(value, (Vector, types.Number))]
    _require(len(vectors) == 1 and not others, "expected vectors of one type, or scalars", *values)
    return vectors.pop()


def _literal(value, name):
    _require(isinstance(value, types.IntegerLiteral), f"{name} must be a compile-time integer", value)
    return value.literal_value


# ------------------------------------------------------------------------------------------------------------
# Pieces of IR
# ------------------------------------------------------------------------------------------------------------

_i1, _i16, _i32, _i64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _constant(vector, values):
    """An LLVM vector constant: `values` is one number for all lanes, or one for each."""
    if not isinstance(vector, ir.VectorType):
        return ir.Constant(vector, values)
    if not isinstance(values, (list, tuple)):
        values = [values] * vector.count
    return ir.Constant(vector, [ir.Constant(vector.element, value) for value in values])


def _shuffle(builder, a, b, lanes):
    """The lanes of a‖b that `lanes` numbers."""
    return builder.shuffle_vector(a, b, _constant(ir.VectorType(_i32, len(lanes)), lanes))


def _splat(builder, scalar, vector):
    if not isinstance(vector, ir.VectorType):
        return scalar
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _i32(0))
    return _shuffle(builder, first, undefined, [0] * vector.count)


def _mangled(vector):
    """`vector` as it stands in the names of LLVM's overloaded intrinsics."""
    lane = {"float": "f32", "double": "f64"}.get(str(_lane(vector)), str(_lane(vector)))
    return f"v{vector.count}{lane}" if isinstance(vector, ir.VectorType) else lane


def _call(builder, name, result, args):
    """Call the LLVM intrinsic `name`, which is declared on first use."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _call_vector(builder, name, *args):
    """Call an LLVM intrinsic that takes and gives vectors of one type."""
    return _call(builder, f"{name}.{_mangled(args[0].type)}", args[0].type, args)


def _kernel_name(function):
    """The name of the Python function that an LLVM function was compiled from."""
    name, rest = function.name, function.name.removeprefix("_ZN")
    while match := re.match(r"\d+", rest):
        start = match.end()
        end = start + int(match.group())
        name, rest = rest[start:end], rest[end:]
    return name


def _address(context, builder, array_type, array, index, count, access):
    """Address of ``array.flat[index]``; the checked build verifies that `count` elements are there."""
    model = context.data_model_manager[array_type]
    if CHECKED:
        size = _size(context, builder, array_type, array)
        beyond = builder.icmp_signed(">", index, builder.sub(size, count))
        outside = builder.or_(builder.icmp_signed("<", index, _i64(0)), beyond)
        inside = builder.icmp_signed("<=", count, _i64(0))
        with builder.if_then(builder.and_(outside, builder.not_(inside)), likely=False):
            message = (_kernel_name(builder.function), f"{access} of {array_type.dtype}")
            context.call_conv.return_dynamic_user_exc(
                builder, AccessError, (*message, index, count, size), (types.intp,) * 3
            )
    # Without "inbounds" nothing is assumed of an address that is only prefetched or entirely masked.
    return builder.gep(model.get(builder, array, "data"), [index])


def _size(context, builder, array_type, array):
    """How many elements an array has."""
    model = context.data_model_manager[array_type]
    if not isinstance(array_type, View):
        return model.get(builder, array, "nitems")
    lengths = cgutils.unpack_tuple(builder, model.get(builder, array, "shape"))
    return functools.reduce(builder.mul, lengths)


def _load(context, builder, array_type, array, index, vector):
    pointer = _address(context, builder, array_type, array, index, _i64(vector.count), "load")
    pointer = builder.bitcast(pointer, vector.as_pointer())
    return builder.load(pointer, align=array_type.dtype.bitwidth // 8)


def _store(context, builder, array_type, array, index, value):
    pointer = _address(context, builder, array_type, array, index, _i64(value.type.count), "store")
    pointer = builder.bitcast(pointer, value.type.as_pointer())
    builder.store(value, pointer, align=array_type.dtype.bitwidth // 8)


def _load_scalar(context, builder, array_type, array, index):
    pointer = _address(context, builder, array_type, array, index, _i64(1), "load")
    return builder.load(pointer, align=array_type.dtype.bitwidth // 8)


def _clamp(builder, count, lanes):
    """`count` limited to 0..lanes."""
    count = builder.select(builder.icmp_signed("<", count, _i64(0)), _i64(0), count)
    return builder.select(builder.icmp_signed(">", count, _i64(lanes)), _i64(lanes), count)


def _first_lanes(builder, count, lanes):
    """Mask of the lanes before `count`, which must be in 0..lanes."""
    numbers = ir.VectorType(_i32, lanes)
    limit = _splat(builder, builder.trunc(count, _i32), numbers)
    return builder.icmp_signed("<", _constant(numbers, list(range(lanes))), limit)


def _masked_load(builder, pointer, mask, vector, alignment):
    zeros = _constant(vector, 0)
    name = f"llvm.masked.load.{_mangled(vector)}.p0"
    return _call(builder, name, vector, [builder.bitcast(pointer, vector.as_pointer()), _i32(alignment), mask, zeros])


def _load_partial(context, builder, array_type, array, index, count, vector):
    count = _clamp(builder, count, vector.count)
    pointer = _address(context, builder, array_type, array, index, count, "load")
    mask = _first_lanes(builder, count, vector.count)
    return _masked_load(builder, pointer, mask, vector, array_type.dtype.bitwidth // 8)


# ------------------------------------------------------------------------------------------------------------
# Loads and stores
# ------------------------------------------------------------------------------------------------------------


@intrinsic
def lanes(typingctx, like):
    """Number of lanes in the vectors of an array, as a compile-time integer."""
    number = _vector_like(like).lanes

    def codegen(context, builder, sig, args):
        return _i64(number)

    return types.literal(number)(like), codegen


@intrinsic
def itemsize(typingctx, like):
    """Bytes of a lane, as a compile-time integer, where ``array.itemsize`` is read from memory."""
    number = _vector_like(like).dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        return _i64(number)

    return types.literal(number)(like), codegen


@intrinsic
def load(typingctx, array, index):
    """The vector at ``array.flat[index : index + lanes]``."""
    vector = _vector_like(array)

    def codegen(context, builder, sig, args):
        return _load(context, builder, array, *args, context.get_value_type(vector))

    return vector(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """``array.flat[index : index + lanes] = value``."""
    vector = _writable(array)
    _require(_common(vector, value) == vector, f"expected a {vector}", value)

    def codegen(context, builder, sig, args):
        _store(context, builder, array, *args)

    return types.void(array, types.intp, vector), codegen


@intrinsic
def broadcast(typingctx, array, index):
    """``array.flat[index]`` in every lane."""
    vector = _vector_like(array)

    def codegen(context, builder, sig, args):
        scalar = _load_scalar(context, builder, array, *args)
        return _splat(builder, scalar, context.get_value_type(vector))

    return vector(array, types.intp), codegen


@intrinsic
def load_partial(typingctx, array, index, count):
    """`count` lanes from ``array.flat[index:]``, zeros in the rest, which are not read. Any `count`."""
    vector = _vector_like(array)

    def codegen(context, builder, sig, args):
        return _load_partial(context, builder, array, *args, context.get_value_type(vector))

    return vector(array, types.intp, types.intp), codegen


@intrinsic
def store_partial(typingctx, array, index, value, count):
    """Store the first `count` lanes of `value`, and touch nothing else. Any `count`."""
    vector = _writable(array)
    _require(_common(vector, value) == vector, f"expected a {vector}", value)

    def codegen(context, builder, sig, args):
        ary, index, value, count = args
        count = _clamp(builder, count, vector.lanes)
        pointer = _address(context, builder, array, ary, index, count, "store")
        pointer = builder.bitcast(pointer, value.type.as_pointer())
        mask = _first_lanes(builder, count, vector.lanes)
        name = f"llvm.masked.store.{_mangled(value.type)}.p0"
        _call(builder, name, ir.VoidType(), [value, pointer, _i32(vector.dtype.bitwidth // 8), mask])

    return types.void(array, types.intp, vector, types.intp), codegen


def _prefetch(name, locality, doc):
    def definition(typingctx, array, index):
        _vector_like(array)

        def codegen(context, builder, sig, args):
            data = context.data_model_manager[array].get(builder, args[0], "data")
            pointer = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, _i32(0), _i32(locality), _i32(1)])

        return types.void(array, types.intp), codegen

    return _named(definition, name, doc)


def _named(definition, name, doc):
    """An intrinsic from a function made in a factory."""
    definition.__name__ = definition.__qualname__ = name
    definition.__doc__ = doc
    return intrinsic(definition)


prefetch = _prefetch("prefetch", 3, "Ask for the cache line of ``array.flat[index]`` in L1. Any index will do.")
prefetch_l2 = _prefetch("prefetch_l2", 2, "Ask for the cache line of ``array.flat[index]`` in L2. Any index will do.")


# ------------------------------------------------------------------------------------------------------------
# Views
# ------------------------------------------------------------------------------------------------------------


def _view(context, builder, view, data, shape):
    value = cgutils.create_struct_proxy(view)(context, builder)
    value.data, value.shape = data, cgutils.pack_array(builder, shape)
    return value._getvalue()


@unbox(View)
def _unbox(view, array, c):
    kind = types.Array(view.dtype, view.ndim, "C", readonly=not view.mutable)
    native = c.unbox(kind, array)
    fields = c.context.make_array(kind)(c.context, c.builder, native.value)
    shape = cgutils.unpack_tuple(c.builder, fields.shape)
    value = _view(c.context, c.builder, view, fields.data, shape)

    def release():  # what Numba, were it to pass on the array, would give back after the call
        c.context.nrt.decref(c.builder, kind, native.value)

    return NativeValue(value, is_error=native.is_error, cleanup=release if c.context.enable_nrt else None)


def _indexed(view, index):
    """Whether `index` names one element of a view."""
    indices = [index] if view.ndim == 1 else list(index) if isinstance(index, types.BaseTuple) else []
    return len(indices) == view.ndim and all(isinstance(each, types.Integer) for each in indices)


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], View):
            return signature(types.intp, *args)


@infer_global(operator.getitem)
class _Item(AbstractTemplate):
    prefer_literal = True  # as they stand: else they are cast first

    def generic(self, args, kws):
        if isinstance(args[0], View) and _indexed(*args):
            return signature(args[0].dtype, *args)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    prefer_literal = True

    def generic(self, args, kws):
        if isinstance(args[0], View) and args[0].mutable and _indexed(*args[:2]):
            return signature(types.none, *args[:2], args[0].dtype)


@lower_builtin(len, View)
def _length(context, builder, sig, args):
    shape = context.data_model_manager[sig.args[0]].get(builder, args[0], "shape")
    return builder.extract_value(shape, 0)


def _element(context, builder, sig, args, access):
    """Address of the element that an index names."""
    (view, kinds), (value, index) = sig.args[:2], args[:2]
    if view.ndim == 1:
        place = context.cast(builder, index, kinds, types.intp)
    else:
        indices = cgutils.unpack_tuple(builder, index)
        row, column = (context.cast(builder, *each, types.intp) for each in zip(indices, kinds, strict=True))
        shape = context.data_model_manager[view].get(builder, value, "shape")
        place = builder.add(builder.mul(row, builder.extract_value(shape, 1)), column)
    return _address(context, builder, view, value, place, _i64(1), access)


@lower_builtin(operator.getitem, View, types.Any)
def _get(context, builder, sig, args):
    return builder.load(_element(context, builder, sig, args, "load"))


@lower_builtin(operator.setitem, View, types.Any, types.Any)
def _set(context, builder, sig, args):
    builder.store(args[2], _element(context, builder, sig, args, "store"))
    return context.get_dummy_value()


# ------------------------------------------------------------------------------------------------------------
# Between threads
# ------------------------------------------------------------------------------------------------------------


def _place(context, builder, array_type, args, access):
    """Address of ``array.flat[index]``, the first two of ``args``."""
    return _address(context, builder, array_type, *args[:2], _i64(1), access)


@intrinsic
def atomic_add(typingctx, array, index, value):
    """Add to an int64 of an array, as one action that all threads see in one order; return what was there before."""

    def codegen(context, builder, sig, args):
        place = _place(context, builder, array, args, "atomic addition")
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def atomic_load(typingctx, array, index):
    """An int64 of an array, and with it all that its writer wrote before."""

    def codegen(context, builder, sig, args):
        place = _place(context, builder, array, args, "atomic load")
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(array, types.intp), codegen


@intrinsic
def atomic_store(typingctx, array, index, value):
    """Write an int64 of an array, and let whoever loads it see all that was written before."""

    def codegen(context, builder, sig, args):
        place = _place(context, builder, array, args, "atomic store")
        builder.store_atomic(args[2], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def spin(typingctx):
    """Tell the processor that this is a loop that waits: for some cycles the core is its other thread's."""

    def codegen(context, builder, sig, args):
        if _X86:
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        elif _ARM:
            _call(builder, "llvm.aarch64.hint", ir.VoidType(), [_i32(1)])  # YIELD
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def ticks(typingctx):
    """A clock of the processor's that runs evenly, in units of its own; 0 where none is known."""

    def codegen(context, builder, sig, args):
        if _X86:
            return _call(builder, "llvm.readcyclecounter", _i64, [])
        if _ARM:
            return builder.asm(ir.FunctionType(_i64, []), "mrs $0, cntvct_el0", "=r", [], True)
        return _i64(0)

    return types.int64(), codegen


@intrinsic
def flush_subnormals(typingctx):
    """From here on, in this thread, a subnormal number counts as 0. Returns what `restore_subnormals` takes.

    They cost a hundred times as much as others, and where an average of gradients fades out it ends as one for ever:
    the least of them times 0.9, rounded, is itself.
    """

    def codegen(context, builder, sig, args):
        before = _float_control(builder)
        _set_float_control(builder, builder.or_(before, _i64(_FLUSH)))
        return before

    return types.int64(), codegen


@intrinsic
def restore_subnormals(typingctx, before):
    """Count subnormal numbers as `flush_subnormals` found it."""

    def codegen(context, builder, sig, args):
        _set_float_control(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _float_control(builder):
    """The register that says how the processor computes; 0 where it is not known."""
    if _X86:
        place = cgutils.alloca_once(builder, _i32)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [builder.bitcast(place, cgutils.voidptr_t)])
        return builder.zext(builder.load(place), _i64)
    return _call(builder, "llvm.aarch64.get.fpcr", _i64, []) if _ARM else _i64(0)


def _set_float_control(builder, value):
    if _X86:
        place = cgutils.alloca_once(builder, _i32)
        builder.store(builder.trunc(value, _i32), place)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [builder.bitcast(place, cgutils.voidptr_t)])
    elif _ARM:
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [value])


@intrinsic
def give_way(typingctx):
    """Let the operating system run another thread on this core, if one is ready."""

    def codegen(context, builder, sig, args):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(_i32, []), name), [])
        return context.get_dummy_value()

    return types.void(), codegen


# ------------------------------------------------------------------------------------------------------------
# Making vectors
# ------------------------------------------------------------------------------------------------------------


def _cast_scalar(context, builder, fromty, toty, value):
    lane = context.cast(builder, value, types.unliteral(fromty), toty.dtype)
    return _splat(builder, lane, context.get_value_type(toty))


lower_cast(types.Float, Vector)(_cast_scalar)
lower_cast(types.Integer, Vector)(_cast_scalar)


@intrinsic
def splat(typingctx, like, scalar):
    """A vector of the type of `like` (an array, vector or tile) with `scalar` in every lane, or that vector itself."""
    vector = _vector_like(like)
    _require(isinstance(scalar, types.Number) or scalar == vector, f"expected a scalar or a {vector}", scalar)

    def codegen(context, builder, sig, args):
        return args[1]  # the signature asks for a vector, and the cast above has made it

    return vector(like, vector), codegen


@intrinsic
def lane_index(typingctx, like):
    """0, 1, 2, … in the lanes of a vector of the type of `like`."""
    vector = _vector_like(like)

    def codegen(context, builder, sig, args):
        return _constant(context.get_value_type(vector), list(range(vector.lanes)))

    return vector(like), codegen


@intrinsic
def numbers_from(typingctx, like, first):
    """first, first + 1, … as uint64 in as many lanes as the vectors of `like` have."""
    vector = Vector(types.uint64, _vector_like(like).lanes)

    def codegen(context, builder, sig, args):
        return builder.add(args[1], _constant(context.get_value_type(vector), list(range(vector.lanes))))

    return vector(like, vector), codegen


@intrinsic
def first_lanes(typingctx, like, count):
    """Mask of the lanes before `count`, which may be any integer."""
    vector = _vector_like(like)

    def codegen(context, builder, sig, args):
        return _first_lanes(builder, _clamp(builder, args[1], vector.lanes), vector.lanes)

    return vector.mask(like, types.intp), codegen


@intrinsic
def with_lane(typingctx, vector, lane, number):
    """`vector` with `number` in one lane, which is in 0..lanes-1."""
    _require(isinstance(vector, Vector) and not vector.is_mask, "expected a vector", vector)

    def codegen(context, builder, sig, args):
        value, lane, number = args
        numbers = ir.VectorType(_i32, vector.lanes)
        here = _splat(builder, builder.trunc(lane, _i32), numbers)
        mask = builder.icmp_signed("==", _constant(numbers, list(range(vector.lanes))), here)
        return builder.select(mask, _splat(builder, number, value.type), value)

    return vector(vector, types.intp, vector.dtype), codegen


@intrinsic
def by_dtype(typingctx, like, for_float32, for_float64):
    """One of two compile-time values, by the element type of `like`: constants or tables of coefficients."""
    wide = _vector_like(like).dtype.bitwidth == 64
    chosen = for_float64 if wide else for_float32

    def codegen(context, builder, sig, args):
        return args[2] if wide else args[1]

    return chosen(like, for_float32, for_float64), codegen


# ------------------------------------------------------------------------------------------------------------
# Operators
# ------------------------------------------------------------------------------------------------------------


def _operator(function, allowed, gives, emit, arity=2):
    """Register an operator on vectors that are `allowed`; ``emit(builder, vector, *args)`` is its IR."""

    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if any(isinstance(arg, Vector) for arg in args):
                vector = _common(*args)
                if allowed(vector):
                    return signature(gives(vector), *[vector] * len(args))

    def lower(context, builder, sig, args):
        return emit(builder, sig.args[0], *args)

    in_place = getattr(operator, f"i{function.__name__.strip('_')}", None)
    for key in (function, in_place):
        if key is not None:
            infer_global(key)(type(f"Vector_{key.__name__}", (Template,), {}))
            lower_builtin(key, *[Vector] * arity)(lower)


def _same(vector):
    return vector


def _number(vector):
    return not vector.is_mask


def _float(vector):
    return vector.is_float


def _bits(vector):
    return not vector.is_float


def _by_kind(for_float, for_integer):
    def emit(builder, vector, *args):
        return getattr(builder, for_float if vector.is_float else for_integer)(*args)

    return emit


def _by_sign(for_signed, for_unsigned):
    def emit(builder, vector, *args):
        return getattr(builder, for_signed if vector.dtype.signed else for_unsigned)(*args)

    return emit


def _comparison(symbol):
    def emit(builder, vector, a, b):
        if vector.is_float:  # with a NaN every comparison is false, but != true
            compare = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
            return compare(symbol, a, b)
        return (builder.icmp_signed if vector.dtype.signed else builder.icmp_unsigned)(symbol, a, b)

    return emit


_operator(operator.add, _number, _same, _by_kind("fadd", "add"))
_operator(operator.sub, _number, _same, _by_kind("fsub", "sub"))
_operator(operator.mul, _number, _same, _by_kind("fmul", "mul"))
_operator(operator.neg, _number, _same, _by_kind("fneg", "neg"), arity=1)
_operator(operator.truediv, _float, _same, lambda builder, vector, a, b: builder.fdiv(a, b))
_operator(operator.and_, _bits, _same, lambda builder, vector, a, b: builder.and_(a, b))
_operator(operator.or_, _bits, _same, lambda builder, vector, a, b: builder.or_(a, b))
_operator(operator.xor, _bits, _same, lambda builder, vector, a, b: builder.xor(a, b))
_operator(operator.invert, _bits, _same, lambda builder, vector, a: builder.xor(a, _constant(a.type, -1)), arity=1)
_operator(operator.lshift, lambda v: v.is_integer, _same, lambda builder, vector, a, b: builder.shl(a, b))
_operator(operator.rshift, lambda v: v.is_integer, _same, _by_sign("ashr", "lshr"))
_operator(operator.lt, _number, lambda v: v.mask, _comparison("<"))
_operator(operator.le, _number, lambda v: v.mask, _comparison("<="))
_operator(operator.gt, _number, lambda v: v.mask, _comparison(">"))
_operator(operator.ge, _number, lambda v: v.mask, _comparison(">="))
_operator(operator.eq, _number, lambda v: v.mask, _comparison("=="))
_operator(operator.ne, _number, lambda v: v.mask, _comparison("!="))


# ------------------------------------------------------------------------------------------------------------
# Functions of vectors, lane by lane
# ------------------------------------------------------------------------------------------------------------


def _float_function(arity, name, doc, emit):
    """An intrinsic of `arity` float vectors; ``emit(builder, *args)`` is its IR."""

    def define(args):
        vector = _common(*args)
        _require(vector.is_float, "expected float vectors", *args)

        def codegen(context, builder, sig, args):
            return emit(builder, *args)

        return vector(*[vector] * arity), codegen

    definitions = {
        1: lambda typingctx, a: define((a,)),
        2: lambda typingctx, a, b: define((a, b)),
        3: lambda typingctx, a, b, c: define((a, b, c)),
    }
    return _named(definitions[arity], name, doc)


def _llvm(name):
    return lambda builder, *args: _call_vector(builder, name, *args)


def _llvm_of_vector(name):
    return lambda builder, vector, *args: _call_vector(builder, name, *args)


def _minimum(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _maximum(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


fma = _float_function(3, "fma", "a·b + c, rounded once where the host can (else perhaps twice).", _llvm(FMA))
sqrt = _float_function(1, "sqrt", "√a, correctly rounded.", _llvm("llvm.sqrt"))
absolute = _float_function(1, "absolute", "|a|.", _llvm("llvm.fabs"))
floor = _float_function(1, "floor", "⌊a⌋.", _llvm("llvm.floor"))
round_even = _float_function(1, "round_even", "a rounded to the nearest integer, halves to even.", _llvm("llvm.rint"))
copysign = _float_function(2, "copysign", "The magnitude of a with the sign of b.", _llvm("llvm.copysign"))
# One instruction on x86, which takes its second operand when either is NaN.
minimum = _float_function(2, "minimum", "a where a < b, else b: so b where either is NaN.", _minimum)
maximum = _float_function(2, "maximum", "a where a > b, else b: so b where either is NaN.", _maximum)


@intrinsic
def select(typingctx, mask, a, b):
    """a in the lanes where `mask` is set, b in the others. With a boolean, all three may be numbers."""
    if mask == types.boolean:
        result = typingctx.unify_types(a, b)
        _require(isinstance(result, types.Number), "expected two numbers beside a boolean", a, b)
    else:
        _require(isinstance(mask, Vector) and mask.is_mask, "expected a mask or a boolean", mask)
        both = isinstance(a, types.Number) and isinstance(b, types.Number)
        result = _floats_of_width(mask.lanes) if both else _common(a, b)
        _require(mask == result.mask, f"expected a mask of {result.lanes} lanes", mask)

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return result(mask, result, result), codegen


def _floats_of_width(lanes):
    """The vector of so many floats that fills a register."""
    return Vector(types.float32 if WIDTH // lanes == 4 else types.float64, lanes)


def _estimate(builder, kind, a):
    """AVX's estimate of 1/a (`kind` "rcp") or 1/√a ("rsqrt"), good to 11 or 14 bits, or None."""
    if _count(a.type) == 1:  # a loop over numbers, of which LLVM can make one over vectors only without them
        return None
    single = str(a.type.element) == "float"
    if LEVEL == "avx512":
        name = f"llvm.x86.avx512.{kind}14.{'ps' if single else 'pd'}.512"
        every = ir.Constant(ir.IntType(a.type.count), -1)
        return _call(builder, name, a.type, [a, _constant(a.type, 0.0), every])
    if LEVEL == "avx2" and single:
        return _call(builder, f"llvm.x86.avx.{kind}.ps.256", a.type, [a])
    return None


def _newton_steps(a):
    """Newton steps that bring an estimate to full precision: each doubles its bits."""
    return 1 if str(_lane(a.type)) == "float" else 2


def _divide(builder, a, b):
    one = _constant(b.type, 1.0)
    y = _estimate(builder, "rcp", b) if LEVEL == "avx512" else None  # AVX's 11 bits would take a step more
    if y is None:
        return builder.fdiv(a, b)
    for last in range(_newton_steps(b), 0, -1):
        error = _call_vector(builder, FMA, builder.fneg(b), y, one)
        if last == 1:
            y = builder.fmul(a, y)  # the last step is on the quotient, which shortens the chain
        y = _call_vector(builder, FMA, y, error, y)  # y ← y + y·(1 − b·y)
    return y


def _reciprocal_sqrt(builder, a):
    tiny = 2.0**-126 if str(_lane(a.type)) == "float" else 2.0**-1022
    a = _maximum(builder, _constant(a.type, tiny), a)
    y = _estimate(builder, "rsqrt", a)
    if y is None:
        return builder.fdiv(_constant(a.type, 1.0), _call_vector(builder, "llvm.sqrt", a))
    half, one = _constant(a.type, 0.5), _constant(a.type, 1.0)
    for _ in range(_newton_steps(a)):
        error = _call_vector(builder, FMA, builder.fneg(builder.fmul(a, y)), y, one)  # y ← y + ½·y·(1 − a·y·y)
        y = _call_vector(builder, FMA, builder.fmul(half, y), error, y)
    return y


divide = _float_function(
    2,
    "divide",
    """a/b within 2 ULP, faster than ``/``: for normal b of which 1/b is normal. Else it may give NaN.""",
    _divide,
)
reciprocal = _float_function(
    1,
    "reciprocal",
    """1/a within 2 ULP, as `divide` does.""",
    lambda builder, a: _divide(builder, _constant(a.type, 1.0), a),
)
reciprocal_sqrt = _float_function(
    1,
    "reciprocal_sqrt",
    """1/√max(a, tiny) within 4 ULP, without the slow square root and division, where tiny is the least normal
    number: so a·reciprocal_sqrt(a) is √a even at a = 0. NaN gives NaN, and so may inf.""",
    _reciprocal_sqrt,
)


@intrinsic
def scale_by_power(typingctx, a, n):
    """a·2ⁿ, with gradual underflow and overflow, for integral `n` below 2·(largest exponent)."""
    vector = _common(a, n)
    _require(vector.is_float, "expected float vectors", a, n)
    mantissa, bias, magic = (23, 127, 1.5 * 2.0**23) if vector.dtype.bitwidth == 32 else (52, 1023, 1.5 * 2.0**52)

    def codegen(context, builder, sig, args):
        a, n = args
        if LEVEL == "avx512" and vector.lanes > 1:
            name = f"llvm.x86.avx512.mask.scalef.{'ps' if vector.dtype.bitwidth == 32 else 'pd'}.512"
            every = ir.Constant(ir.IntType(vector.lanes), -1)
            return _call(builder, name, a.type, [a, n, a, every, _i32(4)])  # 4: the current rounding mode
        integer = _lanes_of(ir.IntType(vector.dtype.bitwidth), vector.lanes)
        # One factor 2ⁿ may not exist where a·2ⁿ does, so take two halves; magic + n has n in its low bits.
        first = _call_vector(builder, "llvm.floor", builder.fmul(n, _constant(n.type, 0.5)))
        for half in (first, builder.fsub(n, first)):
            bits = builder.bitcast(builder.fadd(half, _constant(n.type, magic + bias)), integer)
            power = builder.bitcast(builder.shl(bits, _constant(integer, mantissa)), n.type)
            a = builder.fmul(a, power)
        return a

    return vector(vector, vector), codegen


@intrinsic
def polynomial(typingctx, x, coefficients):
    """c[0] + c[1]·x + c[2]·x² + …, by Estrin's scheme: few steps one after another, for short latency."""
    _require(isinstance(x, Vector) and x.is_float, "expected a float vector", x)
    _require(isinstance(coefficients, types.UniTuple), "expected a tuple of floats", coefficients)

    def codegen(context, builder, sig, args):
        power, table = args
        terms = [
            _cast_scalar(context, builder, coefficients.dtype, x, builder.extract_value(table, k))
            for k in range(coefficients.count)
        ]
        while len(terms) > 1:
            pairs = [_call_vector(builder, FMA, b, power, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
            terms = pairs + terms[2 * len(pairs) :]
            power = builder.fmul(power, power)
        return terms[0]

    return x(x, coefficients), codegen


# What formulas written for numbers have, for users' own: the built-in functions, and powers by a constant.
_operator(abs, _float, _same, _llvm_of_vector("llvm.fabs"), arity=1)
_operator(math.fabs, _float, _same, _llvm_of_vector("llvm.fabs"), arity=1)
_operator(math.sqrt, _float, _same, _llvm_of_vector("llvm.sqrt"), arity=1)
_operator(math.floor, _float, _same, _llvm_of_vector("llvm.floor"), arity=1)
_operator(operator.pos, _number, _same, lambda builder, vector, a: a, arity=1)
_operator(min, _float, _same, lambda builder, vector, a, b: _minimum(builder, b, a))
_operator(max, _float, _same, lambda builder, vector, a, b: _maximum(builder, b, a))


@infer_global(operator.pow)
class _Power(AbstractTemplate):
    prefer_literal = True

    def generic(self, args, kws):
        base, exponent = args
        if isinstance(base, Vector) and base.is_float and isinstance(exponent, types.Integer):
            return signature(base, base, exponent)


@lower_builtin(operator.pow, Vector, types.IntegerLiteral)
def _power(context, builder, sig, args):
    exponent = sig.args[1].literal_value
    result, square = _constant(args[0].type, 1.0), args[0]
    for bit in reversed(bin(abs(exponent))[2:]):
        result = builder.fmul(result, square) if bit == "1" else result
        square = builder.fmul(square, square)
    return result if exponent >= 0 else builder.fdiv(_constant(args[0].type, 1.0), result)


def on_vectors(function, dispatcher):
    """Let compiled code call `function`, one of Python's `math`, on float vectors too: they go to `dispatcher`."""

    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and isinstance(args[0], Vector) and args[0].is_float:
                return signature(args[0], args[0])

    def lower(context, builder, sig, args):
        dispatcher.compile(sig.args)
        compiled = dispatcher.overloads[sig.args]
        context.add_linking_libs([compiled.library])
        return context.call_internal(builder, compiled.fndesc, sig, args)

    infer_global(function)(Template)
    lower_builtin(function, Vector)(lower)


@intrinsic
def as_vector(typingctx, x):
    """A vector as it is, and a number as a vector of one lane: then formulas for vectors take both."""
    if isinstance(x, Vector):
        vector = x
    else:
        _require(isinstance(x, (types.Number, types.Boolean)), "expected a vector or a number", x)
        vector = Vector(x if isinstance(x, types.Float) else types.float64, 1)

    def codegen(context, builder, sig, args):
        return args[0] if sig.args[0] == vector else context.cast(builder, args[0], sig.args[0], vector.dtype)

    return vector(types.unliteral(x)), codegen


@intrinsic
def as_given(typingctx, x, value):
    """What a formula made of ``as_vector(x)``: a vector if x is one, else a number."""
    _require(isinstance(value, Vector), "expected a vector", value)
    result = value if isinstance(x, Vector) else value.dtype

    def codegen(context, builder, sig, args):
        return args[1]

    return result(types.unliteral(x), value), codegen


# ------------------------------------------------------------------------------------------------------------
# Calls by address
# ------------------------------------------------------------------------------------------------------------


@intrinsic
def view_at(typingctx, pointer, size):
    """The `size` elements that start at a C function's pointer."""
    _require(isinstance(pointer, types.CPointer), "expected a pointer", pointer)
    view = View(pointer.dtype)

    def codegen(context, builder, sig, args):
        return _view(context, builder, view, args[0], [args[1]])

    return view(pointer, types.intp), codegen


@intrinsic
def call_block(typingctx, address, array, integers, number):
    """Call the C function at `address`, an integer, with the address and size of `array`, integers and a number.

    It returns a float64.
    """
    _require(isinstance(address, types.Integer), "expected an integer", address)
    _writable(array)
    _require(isinstance(integers, types.UniTuple), "expected a tuple of integers", integers)

    def codegen(context, builder, sig, args):
        address, value, integers, number = args
        model = context.data_model_manager[array]
        pointer = model.get(builder, value, "data")
        arguments = [pointer, _size(context, builder, array, value)]
        arguments += [builder.extract_value(integers, k) for k in range(sig.args[2].count)]
        arguments.append(number)
        kind = ir.FunctionType(ir.DoubleType(), [argument.type for argument in arguments])
        return builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)

    return types.float64(types.int64, array, types.UniTuple(types.int64, integers.count), types.float64), codegen


# ------------------------------------------------------------------------------------------------------------
# Bits
# ------------------------------------------------------------------------------------------------------------


def _integers(vector):
    return Vector(types.int32 if vector.dtype.bitwidth == 32 else types.int64, vector.lanes)


def _floats(vector):
    return Vector(types.float32 if vector.dtype.bitwidth == 32 else types.float64, vector.lanes)


def _conversion(name, wanted, target, operation, doc):
    def definition(typingctx, value):
        _require(isinstance(value, Vector) and wanted(value), f"{name} does not apply", value)
        result = target(value)

        def codegen(context, builder, sig, args):
            return getattr(builder, operation)(args[0], context.get_value_type(result))

        return result(value), codegen

    return _named(definition, name, doc)


as_integers = _conversion(
    "as_integers", _float, _integers, "bitcast", "The bits of a float vector, as integers of the same size."
)
as_floats = _conversion(
    "as_floats",
    lambda v: v.is_integer,
    _floats,
    "bitcast",
    "The bits of an integer vector, as floats of the same size.",
)
to_integers = _conversion(
    "to_integers",
    _float,
    _integers,
    "fptosi",
    "A float vector truncated to integers. They must be representable.",
)
to_floats = _conversion(
    "to_floats", lambda v: v.is_integer, _floats, "sitofp", "An integer vector converted to floats."
)


# ------------------------------------------------------------------------------------------------------------
# Across lanes
# ------------------------------------------------------------------------------------------------------------


def _reduction(name, emit, doc):
    def definition(typingctx, value):
        _require(isinstance(value, Vector) and value.is_float, "expected a float vector", value)

        def codegen(context, builder, sig, args):
            (v,) = args
            while v.type.count > 1:  # upper half onto lower half: the order is fixed by the number of lanes
                half = v.type.count // 2
                low = _shuffle(builder, v, v, list(range(half)))
                high = _shuffle(builder, v, v, list(range(half, 2 * half)))
                v = emit(builder, low, high)
            return builder.extract_element(v, _i32(0))

        return value.dtype(value), codegen

    return _named(definition, name, doc)


sum_lanes = _reduction("sum_lanes", lambda builder, a, b: builder.fadd(a, b), "Sum of the lanes, by halves.")
max_lanes = _reduction("max_lanes", _maximum, "Largest lane. With a NaN, it may be any lane.")


@intrinsic
def any_lanes(typingctx, mask):
    """Whether `mask` is set in any lane."""
    _require(isinstance(mask, Vector) and mask.is_mask, "expected a mask", mask)

    def codegen(context, builder, sig, args):
        bits = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), bits(0))

    return types.boolean(mask), codegen


# ------------------------------------------------------------------------------------------------------------
# Tiles
# ------------------------------------------------------------------------------------------------------------


class _Registers:
    """The vectors of a tile while its IR is written: ``at[row, v]``."""

    def __init__(self, builder, tile, value=None):
        self.builder, self.tile = builder, tile
        self.places = [(r, v) for r in range(tile.rows) for v in range(tile.vectors)]
        self.at = {}
        if value is not None:
            self.at = {place: builder.extract_value(value, k) for k, place in enumerate(self.places)}

    def value(self, context):
        value = ir.Constant(context.get_value_type(self.tile), ir.Undefined)
        for k, place in enumerate(self.places):
            value = self.builder.insert_value(value, self.at[place], k)
        return value


def _offset(builder, index, stride, row, extra=0):
    """index + row·stride + extra."""
    if row:
        index = builder.add(index, builder.mul(stride, _i64(row)))
    return builder.add(index, _i64(extra)) if extra else index


@intrinsic(prefer_literal=True)
def zero_tile(typingctx, like, rows, vectors):
    """A tile of zeros, `rows` × `vectors`, both compile-time integers."""
    tile = Tile(_vector_like(like), _literal(rows, "rows"), _literal(vectors, "vectors"))

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(like, rows, vectors), codegen


@intrinsic(prefer_literal=True)
def load_tile(typingctx, array, index, stride, rows, vectors):
    """The tile whose row r starts at ``array.flat[index + r·stride]``."""
    vector = _vector_like(array)
    tile = Tile(vector, _literal(rows, "rows"), _literal(vectors, "vectors"))

    def codegen(context, builder, sig, args):
        ary, index, stride, _, _ = args
        out = _Registers(builder, tile)
        for r, v in out.places:
            start = _offset(builder, index, stride, r, v * vector.lanes)
            out.at[r, v] = _load(context, builder, array, ary, start, context.get_value_type(vector))
        return out.value(context)

    return tile(array, types.intp, types.intp, rows, vectors), codegen


@intrinsic(prefer_literal=True)
def splat_row_tile(typingctx, array, index, rows, vectors):
    """The tile each of whose rows is ``array.flat[index : index + vectors·lanes]``: a bias, say."""
    vector = _vector_like(array)
    tile = Tile(vector, _literal(rows, "rows"), _literal(vectors, "vectors"))

    def codegen(context, builder, sig, args):
        ary, index, _, _ = args
        kind = context.get_value_type(vector)
        starts = [_offset(builder, index, None, 0, v * vector.lanes) for v in range(tile.vectors)]
        row = [_load(context, builder, array, ary, start, kind) for start in starts]
        out = _Registers(builder, tile)
        out.at = {(r, v): row[v] for r, v in out.places}
        return out.value(context)

    return tile(array, types.intp, rows, vectors), codegen


@intrinsic
def store_tile(typingctx, array, index, stride, tile):
    """Store row r of `tile` at ``array.flat[index + r·stride]``."""
    vector = _writable(array)
    _require(isinstance(tile, Tile) and tile.vector == vector, f"expected a tile of {vector}", tile)

    def codegen(context, builder, sig, args):
        ary, index, stride, value = args
        registers = _Registers(builder, tile, value)
        for (r, v), register in registers.at.items():
            _store(context, builder, array, ary, _offset(builder, index, stride, r, v * vector.lanes), register)

    return types.void(array, types.intp, types.intp, tile), codegen


@intrinsic
def add_tile(typingctx, a, b):
    """The sum of two tiles of one type."""
    _require(isinstance(a, Tile) and a == b, "expected two tiles of one type", a, b)

    def codegen(context, builder, sig, args):
        left, right = (_Registers(builder, a, value) for value in args)
        out = _Registers(builder, a)
        out.at = {place: builder.fadd(left.at[place], right.at[place]) for place in out.places}
        return out.value(context)

    return a(a, b), codegen


class _Column:
    """Elements of an array that are a stride apart, addressed as base + (odd · stride) · (1, 2, 4 or 8).

    The odd multiples go through an empty assembly, which hides from LLVM that they have anything to do with each other.
    Otherwise it takes each address from the one before it, and a tile of 12 rows waits for a chain of 12 additions.
    """

    _opaque = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])

    def __init__(self, context, builder, array_type, array, index, stride):
        self.builder, self.stride, self.odd = builder, stride, {}
        self.size = array_type.dtype.bitwidth // 8
        self.address = lambda row: _address(
            context, builder, array_type, array, _offset(builder, index, stride, row), _i64(1), "load"
        )
        self.first = self.address(0)

    def load(self, row):
        if CHECKED:
            return self.builder.load(self.address(row), align=self.size)
        pointer = self.first
        if row:
            shift = (row & -row).bit_length() - 1
            multiple = row >> shift
            if multiple not in self.odd:
                offset = self.builder.mul(self.stride, _i64(multiple * self.size))
                offset = self.builder.asm(self._opaque, "", "=r,0", [offset], side_effect=False)
                offset.attributes.add("nounwind")
                offset.attributes.add("readnone")
                self.odd[multiple] = offset
            offset = self.builder.shl(self.odd[multiple], _i64(shift))
            pointer = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
            pointer = self.builder.bitcast(self.builder.gep(pointer, [offset]), self.first.type)
        return self.builder.load(pointer, align=self.size)


@intrinsic
def tile_fma(typingctx, tile, a, a_index, a_stride, b, b_index):
    """One term of a matrix product: row r gains ``a.flat[a_index + r·a_stride] · b.flat[b_index : …]``.

    The scalars of `a` are broadcast; the row of `b` is as wide as the tile. Called in a loop over the summed
    index, with ``a_index`` and ``b_index`` advancing, the tile stays in registers.
    """
    _require(isinstance(tile, Tile), "expected a tile", tile)
    vector = tile.vector
    _require(_vector_like(a) == vector == _vector_like(b), f"expected arrays of {vector.dtype}", a, b)

    def codegen(context, builder, sig, args):
        value, a_ary, a_index, a_stride, b_ary, b_index = args
        registers = _Registers(builder, tile, value)
        kind = context.get_value_type(vector)
        row = [
            _load(context, builder, b, b_ary, _offset(builder, b_index, None, 0, v * vector.lanes), kind)
            for v in range(tile.vectors)
        ]
        column = _Column(context, builder, a, a_ary, a_index, a_stride)
        for r in range(tile.rows):
            scalar = column.load(r)
            factor = _splat(builder, scalar, kind)
            for v in range(tile.vectors):
                registers.at[r, v] = _call_vector(builder, FMA, factor, row[v], registers.at[r, v])
        return registers.value(context)

    return tile(tile, a, types.intp, types.intp, b, types.intp), codegen


#: In so many rows of a packed tile each multiply-add loads its scalar itself, where the processor can: one instruction
#: less for one load more, and so many loads still hide behind the multiply-adds.
_LOADED_TWICE = TILE_ROWS // 3 if LEVEL == "avx512" else 0


@intrinsic(prefer_literal=True)
def tile_fma_packed(typingctx, tile, a, a_index, b, b_index, b_stride, terms):
    """Some terms of a matrix product, `terms` being a compile-time integer: row r gains, for each t < terms,
    ``a.flat[a_index + t·rows + r] · b.flat[b_index + t·b_stride : …]``.

    Like `tile_fma` with columns of `a` that follow one another, but in fewer instructions: places in `a` are known, so
    a multiply-add can load its scalar itself. LLVM would rather load a scalar once for both vectors of its row, so
    ``again`` hides from it that the address is the same.
    """
    _require(isinstance(tile, Tile), "expected a tile", tile)
    vector, count = tile.vector, _literal(terms, "terms")
    _require(_vector_like(a) == vector == _vector_like(b), f"expected arrays of {vector.dtype}", a, b)

    def codegen(context, builder, sig, args):
        value, a_ary, a_index, b_ary, b_index, b_stride, _ = args
        registers = _Registers(builder, tile, value)
        kind = context.get_value_type(vector)
        first = _address(context, builder, a, a_ary, a_index, _i64(count * tile.rows), "load")
        again = builder.asm(ir.FunctionType(first.type, [first.type]), "", "=r,0", [first], side_effect=False)
        again.attributes.add("nounwind")
        again.attributes.add("readnone")
        for t in range(count):
            row = [
                _load(context, builder, b, b_ary, _offset(builder, b_index, b_stride, t, v * vector.lanes), kind)
                for v in range(tile.vectors)
            ]
            for r in range(tile.rows):
                place, size = _i64(t * tile.rows + r), a.dtype.bitwidth // 8
                pointers = [first, again] if r < _LOADED_TWICE else [first]
                scalars = [builder.load(builder.gep(pointer, [place]), align=size) for pointer in pointers]
                factors = [_splat(builder, scalar, kind) for scalar in scalars]
                for v in range(tile.vectors):
                    factor = factors[v % len(factors)]
                    registers.at[r, v] = _call_vector(builder, FMA, factor, row[v], registers.at[r, v])
        return registers.value(context)

    return tile(tile, a, types.intp, b, types.intp, types.intp, terms), codegen


def _transpose(builder, rows):
    """Transpose a square of vectors: log2(lanes) rounds swap off-diagonal blocks, each time half as large."""
    count, size = len(rows), len(rows) // 2
    rows = list(rows)
    while size:
        # Lane k of a pair (a, b) of rows that are `size` apart: the blocks a[high] and b[low] change places.
        upper = [k if not k & size else count + k - size for k in range(count)]
        lower = [k + size if not k & size else count + k for k in range(count)]
        for i in range(count):
            if not i & size:
                a, b = rows[i], rows[i + size]
                rows[i], rows[i + size] = _shuffle(builder, a, b, upper), _shuffle(builder, a, b, lower)
        size //= 2
    return rows


def _transpose_codegen(src, dst, vector, load_row):
    def codegen(context, builder, sig, args):
        s, s_index, s_stride, d, d_index, d_stride, *rest = args
        kind = context.get_value_type(vector)
        rows = [
            load_row(context, builder, s, _offset(builder, s_index, s_stride, r), kind, r, *rest)
            for r in range(vector.lanes)
        ]
        for r, row in enumerate(_transpose(builder, rows)):
            _store(context, builder, dst, d, _offset(builder, d_index, d_stride, r), row)

    return codegen


@intrinsic
def transpose_block(typingctx, src, s_index, s_stride, dst, d_index, d_stride):
    """``dst.flat[d_index + j·d_stride + i] = src.flat[s_index + i·s_stride + j]`` for i, j < lanes."""
    vector = _writable(dst)
    _require(_vector_like(src) == vector, f"expected an array of {vector.dtype}", src)

    def load_row(context, builder, s, start, kind, r):
        return _load(context, builder, src, s, start, kind)

    codegen = _transpose_codegen(src, dst, vector, load_row)
    return types.void(src, types.intp, types.intp, dst, types.intp, types.intp), codegen


@intrinsic
def transpose_block_partial(typingctx, src, s_index, s_stride, dst, d_index, d_stride, rows):
    """`transpose_block` of which only the first `rows` rows of `src` are read, and zeros stand for the rest.

    All of the destination, lanes × lanes, is written.
    """
    vector = _writable(dst)
    _require(_vector_like(src) == vector, f"expected an array of {vector.dtype}", src)

    def load_row(context, builder, s, start, kind, r, rows):
        there = builder.icmp_signed("<", _i64(r), rows)
        count = builder.select(there, _i64(vector.lanes), _i64(0))
        pointer = _address(context, builder, src, s, start, count, "load")
        mask = _splat(builder, there, ir.VectorType(_i1, vector.lanes))
        return _masked_load(builder, pointer, mask, kind, vector.dtype.bitwidth // 8)

    codegen = _transpose_codegen(src, dst, vector, load_row)
    return types.void(src, types.intp, types.intp, dst, types.intp, types.intp, types.intp), codegen
