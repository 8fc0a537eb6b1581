"""Files: the same bits again, read by others, and nothing believed that is damaged. Copies and pickles too."""

import copy
import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from hashlib import sha256

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fastprop
from fastprop.activations import ACTIVATIONS
from fastprop.losses import LOSSES
from fastprop.optimizers import OPTIMIZERS
from fastprop.safetensors import LONGEST_HEADER

HIDDEN = [fastprop.LeakyReLU(0.3), *(name for name in ACTIVATIONS if name != "softmax"), fastprop.ELU(0.1)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def data(rng):
    return rng.uniform(size=(50, 3)), rng.uniform(0.1, 0.9, size=(50, 2))


def trained(data, optimizer, epochs=3, dtype="float32"):
    net = fastprop.Network([3, 7, 2], "tanh", seed=4, dtype=dtype)
    net.fit(*data, optimizer=optimizer, epochs=epochs)
    return net


def assert_same(net, other):
    assert repr(net) == repr(other)
    assert {**net._arguments(), "threads": 1} == {**other._arguments(), "threads": 1}
    assert (net._counter, net.frozen) == (other._counter, other.frozen)
    assert net.get_parameters().tobytes() == other.get_parameters().tobytes()


def craft(path, metadata, tensors=None, numbers=b"", version="1", claim=None):
    """A file with a right checksum and whatever else: what a malicious or a later writer could make."""
    entries = {"__metadata__": {"fastprop": version, "checksum": "0" * 64, **metadata}, **(tensors or {})}
    seal(path, json.dumps(entries, separators=(",", ":")).encode(), numbers, claim)


def seal(path, header, numbers=b"", claim=None):
    raw = (claim or len(header)).to_bytes(8, "little") + header + numbers
    path.write_bytes(raw.replace(b"0" * 64, sha256(raw).hexdigest().encode(), 1))


# What is kept.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_network(path, data, dtype):
    adam = fastprop.Adam(0.01)
    net = trained(data, adam, dtype=dtype)
    net.save(path)
    again = fastprop.load(path)
    assert_same(net, again)
    np.testing.assert_array_equal(net.predict(data[0]), again.predict(data[0]))
    for one in (net, again):  # the shuffles too
        one.fit(*data, optimizer=fastprop.SGD(0.1), epochs=2)
    assert_same(net, again)


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_every_activation(path, output):
    net = fastprop.Network([2, *range(1, len(HIDDEN) + 1), 3], HIDDEN, output, seed=1)
    net.save(path)
    assert_same(net, fastprop.load(path))


@pytest.mark.parametrize("loss", [*LOSSES, fastprop.Huber(0.7), fastprop.CrossEntropy(0.1)])
def test_every_loss(path, loss):
    net = fastprop.Network([2, 2], output="sigmoid", loss=loss, seed=1)
    net.save(path)
    assert fastprop.load(path).loss == net.loss


def test_everything_that_makes_a_network_is_kept():
    """But for first weights: a new argument of the constructor has to go into `_arguments`, and so into files."""
    net = fastprop.Network([1, 1])
    assert {*inspect.signature(fastprop.Network).parameters} - {"init"} == {*net._arguments()}


def test_frozen_layers_stay_so(path, data):
    net = fastprop.Network([3, 4, 2], seed=0)
    net.frozen = [1]
    net.save(path)
    copies = [fastprop.load(path), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    net.fit(*data)
    for again in copies:
        assert again.frozen == (1,)
        again.fit(*data)
        assert_same(net, again)


def test_large_seeds(path):
    net = fastprop.Network([1, 1], seed=2**64 - 1)
    net.save(path)
    assert_same(net, fastprop.load(path))


def test_threads_go_with_copies_but_not_into_files(path):
    net = fastprop.Network([1, 1], threads="auto")
    assert copy.copy(net).threads == "auto"
    net.save(path)
    net = fastprop.load(path)
    assert net.threads == 1
    net.threads = 3
    assert net.threads == 3
    with pytest.raises(ValueError, match="threads must be an integer ≥ 1, got 0"):
        net.threads = 0
    assert net.threads == 3


def test_numbers_of_any_kind(path):
    net = fastprop.Network([2, 2], seed=0)
    net.weights[0][...] = [[np.nan, -np.inf], [-0.0, 1e-45]]
    net.save(path)
    assert_same(net, fastprop.load(path))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resumed_is_as_if_never_stopped(path, data, name, dtype):
    whole, first = OPTIMIZERS[name](), OPTIMIZERS[name]()
    expected = trained(data, whole, 5, dtype)
    trained(data, first, 2, dtype).save(path, optimizer=first, epoch=2)
    net, rule, epoch = fastprop.resume(path)
    assert (repr(rule), rule.steps, epoch) == (repr(first), first.steps, 2)
    net.fit(*data, optimizer=rule, epochs=3)
    assert_same(net, expected)
    assert rule.steps == whole.steps


def test_momentum_and_a_changed_rate(path, data):
    rule = fastprop.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    net = trained(data, rule)
    rule.learning_rate = 0.05
    net.save(path, optimizer=rule)
    other, again, _ = fastprop.resume(path)
    assert repr(again) == repr(rule)
    net.fit(*data, optimizer=rule)
    other.fit(*data, optimizer=again)
    assert_same(net, other)


SCHEDULES = [
    fastprop.ConstantRate(0.05), fastprop.StepDecay(0.05, every=3), fastprop.ExponentialDecay(0.05, 0.9),
    fastprop.CosineDecay(0.05, steps=20, warmup=3), fastprop.OneCycle(0.05, steps=20),
    fastprop.ReduceOnPlateau(0.05, patience=0, tolerance=0.5),
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("copied", [False, True])
def test_a_schedule_goes_on_where_it_stood(path, data, schedule, copied):
    rule = fastprop.AdamW(0.1, l1=1e-3, clip_norm=0.5, clip_value=0.2)
    net = trained(data, rule)
    rule.learning_rate = schedule  # in the midst of it
    net.fit(*data, optimizer=rule, epochs=2)
    net.save(path, optimizer=rule)
    other, again, _ = fastprop.resume(path)
    if copied:
        again = copy.deepcopy(rule)
    assert repr(again) == repr(rule)
    assert again.learning_rate == rule.learning_rate
    net.fit(*data, optimizer=rule, epochs=2)
    other.fit(*data, optimizer=again, epochs=2)
    assert_same(net, other)
    assert again.learning_rate == rule.learning_rate


def test_an_optimizer_before_its_first_step(path, data):
    net, unused = fastprop.Network([3, 7, 2], "tanh", seed=4), fastprop.Adam(0.01)
    net.save(path, optimizer=unused)
    fastprop.Network([1, 1]).fit([[1]], [1], optimizer=unused)  # is nobody's yet
    net, adam, epoch = fastprop.resume(path)
    assert (adam.steps, epoch) == (0, 0)
    net.fit(*data, optimizer=adam, epochs=3)
    assert_same(net, trained(data, fastprop.Adam(0.01)))


def test_load_reads_checkpoints_and_resume_wants_one(path, data):
    adam = fastprop.Adam()
    net = trained(data, adam)
    net.save(path, optimizer=adam)
    assert_same(net, fastprop.load(path))
    net.save(path)
    with pytest.raises(ValueError, match=r"without an optimizer to go on with; fastprop\.load reads it"):
        fastprop.resume(path)


# What others read.


def test_anybodys_safetensors_reads_it(path):
    net = fastprop.Network([3, 5, 2], "tanh", seed=1)
    net.save(path)
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    for m in range(2):
        np.testing.assert_array_equal(tensors[f"{2 * m}.weight"], net.weights[m].T)
        np.testing.assert_array_equal(tensors[f"{2 * m}.bias"], net.biases[m])
    with safetensors.safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["network"])["sizes"] == [3, 5, 2]
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert length % 8 == 0


def test_pytorch_loads_it(path, data):
    torch = pytest.importorskip("torch")
    from torch import nn

    net = fastprop.Network([3, 5, 4, 2], ["tanh", "relu"], "identity", seed=1)
    net.save(path)
    state = {name: torch.from_numpy(array) for name, array in safetensors.numpy.load_file(path).items()}
    model = nn.Sequential(
        nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2), nn.Identity()
    )  # fmt: skip
    model.load_state_dict(state)
    X = data[0].astype(np.float32)
    np.testing.assert_allclose(model(torch.from_numpy(X)).detach().numpy(), net.predict(X), rtol=1e-5, atol=1e-6)


# What is refused.


def test_every_damaged_byte_is_noticed(path):
    net = fastprop.Network([1, 2, 1], seed=0)
    adam = fastprop.Adam()
    net.train_step([[1.0]], [1.0], adam)
    net.save(path, optimizer=adam)
    whole = path.read_bytes()
    for i in range(len(whole)):
        for flip in (1, 0x20, 0xFF):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :])
            with pytest.raises(ValueError, match=r"model\.safetensors' (is|was) "):
                fastprop.load(path)


