"""The cache of compiled kernels, in processes and folders of their own; training in threads and child processes."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from fastprop.kernels import cache, compiler, jit
from numba import types
from numba.core import base
from numba.core.cpu import CPUContext
from numba.core.postproc import PostProcessor

from fastprop import Adam, Network

# A package with the kernels' decorator and two kernels, which compiles in no time.
INNER = """
from .jit import njit

@njit
def twice(x):
    return 2 * x[0]
"""
OUTER = """
from numba import types
from .inner import twice
from .jit import njit

@njit(entry={"parameters": lambda T: types.Array(T, 1, "C", readonly=True)})
def total(parameters):
    return twice(parameters) + parameters[1]
"""
# Two kernels of one name instead of that, and an entry beside this.
INNERS = """
from .jit import njit

def times(factor):
    @njit(apart=True)
    def product(x):
        return factor * x[0]

    return product

twice, hundredfold = times(2), times(100)
"""
# An intrinsic, which Numba registers when it first meets it.
INTRINSIC = """
from numba.extending import intrinsic
from .jit import njit

@intrinsic
def plus_ten(context, x):
    def generate(context, builder, signature, arguments):
        return builder.fadd(arguments[0], arguments[0].type(10))

    return x(x), generate

@njit
def twice(x):
    return plus_ten(x[0])
"""
OTHER = OUTER.replace("twice", "hundredfold").replace("total", "other_total")
RUN = """
import json, sys
import numpy as np
from tiny.outer import total
result = float(total(np.array([1.0, 10.0])))
print(json.dumps({"result": result, "hits": sum(total.dispatcher.stats.cache_hits.values())}))
"""


class Tiny:
    """That package in a folder, run in fresh processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"
        self.package = folder / "tiny"
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        (self.package / "inner.py").write_text(INNER)
        (self.package / "outer.py").write_text(OUTER)
        for module in (cache, compiler, jit):
            shutil.copy(module.__file__, self.package)
        self.environment = {k: v for k, v in os.environ.items() if k not in compiler.SETTINGS}
        self.environment |= {
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "default",
            "NUMBA_CACHE_DIR": str(self.cache),
        }

    def start(self, code=RUN, **environment) -> subprocess.Popen:
        env = {k: v for k, v in (self.environment | environment).items() if v is not None}
        return subprocess.Popen(
            [sys.executable, "-c", code], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self, process) -> tuple[float, int, str]:
        """What `total` gave, how often it came from the cache, and what was said on stderr."""
        output, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
        said = json.loads(output)
        return said["result"], said["hits"], errors

    def run(self, **environment) -> tuple[float, int, str]:
        return self.finish(self.start(**environment))

    def files(self) -> list[Path]:
        return sorted(self.cache.rglob("*.nbc"))


@pytest.fixture
def tiny(tmp_path):
    return Tiny(tmp_path)


def test_the_second_process_finds_it(tiny):
    assert tiny.run() == (12, 0, "")
    assert len(tiny.files()) == 1
    assert tiny.run() == (12, 1, "")
    assert len(tiny.files()) == 1


def test_nothing_is_imported_for_arrays(tiny):
    """Numba's array functions import SciPy, which takes longer than anything else when a process begins; and what is
    on disk needs nothing that one compiles with."""
    for hits, module in enumerate(["numba.np.arraymath", "numba.np.arrayobj"]):
        code = f"{RUN}assert '{module}' not in sys.modules"
        assert tiny.finish(tiny.start(code)) == (12, hits, "")


@pytest.mark.parametrize("first", [True, False])
def test_users_functions_beside(tiny, first):
    """What a user compiles before an entry or after it finds all of Numba, and the entry what it needs."""
    (tiny.package / "inner.py").write_text(INTRINSIC)
    own = """
import numba, numpy as np

@numba.njit
def function(x):
    return np.sort(x).sum() + max(x.size, 3) + len([1, 2])

assert function(np.ones(4)) == 10
"""
    assert tiny.finish(tiny.start(own + RUN if first else RUN + own)) == (21, 0, "")


