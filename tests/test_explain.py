"""The page of `fastprop explain`: its text against the kernels, and in headless Chromium what it computes and does."""

import itertools
import json
import re
import shutil
import tomllib
from functools import reduce
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fastprop
from fastprop import cli, explain, reference

from .worked_examples import EXAMPLES, PATHS, VANISHING, XOR

ROOT = Path(__file__).parents[1]
CHROMIUM, DRIVER = (next(filter(None, map(shutil.which, names)), None) for names in (
    ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",),
))  # fmt: skip

ACTIVATIONS = [*reference.ACTIVATIONS, "LeakyReLU", "ELU"]
OBJECTS = {
    "LeakyReLU": fastprop.LeakyReLU(0.2),
    "ELU": fastprop.ELU(0.5),
    "Huber": fastprop.Huber(0.3),
    "smoothed": fastprop.CrossEntropy(label_smoothing=0.1),
}


def example(name, dtype="float64"):
    """A worked example as network, x and t."""
    case = EXAMPLES[name]
    *hidden, output = case.activations
    sizes = [len(case.weights[0]), *map(len, case.biases)]
    net = fastprop.Network(sizes, hidden, output, loss=case.loss, dtype=dtype, seed=0)
    pairs = zip(case.weights, case.biases, strict=True)
    net.set_parameters(np.concatenate([p.ravel() for pair in pairs for p in pair]))
    return net, case.x[0], case.target


def wide_example():
    rng = np.random.default_rng(3)
    net = fastprop.Network([40, 20, 3], "relu", "softmax", seed=3)
    return net, rng.standard_normal(40), 1


class Cells(HTMLParser):
    """What the page says at each data-at or data-all, without its script."""

    def __init__(self, page):
        super().__init__()
        self.found, self.current, self.loads = {}, None, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loads += [values[name] for name in ("src", "href", "srcset", "data", "action") if name in values]
        if tag in ("td", "span"):
            self.current = values.get("data-at") or values.get("data-all")
            if self.current:
                self.found[self.current] = ""
        elif tag == "input" and self.current:
            self.found[self.current] = values["value"]

    def handle_data(self, data):
        if self.current:
            self.found[self.current] += data

    def handle_endtag(self, tag):
        if tag in ("td", "span"):
            self.current = None


def number(text):
    return float(text.replace("−", "-"))


def passes(net, x, t):
    """By the key of the page's cells, what the kernels computed."""
    net.forward(np.asarray(x)[None])
    C = net.backward(np.asarray(t)[None] if np.ndim(t) == 0 else np.reshape(t, (1, -1)))
    found = {"a 0": net.activations[0][0]}
    for m in range(1, len(net.sizes)):
        found |= {
            f"z {m}": net.pre_activations[m - 1][0], f"a {m}": net.activations[m][0], f"d {m}": net.deltas[m - 1][0],
            f"W {m}": net.weights[m - 1], f"b {m}": net.biases[m - 1],
            f"gW {m}": net.weight_gradients[m - 1], f"gb {m}": net.bias_gradients[m - 1],
        }  # fmt: skip
    entries = {"C 0": C}
    for key, values in found.items():
        for index, value in np.ndenumerate(values):
            entries[" ".join(map(str, (key, *index)))] = float(value)
    return entries


# What is in the page before any script has run.


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_number_is_there_as_text(name):
    net, x, t = example(name)
    cells = Cells(explain.page(net, x, t)).found
    for key, value in passes(net, x, t).items():
        assert number(cells[key]) == pytest.approx(value, abs=5.001e-5), key
        if not re.match(r"[Wb] |a 0", key):
            assert re.fullmatch(r"−?\d+\.\d{4}", cells[key]), key


def test_xor_as_the_lecture_has_it():
    cells = Cells(explain.page(*example("xor"))).found
    expected = {
        "z 1 0": "−0.5300", "a 1 1": "0.7389", "a 2 0": "0.7553", "C 0": "0.0299", "d 2 0": "−0.0452",
        "d 1 0": "0.0023", "d 1 1": "−0.0051", "gW 2 0 0": "−0.0168", "gW 2 1 0": "−0.0334", "gW 1 1 0": "0.0000",
    }  # fmt: skip
    assert {key: cells[key] for key in expected} == expected


def test_a_wide_layer_is_summarised():
    net, x, t = wide_example()
    cells = Cells(explain.page(net, x, t)).found
    values = passes(net, x, t)
    z = [values[f"z 1 {k}"] for k in range(20)]
    assert [number(text) for text in cells["z 1"].split(", ")[-20:]] == pytest.approx(z, abs=5.1e-5)  # each neuron
    assert "W 1 0 0" not in cells
    W = net.weights[0].astype(float)
    low, high, norm = map(number, re.fullmatch(r"(\S+) to (\S+), norm (\S+)", cells["W 1"]).groups())
    assert (low, high, norm) == pytest.approx((W.min(), W.max(), np.linalg.norm(W)), abs=5.1e-5)
    assert number(cells["d 2 1"]) == pytest.approx(values["d 2 1"], abs=5.1e-5)  # three outputs, one by one