def test_every_other_length_is_noticed(path):
    fastprop.Network([1, 2, 1], seed=0).save(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"is damaged|is not"):
            fastprop.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="is damaged"):
        fastprop.load(path)


def test_random_bytes_are_refused(path, rng):
    for size in (0, 1, 8, 9, 100, 5000):
        path.write_bytes(rng.bytes(size))
        with pytest.raises(ValueError, match="is damaged"):
            fastprop.load(path)


def test_foreign_files_are_refused(path, data):
    safetensors.numpy.save_file({"0.weight": np.zeros((1, 1), np.float32)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match="is not a file of fastprop's"):
        fastprop.load(path)
    path.write_bytes(pickle.dumps(fastprop.Network([1, 1])))
    with pytest.raises(ValueError, match="no safetensors file"):
        fastprop.load(path)


@pytest.mark.parametrize("version", ["2", "10", "999999999"])
def test_later_versions_are_refused(path, version):
    craft(path, {"whatever": "comes"}, version=version)
    with pytest.raises(ValueError, match=rf"written by a later fastprop, in version {version}; this one reads up to 1"):
        fastprop.load(path)


NETWORK = {
    "sizes": [1, 1], "hidden": [], "output": {"name": "identity"}, "loss": {"name": "mse"}, "dtype": "float32",
    "seed": 0, "frozen": [], "position": 0,
}  # fmt: skip
TENSORS = {
    "0.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
    "0.bias": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
}


def test_crafted_files_begin_with_one_that_loads(path):
    craft(path, {"network": json.dumps(NETWORK)}, TENSORS, bytes(8))
    assert fastprop.load(path).sizes == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [1]}, {"sizes": []}, {"sizes": [1, 2]}, {"sizes": [1, 10**12]}, {"sizes": "11"}, {"sizes": None},
        {"sizes": [10**9] * 1000}, {"sizes": [True, 1]}, {"sizes": [1.0, 1.0]}, {"sizes": {"0": 1}},
        {"hidden": ["relu"]}, {"hidden": [{"name": "relu"}]}, {"hidden": 3}, {"output": {"name": "softmax"}},
        {"output": {"name": "os.system"}}, {"output": {"name": "elu", "alpha": -1}}, {"output": {"slope": 1}},
        {"output": {"name": "elu", "beta": 1}}, {"output": {"name": "elu", "alpha": 1, "beta": 1}},
        {"output": {"name": "relu", "code": 99, "family": "he"}}, {"output": {"name": ["elu"]}}, {"output": "identity"},
        {"loss": {"name": "huber", "delta": "1"}}, {"loss": {"name": "relu"}}, {"loss": None},
        {"dtype": "float16"}, {"dtype": "float64"}, {"dtype": ["float32"]}, {"seed": -1}, {"seed": 2**64},
        {"threads": 1}, {"frozen": [2]}, {"frozen": 1}, {"position": -1}, {"position": "0"},
        {"position": 2**64}, {"more": 1}, {"init": "zeros"},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_are_checked(path, change):
    craft(path, {"network": json.dumps({**NETWORK, **change})}, TENSORS, bytes(8))
    with pytest.raises(ValueError, match="does not describe a network that this fastprop knows"):
        fastprop.load(path)


