"""A network as C: one file that holds the weights and the forward pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from .exports import Layer, layers_of
from .kernels.vecmath import GELU_CUBIC, GELU_LINEAR
from .safetensors import renamed_into

if TYPE_CHECKING:
    from .network import Network

#: a = σ(z) in C, where {f} is the suffix of float's functions and constants, and {p} the activation's parameter.
FORMULAS = {
    "sigmoid": "z < 0 ? exp{f}(z) / (1 + exp{f}(z)) : 1 / (1 + exp{f}(-z))",
    "tanh": "tanh{f}(z)",
    "relu": "z < 0 ? 0 : z",
    "leaky_relu": "z < 0 ? z * {p} : z",
    "elu": "z < 0 ? expm1{f}(z) * {p} : z",
    "softplus": "(z < 0 ? 0 : z) + log1p{f}(exp{f}(-fabs{f}(z)))",
    "silu": "z / (1 + exp{f}(-z))",
    "gelu": f"z / (1 + exp{{f}}(-z * ({GELU_LINEAR!r}{{f}} + {GELU_CUBIC!r}{{f}} * z * z)))",
}
#: Names that C99 or C++ keep for themselves: keywords and macros (also of gcc's own C), the functions of <math.h>, each
#: also with the suffixes f and l, and the other functions of the library (ISO/IEC 9899:1999, annex B). The last of the
#: keywords are what the functions call their arguments.
KEYWORDS = """
    alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char class compl complex const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum errno explicit export extern
    false float for friend goto if imaginary inline int long main mutable namespace new noexcept not not_eq nullptr
    offsetof operator or or_eq private protected ptrdiff_t public register reinterpret_cast restrict return short signed
    size_t sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef
    typeid typename typeof union unsigned using virtual void volatile wchar_t while xor xor_eq
    fpclassify isfinite isgreater isgreaterequal isinf isless islessequal islessgreater isnan isnormal isunordered
    signbit double_t float_t max_align_t math_errhandling linux unix i386
    FP_FAST_FMA FP_FAST_FMAF FP_FAST_FMAL FP_ILOGB0 FP_ILOGBNAN FP_INFINITE FP_NAN FP_NORMAL FP_SUBNORMAL FP_ZERO
    HUGE_VAL HUGE_VALF HUGE_VALL INFINITY MATH_ERREXCEPT MATH_ERRNO NAN NULL
    x y i rows
"""
MATHEMATICS = """
    acos acosh asin asinh atan atan2 atanh cabs cacos cacosh carg casin casinh catan catanh cbrt ccos ccosh ceil cexp
    cimag clog conj copysign cos cosh cpow cproj creal csin csinh csqrt ctan ctanh erf erfc exp exp2 expm1 fabs fdim
    floor fma fmax fmin fmod frexp gamma hypot ilogb j0 j1 jn ldexp lgamma llrint llround log log10 log1p log2 logb
    lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round scalbln scalbn significand sin
    sinh sqrt tan tanh tgamma trunc y0 y1 yn