def test_a_change_in_another_kernel_file(tiny):
    """Numba's own cache would give the old result."""
    tiny.run()
    (tiny.package / "inner.py").write_text(INNER.replace("2 *", "3 *"))
    assert tiny.run() == (13, 0, "")
    assert tiny.run() == (13, 1, "")
    (tiny.package / "inner.py").write_text(INNER)
    assert tiny.run() == (12, 1, "")
    (tiny.package / "one_more.py").touch()
    assert tiny.run()[1] == 0


@pytest.mark.parametrize(("name", "value"), [("FASTPROP_CHECKED", "1"), ("FASTPROP_SIMD", "portable")])
def test_a_change_of_settings(tiny, name, value):
    assert name in compiler.SETTINGS
    tiny.run()
    assert tiny.run(**{name: value}) == (12, 0, "")
    assert tiny.run(**{name: value}) == (12, 1, "")
    assert tiny.run() == (12, 1, "")
    assert len(tiny.files()) == 2


@pytest.mark.parametrize("damage", ["empty", "cut short", "a byte changed", "other text"])
def test_a_damaged_file_is_written_anew(tiny, damage):
    tiny.run()
    (file,) = tiny.files()
    good = file.read_bytes()
    middle = len(good) // 2
    file.write_bytes(
        {
            "empty": b"",
            "cut short": good[:middle],
            "a byte changed": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "other text": b"not what it was" * 100,
        }[damage]
    )
    assert tiny.run() == (12, 0, "")
    assert tiny.run() == (12, 1, "")


def test_processes_that_fill_it_at_once(tiny):
    started = [tiny.start() for _ in range(4)]
    assert [tiny.finish(process)[0] for process in started] == [12] * 4
    assert len(tiny.files()) == 1
    assert [path.name for path in tiny.cache.rglob("*.tmp")] == []
    assert tiny.run() == (12, 1, "")


def a_file(folder: Path) -> Path:
    """Where no folder can be made, even by root."""
    path = folder / "a file"
    path.touch()
    return path


def test_a_folder_that_cannot_be_written(tiny):
    """One warning, and it works, compiling anew each time."""
    where = str(a_file(tiny.folder) / "cache")
    for _ in range(2):
        result, hits, errors = tiny.run(NUMBA_CACHE_DIR=where)
        assert (result, hits) == (12, 0)
        assert errors.count("RuntimeWarning") == 1
        assert where in errors
        assert "NUMBA_CACHE_DIR" in errors


def test_without_a_folder_of_the_user_s_choice(tiny):
    """Beside the kernels, where old versions go; else in the user's cache folder; else nowhere, with a warning."""
    tiny.environment["NUMBA_CACHE_DIR"] = None
    beside = tiny.package / "__pycache__"
    assert tiny.run() == (12, 0, "")
    assert tiny.run() == (12, 1, "")
    (old,) = beside.glob("*.nbc")
    (tiny.package / "inner.py").write_text(INNER.replace("2 *", "3 *"))
    assert tiny.run() == (13, 0, "")
    (new,) = beside.glob("*.nbc")
    assert new != old
    # A read-only install.
    shutil.rmtree(beside)
    beside.touch()
    home = tiny.folder / "home"
    user = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "caches"), "LOCALAPPDATA": str(home)}
    assert tiny.run(**user) == (13, 0, "")
    assert tiny.run(**user) == (13, 1, "")
    assert len(list(home.rglob("*.nbc"))) == 1
    nowhere = str(a_file(tiny.folder) / "cache")
    result, hits, errors = tiny.run(**dict.fromkeys(user, nowhere))
    assert (result, hits) == (13, 0)
    assert errors.count("RuntimeWarning") == 1


def test_flags():
    """NaN and infinities survive, division does not raise, indices are not verified."""
    assert jit.FLAGS["fastmath"] <= {"contract", "nsz"}
    assert jit.FLAGS["nogil"]
    assert jit.FLAGS["error_model"] == "numpy"