@pytest.mark.parametrize("missing", ["sizes", "hidden", "output", "loss", "dtype", "frozen", "position"])
def test_descriptions_are_complete(path, missing):
    network = {name: value for name, value in NETWORK.items() if name != missing}
    craft(path, {"network": json.dumps(network)}, TENSORS, bytes(8))
    with pytest.raises(ValueError, match="does not describe a network that this fastprop knows"):
        fastprop.load(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, "1" * 10_000, '"sizes"'], ids=lambda t: t[:9])
def test_descriptions_are_json_objects(path, text):
    craft(path, {"network": text}, TENSORS, bytes(8))
    with pytest.raises(ValueError, match="does not describe a network"):
        fastprop.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"class": "Optimizer"}, {"class": "Popen"}, {"class": None}, {"learning_rate": -1}, {"learning_rate": "1"},
        {"beta3": 1}, {"beta1": 1}, {"learning_rate": {}}, {"learning_rate": {"schedule": "Schedule"}},
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": -1}},
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": 1}},  # its course is missing
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": 1}, "course": [0] * 8},
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": 1}, "course": [0, 2] + [0] * 7},
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": 1}, "course": [-1] + [0] * 8},
        {"learning_rate": {"schedule": "ConstantRate", "learning_rate": 1}, "course": ["0"] * 9},
    ],
    ids=str,
)  # fmt: skip
def test_optimizers_are_checked(path, change):
    craft(
        path,
        {
            "network": json.dumps(NETWORK), "steps": "1", "epoch": "0",
            "optimizer": json.dumps({"class": "SGD", "learning_rate": 0.1, **change}),
        },
        TENSORS, bytes(8),
    )  # fmt: skip
    with pytest.raises(ValueError, match="does not describe a network that this fastprop knows"):
        fastprop.load(path)