"""
LIBRARY = """
    abort abs asctime atexit atof atoi atol atoll bsearch btowc calloc clearerr clock ctime difftime div exit fclose
    feclearexcept fegetenv fegetexceptflag fegetround feholdexcept feof feraiseexcept ferror fesetenv fesetexceptflag
    fesetround fetestexcept feupdateenv fflush fgetc fgetpos fgets fgetwc fgetws fopen fprintf fputc fputs fputwc fputws
    fread free freopen fscanf fseek fsetpos ftell fwide fwprintf fwrite fwscanf getc getchar getenv gets getwc getwchar
    gmtime imaxabs imaxdiv isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper
    iswalnum iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint iswpunct iswspace iswupper
    iswxdigit isxdigit labs ldiv llabs lldiv localeconv localtime longjmp malloc mblen mbrlen mbrtowc mbsinit mbsrtowcs
    mbstowcs mbtowc memchr memcmp memcpy memmove memset mktime perror printf putc putchar puts putwc putwchar qsort
    raise rand realloc remove rename rewind scanf setbuf setjmp setlocale setvbuf signal snprintf sprintf srand sscanf
    strcat strchr strcmp strcoll strcpy strcspn strerror strftime strlen strncat strncmp strncpy strpbrk strrchr strspn
    strstr strtod strtof strtoimax strtok strtol strtold strtoll strtoul strtoull strtoumax strxfrm swprintf swscanf
    system time tmpfile tmpnam tolower toupper towctrans towlower towupper ungetc ungetwc vfprintf vfscanf vfwprintf
    vfwscanf vprintf vscanf vsnprintf vsprintf vsscanf vswprintf vswscanf vwprintf vwscanf wcrtomb wcscat wcschr wcscmp
    wcscoll wcscpy wcscspn wcsftime wcslen wcsncat wcsncmp wcsncpy wcspbrk wcsrchr wcsrtombs wcsspn wcsstr wcstod wcstof
    wcstoimax wcstok wcstol wcstold wcstoll wcstombs wcstoul wcstoull wcstoumax wcsxfrm wctob wctomb wctrans wctype
    wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf wscanf
"""
TAKEN = {*KEYWORDS.split(), *(f + suffix for f in MATHEMATICS.split() for suffix in ("", "f", "l")), *LIBRARY.split()}

PER_LINE = 8

FILE = """\
/* A network trained by fastprop: {sizes} neurons, {functions}.

   void {name}(const {real} *x, {real} *y);
       The outputs y[0..{last_output}] for the inputs x[0..{last_input}]; the two must not overlap.

   void {name}_rows(const {real} *x, {real} *y, size_t rows);
       The same for each of some rows: {inputs} inputs each in x, one row after the other, {outputs} outputs each in y.

   Copy these two lines into what calls them, and compile this file with it, for example
       cc -std=c99 -O2 main.c {name}.c -lm
   Nothing is allocated: {stack} bytes of the stack hold the hidden layers. Threads may call both at once. */

#include <math.h>
#include <stddef.h>

void {name}(const {real} *x, {real} *y);
void {name}_rows(const {real} *x, {real} *y, size_t rows);

"""
DENSE = """\
/* z = a W + b, where row j of W holds the weights from neuron j below. */
static void {name}_dense(const {real} *restrict a, const {real} *restrict W, const {real} *restrict b,
                         {real} *restrict z, size_t inputs, size_t outputs)
{{
    for (size_t k = 0; k < outputs; k++)
        z[k] = b[k];
    for (size_t j = 0; j < inputs; j++)
        for (size_t k = 0; k < outputs; k++)
            z[k] += a[j] * W[j * outputs + k];
}}

"""
SOFTMAX = """\
    {real} top = {a}[0], total = 0;
    for (size_t k = 1; k < {width}; k++)
        top = {a}[k] > top ? {a}[k] : top;
    for (size_t k = 0; k < {width}; k++) {{
        {a}[k] = exp{suffix}({a}[k] - top);
        total += {a}[k];
    }}
    for (size_t k = 0; k < {width}; k++)
        {a}[k] /= total;
"""
ELEMENTWISE = """\
    for (size_t k = 0; k < {width}; k++) {{
        const {real} z = {a}[k];
        {a}[k] = {formula};
    }}
