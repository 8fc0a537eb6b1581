"""One loop on several threads, and many networks at once: the same bits, no aborts, no hangs."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from fastprop.kernels import barrier, jit

import fastprop
import fastprop.network
from fastprop import threads

COUNTS = (2, 3, 4, 7)
ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu")
OPTIMIZERS = {
    "sgd": lambda: fastprop.SGD(0.01),
    "momentum": lambda: fastprop.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda: fastprop.Adam(0.01),
}
LOSSES = {
    "squared_error": "identity",
    "mse": "tanh",
    "mae": "identity",
    "huber": "identity",
    "binary_cross_entropy": "sigmoid",
    "cross_entropy": "softmax",
    "poisson": "softplus",
}


@pytest.fixture
def all_threads(monkeypatch):
    """As many threads as were asked for, however small the work."""
    monkeypatch.setattr(fastprop.network, "worth", lambda most, *_: most)
    monkeypatch.setattr(threads.Pace, "saw", lambda *_: None)


def data(inputs, outputs, rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, inputs)), rng.uniform(0, 1, (rows, outputs))


def trained(count, sizes, rows, batch, optimizer="adam", epochs=2, **settings):
    net = fastprop.Network(sizes, seed=3, threads=count, **settings)
    X, y = data(sizes[0], sizes[-1], rows)
    if settings.get("loss") == "cross_entropy":
        y = y.argmax(axis=1)
    weights = np.random.default_rng(1).uniform(0, 1, rows)
    rule = OPTIMIZERS[optimizer]()
    history = net.fit(X, y, optimizer=rule, epochs=epochs, batch_size=batch, sample_weight=weights)
    step = net.train_step(X, y, rule)
    return [
        net.get_parameters(), rule._moments, np.array(history.loss), np.array(step), net.predict(X),
        np.array(net.evaluate(X, y, weights)),
    ]  # fmt: skip


def assert_same_bits(expected, found):
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


# The same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("sizes", "rows", "batch"),
    [
        ((8, 32, 32, 1), 100, 32),
        ((3, 2, 2, 1), 29, 7),  # fewer rows and units than threads
        ((5, 70, 1, 3), 700, 600),  # gradients are stored
        ((40, 100, 10), 5, 1),  # one observation at a time
        ((300, 33, 5), 130, 50),  # halves of the sum over the inputs
        ((784, 20), 70, 64),
        ((257, 9, 1), 9, 1),
        ((1, 1), 3, 2),
    ],
)
def test_bits_do_not_depend_on_the_number_of_threads(all_threads, sizes, rows, batch, dtype):
    expected = trained(1, sizes, rows, batch, hidden="tanh", dtype=dtype)
    for count in COUNTS:
        assert_same_bits(expected, trained(count, sizes, rows, batch, hidden="tanh", dtype=dtype))


@pytest.mark.parametrize(("rows", "batch"), [(90, 37), (10, 1)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_bits_with_every_loss_and_optimizer(all_threads, loss, optimizer, rows, batch):
    settings = {"loss": loss, "output": LOSSES[loss], "optimizer": optimizer}
    expected = trained(1, (11, 19, 5), rows, batch, **settings)
    for count in COUNTS:
        assert_same_bits(expected, trained(count, (11, 19, 5), rows, batch, **settings))


@pytest.mark.parametrize("frozen", [[], [1], [2], [1, 3], [1, 2, 3]])
def test_bits_of_single_observations(all_threads, frozen):
    """One thread has a way of its own with them: with frozen layers and with weights of 0, which are no steps, too."""
    X, y = data(9, 70, 12)
    weights = np.arange(12) % 3

    def learn(count):
        net = fastprop.Network([9, 20, 8, 70], output="softmax", seed=3, threads=count)
        net.frozen, rule = frozen, fastprop.Adam(0.01)
        history = net.fit(X, y.argmax(axis=1), optimizer=rule, epochs=2, batch_size=1, sample_weight=weights)
        return [net.get_parameters(), rule._moments, np.array(history.loss), np.array(rule._steps)]

    expected = learn(1)
    assert expected[-1] == 16
    for count in COUNTS:
        assert_same_bits(expected, learn(count))


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_bits_with_every_activation(all_threads, hidden):
    expected = trained(1, (270, 19, 5), 90, 37, hidden=hidden)
    assert_same_bits(expected, trained(2, (270, 19, 5), 90, 37, hidden=hidden))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sizes", [(8, 32, 16, 3), (300, 20, 3), (3, 1), (2, 2, 1)])
def test_bits_do_not_depend_on_the_parts_of_a_batch(all_threads, monkeypatch, sizes, optimizer, dtype):
    """A batch that goes through the network in parts gives what it gives as a whole."""
    settings = {"dropout": 0.2, "dtype": dtype, "optimizer": optimizer}
    monkeypatch.setattr(fastprop.buffers, "PART_BYTES", 1 << 40)
    expected = trained(1, sizes, 700, 630, **settings)
    monkeypatch.setattr(fastprop.buffers, "PART_BYTES", 1 << 9)
    for rows in (7, 64):
        monkeypatch.setattr(fastprop.buffers, "PART_ROWS", rows)
        monkeypatch.setattr(fastprop.buffers, "PART_ROWS_OF_MANY", rows)
        for count in (1, 2, 3):
            assert_same_bits(expected, trained(count, sizes, 700, 630, **settings))


def test_a_large_batch_takes_the_room_of_a_small_one():
    X, y = data(20, 1, 10_000)
    net = fastprop.Network([20, 64, 64, 1], seed=0)
    net.fit(X, y, batch_size=len(X))
    assert net._units.data.nbytes < 8 << 20  # 10,000 rows of a and δ alone take 11 MB


def test_the_number_of_threads_is_chosen_on_the_way_and_changes_nothing():
    """Pace tries 1, 2 and 4 threads within one fit."""
    found = []
    for count in (1, 4, "auto"):
        net = fastprop.Network([64, 256, 10], seed=0, threads=count)
        net.fit(*data(64, 10, 2000), epochs=8)
        found.append([net.get_parameters()])
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])


def test_pace_settles_on_the_fastest_and_tries_the_others_again():
    pace, taken, cost = threads.Pace(4, 4), [], {1: 3.0, 2: 1.0, 4: 2.0}

    def go(slices):
        for _ in range(slices):
            taken.append(pace.threads)
            # The first slice is slow, and so is one of the best number's in each trial.
            slow = not taken[:-1] or (pace.trying and taken[-1] == 2 and taken[-4:-1].count(2) == 0)
            pace.saw(cost[pace.threads] * 100 * (20 if slow else 1), 100)

    trial = 3 * pace.TURNS
    go(1000)
    assert sorted(taken[1:4]) == sorted(taken[4:7]) == [1, 2, 4]
    assert taken[1 + trial : 1 + trial + pace.SOON] == [2] * pace.SOON
    assert {1, 4} <= set(taken[1 + trial + pace.SOON : 1 + 2 * trial + pace.SOON])
    assert taken.count(2) > 0.95 * len(taken)  # less and less often
    cost[1] = 0.5
    go(2 * pace.LATE)
    assert taken[-1] == 1


def test_pace_gets_over_a_disturbed_trial():
    """While all numbers are tried somebody else takes a core, so that one thread looks best."""
    pace, taken = threads.Pace(2, 2), []

    def go(slices, cost):
        for _ in range(slices):
            taken.append(pace.threads)
            pace.saw(cost[pace.threads], 1)

    go(1000, {1: 2.0, 2: 1.0})
    while not pace.trying:
        go(1, {1: 2.0, 2: 1.0})
    go(2 * pace.TURNS, {1: 2.0, 2: 4.0})
    assert (pace.threads, pace.trying) == (1, False)
    taken.clear()
    go(40, {1: 2.0, 2: 1.0})
    assert taken.count(2) > 28


def test_trials_that_confirm_what_was_expected_cost_little():
    pace, taken = threads.Pace(2, 2), []
    for _ in range(300):
        taken.append(pace.threads)
        pace.saw({1: 1.9, 2: 1.0}[pace.threads], 1)
    first = 1 + 2 * pace.TURNS
    assert taken[:first].count(1) == pace.TURNS
    assert taken[first : first + 55].count(1) == 0
    assert 0 < taken[first:].count(1) * 0.9 < 0.05 * (len(taken) - first)


def test_small_work_stays_on_one_thread():
    assert threads.worth(2, 3 * 9 * 1, 10**6) == 1  # steps of XOR
    net = fastprop.Network([2, 2, 1], threads=2)
    assert net._pace(4, 10**6, 2)._choices == [1]
    assert threads.worth(2, 3 * 100_000 * 64, 100) == 2
    assert threads.worth(2, 3 * 1024 * 1024 * 256) == 2


# Bad data, divergence, errors


@pytest.mark.parametrize("batch", [16, 1])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_bad_input_is_refused_at_any_number(all_threads, count, batch):
    for sizes in ((4, 8, 1), (300, 8, 1)):  # rows shared out, and columns
        X, y = data(sizes[0], 1, 64)
        net = fastprop.Network(sizes, seed=0, threads=count)
        before = net.get_parameters()
        X[37, 2] = np.nan
        with pytest.raises(ValueError, match=r"X must be finite, got nan at row 37, column 2"):
            net.fit(X, y, batch_size=batch)
        assert_same_bits([before], [net.get_parameters()])
        X[37, 2], y[5] = 0, np.inf
        with pytest.raises(ValueError, match="y must be finite, got inf at row 5"):
            net.fit(X, y, batch_size=batch)
        y[5] = 0
        net.fit(X, y, batch_size=batch)


@pytest.mark.parametrize(("batch", "rate"), [(32, 1.0), (1, 1e-3)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_divergence_goes_back_to_the_last_good_epoch(all_threads, count, batch, rate):
    X, y = data(300, 1, 64)
    places = []
    for threads_now in (2 if count == 1 else 1, count):
        net = fastprop.Network([300, 8, 1], seed=0, threads=threads_now)
        with pytest.raises(fastprop.DivergenceError) as caught:
            net.fit(X, 1e3 * y, optimizer=fastprop.SGD(rate), epochs=50, batch_size=batch)
        places.append((caught.value.epoch, caught.value.step))
    assert places[0] == places[1]
    twin = fastprop.Network([300, 8, 1], seed=0)
    if caught.value.epoch:
        twin.fit(X, 1e3 * y, optimizer=fastprop.SGD(rate), epochs=caught.value.epoch, batch_size=batch)
    assert_same_bits([twin.get_parameters()], [net.get_parameters()])


def test_an_error_in_one_thread_reaches_the_caller_and_the_others_return():
    sync = np.zeros(barrier.SPEEDS, np.int64)
    wait = _standalone_wait()

    def give_up():
        sync[barrier.FAILED] = 1

    def work(thread, count):
        if thread == 1:
            raise OSError("thread 1 fails")
        assert not wait(sync, count)

    with pytest.raises(OSError, match="thread 1 fails"):
        threads.together(3, work, give_up)
    met = []
    threads.together(3, lambda thread, count: met.append(thread), give_up)  # the crew is fit for more work
    assert sorted(met) == [0, 1, 2]


def test_fewer_threads_where_the_system_grants_no_more(monkeypatch):
    def refuse():
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threads, "_Worker", refuse)
    met = []
    threads.together(4, lambda thread, count: met.append((thread, count)), lambda: None)
    assert met == [(0, 1)]


def _standalone_wait():
    def wait(sync, count):
        return barrier.wait(sync, count)

    return jit.standalone(wait)


# Who gets how much


@pytest.fixture(scope="module")
def note():
    def note(sync, kind, thread, done, time):
        barrier.note_speed(sync, kind, thread, done, time)

    compiled = jit.standalone(note)
    return lambda sync, *rest: compiled(sync, *map(np.int64, rest))


@pytest.fixture(scope="module")
def shares():
    def share(sync, kind, thread, threads):
        return barrier.share_of(sync, kind, thread, threads)

    compiled = jit.standalone(share)
    return lambda sync, kind, count: [
        compiled(sync, np.int64(kind), np.int64(thread), np.int64(count)) for thread in range(count)
    ]


def lines(count):
    return np.zeros(barrier.SPEEDS + barrier.LINE * count, np.int64)


KINDS = [barrier.OF_BATCH, barrier.OF_WEIGHTS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speeds", [(1, 1), (3, 1), (1, 2, 4), (5, 1, 1, 1, 1, 1, 10**12), (10**12,) * 64, (1,)])
def test_shares_are_in_proportion_to_the_speeds(shares, kind, speeds):
    sync = lines(len(speeds))
    for thread, speed in enumerate(speeds):
        sync[barrier.SPEEDS + barrier.LINE * thread + kind] = speed
    found = shares(sync, kind, len(speeds))
    borders = list(itertools.chain(*found))
    assert borders[0] == 0
    assert borders[-1] == barrier.WHOLE
    assert borders[1:-1:2] == borders[2::2]  # no gap, nothing twice
    for (low, high), speed in zip(found, speeds, strict=True):
        assert high - low == pytest.approx(barrier.WHOLE * speed / sum(speeds), abs=1)


def test_equal_speeds_share_grains_evenly(shares):
    sync = lines(3)
    sync[barrier.SPEEDS :: barrier.LINE] = 77
    assert [3 * high // barrier.WHOLE for _, high in shares(sync, barrier.OF_BATCH, 3)] == [1, 2, 3]


@pytest.mark.parametrize("count", [1, *COUNTS])
def test_equal_shares_where_a_speed_is_not_known(shares, note, count):
    sync = lines(count)
    for thread in range(count):
        note(sync, barrier.OF_BATCH, thread, 10 + thread, 1000 if thread else 0)  # 0 is what a missing clock says
    for low, high in shares(sync, barrier.OF_BATCH, count):
        assert high - low == pytest.approx(barrier.WHOLE / count, abs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_become_such_that_all_end_at_once(shares, note, kind):
    """Two threads of which one takes three times as long over the same, with 5 ticks for what does not depend on it."""
    sync = lines(2)
    for _ in range(60):
        (_, border), _ = shares(sync, kind, 2)
        rows = 1000 * border // barrier.WHOLE
        times = 5 + 3 * rows, 5 + (1000 - rows)
        note(sync, kind, 0, rows, times[0])
        note(sync, kind, 1, 1000 - rows, times[1])
    assert times[0] == pytest.approx(times[1], rel=0.1)


def test_one_interruption_moves_little_and_a_flutter_nothing(shares, note):
    sync = lines(2)
    for thread in range(2):
        note(sync, barrier.OF_BATCH, thread, 500, 1000)
    equal = shares(sync, barrier.OF_BATCH, 2)
    for took in (1010, 990, 1005):
        note(sync, barrier.OF_BATCH, 0, 500, took)
        assert shares(sync, barrier.OF_BATCH, 2) == equal
    note(sync, barrier.OF_BATCH, 0, 500, 10**9)
    (_, border), _ = shares(sync, barrier.OF_BATCH, 2)
    assert 0.44 < border / barrier.WHOLE < 0.5


def test_a_thread_that_got_nothing_gets_something_again(shares, note):
    sync = lines(2)
    sync[barrier.SPEEDS :: barrier.LINE] = 1, 1000
    sync[barrier.SPEEDS + barrier.SMOOTH :: barrier.LINE] = 8, 1000
    for _ in range(30):
        note(sync, barrier.OF_BATCH, 0, 0, 10)
    (_, border), _ = shares(sync, barrier.OF_BATCH, 2)
    assert border > barrier.WHOLE / 4


def test_speeds_where_nobody_gets_anything(shares, note):
    """As with all layers frozen: they must not grow beyond what an integer holds."""
    sync = lines(3)
    sync[barrier.SPEEDS :: barrier.LINE] = sync[barrier.SPEEDS + barrier.SMOOTH :: barrier.LINE] = 10**9
    for _ in range(500):
        for thread in range(3):
            note(sync, barrier.OF_BATCH, thread, 0, 10)
    assert sync.max() <= barrier.FASTEST
    assert [round(3 * high / barrier.WHOLE, 3) for _, high in shares(sync, barrier.OF_BATCH, 3)] == [1, 2, 3]


@pytest.mark.parametrize("speeds", [(1, 9), (9, 1), (1, 1, 1000), (1000, 1, 1), (3, 1, 5, 2)])
@pytest.mark.parametrize("sizes", [(30, 70, 3), (300, 33, 5)])
def test_bits_do_not_depend_on_the_shares(all_threads, sizes, speeds):
    def learn(count):
        net = fastprop.Network(sizes, seed=3, threads=count)
        X, y = data(sizes[0], sizes[-1], 200)
        rule = fastprop.Adam(0.01)
        net.fit(X, y, optimizer=rule, epochs=1, batch_size=70)
        if count > 1:
            for kind in (*KINDS, barrier.OF_BATCH + barrier.SMOOTH, barrier.OF_WEIGHTS + barrier.SMOOTH):
                net._sync[barrier.SPEEDS + kind :: barrier.LINE] = np.multiply(speeds, 10**8)
        net.fit(X, y, optimizer=rule, epochs=2, batch_size=70)
        return [net.get_parameters(), rule._moments]

    assert_same_bits(learn(1), learn(len(speeds)))


def test_a_loop_notes_how_fast_its_threads_are(all_threads):
    net = fastprop.Network([30, 70, 3], seed=3, threads=3)
    net.fit(*data(30, 3, 200), epochs=3)
    speeds = net._sync[barrier.SPEEDS :].reshape(3, -1)
    assert (speeds[:, KINDS] > 0).all()


@pytest.mark.parametrize("bad", [0, -1, 1.5, "many", None, True])
def test_bad_threads(bad):
    with pytest.raises((TypeError, ValueError), match="threads must be"):
        fastprop.Network([1, 1], threads=bad)


# Whatever else the process does


def test_networks_in_several_python_threads(all_threads):
    expected, found = trained(1, (20, 30, 3), 200, 32), {}

    def run(number):
        found[number] = trained(1 + number % 3, (20, 30, 3), 200, 32)

    crew = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(60)
    for number in range(6):
        assert_same_bits(expected, found[number])


def test_one_network_in_two_threads_is_refused():
    net = fastprop.Network([50, 400, 10], seed=0, threads=2)
    X, y = data(50, 10, 4000)
    thread = threading.Thread(target=lambda: net.fit(X, y, epochs=10**6, callbacks=[stop]))

    class Stop(fastprop.Callback):
        now = False

        def on_step(self, run):
            if self.now:
                run.stop()

    stop = Stop()
    thread.start()
    try:
        limit = time.monotonic() + 30
        while not net._alone._lock.locked() and time.monotonic() < limit:
            time.sleep(0.01)
        for call in (lambda: net.predict(X), lambda: net.fit(X, y), lambda: net.train_step(X, y, fastprop.Adam())):
            with pytest.raises(RuntimeError, match="in use by another thread"):
                call()
    finally:
        stop.now = True
        thread.join(30)
    assert not thread.is_alive()


CHILDREN = """
import multiprocessing
import sys