@pytest.mark.parametrize("change", [{"steps": "-1"}, {"steps": "x"}, {"epoch": "-1"}, {"epoch": "1.5"}], ids=str)
def test_counts_are_checked(path, change):
    optimizer = '{"class": "SGD", "learning_rate": 0.1}'
    metadata = {"network": json.dumps(NETWORK), "optimizer": optimizer, "steps": "1", "epoch": "0"}
    craft(path, metadata, TENSORS, bytes(8))
    assert fastprop.resume(path).optimizer.steps == 1
    craft(path, {**metadata, **change}, TENSORS, bytes(8))
    with pytest.raises(ValueError, match="does not describe a network that this fastprop knows"):
        fastprop.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1]}, {"shape": [-1, -1]}, {"shape": [10**30, 1]}, {"shape": [1] * 1000}, {"shape": [True, 1]},
        {"shape": "11"}, {"shape": None}, {"dtype": "F64"}, {"dtype": "I8"}, {"dtype": []},
        {"data_offsets": [4, 8]}, {"data_offsets": [0, 8]}, {"data_offsets": [0]}, {"data_offsets": [4, 0]},
        {"data_offsets": [-4, 0]}, {"data_offsets": None},
    ],
    ids=str,
)  # fmt: skip
def test_tensors_are_checked(path, change):
    tensors = {**TENSORS, "0.weight": {**TENSORS["0.weight"], **change}}
    craft(path, {"network": json.dumps(NETWORK)}, tensors, bytes(8))
    with pytest.raises(ValueError, match="does not describe"):
        fastprop.load(path)


@pytest.mark.parametrize("numbers", [b"", bytes(7), bytes(9), bytes(1000)], ids=len)
def test_files_are_as_long_as_their_tensors_need(path, numbers):
    craft(path, {"network": json.dumps(NETWORK)}, TENSORS, numbers)
    with pytest.raises(ValueError, match="its header does not describe its numbers"):
        fastprop.load(path)


def test_headers_are_json(path):
    begin = b'{"__metadata__":{"fastprop":"1","checksum":"' + b"0" * 64 + b'"'
    deep = b"}," + b"[" * 10**6
    for end in (b"", b"}", b"}}", b',"network":1}}', deep, b'},"0.weight":3}', b'},"0.weight":[]}', b"\xff"):
        seal(path, begin + end)
        with pytest.raises(ValueError, match=r"does not describe|is not a safetensors"):
            fastprop.load(path)


OVERSIZED = """
import resource, sys, fastprop
fastprop.Network([1, 1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        fastprop.load(path)
    except ValueError as error:
        print("refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, "KiB")
"""