def test_small_and_large_numbers_keep_their_digits():
    assert [explain.fixed(v) for v in (0.0, -0.0, 1.23456e-7, -2.5e9, 0.00005, 999999.0)] == [
        "0.0000", "0.0000", "1.2346e−7", "−2.5000e+9", "0.0001", "999999.0000"
    ]  # fmt: skip


def test_nothing_is_loaded():
    for net, x, t in (example("xor"), wide_example()):
        page = explain.page(net, x, t)
        assert all(target.startswith(("#", "data:,")) for target in Cells(page).loads)
        assert not re.search(r"https?:|@import|url\((?!#)|import\(|fetch\(|XMLHttpRequest", page)
        assert "default-src 'none'" in page


def test_a_title_is_text():
    title = "</script><script>alert(1)</script>{{network}}<b>"
    page = explain.page(*example("xor"), title=title)
    assert page.count("</script>") == 2
    assert "alert(1)</script>" not in page
    assert "&lt;b&gt;" in page
    assert "{{network}}&lt;b&gt;" in page  # what comes in is not filled in again


def test_data_cannot_end_the_script(monkeypatch):
    monkeypatch.setattr("fastprop.trace.Trace.to_dict", lambda *_, **__: {"x": "</script><!--"})
    page = explain.page(*example("xor"))
    assert page.count("</script>") == 2
    assert "</script><!--" not in page


def test_the_users_buffers_are_left_alone():
    net, x, t = example("two paths", "float32")
    net.forward(np.ones((4, 3)))
    before = [z.copy() for z in net.pre_activations]
    explain.page(net, x, t)
    assert all(np.array_equal(p, q) for p, q in zip(before, net.pre_activations, strict=True))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": [1.0]}, ValueError, r"x must be one row of shape \(2,\), got .*\(1,\)"),
        ({"x": [1.0, np.nan]}, ValueError, "x must be finite"),
        ({"x": ["a", "b"]}, TypeError, "x must be an array of real numbers"),
        ({"t": [1.0, 2.0]}, ValueError, "t must be one row"),
        ({"t": np.inf}, ValueError, "t must"),
        ({"learning_rate": -1}, ValueError, "learning_rate must be a finite number ≥ 0"),
        ({"net": "xor"}, TypeError, "net must be a Network"),
        ({"net": fastprop.Network([800, 800, 1], seed=0)}, ValueError, "at most 500,000 parameters"),
    ],
)
def test_refusals(change, error, says):
    net, x, t = example("xor")
    with pytest.raises(error, match=says):
        explain.page(**{"net": net, "x": x, "t": t, **change})


def test_the_package_carries_the_template():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["fastprop"]
    assert "explain.html" in packaged


# The command.


@pytest.fixture
def run(capsys, tmp_path):
    def run(line, html=tmp_path / "page.html"):
        try:
            code = cli.main(["explain", *line.split(), "--html", str(html)])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err, html.read_text(encoding="utf-8") if html.exists() else ""

    return run


def opening(page):
    """The data that the script starts from."""
    return json.loads(re.search(r'<script type="application/json" id="network">(.*?)</script>', page)[1])


def test_command_xor(run, tmp_path):
    code, out, _, page = run("xor")
    assert (code, out.count("\n")) == (0, 1)
    assert str(tmp_path / "page.html") in out
    assert page == explain.page(*example("xor"), title="XOR")
    assert run("")[3] == page


@pytest.mark.parametrize(("name", "case"), [("two-paths", "two paths"), ("two-passes", "two passes")])
def test_command_worked_examples(run, name, case):
    page = run(name)[3]
    assert number(Cells(page).found["C 0"]) == pytest.approx(EXAMPLES[case].C, abs=5e-5)


def test_command_options(run):
    line = "--sizes 2 3,2 --hidden gelu --output softmax --seed 4 --input -1,0.5 --target 1 --learning-rate 0.1"
    data = opening(run(line)[3])
    net = fastprop.Network([2, 3, 2], "gelu", "softmax", dtype="float64", seed=4)
    assert data["x"] == [-1, 0.5]
    assert data["t"] == [0, 1]
    assert data["learning_rate"] == 0.1
    assert [layer["activation"]["name"] for layer in data["layers"]] == ["gelu", "softmax"]
    assert [layer["weights"] for layer in data["layers"]] == [w.tolist() for w in net.weights]
    data = opening(run("--sizes 1 1 --parameters 2 -0.5 --input 3 --target 0 --loss mae")[3])
    assert (data["layers"][0]["weights"], data["layers"][0]["biases"]) == ([[2]], [-0.5])
    assert data["loss_function"]["name"] == "mae"


