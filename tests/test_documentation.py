"""Every public argument is described, every example runs, and the README's code works."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from numpydoc.docscrape import FunctionDoc, NumpyDocString

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PACKAGES = ("sdde", "sdde.theory", "sdde.cluster", "sdde.models")


def public():
    """Yield (dotted name, object) for everything that the packages export."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            yield f"{package}.{name}", thing


PUBLIC = dict(public())


def is_result(thing):
    """Whether users read such values and never build them: attributes, but no parameters."""
    if not inspect.isclass(thing):
        return False
    documented = NumpyDocString(inspect.getdoc(thing) or "")
    return bool(documented["Attributes"]) and not documented["Parameters"]


def names_beside(name):
    """Return what ``from package import *`` gives, and NumPy: examples may use these."""
    package = name.rpartition(".")[0]
    own = {
        other.rpartition(".")[2]: thing
        for other, thing in PUBLIC.items()
        if other.rpartition(".")[0] == package
    }
    return {"np": np, "sdde": importlib.import_module("sdde"), **own}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_with_an_example(name):
    """One sentence, then what it means, then how it is used."""
    thing = PUBLIC[name]
    if not callable(thing) or (
        inspect.isclass(thing) and issubclass(thing, BaseException | Warning)
    ):
        return
    text = inspect.getdoc(thing) or ""
    assert text, f"{name} has no docstring"
    if not is_result(thing):
        assert ">>>" in text, f"{name} has no example"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_argument_is_described(name):
    """An argument that is not described does not exist for its users."""
    thing = PUBLIC[name]
    if not callable(thing) or (
        inspect.isclass(thing) and issubclass(thing, BaseException | Warning)
    ):
        return
    if is_result(thing):
        return
    text = inspect.getdoc(thing) or ""
    documented = NumpyDocString(text) if inspect.isclass(thing) else FunctionDoc(thing)
    names = {
        part.strip().lstrip("*")
        for section in ("Parameters", "Other Parameters")
        for parameter in documented[section]
        for part in parameter.name.split(",")
    }
    arguments = {p for p in inspect.signature(thing).parameters if not p.startswith("_")}
    assert arguments - {"self"} <= names, f"{name} does not describe {arguments - names}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_example_runs(name, tmp_path, monkeypatch):
    """Users paste examples."""
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        thing = PUBLIC[name]
        finder = doctest.DocTestFinder(recurse=inspect.isclass(thing))
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        for test in finder.find(thing, name, globs=names_beside(name)):
            runner.run(test)
    assert runner.failures == 0, f"{runner.failures} examples of {name} fail"


def test_the_reference_lists_every_public_name():
    """What is not listed is not found."""
    listed = set((ROOT / "docs" / "reference" / "index.md").read_text().split())
    missing = [name for name in PUBLIC if name.rpartition(".")[2] not in listed]
    assert not missing


def guide_scripts():
    return {
        path.stem: "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
        for path in sorted((ROOT / "docs" / "guide").glob("*.md"))
    }


@pytest.mark.parametrize("page", [page for page, text in guide_scripts().items() if text])
def test_the_code_of_a_guide_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """A page is a script that people follow."""
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        exec(compile(guide_scripts()[page], f"docs/guide/{page}.md", "exec"), {})


def readme_scripts():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_is_short_and_shows_each_job():
    """A page that people read to the end."""
    assert len(README.splitlines()) <= 120
    assert len(readme_scripts()) >= 3


@pytest.mark.parametrize("number", range(len(readme_scripts())))
def test_the_readme_code_runs(number, tmp_path, monkeypatch):
    """The first thing that a new user pastes must work."""
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        exec(compile(readme_scripts()[number], f"README.md example {number}", "exec"), {})


def test_the_pages_cite_no_private_paths():
    """The project speaks for itself."""
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"/(work|tmp|root)/|\.\./shared", path.read_text()), path.name


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.startswith("sdde.theory.")])
def test_every_public_name_of_the_theory_says_where_its_formulas_come_from(name):
    """A paper is cited for what it states; what was derived here says so."""
    thing = PUBLIC[name]
    if is_result(thing):
        return
    texts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        texts += [inspect.getdoc(part) or "" for part in vars(thing).values() if callable(part)]
    text = " ".join(" ".join(texts).split()).lower()
    sources = (
        "derived in this project", "derived here", "references ---", " as in `", "textbook",
        "no formula of its own",
    )  # fmt: skip
    assert any(source in text for source in sources), f"{name} names no source"