def test_oversized_files_take_no_memory(tmp_path):
    """A terabyte that is not there, headers that claim one, and a network that would take one."""
    paths = [tmp_path / f"{i}.safetensors" for i in range(7)]
    claims = ((2**40, 100), (2**63 + 1, 100), (LONGEST_HEADER + 1, 2**40), (2**39, 2**40), (1000, 2**40))
    for path, (header_length, size) in zip(paths, claims, strict=False):
        with open(path, "wb") as file:
            file.write(header_length.to_bytes(8, "little") + b'{"__metadata__":{"fastprop":"1","checksum":"')
            file.truncate(size)
    craft(paths[-1], {"network": json.dumps({**NETWORK, "sizes": [10**5, 10**5]})}, TENSORS, bytes(8))
    craft(paths[-2], {"network": json.dumps(NETWORK)}, TENSORS, bytes(8), claim=2**40)
    done = subprocess.run([sys.executable, "-P", "-c", OVERSIZED, *paths], capture_output=True, text=True, check=True)
    *refused, taken = done.stdout.splitlines()
    assert refused == ["refused"] * len(paths)
    assert int(taken.split()[0]) < 10_000


def _places(tree):
    """Each (container, key) of a tree of JSON."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


STRANGE = [
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**70, 1e308, 0.5, float("nan"), float("inf"), "", "1", "relu", "F64",
    "Adam", "float64", [], {}, [[]], [1, 1], {"name": "relu"}, {"name": "elu", "alpha": 3},
]  # fmt: skip


def test_whatever_a_header_says_is_a_network_or_refused(path, rng):
    """Headers with random parts replaced, removed or doubled, under a right checksum."""
    net = fastprop.Network([1, 2, 1], fastprop.ELU(0.5), seed=0)
    net.save(path, optimizer=fastprop.SGD(0.1, momentum=0.9))
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__")
    whole = {name: json.loads(metadata[name]) for name in ("network", "optimizer")} | {"tensors": header}
    refused = 0
    for _ in range(400):
        tree = copy.deepcopy(whole)
        for _ in range(rng.integers(1, 3)):
            places = list(_places(tree))
            container, key = places[rng.integers(len(places))]
            if container is tree:
                continue
            match rng.integers(6):
                case 0:
                    del container[key]
                case 1 if isinstance(container, list):
                    container.append(container[key])
                case 1:
                    container["more"] = container[key]
                case _:
                    container[key] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
        described = {name: json.dumps(tree[name]) for name in ("network", "optimizer")}
        craft(path, {**described, "steps": "1", "epoch": "1"}, tree["tensors"], raw[start:])
        try:
            assert fastprop.resume(path).network.num_parameters == 7
        except ValueError:
            refused += 1
    assert 200 < refused < 400


def test_only_regular_files(tmp_path):
    net = fastprop.Network([1, 1])
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match="is not a regular file"):
            fastprop.load(place)
        with pytest.raises(ValueError, match="path must be a regular file"):
            net.save(place)
    with pytest.raises(FileNotFoundError):
        fastprop.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="missing/model'"):
        net.save(tmp_path / "missing" / "model")
    assert sorted(os.listdir(tmp_path)) == ["pipe"]


def test_saving_refuses_anothers_optimizer(path, data):
    adam = fastprop.Adam()
    net = trained(data, adam)
    net.save(path, optimizer=adam)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="state of another network"):
        fastprop.Network([3, 7, 2]).save(path, optimizer=adam)
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got 'adam'"):
        net.save(path, optimizer="adam")
    with pytest.raises(ValueError, match="epoch must be an integer ≥ 0, got -1"):
        net.save(path, optimizer=adam, epoch=-1)
    assert path.read_bytes() == before


def test_only_the_thread_that_trains_saves_meanwhile(path, data):
    net, refused = fastprop.Network([3, 2], seed=0), []

    class Save(fastprop.Callback):
        def on_epoch_end(self, run):
            def elsewhere():
                for save in (lambda: net.save(path), lambda: pickle.dumps(net)):
                    with pytest.raises(RuntimeError, match="in use by another thread"):
                        save()
                    refused.append(save)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            net.save(path)

    net.fit(*data, callbacks=[Save()])
    assert len(refused) == 2
    assert_same(net, fastprop.load(path))


def test_a_disk_that_is_full_leaves_the_old_file(path, monkeypatch):
    net = fastprop.Network([1, 1], seed=0)
    net.save(path)
    before = path.read_bytes()
    net.set_parameters([1, 2])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert (path.read_bytes(), os.listdir(path.parent)) == (before, [path.name])


def test_all_is_on_disk_before_the_renaming_and_after(path, monkeypatch):
    calls = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(os.readlink(f"/proc/self/fd/{file}")))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("replace") or replace(*names))
    fastprop.Network([1, 1]).save(path)
    assert calls[0].startswith(f"{path}.")
    assert calls[1:] == ["replace", str(path.parent)]


def test_paths_of_any_kind(tmp_path):
    net = fastprop.Network([1, 1])
    for path in (tmp_path / "ä b", str(tmp_path / "str"), os.fsencode(tmp_path / "bytes")):
        net.save(path)
        assert_same(net, fastprop.load(path))
    for wrong in (3, None, net):
        with pytest.raises(TypeError, match="expected str, bytes or os"):
            net.save(wrong)
        with pytest.raises(TypeError, match="expected str, bytes or os"):
            fastprop.load(wrong)


def test_links_and_permissions(tmp_path, path):
    net = fastprop.Network([1, 1], seed=0)
    link = tmp_path / "link"
    link.symlink_to(path)
    net.save(link)
    assert link.is_symlink()
    assert_same(net, fastprop.load(path))
    umask = os.umask(0o022)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


WRITER = """
import sys, fastprop
net = fastprop.Network([400, 2000, 400], seed=0)
for i in range(10**9):
    for array in net.weights + net.biases: array[...] = i
    net.save(sys.argv[1])
    if i < 2: print(i, flush=True)