def test_command_saved_network(run, tmp_path):
    net = fastprop.Network([3, 4, 2], "elu", "sigmoid", seed=1)
    net.save(tmp_path / "model.safetensors")
    code, _, _, page = run(f"{tmp_path / 'model.safetensors'} --input 1 -1 0.25 --target 0 1")
    assert code == 0
    assert "<strong>model.safetensors</strong>" in page
    assert [layer["weights"] for layer in opening(page)["layers"]] == [w.tolist() for w in net.weights]
    assert opening(page)["t"] == [0, 1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nope", "WHAT must be xor, two-paths, two-passes or the file of a saved network, got 'nope'"),
        ("xor --sizes 2 1", "--sizes must come without WHAT"),
        ("--hidden relu", "--hidden must come with --sizes"),
        ("xor --input 1", r"x must be one row of shape \(2,\), got .*\(1,\)"),
        ("xor --input 1,x", "--input: expected numbers such as 1 0 or 1,0, got '1,x'"),
        ("--sizes 3 4 3 --output softmax --target 7", "t must .*label.*, got 7"),
        ("--sizes 3 4 3 --hidden nope", "hidden must be one of"),
        ("xor --learning-rate -1", "learning_rate must be"),
    ],
)
def test_command_refusals_are_one_line(run, line, says):
    code, out, err, page = run(line)
    err = err.replace("compiling the kernels, once ...\n", "")
    assert (code, out, err.count("\n"), page) == (2, "", 1, "")
    assert re.search(says, err)


def test_a_folder_that_is_not_there(run, tmp_path):
    code, _, err, _ = run("xor", tmp_path / "missing" / "page.html")
    assert code == 2
    assert "page.html: No such file or directory" in err


# In the browser. The tests that need it are skipped where it is not installed; `.ci/run` installs it.


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: python3 -m pip install '.[test]'")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
                 f"user-data-dir={tmp_path_factory.mktemp('chromium')}", "window-size=1280,900"):  # fmt: skip
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


class Page:
    """A page in the browser, with what the tests do to it."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get_log("browser")
        browser.get(path.as_uri())

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def count(self, selector):
        return self.js("return document.querySelectorAll(arguments[0]).length", selector)

    def at(self, key):
        """A number of the tables, as the page shows it."""
        return number(self.text(f'#numbers [data-at="{key}"]'))

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def click(self, selector):
        self.into_view(selector).click()

    def into_view(self, selector):
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        return element

    def type(self, selector, text):
        from selenium.webdriver.common.keys import Keys

        field = self.into_view(selector)
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def keys(self, *keys):
        """Pressed with nothing in focus but the page."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def emulate(self, width, dark=False, media=""):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


@pytest.fixture
def open_page(chromium, folder):
    """Open the page of a network; afterwards there must be nothing on the console."""
    pages = []

    def open_page(net, x, t, **options):
        path = folder / f"{len(list(folder.iterdir()))}.html"
        path.write_text(explain.page(net, x, t, **options), encoding="utf-8")
        pages.append(Page(chromium, path))
        pages[-1].emulate(1280)
        return pages[-1]

    yield open_page
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0


def walk(page):
    """The formula card of every step, clicking through them."""
    cards = [page.text("#formula")]
    while page.find("#next").is_enabled():
        page.click("#next")
        cards.append(page.text("#formula"))
    return [re.sub(r"\s+", " ", card) for card in cards]