import numpy as np
import fastprop
import fastprop.network
from fastprop import threads

fastprop.network.worth = lambda most, *_: most
threads.Pace.saw = lambda *_: None


def train(count, queue=None):
    net = fastprop.Network([20, 30, 3], seed=3, threads=count)
    X = np.random.default_rng(0).standard_normal((100, 20))
    net.fit(X, X[:, :3], epochs=2, batch_size=32)
    bits = net.get_parameters().tobytes()
    return bits if queue is None else queue.put(bits)


if __name__ == "__main__":
    method, first = sys.argv[1:]
    context = multiprocessing.get_context(method)
    if first == "parent":
        train(2)
    queue = context.Queue()
    child = context.Process(target=train, args=(2, queue))
    child.start()
    found = queue.get(timeout=100)
    child.join(60)
    print(child.exitcode, found == train(1) == train(2))
"""


@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children(method, first, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} does not exist here")
    script = tmp_path / "script.py"  # what a spawned child imports
    script.write_text(CHILDREN)
    result = subprocess.run([sys.executable, script, method, first], capture_output=True, text=True, timeout=120)
    assert result.stdout.split() == ["0", "True"], result.stderr


def test_beside_a_parallel_kernel_of_numba(all_threads):
    import numba

    @numba.njit(parallel=True)
    def total(x):
        result = 0.0
        for i in numba.prange(len(x)):
            result += x[i]
        return result

    x = np.ones(100_000)
    expected = trained(1, (20, 30, 3), 100, 32)
    assert total(x) == 100_000
    assert_same_bits(expected, trained(2, (20, 30, 3), 100, 32))
    assert total(x) == 100_000


def test_beside_scikit_learn(all_threads):
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y = data(5, 1, 200)
    expected = trained(1, (20, 30, 3), 100, 32)
    forest = ensemble.RandomForestRegressor(n_estimators=8, n_jobs=2, random_state=0)
    for _ in range(2):
        forest.fit(X, y[:, 0])
        assert_same_bits(expected, trained(2, (20, 30, 3), 100, 32))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot limit a process to a core")
def test_more_threads_than_cores(all_threads):
    cores = os.sched_getaffinity(0)
    expected = trained(1, (20, 30, 3), 64, 32)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert threads.usable() == 1
        assert_same_bits(expected, trained(4, (20, 30, 3), 64, 32))
        assert fastprop.Network([2, 1], threads="auto")._most == 1
    finally:
        os.sched_setaffinity(0, cores)


STOPPED = """
import os, signal, sys, threading, time
import numpy as np
import fastprop, fastprop.network
from fastprop import threads