"""


def test_killed_while_writing_leaves_a_whole_file(path, rng):
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-P", "-c", WRITER, path], stdout=subprocess.PIPE)
        writer.stdout.readline(), writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        parameters = fastprop.load(path).get_parameters()
        assert (parameters == parameters[0]).all()


# Checkpoints.

RUN = """
import pathlib, sys
import numpy as np
import fastprop

path, total = pathlib.Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
X = rng.standard_normal((500, 20), dtype=np.float32)
y = np.sin(X @ rng.standard_normal(20, dtype=np.float32))
if path.exists():
    net, optimizer, epoch = fastprop.resume(path)
else:
    optimizer = fastprop.AdamW(fastprop.OneCycle(0.02, steps=1600), clip_norm=1.0)
    net, epoch = fastprop.Network([20, 50, 1], "silu", dropout=0.1, seed=3), 0

class Say(fastprop.Callback):
    def on_epoch_end(self, run):
        print("epoch", flush=True)

checkpoint = fastprop.Checkpoint(path, start=epoch)
net.fit(X, y, optimizer=optimizer, epochs=total - epoch, callbacks=[checkpoint, Say()])
print("done", net.get_parameters().tobytes().hex(), optimizer.steps, net.fit(X, y, optimizer=optimizer).loss)
"""


def run(path, total, kill_after=None):
    """Start the run above; return its last line, or None if it was killed so many seconds after its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", RUN, path, str(total)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    with process:
        if kill_after is not None:
            process.stdout.readline()
            time.sleep(kill_after)
            process.kill()
        *_, last = ["", *process.stdout]
    return last if last.startswith("done") else None


def test_killed_and_resumed_is_as_if_never_killed(tmp_path, rng):
    path, kills = tmp_path / "run.safetensors", 0
    while (result := run(path, 100, rng.uniform(0, 0.05) if kills < 3 else None)) is None:
        kills += 1
    assert kills > 0
    assert fastprop.resume(path).epoch == 100
    assert result == run(tmp_path / "other.safetensors", 100)


@pytest.mark.parametrize(
    ("epochs", "total", "written"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (9, 4, [4]), (1, 0, [])]
)
def test_checkpoints_come_when_they_are_due(path, data, monkeypatch, epochs, total, written):
    seen, net = [], fastprop.Network([3, 2], seed=0)
    save = net.save
    monkeypatch.setattr(net, "save", lambda *_, **options: seen.append(options["epoch"]) or save(*_, **options), False)
    net.fit(*data, epochs=total, callbacks=[fastprop.Checkpoint(path, epochs, start=10)])
    assert seen == [10 + epoch for epoch in written]
    assert path.exists() == bool(written)