def test_stepping_through_xor_shows_the_worked_example(open_page):
    page = open_page(*example("xor"))
    assert page.text("#position") == "step 1 of 18"
    assert "z₁" in page.text("#graph")
    assert "0.7553" not in page.text("#graph")  # what is not computed yet is not shown
    cards = walk(page)
    assert len(cards) == 18
    shown = [
        ("input", ["= 1", "= 0"]),
        ("layer 1, neuron 1", ["1 · (−0.07) + 0 · 0.22 + (−0.46)", "= −0.5300"]),
        ("layer 1, neuron 1", ["= 0.3705"]),
        ("layer 1, neuron 2", ["1 · 0.94 + 0 · 0.46 + 0.1", "= 1.0400"]),
        ("layer 1, neuron 2", ["= 0.7389"]),
        ("layer 2", ["0.3705 · (−0.22) + 0.7389 · 0.58 + 0.78", "= 1.1270"]),
        ("layer 2", ["= 0.7553"]),
        ("loss", ["½ ((1 − 0.7553)²)", "= 0.0299"]),
        ("backward · layer 2", ["= −0.2447"]),
        ("backward · layer 2", ["0.7553 · (1 − 0.7553) = 0.1848", "−0.2447 · 0.1848", "= −0.0452"]),
        ("backward · layer 2", ["0.3705 · (−0.0452) = −0.0168", "0.7389 · (−0.0452) = −0.0334", "= −0.0452"]),
        ("backward · layer 1, neuron 1", ["(−0.22) · (−0.0452)", "= 0.0100"]),
        ("backward · layer 1, neuron 1", ["0.0100 · 0.2332", "= 0.0023"]),
        ("backward · layer 1, neuron 2", ["0.58 · (−0.0452)", "= −0.0262"]),
        ("backward · layer 1, neuron 2", ["−0.0262 · 0.1930", "= −0.0051"]),
        ("backward · layer 1, neuron 1", ["1 · 0.0023 = 0.0023", "0 · 0.0023 = 0.0000"]),
        ("backward · layer 1, neuron 2", ["1 · (−0.0051) = −0.0051"]),
        ("update", ["−0.07 − 0.5 · 0.0023 = −0.0712", "0.94 − 0.5 · (−0.0051) = 0.9425",
                    "0.58 − 0.5 · (−0.0334) = 0.5967", "0.78 − 0.5 · (−0.0452) = 0.8026",
                    "fall from 0.0299 to 0.0282"]),
    ]  # fmt: skip
    for card, (where, numbers) in zip(cards, shown, strict=True):
        assert where in card
        for text in numbers:
            assert text in card
    graph = page.text("#graph")
    assert all(text in graph for text in ("0.7553", "δ −0.0452", "δ 0.0023", "δ −0.0051", "0.0299"))
    page.click("#back")
    assert re.sub(r"\s+", " ", page.text("#formula")) == cards[-2]
    page.click("#first")
    assert page.text("#position") == "step 1 of 18"


@pytest.mark.parametrize("whole", [False, True])
def test_every_step_of_every_kind_of_network_can_be_written(open_page, rng, whole):
    kinds = [("tanh", "softmax", loss) for loss in reference.LOSSES]
    kinds += [(activation, "sigmoid", loss) for activation, loss in itertools.zip_longest(
        reference.ACTIVATIONS, reference.LOSSES, fillvalue="mse")]  # fmt: skip
    kinds += [("ELU", "LeakyReLU", "Huber"), ("relu", "softmax", "smoothed")]
    for i, (hidden, output, loss) in enumerate(kinds):
        sizes = [[2, 3, 2], [14, 2, 2], [2, 13, 14, 2], [1, 13], [13, 2]][i % 5]
        functions = [OBJECTS.get(name, name) for name in (hidden, output, loss)]
        net = fastprop.Network(sizes, *functions[:2], loss=functions[2], seed=i)
        page = open_page(net, rng.standard_normal(sizes[0]), np.eye(sizes[-1])[0])
        if whole:
            page.keys("l")
        cards = page.js("return steps.map((_, i) => { go(i); return document.querySelector('#formula').innerHTML; })")
        drawing = page.js("return document.querySelector('#graph').innerHTML")
        for text in (*cards, drawing):
            assert not re.search(r"undefined|NaN|null|\[object|\[\w+ \d", text), (sizes, hidden, output, loss)
        assert all('class="result"' in card or "norm" in card for card in cards[1:])
        made = page.js("return steps.flatMap(step => step.made)")
        table = page.js("return [...document.querySelectorAll('td[data-at]')].map(cell => cell.dataset.at)")
        assert {key for key in table if key[:2] in ("z ", "d ", "gW", "gb", "C ")} <= set(made)


def test_a_step_lights_what_it_uses_and_says_what_is_stored(open_page):
    page = open_page(*example("xor"))
    page.js("go(1)")  # z of neuron 1 of layer 1
    assert page.count("#graph .edge.lit.forward") == 2
    page.js("go(11)")  # ∂C/∂a of neuron 1 of layer 1, through the one edge to the output
    assert page.count("#graph .edge.lit") == 1
    assert page.count("#graph .edge.lit.against.plus") == 1  # (−0.22) · (−0.05) > 0
    assert page.count("#graph .neuron.lit") == 1
    assert "Stored, not computed again" in page.text("#formula")
    assert "= −0.0452" in page.text("#formula .chips")
    used = page.js("return [...document.querySelectorAll('td.used')].map(cell => cell.dataset.at)")
    assert sorted(used) == ["W 2 0 0", "d 2 0"]
    page.click("#last")
    radii = page.js("""
      return [...document.querySelectorAll("#graph circle.signal")].map(dot => [dot.r.baseVal.value, dot.classList[1]])
    """)
    assert [sign for _, sign in radii] == ["plus", "minus", "minus"]  # δ of layer 1, then of layer 2
    (small, _), (middle, _), (large, _) = radii
    assert small < middle < large


