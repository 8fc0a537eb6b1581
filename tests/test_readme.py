"""The examples of the documentation print what they say, and those of the docstrings too."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import fastprop
from fastprop.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: A fenced block: its language, and what it says.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = [m.name for m in pkgutil.iter_modules(fastprop.__path__[:1]) if m.name not in ("__main__", "kernels")]


def blocks(page):
    """(language, text, line) of each fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_the_text_blocks_after_them(page):
    found = blocks(page)
    namespace = {}
    for i, (language, code, line) in enumerate(found):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{page.name}, block at line {line}", "exec"), namespace)
        expected = found[i + 1][1] if found[i + 1 :] and found[i + 1][0] == "text" else ""
        assert printed.getvalue() == expected, f"{page.name}, block at line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    for language, text, _ in blocks(page):
        for command in re.split(r"&&|\n", text) if language == "sh" else ():
            words = shlex.split(command, comments=True)
            if words[:1] == ["fastprop"]:
                build_parser(words[1:2] == ["bench"]).parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"fastprop.{name}")
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module, extraglobs={"fastprop": fastprop, "np": np}):
        runner.run(test)
    assert runner.failures == 0, "see the output above"


def test_readme_has_the_two_commands():
    shell = [text for language, text, _ in blocks(ROOT / "README.md") if language == "sh"]
    assert "python3 -m pip install '.[cli]' && fastprop train digits\n" in shell
    assert "python3 -m pip install '.[test]' && pytest\n" in shell


def test_readme_names_every_choice():
    from fastprop.activations import ACTIVATIONS
    from fastprop.losses import LOSSES
    from fastprop.optimizers import OPTIMIZERS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row, known in (("activations", ACTIVATIONS), ("losses", LOSSES), ("optimizers", OPTIMIZERS)):
        named = re.search(rf"^\| {row} \| ([^;]*);", readme, re.MULTILINE)[1]
        assert re.sub(r" \(.*?\)", "", named).split(", ") == list(known)