def test_numba_is_left_as_it_was():
    """While an entry is compiled Numba takes short cuts and a second thread works without llvmlite's lock; that ends
    with it, and with its errors."""

    def state():
        owners = types.Function, CPUContext, PostProcessor, base
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("fastprop-llvm")]
        return [dict(vars(owner)) for owner in owners], threads, sys.getswitchinterval(), llvm.ffi.lib._lock._lock

    def compile_in_vain():
        with compiler.compiling():
            assert "get_call_type" in vars(types.Function)
            assert compiler._second_thread.submit(int).result() == 0
            assert all(now != then for now, then in zip(state(), before, strict=True))
            raise ZeroDivisionError

    before = state()
    with pytest.raises(ZeroDivisionError):
        compile_in_vain()
    assert state() == before


@jit.njit(apart=True)
def half_of_sum(x):
    return (x[0] + x[1]) / 2


@jit.njit(apart=True)
def half_of_product(x):
    return x[0] * x[1] / 2


def entry(function):
    return jit.njit(entry={"parameters": lambda T: types.Array(T, 1, "C", readonly=True)})(function)


def machine_code_made(monkeypatch) -> list[str]:
    """The names of the threads in which it is from now on."""
    made, make = [], compiler._machine_code

    def note(*job):
        made.append(threading.current_thread().name)
        return make(*job)

    monkeypatch.setattr(compiler, "_machine_code", note)
    return made


def test_kernel_apart_is_made_once_and_in_a_second_thread(monkeypatch):
    monkeypatch.setattr(compiler.ApartLibrary, "withdraw", lambda kernel: False)  # a slow start is no reason

    @entry
    def plus_one(parameters):
        return half_of_sum(parameters) + 1

    @entry
    def doubled(parameters):
        return 2 * half_of_sum(parameters)

    made = machine_code_made(monkeypatch)
    assert (plus_one(np.array([3.0, 5.0])), doubled(np.array([3.0, 5.0]))) == (5, 8)
    assert [name.split("_")[0] for name in made] == ["fastprop-llvm"]
    assert plus_one(np.array([3.0, 5.0], np.float32)) == 5
    assert len(made) == 2


def test_a_kernel_apart_is_handed_over_at_once(monkeypatch):
    """LLVM has work while Numba goes on with what the entry calls next."""
    difference, events = difference_apart(), []

    @jit.njit
    def later(x):
        return x[0]

    @entry
    def both(parameters):
        return difference(parameters) + later(parameters)

    def log(kind, name, event_of):
        method = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *given: events.append(event_of(*given)) or method(*given))

    log(compiler.KernelCompiler, "compile_extra", lambda self, function: function.__name__)
    log(ThreadPoolExecutor, "submit", lambda *job: "handed over")
    assert both(np.array([3.0, 5.0])) == 1
    assert events == ["both", "difference", "handed over", "later"]


def difference_apart():
    """A kernel that nothing has compiled yet."""

    @jit.njit(apart=True)
    def difference(x):
        return x[0] - x[1]

    return difference


def test_both_threads_make_kernels_apart(monkeypatch):
    """What the second thread has not begun when the entry is ready is not waited for."""

    difference = difference_apart()

    @entry
    def both(parameters):
        return half_of_product(parameters) * difference(parameters)

    here, make, made = threading.current_thread(), compiler._machine_code, []
    made_here = threading.Event()

    def slowly(*job):
        if threading.current_thread() is here:
            made_here.set()
        else:
            assert made_here.wait(60)
        made.append(threading.current_thread() is here)
        return make(*job)

    monkeypatch.setattr(compiler, "_machine_code", slowly)
    assert both(np.array([3.0, 5.0])) == -15
    assert sorted(made) == [False, True]


LOOPS = [(0, 5, 1), (0, 0, 1), (3, 1, 1), (2, 9, 3), (2, 11, 3), (5, -1, -1), (9, 1, -4), (1, 9, -4), (-3, 3, 2)]