def test_editing_recomputes_what_the_kernels_compute(open_page, rng):
    net, x, t = example("two paths")
    page = open_page(net, x, t)
    edits = {"W 2 1 0": -1.375, "a 0 2": 2.0625, "b 1 1": 0.3, "t 0 0": -0.5, "W 1 2 1": 1e-3, "W 3 0 0": 0.123456789}
    for key, value in edits.items():
        page.type(f'#numbers [data-at="{key}"] input', str(value))
    net.weights[1][1, 0], net.biases[0][1], net.weights[0][2, 1] = -1.375, 0.3, 1e-3
    net.weights[2][0, 0] = 0.123456789
    expected = passes(net, [1, -1, 2.0625], [-0.5])
    exact = {key: page.js("return valueOf(arguments[0])", key) for key in expected if key != "C 0"}
    exact["C 0"] = page.js("return now.C")
    assert exact == pytest.approx(expected, rel=1e-12, abs=1e-15)
    page.js("document.activeElement.blur()")
    for key, value in expected.items():
        if not re.match(r"[Wb] |a 0", key):
            assert page.at(key) == pytest.approx(value, abs=5.1e-5), key


def test_what_is_no_number_changes_nothing(open_page):
    page = open_page(*example("xor"))
    field = '#numbers [data-at="W 1 0 0"] input'
    page.type(field, "-")
    assert page.find(field).get_attribute("aria-invalid") == "true"
    assert page.at("a 2 0") == 0.7553
    page.type(field, "0.5")
    assert page.find(field).get_attribute("aria-invalid") == "false"
    assert page.js("return net.weights[0][0][0]") == 0.5
    page.type('#numbers [data-at="t 0 0"] input', "7")
    assert page.text("#note") == ""
    net = fastprop.Network([1, 1], output="sigmoid", seed=0)
    page = open_page(net, [1.0], [1.0])
    page.type('#numbers [data-at="t 0 0"] input', "7")
    assert page.text("#note") == "binary_cross_entropy takes targets from 0 to 1, not 7."


def test_update_and_reset(open_page):
    page = open_page(*example("xor"))
    page.click("#update")
    weights = np.concatenate([w.ravel() for w in XOR.weights_after])
    assert page.js("return net.weights.flat(2)") == pytest.approx(weights)
    assert page.js("return net.biases.flat(2)") == pytest.approx(np.concatenate(XOR.biases_after))
    assert page.js("return now.C") == pytest.approx(XOR.C_after, rel=1e-13)
    assert "C 0.0299 → 0.0282" in page.text("#history")
    page.type("#rate", "2")
    page.click("#update")
    C = page.js("return now.C")
    net, x, t = example("xor")
    for rate in (0.5, 2.0):
        net.forward(x[None])
        net.backward(t)
        net.step(fastprop.SGD(rate))
    assert net.evaluate(x[None], t) == pytest.approx(C, rel=1e-12)
    page.click("#reset")
    assert page.js("return [now.C, +document.getElementById('rate').value]") == pytest.approx([XOR.C, 0.5], rel=1e-13)
    page.js("const slider = document.getElementById('rate-slider'); slider.value = 0; slider.oninput()")
    assert page.js("return document.getElementById('rate').value") == "1"


def test_the_page_has_every_activation_and_loss(open_page):
    page = open_page(*example("xor"))
    assert page.js("return Object.keys(ACTIVATIONS)") == list(explain.ACTIVATIONS)
    assert page.js("return Object.keys(LOSSES)") == list(explain.LOSSES)
    assert page.js("return MOST") == explain.MOST


def test_the_page_computes_what_the_kernels_do(open_page, rng):
    """compute() of the page's script for every pair of output and loss, and every activation, of random networks."""
    page = open_page(*example("xor"))
    pairs = [*itertools.product([*ACTIVATIONS, "softmax"], [*reference.LOSSES, "Huber", "smoothed"])]
    worst = 0.0
    for i, (output, loss) in enumerate(pairs):
        hidden = [ACTIVATIONS[(i + n) % len(ACTIVATIONS)] for n in range(i % 3)]
        sizes = [int(size) for size in rng.integers(1, 6, len(hidden) + 1)] + [int(rng.integers(2, 5))]
        functions = [OBJECTS.get(name, name) for name in [*hidden, output]]
        net = fastprop.Network(sizes, functions[:-1] or "relu", functions[-1], loss=OBJECTS.get(loss, loss),
                               dtype="float64", seed=i)  # fmt: skip
        net.set_parameters(rng.normal(0, 0.8, net.num_parameters))
        t = rng.dirichlet(np.ones(sizes[-1]))  # in the domain of every loss
        x = rng.normal(0, 2, sizes[0])
        data = opening(explain.page(net, x, t))
        net.forward(x[None])
        C = net.backward(t[None])
        theirs = page.js("return compute(network(arguments[0]))", data)
        ours = {"C": [C]}
        for name in ("pre_activations", "activations", "deltas"):
            ours[name] = [v[0] for v in getattr(net, name)]
        ours |= {"weight_gradients": net.weight_gradients, "bias_gradients": net.bias_gradients}
        ours["activation_gradients"] = net.trace(x, t).activation_gradients
        theirs["C"] = [theirs["C"]]
        for name, values in ours.items():
            for p, q in zip(values, theirs[name], strict=True):
                error = np.abs(np.subtract(p, q)).max() / max(1.0, np.abs(p).max())
                assert error < 1e-10, (name, sizes, hidden, output, loss)  # more than 1e-12 where 1 − a is small
                worst = max(worst, error)
    assert worst > 0