class Ends(fastprop.Callback):
    """Ends a run after its third epoch, or in the middle of that one."""

    every = 1

    def __init__(self, how):
        self.how = how

    def on_step(self, run):
        if self.how == "stop within" and run.epoch == 2 and run.part:
            run.stop()

    def on_epoch_end(self, run):
        if self.how == "stop" and run.epoch == 3:
            run.stop()
        if self.how == "fail" and run.epoch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("how", "written"), [("stop", 3), ("stop within", 2), ("fail", 2), ("not", 9)])
def test_what_is_written_is_the_end_of_an_epoch(path, data, how, written):
    net = fastprop.Network([3, 2], seed=0)
    with pytest.raises(KeyboardInterrupt) if how == "fail" else nullcontext():
        net.fit(*data, epochs=9, batch_size=10, callbacks=[Ends(how), fastprop.Checkpoint(path, 2)])
    assert fastprop.resume(path).epoch == written
    adam, twin = fastprop.Adam(), fastprop.Network([3, 2], seed=0)
    twin.fit(*data, epochs=written, batch_size=10, optimizer=adam)
    assert_same(twin, fastprop.load(path))


class Interrupt(fastprop.Callback):
    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, run):
        if run.epoch == self.after:
            raise KeyboardInterrupt


def stopping_run(data, restore_best, path=None, ends=(), interrupted=False):
    """Train with early stopping, from the file again after each of so many epochs; return what comes of it."""
    (X, y), total = data, 300
    options = {"validation_data": (X[30:], y[30:]), "metrics": ["mae"], "batch_size": 10}
    optimizer, net = fastprop.Adam(0.02), fastprop.Network([3, 40, 2], "tanh", seed=4)
    stopping, start = fastprop.EarlyStopping(patience=12, restore_best=restore_best), 0
    for end in (*ends, total):
        callbacks = [fastprop.Checkpoint(path, start=start)] if path else []
        if interrupted:
            callbacks.append(Interrupt(end - start))
        with suppress(KeyboardInterrupt):
            net.fit(
                X[:30], y[:30], optimizer=optimizer, epochs=(total if interrupted else end) - start,
                early_stopping=stopping, callbacks=callbacks, **options,
            )  # fmt: skip
        if path:
            before = stopping
            stopping = fastprop.EarlyStopping(patience=12, restore_best=restore_best)
            net, optimizer, start = fastprop.resume(path, early_stopping=stopping)
            assert stopping._state() == before._state()
    return net, optimizer, stopping