fastprop.network.worth = lambda most, *_: most
threads.Pace.saw = lambda *_: None
X = np.random.default_rng(0).standard_normal((2000, 50), dtype=np.float32)
net = fastprop.Network([50, 100, 1], seed=0, threads=2)
net.fit(X, X[:, 0], epochs=1)


def sleep(signal, frame):
    time.sleep(1)  # the main thread, while the other one waits at a barrier or for work


class StopInTime(fastprop.Callback):
    def on_epoch_end(self, run):
        if time.perf_counter() - began > 1.3:
            run.stop()


signal.signal(signal.SIGALRM, sleep)
signal.setitimer(signal.ITIMER_REAL, 0.15)
began = time.perf_counter()
history = net.fit(X, X[:, 0], epochs=10**6, callbacks=[StopInTime()])
twin = fastprop.Network([50, 100, 1], seed=0)
twin.fit(X, X[:, 0], epochs=1)
twin.fit(X, X[:, 0], epochs=len(history))
print(np.array_equal(net.get_parameters(), twin.get_parameters()), time.perf_counter() - began > 1)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_a_thread_that_stops_for_a_second():
    result = subprocess.run(
        [sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert result.stdout.split() == ["True", "True"], result.stderr


INTERRUPTED = """
import _thread, signal, sys, threading, time
import numpy as np
import fastprop, fastprop.network
from fastprop import threads

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background jobs start without

fastprop.network.worth = lambda most, *_: most
threads.Pace.saw = lambda *_: None
count = int(sys.argv[1])
X = np.random.default_rng(0).standard_normal((5000, 100), dtype=np.float32)
net = fastprop.Network([100, 200, 1], seed=0, threads=count)
net.fit(X, X[:, 0], epochs=1)
lateness = []
for pause in np.linspace(0.05, 0.3, 6):
    pressed = []

    def press():
        time.sleep(pause)
        pressed.append(time.perf_counter())
        _thread.interrupt_main()

    thread = threading.Thread(target=press)
    thread.start()
    try:
        net.fit(X, X[:, 0], epochs=10**6)
    except KeyboardInterrupt:
        late = time.perf_counter() - pressed[0]
    thread.join()
    lateness.append(late)
    assert np.isfinite(net.get_parameters()).all()
    net.predict(X[:10])
assert min(lateness) < 0.2 and max(lateness) < 1.0, lateness  # a busy machine may be late now and then
print("done")
"""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ctrl_c(count):
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(count)], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.strip() == "done", result.stderr


# Many networks


def networks():
    return [
        fastprop.Network([6, 8, 1], hidden="tanh", seed=0),
        fastprop.Network([6, 40, 20, 1], seed=1, dtype="float64"),
        fastprop.Network([6, 1], seed=2),
        fastprop.Network([6, 16, 1], hidden="gelu", output="sigmoid", seed=3, threads=2),
    ]


EACH = [
    {"optimizer": "sgd", "epochs": 3},
    {"batch_size": 7},
    {"X": np.ones((5, 6)), "y": np.zeros(5), "batch_size": 5},
    {"epochs": 0},
]


@pytest.mark.parametrize("count", [1, 2, 3, "auto"])
def test_each_of_many_networks_gets_the_bits_it_would_have_got_alone(count):
    X, y = data(6, 1, 50)
    alone, together = networks(), networks()
    expected = [net.fit(**{"X": X, "y": y, "epochs": 4, **mine}) for net, mine in zip(alone, EACH, strict=True)]
    found = fastprop.fit_many(together, X, y, epochs=4, each=EACH, threads=count)
    assert [history.loss for history in found] == [history.loss for history in expected]
    assert_same_bits([net.get_parameters() for net in alone], [net.get_parameters() for net in together])


def test_many_networks_and_what_is_wrong_with_one():
    X, y = data(6, 1, 50)
    nets = networks()
    before = [net.get_parameters() for net in nets]
    shared = fastprop.Adam()
    for error, match, arguments in (
        (ValueError, r"networks\[1\]: batch_size must be", {"each": [{}, {"batch_size": 51}, {}, {}]}),
        (TypeError, r"networks\[0\]: .*'epoch'", {"epoch": 3}),
        (ValueError, "each must have one entry", {"each": [{}]}),
        (ValueError, "optimizers must differ", {"optimizer": shared}),
        (ValueError, "diverged must be one of", {"diverged": "ignore"}),
        (ValueError, "threads must be", {"threads": 0}),
    ):
        with pytest.raises(error, match=match):
            fastprop.fit_many(nets, X, y, **arguments)
    with pytest.raises(ValueError, match="networks must differ"):
        fastprop.fit_many([nets[0], nets[0]], X, y)
    with pytest.raises(TypeError, match=r"networks\[1\] must be a Network"):
        fastprop.fit_many([nets[0], "net"], X, y)
    assert_same_bits(before, [net.get_parameters() for net in nets])
    assert fastprop.fit_many([], X, y) == []


def test_one_of_many_networks_diverges():
    X, y = data(6, 1, 50)
    each = [{"optimizer": fastprop.SGD(rate)} for rate in (0.01, 1e20, 0.02)]
    nets = [fastprop.Network([6, 1], seed=k) for k in range(3)]
    with pytest.raises(fastprop.DivergenceError):
        fastprop.fit_many(nets, X, y, epochs=5, each=each)
    alone = fastprop.Network([6, 1], seed=2)
    alone.fit(X, y, epochs=5, optimizer=fastprop.SGD(0.02))
    assert_same_bits([alone.get_parameters()], [nets[2].get_parameters()])
    nets = [fastprop.Network([6, 1], seed=k) for k in range(3)]
    each = [{"optimizer": fastprop.SGD(rate)} for rate in (0.01, 1e20, 0.02)]
    histories = fastprop.fit_many(nets, X, y, epochs=5, each=each, diverged="keep")
    assert [len(history) for history in histories] == [5, 0, 5]


def test_ensemble():
    X, y = data(6, 1, 50)
    ensemble = fastprop.Ensemble(fastprop.Network([6, 8, 1], seed=k) for k in range(3))
    ensemble.fit(X, y, epochs=2)
    outputs = np.stack([net.predict(X) for net in ensemble.networks])
    mean, spread = ensemble.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, outputs.mean(axis=0))
    np.testing.assert_array_equal(spread, outputs.std(axis=0))
    np.testing.assert_array_equal(ensemble.predict(X), mean)
    with pytest.raises(ValueError, match="at least one"):
        fastprop.Ensemble([])
    with pytest.raises(ValueError, match=r"3 and 1 in networks\[1\]"):
        fastprop.Ensemble([fastprop.Network([2, 1]), fastprop.Network([3, 1])])
    with pytest.raises(TypeError, match=r"networks\[0\] must be a Network"):
        fastprop.Ensemble(["net"])


@pytest.mark.parametrize("count", [1, 2])
def test_predict_and_evaluate_come_back_to_python_between_two_pieces(all_threads, monkeypatch, count):
    X, y = data(20, 3, 2000)
    weights = np.random.default_rng(1).uniform(0, 1, 2000)
    net = fastprop.Network([20, 30, 3], seed=0, threads=count)
    calls, found = [], []
    whole = net._infer_rows
    monkeypatch.setattr(net, "_infer_rows", lambda X, *others: calls.append(len(X)) or whole(X, *others))
    for span in (net._inference_span, 256):
        net._inference_span = span
        found.append([net.predict(X), np.array(net.evaluate(X, y)), np.array(net.evaluate(X, y, weights))])
    assert calls == [2000] * 3 + [256] * 7 + [208] + [256] * 7 + [208] + [256] * 7 + [208]
    assert_same_bits(*found)
    X[1999, 4] = np.inf
    with pytest.raises(ValueError, match="got inf at row 1999, column 4"):
        net.predict(X)