@pytest.mark.parametrize("z", [-800.0, -40.0, -1e-9, 0.0, 40.0, 800.0])
def test_the_page_at_the_ends_of_the_range(open_page, z):
    page = open_page(*example("xor"))
    for name in ACTIVATIONS:
        for loss, t in (("squared_error", 0.5), ("binary_cross_entropy", 0.5)):
            if loss == "binary_cross_entropy" and name != "sigmoid":
                continue
            net = fastprop.Network([1, 1], output=OBJECTS.get(name, name), loss=loss, dtype="float64", init="zeros")
            net.set_parameters([z, 0.0])
            data = opening(explain.page(net, [1.0], t))
            net.forward([[1.0]])
            C = net.backward([t])
            theirs = page.js("return compute(network(arguments[0]))", data)
            assert [theirs["C"], *theirs["deltas"][0]] == pytest.approx([C, net.deltas[0][0, 0]], rel=1e-12, abs=1e-300)


def test_the_keyboard_is_enough(open_page):
    from selenium.webdriver.common.keys import Keys

    page = open_page(*example("xor"))
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert page.text("#position") == "step 3 of 18"
    page.keys(Keys.END)
    assert page.text("#position") == "step 18 of 18"
    page.keys(Keys.ARROW_RIGHT)
    assert page.text("#position") == "step 18 of 18"
    page.keys(Keys.HOME)
    assert page.text("#position") == "step 1 of 18"
    page.keys("u")
    assert page.js("return now.C") == pytest.approx(XOR.C_after, rel=1e-13)
    page.keys("r", "l")
    assert page.js("return now.C") == pytest.approx(XOR.C, rel=1e-13)
    assert page.text("#position") == "step 1 of 13"  # whole layers
    page.keys("l")
    page.keys("p")
    assert page.text("#play") == "Pause"
    page.keys("p")
    assert page.text("#play") == "Play"
    # Tab reaches every control, and a number can be typed without the keys above taking it.
    page.keys(Keys.ARROW_RIGHT)
    reached = []
    for _ in range(60):
        page.keys(Keys.TAB)
        reached.append(
            page.js("""
          const e = document.activeElement;
          return e.id || e.closest("[data-at]")?.dataset.at || e.name || e.tagName""")
        )
        if reached[-1] == "W 1 0 0":
            page.keys(Keys.CONTROL + "a" + Keys.NULL, "0.25", Keys.ARROW_LEFT, Keys.HOME)
    assert page.js("return net.weights[0][0][0]") == 0.25
    assert page.text("#position") == "step 2 of 18"
    wanted = {"next", "play", "whole", "scrub", "rate", "rate-slider", "update", "reset", "a 0 0", "t 0 0", "b 2 0",
              "depth", "kind", "scale", "shape", "draw", "pick-m", "pick-j", "pick-k", "pick-w"}  # fmt: skip
    assert wanted <= set(reached)


def test_every_control_has_a_name(open_page):
    page = open_page(*wide_example())
    nameless = page.js("""
      const named = e => e.ariaLabel || e.textContent.trim() || [...e.labels ?? []].some(l => l.textContent.trim());
      return [...document.querySelectorAll("button, input, textarea")].filter(e => !named(e)).map(e => e.outerHTML)""")
    assert nameless == []


PAGES = {
    "xor": lambda: example("xor"),
    "two paths": lambda: example("two paths"),
    "wide": wide_example,
    "twelve": lambda: (fastprop.Network([12, 12, 12, 4], "silu", "softmax", seed=2), np.linspace(-1, 1, 12), 3),
    "one neuron": lambda: (fastprop.Network([1, 1], output="sigmoid", seed=2), [0.5], 1.0),
}


@pytest.mark.parametrize("name", PAGES)
def test_readable_on_a_phone(open_page, name):
    page = open_page(*PAGES[name]())
    page.emulate(360)
    for step in ("go(0)", "go(Math.floor(steps.length / 2))", "go(steps.length - 1)"):
        page.js(step)
        assert page.js("return document.documentElement.scrollWidth") == 360
        assert page.js("return document.querySelector('#graph').getBoundingClientRect().width") > 200
    # No text of the drawing is smaller than a reader can make out.
    scale = page.js("const svg = document.querySelector('#graph'); return svg.clientWidth / svg.viewBox.baseVal.width")
    assert 12 * scale > 7