@pytest.mark.parametrize("restore_best", [True, False])
@pytest.mark.parametrize("interrupted", [True, False])
def test_early_stopping_goes_on_too(path, data, restore_best, interrupted):
    expected, its_optimizer, its_stopping = stopping_run(data, restore_best)
    assert its_stopping.stopped
    epochs = its_stopping._epochs
    net, optimizer, stopping = stopping_run(data, restore_best, path, (1, epochs // 2, epochs - 3), interrupted)
    assert_same(net, expected)
    assert optimizer.steps == its_optimizer.steps
    assert stopping._state() == its_stopping._state()
    assert fastprop.resume(path).epoch == epochs


def test_early_stopping_wants_what_was_watched(path, data):
    stopping, adam = fastprop.EarlyStopping(patience=2), fastprop.Adam()
    net = fastprop.Network([3, 2], seed=0)
    net.fit(*data, optimizer=adam, early_stopping=stopping)
    with pytest.raises(ValueError, match="must be the one that watched this network and optimizer"):
        net.save(path, optimizer=adam, early_stopping=fastprop.EarlyStopping())
    with pytest.raises(ValueError, match="must go with the optimizer"):
        net.save(path, early_stopping=stopping)
    net.save(path, optimizer=adam)
    for other in (stopping, fastprop.EarlyStopping(restore_best=False)):
        with pytest.raises(ValueError, match="holds nothing that such an early_stopping could go on from"):
            fastprop.resume(path, early_stopping=other)
        net.save(path, optimizer=adam, early_stopping=stopping)
    raw = path.read_bytes()
    for seen in ({"best": "1"}, {"best_epoch": -1}, {"stopped": 0}, {"kept": False}, {"kept": None}, {"epochs": 1.5}):
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        metadata = header.pop("__metadata__")
        changed = json.dumps({**json.loads(metadata["early_stopping"]), **seen})
        kept = ("network", "optimizer", "steps", "epoch")
        craft(path, {**{k: metadata[k] for k in kept}, "early_stopping": changed}, header, raw[start:])
        with pytest.raises(ValueError, match="does not describe"):
            fastprop.load(path)


@pytest.mark.parametrize(("options", "says"), [({"epochs": 0}, "epochs must be"), ({"start": -1}, "start must be")])
def test_checkpoints_check_their_numbers(path, options, says):
    with pytest.raises(ValueError, match=says):
        fastprop.Checkpoint(path, **options)


# Copies and pickles.

COPIES = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_go_on_by_themselves(copied, data, dtype):
    adam = fastprop.Adam(0.01)
    net = trained(data, adam, 2, dtype)
    twin, rule = copied(net), copied(adam)
    assert_same(net, twin)
    net.fit(*data, optimizer=adam, epochs=3)
    assert rule.steps < adam.steps
    twin.fit(*data, optimizer=rule, epochs=3)
    assert_same(net, twin)
    assert_same(net, trained(data, fastprop.Adam(0.01), 5, dtype))


def test_copied_optimizers_want_the_same_layout(data):
    adam = fastprop.Adam()
    trained(data, adam)
    for other in (fastprop.Network([3, 6, 2]), fastprop.Network([3, 7, 2], dtype="float64")):
        with pytest.raises(ValueError, match=r"had the same sizes and dtype; got .* \[3, 7, 2\], float32"):
            other.fit(*data, optimizer=copy.copy(adam))
    rule = copy.copy(adam)
    fastprop.Network([3, 7, 2]).fit(*data, optimizer=rule)
    with pytest.raises(ValueError, match="state of another network"):
        fastprop.Network([3, 7, 2]).fit(*data, optimizer=rule)


def test_a_copied_optimizer_survives_a_divergence(data):
    rule = fastprop.SGD(0.1, momentum=0.9)
    net = trained(data, rule)
    twin, again = copy.deepcopy((net, rule))
    again.learning_rate = 1e30
    with pytest.raises(fastprop.DivergenceError):
        twin.fit(*data, optimizer=again, epochs=9)
    again.learning_rate = 0.1
    net.fit(*data, optimizer=rule)
    twin.fit(*data, optimizer=again)
    assert net.get_parameters().tobytes() == twin.get_parameters().tobytes()


def test_history_and_errors_pickle(data):
    net = fastprop.Network([3, 2], seed=0)
    history = net.fit(*data, epochs=2)
    assert pickle.loads(pickle.dumps(history)) == history
    with pytest.raises(fastprop.DivergenceError) as caught:
        net.fit(*data, optimizer=fastprop.SGD(1e30), epochs=5)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), vars(error)) == (str(caught.value), vars(caught.value))
    assert isinstance(error, fastprop.DivergenceError)


def cube(z):
    return z * z * z


def slope_of_cube(z):
    return 3 * z * z


def test_functions_of_ones_own_go_with_copies_but_not_into_files(path, data):
    own = fastprop.Activation("cube", cube, slope_of_cube)
    loss = fastprop.Loss("half", lambda a, t: (a - t) ** 2 / 2, lambda a, t: a - t)
    for options in ({"hidden": own}, {"output": own}, {"loss": loss}):
        net = fastprop.Network([3, 2, 2], seed=0, **options)
        with pytest.raises(ValueError, match=r"one's own cannot be saved: (Activation\('cube'|Loss\('half')"):
            net.save(path)
        assert not path.exists()
        twin = copy.deepcopy(net)
        for one in (net, twin):
            one.fit(*data, epochs=2)
        assert_same(net, twin)
    assert_same(net := fastprop.Network([1, 1], output=own), pickle.loads(pickle.dumps(net)))
    net = fastprop.Network([1, 1], loss=loss)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(net)