"""
ROWS = """
void {name}_rows(const {real} *x, {real} *y, size_t rows)
{{
    for (size_t i = 0; i < rows; i++)
        {name}(x + i * {inputs}, y + i * {outputs});
}}
"""


def to_c(net: Network, path: str | PathLike, *, name: str = "predict") -> None:
    """Write the network as one file of C99 that needs nothing but the C library.

    The file defines ``void predict(const float *x, float *y)`` for one observation and ``void predict_rows(const float
    *x, float *y, size_t rows)`` for some; for a float64 network with double in place of float. It allocates nothing and
    keeps no state. Its weights are the network's to the last bit.

    Parameters
    ----------
    path : str or PathLike
        Replaced at once when the new file is whole and on disk; until then it is as it was.
    name : str
        The function's name, and the beginning of every other name in the file.

    Raises
    ------
    TypeError, ValueError
        If ``name`` is not a name that C lets users choose, ``path`` is no regular file, an activation is the user's
        own, or a parameter is not finite. Nothing is written then.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> net = fastprop.Network([2, 2, 1], hidden="tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.to_c(f"{folder}/net.c")
    ...     text = Path(folder, "net.c").read_text()
    >>> print(text[text.index("void predict(const float *x, float *y)\\n{") :].split("void predict_rows")[0].strip())
    void predict(const float *x, float *y)
    {
        float a1[2];
    <BLANKLINE>
        predict_dense(x, predict_W1, predict_b1, a1, 2, 2);
        for (size_t k = 0; k < 2; k++) {
            const float z = a1[k];
            a1[k] = tanhf(z);
        }
        predict_dense(a1, predict_W2, predict_b2, y, 2, 1);
    }
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} ({type(name).__name__})")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or "__" in name or name in TAKEN:
        raise ValueError(
            "name must be a name that C leaves to users: letters, digits and single underscores, a letter first, no "
            f"keyword, no function or macro of the C library, none of x, y, i and rows; got {name!r}"
        )
    layers = layers_of(net, "C")
    with renamed_into(path) as file:
        file.writelines(piece.encode() for piece in _file(layers, net.sizes, name, net.dtype))


def _file(layers: list[Layer], sizes: tuple[int, ...], name: str, dtype: np.dtype) -> Iterator[str]:
    """The file, piece by piece."""
    single = dtype == np.float32
    names = {"name": name, "real": "float" if single else "double", "suffix": "f" if single else ""}
    names |= {"inputs": str(sizes[0]), "outputs": str(sizes[-1])}
    yield FILE.format(
        **names, sizes="-".join(map(str, sizes)), functions=", ".join(layer.activation for layer in layers),
        last_input=sizes[0] - 1, last_output=sizes[-1] - 1, stack=sum(sizes[1:-1]) * dtype.itemsize,
    )  # fmt: skip
    for m, layer in enumerate(layers, start=1):
        yield _array(f"{name}_W{m}", layer.weights, names)
        yield _array(f"{name}_b{m}", layer.biases, names)
    yield DENSE.format(**names)

    yield "void {name}(const {real} *x, {real} *y)\n{{\n".format(**names)
    hidden = [f"{names['real']} a{m}[{width}];" for m, width in enumerate(sizes[1:-1], start=1)]
    yield "".join(f"    {line}\n" for line in hidden) + "\n" * bool(hidden)
    for m, layer in enumerate(layers, start=1):
        below, a = f"a{m - 1}" if m > 1 else "x", f"a{m}" if m < len(layers) else "y"
        yield f"    {name}_dense({below}, {name}_W{m}, {name}_b{m}, {a}, {sizes[m - 1]}, {sizes[m]});\n"
        if layer.activation == "softmax":
            yield SOFTMAX.format(**names, a=a, width=sizes[m])
        elif layer.activation != "identity":
            parameter = _literal(dtype.type(layer.parameter), names["suffix"])
            formula = FORMULAS[layer.activation].format(f=names["suffix"], p=parameter)
            yield ELEMENTWISE.format(**names, a=a, width=sizes[m], formula=formula)
    yield "}\n" + ROWS.format(**names)


def _array(array_name: str, array: np.ndarray, names: dict[str, str]) -> str:
    """The definition of an array, a few of its numbers a line."""
    numbers = [_literal(value, names["suffix"]) for value in array.ravel()]
    lines = "".join(f"    {', '.join(numbers[i : i + PER_LINE])},\n" for i in range(0, len(numbers), PER_LINE))
    return f"static const {names['real']} {array_name}[{array.size}] = {{\n{lines}}};\n\n"


def _literal(value: np.floating, suffix: str) -> str:
    """The shortest decimal number that is read as ``value``."""
    return f"{value!s}{suffix}"