def test_no_text_of_the_drawing_is_cut_off(open_page):
    for name, width in itertools.product(PAGES, (1280, 360)):
        page = open_page(*PAGES[name]())
        page.emulate(width)
        page.js("go(steps.length - 1)")
        outside = page.js("""
          const box = document.querySelector("#graph").getBoundingClientRect();
          return [...document.querySelectorAll("#graph text")].filter(text => {
            const r = text.getBoundingClientRect();
            return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1;
          }).map(text => text.textContent)""")
        assert outside == [], (name, width)


def test_dark_mode_and_print(open_page):
    page = open_page(*example("xor"))
    colours = """
      const style = getComputedStyle(document.querySelector("section"));
      return [style.color, style.backgroundColor]"""

    def luminance(colour):
        channels = np.array([float(c) for c in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for dark in (False, True):
        page.emulate(1280, dark)
        ink, paper = map(luminance, page.js(colours))
        assert (ink > paper) == dark
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7  # contrast, by the formula of WCAG 2
    page.emulate(1280, media="print")
    for selector in (".controls", "#update", "#shortcuts", "nav"):
        assert not page.find(selector).is_displayed()
    page.js("dispatchEvent(new Event('beforeprint'))")  # on paper, everything at once
    assert all(text in page.text("#graph") for text in ("0.7553", "δ 0.0023", "0.0299"))
    page.js("dispatchEvent(new Event('afterprint'))")
    assert "0.7553" not in page.text("#graph")
    assert page.browser.execute_cdp_cmd("Page.printToPDF", {})["data"]


def test_a_wide_network_is_summarised(open_page):
    net, x, t = wide_example()
    page = open_page(net, x, t)
    walk(page)
    graph = page.text("#graph")
    assert "40 neurons" in graph
    assert "20 neurons" in graph
    assert page.count("#graph rect.neuron") == 2 + 3 + 1
    assert page.count("#graph .edge") < 10
    page.type('#numbers [data-at="b 1"] textarea', ", ".join(map(str, range(20))))
    page.type("#pick-j", "33")
    page.type("#pick-k", "17")
    page.type("#pick-w", "2.5")
    data = opening(explain.page(net, x, t))
    twin = fastprop.Network([40, 20, 3], "relu", "softmax", dtype="float64", seed=0)
    for m in range(2):
        twin.weights[m][...], twin.biases[m][...] = data["layers"][m]["weights"], data["layers"][m]["biases"]
    twin.biases[0][...] = range(20)
    twin.weights[0][32, 16] = 2.5
    twin.forward(np.array(data["x"])[None])
    C = twin.backward(np.array(data["t"])[None])
    assert page.js("return now.C") == pytest.approx(C, rel=1e-12)


def test_vanishing_gradients(open_page):
    page = open_page(*example("xor"))
    chain = "return vanishing(arguments[0], arguments[1], 1, true)"
    for depth, value in VANISHING.items():  # the worked example: 0.25 a layer
        assert page.js(chain, "sigmoid", depth)[0] == value
    assert page.js(chain, "relu", 30) == [1] * 30
    assert page.js(chain, "tanh", 30) == [1] * 30
    assert page.js(chain, "silu", 2) == [0.25, 0.5]
    dense = "return vanishing(arguments[0], 12, 1, false, 1)"
    sigmoid, tanh, relu = (page.js(dense, name) for name in ("sigmoid", "tanh", "relu"))
    assert sigmoid[0] < 1e-6 < 1e-3 < min(relu[0], tanh[0])
    assert len(sigmoid) == 12
    # With weights of variance 2/n, relu keeps the size of δ, as He and others found; with 1/n it halves its square.
    first = [page.js("return vanishing('relu', 20, Math.SQRT2, false, arguments[0])[0]", seed) for seed in range(10)]
    assert abs(np.mean(np.log(first))) / 20 < 0.1

    def slide(name, value):
        page.js("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.oninput()", name, value)

    page.click("[name=shape][value=chain]")
    slide("depth", 6)
    assert "0.0002" in page.text("#magnitudes")
    assert "vanishes" in page.text("#verdict")
    slide("kind", 3)
    assert page.text("#kind-text") == "relu"
    assert "keeps its size" in page.text("#verdict")
    slide("scale", 3)
    assert "explodes" in page.text("#verdict")
    for depth, kind, scale in ((1, 8, 0.1), (40, 0, 4), (40, 1, 0.1)):
        slide("depth", depth)
        slide("kind", kind)
        slide("scale", scale)
        assert not re.search("NaN|Infinity", page.js("return document.querySelector('#plot').innerHTML"))
    slide("depth", 5)
    assert page.count("#plot .curve") == 3


class Counted:
    """A number that counts the products it is in; a product with 1 costs nothing."""

    multiplications = 0

    def __init__(self, value, one=False):
        self.value, self.one = value, one

    def __mul__(self, other):
        if self.one or other.one:
            return other if self.one else self
        Counted.multiplications += 1
        return Counted(self.value * other.value)

    def __add__(self, other):
        return Counted(self.value + other.value)


def total(terms):
    return reduce(lambda p, q: p + q, terms)


class Gradient:
    """The gradient of a random network in the three ways, by numbers that count: the definitions, spelled out.

    σ′ of the hidden layers and δ^(L) are given, as the page has it.
    """

    def __init__(self, sizes, rng):
        self.sizes, self.L = sizes, len(sizes) - 1

        def numbers(*shape):
            return np.vectorize(Counted, otypes=[object])(rng.standard_normal(shape))

        self.W = {m: numbers(sizes[m - 1], sizes[m]) for m in range(1, self.L + 1)}
        self.a = {m: numbers(size) for m, size in enumerate(sizes)}
        self.slope = {m: numbers(size) for m, size in enumerate(sizes)}
        self.delta = numbers(sizes[-1])
        self.one = Counted(1.0, one=True)

    def forward(self):
        for m in range(1, self.L + 1):
            for k in range(self.sizes[m]):
                total(self.a[m - 1][j] * self.W[m][j, k] for j in range(self.sizes[m - 1]))

    def parameters(self):
        for m in range(1, self.L + 1):
            for k in range(self.sizes[m]):
                yield from ((m, k, self.a[m - 1][j]) for j in range(self.sizes[m - 1]))
                yield m, k, self.one  # the bias

    def brute(self):
        gradient = []
        for m, k, a in self.parameters():
            self.forward()
            terms = []
            for path in itertools.product([k], *(range(size) for size in self.sizes[m + 1 :])):
                factors = [a]
                for i, (p, q) in enumerate(itertools.pairwise(path)):
                    factors += [self.slope[m + i][p], self.W[m + i + 1][p, q]]
                terms.append(reduce(lambda p, q: p * q, [*factors, self.delta[path[-1]]]))
            gradient.append(total(terms).value)
        return gradient

    def forward_mode(self):
        self.forward()
        gradient = []
        for m, k, a in self.parameters():
            dz = {k: a}  # a bias gives a one
            for i in range(m, self.L):
                da = {p: v * self.slope[i][p] for p, v in dz.items()}
                dz = {q: total(v * self.W[i + 1][p, q] for p, v in da.items()) for q in range(self.sizes[i + 1])}
            gradient.append(total(v * self.delta[q] for q, v in dz.items()).value)
        return gradient

    def reverse(self):
        self.forward()
        delta, gradient = {self.L: self.delta}, {}
        for m in range(self.L, 0, -1):
            for k in range(self.sizes[m]):
                gradient[m, k] = [(a * delta[m][k]).value for a in self.a[m - 1]] + [delta[m][k].value]
            if m > 1:
                delta[m - 1] = [
                    total(self.W[m][j, k] * delta[m][k] for k in range(self.sizes[m])) * self.slope[m - 1][j]
                    for j in range(self.sizes[m - 1])
                ]
        return [v for m in range(1, self.L + 1) for k in range(self.sizes[m]) for v in gradient[m, k]]


@pytest.mark.parametrize(
    "sizes", [[2, 2, 1], [3, 2, 2, 1], [1, 1], [4, 3], [2, 3, 4, 2], [1, 2, 1, 3, 2], [2, 1, 3, 1, 2]]
)
def test_multiplications_are_those_of_the_definitions(open_page, rng, sizes):
    page = open_page(*example("xor"))
    network, counts, gradients = Gradient(sizes, rng), {}, []
    for name, method in (("brute", network.brute), ("forward", network.forward_mode), ("reverse", network.reverse)):
        Counted.multiplications = 0
        gradients.append(method())
        counts[name] = Counted.multiplications
    np.testing.assert_allclose(gradients[1:], [gradients[0]] * 2, rtol=1e-12)
    assert page.js("return multiplications(arguments[0]).totals", sizes) == counts


def test_one_weight_three_ways(open_page):
    page = open_page(*example("two paths"))
    assert page.text("#count-reverse") == str(page.js("return multiplications(net.sizes).totals.reverse"))
    for field, value in (("m", 1), ("j", 3), ("k", 2)):
        page.type(f"#pick-{field}", str(value))
    ways = page.text("#ways")
    assert "2 paths" in ways
    assert all(explain.fixed(value) in ways for value in PATHS)
    assert ways.count(explain.fixed(sum(PATHS))) == 3
    page.type("#pick-j", "4")  # there is none: the picture stays
    assert page.find("#pick-j").get_attribute("aria-invalid") == "true"
    assert "2 paths" in page.text("#ways")