@pytest.mark.parametrize("numbers", LOOPS)
def test_loops(numbers):
    """Kernels have a way of their own to go through a range."""

    @jit.njit
    def go(start, stop, step, seen):
        n = 0
        for i in range(start, stop, step):
            seen[n] = i
            i += 100  # changes nothing
            stop += 1  # nor does this
            n += 1
        return n

    @jit.njit
    def go_by_one(start, stop, seen):
        n, last = 0, -100
        for i in range(start, stop):
            seen[n], n, last = i, n + 1, i
        for _ in range(stop):
            n += 100
        return n, last

    @jit.standalone
    def through(start, stop, step, seen):
        return go(start, stop, step, seen)

    @jit.standalone
    def through_by_one(start, stop, seen):
        return go_by_one(start, stop, seen)

    start, stop, step = numbers
    seen = np.zeros(20, np.int64)
    assert seen[: through(start, stop, step, seen)].tolist() == list(range(start, stop, step))
    some = list(range(start, stop))
    assert through_by_one(start, stop, seen) == (len(some) + 100 * len(range(stop)), some[-1] if some else -100)
    assert seen[: len(some)].tolist() == some


def test_kernel_apart_after_an_interrupted_compilation(monkeypatch):
    """What LLVM had not begun is made when the next entry needs it."""

    difference = difference_apart()

    @entry
    def negated(parameters):
        return -difference(parameters)

    @entry
    def kept(parameters):
        return difference(parameters)

    def interrupt(library):
        raise KeyboardInterrupt

    made, begin = machine_code_made(monkeypatch), threading.Event()
    with monkeypatch.context() as patch:
        submit = ThreadPoolExecutor.submit

        def submit_behind(executor, *job):
            submit(executor, begin.wait)
            return submit(executor, *job)

        patch.setattr(ThreadPoolExecutor, "submit", submit_behind)
        patch.setattr(compiler.EntryLibrary, "finalize", interrupt)
        threading.Timer(0.5, begin.set).start()
        with pytest.raises(KeyboardInterrupt):
            negated(np.array([3.0, 5.0]))
    assert made == []
    assert (kept(np.array([3.0, 5.0])), negated(np.array([3.0, 5.0]))) == (-2, 2)
    assert made == [threading.current_thread().name]


@pytest.mark.parametrize("first", ["OUTER", "OTHER"])
def test_kernels_apart_of_several_processes_meet(tiny, first):
    """Each process numbers its kernels as it meets them; in a third one they must not be taken for one another."""
    (tiny.package / "inner.py").write_text(INNERS)
    (tiny.package / "other.py").write_text(OTHER)
    alone = [RUN, RUN.replace("outer", "other").replace("total", "other_total")]
    for code in alone if first == "OUTER" else alone[::-1]:
        assert tiny.finish(tiny.start(code))[1] == 0
    output, errors = tiny.start("".join(alone)).communicate(timeout=400)
    assert [json.loads(line) for line in output.splitlines()] == [
        {"result": 12, "hits": 1},
        {"result": 110, "hits": 1},
    ], errors


def test_checked_build(tiny):
    (tiny.package / "inner.py").write_text(INNER.replace("x[0]", "x[len(x)]"))
    process = tiny.start(FASTPROP_CHECKED="1")
    _, errors = process.communicate(timeout=400)
    assert process.returncode != 0
    assert "IndexError" in errors


# The real kernels

TRAIN = """
import numpy as np
import fastprop

def train(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 2))
    net = fastprop.Network([5, 20, 2], seed=seed)
    net.fit(X, y, optimizer=fastprop.Adam(0.01), epochs=20)
    return net.get_parameters()
"""


def train(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 2))
    net = Network([5, 20, 2], seed=seed)
    net.fit(X, y, optimizer=Adam(0.01), epochs=20)
    return net.get_parameters()


def test_a_new_process_compiles_nothing():
    train(0)
    code = (
        TRAIN
        + """
from fastprop.kernels import training
parameters = train(0)
stats = training.train.dispatcher.stats
print(parameters.tobytes().hex(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    parameters, hits, misses = done.stdout.split()
    assert (hits, misses) == ("1", "0")
    assert parameters == train(0).tobytes().hex()


def test_threads():
    """Each with a network of its own, at the same time, with the same results as one after the other."""
    results = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: train(i)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(results[i], train(i))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes(method, tmp_path):
    """Of a parent that has trained, too."""
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    script = tmp_path / "script.py"
    script.write_text(
        TRAIN
        + f"""
import multiprocessing

if __name__ == "__main__":
    here = [train(seed) for seed in range(3)]
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        there = pool.map(train, range(3))
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(train(0), here[0])
"""
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
