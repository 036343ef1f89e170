"""What is loaded from files: machine code only from a private folder, everything else as data."""

import ast
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sdde
from sdde.engine import machine, storage
from sdde.engine.trust import distrust

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files")


def problem():
    return sdde.Problem(lambda t, x, delayed: -x, 0.5, history=1.0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, with the engine's own functions at hand in this process."""
    sdde.solve(problem(), (0.0, 1.0), dt=0.1, rng=1)
    home = tmp_path / "cache"
    monkeypatch.setenv("SDDE_CACHE_DIR", str(home))
    return home


def solve_something_new(number):
    """Compile a model that was never compiled before."""
    rate = 0.5 + number / 4096
    new = sdde.Problem(lambda t, x, delayed: -rate * x, history=1.0)
    return sdde.solve(new, (0.0, 1.0), dt=0.1).x[0, -1]


@posix
def test_the_cache_is_made_for_its_user_alone(cache):
    """Also where the umask is generous."""
    before = os.umask(0o000)
    try:
        solve_something_new(1)
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert sdde.cache_info().entries >= 1


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_cache_that_others_can_write_is_not_used(cache, mode):
    """Whoever can write there could have us run code of theirs."""
    cache.mkdir()
    cache.chmod(mode)
    with pytest.warns(RuntimeWarning, match="written by others"):
        value = solve_something_new(2 + mode)
    assert np.isfinite(value)
    assert not list(cache.iterdir())


@posix
def test_planted_code_is_run_only_from_a_private_folder(cache, monkeypatch):
    """The control shows what the check prevents: without it the planted entry is linked."""
    solve_something_new(3)
    key = next(cache.glob("m_*.obj")).stem.removeprefix("m_")
    cache.chmod(0o777)
    storage._is_private.cache_clear()
    with pytest.warns(RuntimeWarning, match="not used"):
        assert machine.load(key) is None
    storage._is_private.cache_clear()
    monkeypatch.setattr(storage, "distrust", lambda folder: "")
    assert machine.load(key) is not None
    storage._is_private.cache_clear()


@posix
def test_a_folder_of_another_user_is_not_trusted(tmp_path, monkeypatch):
    """Someone may have made it in /tmp before us."""
    assert distrust(tmp_path) == ""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert "belongs to another user" in distrust(tmp_path)


@posix
def test_a_way_that_all_can_write_is_not_trusted(tmp_path):
    """They could put a folder of their own in the place of ours."""
    home = tmp_path / "open" / "cache"
    home.mkdir(parents=True, mode=0o700)
    home.parent.chmod(0o777)
    assert "which can be written by all" in distrust(home)
    home.parent.chmod(0o1777)  # as /tmp: only owners rename
    assert distrust(home) == ""


@posix
def test_links_are_followed_and_both_ends_are_looked_at(tmp_path):
    """A link of ours to a folder of ours is fine; one in an open folder could be changed."""
    home, link = tmp_path / "cache", tmp_path / "link"
    home.mkdir(mode=0o700)
    link.symlink_to(home)
    assert distrust(link) == ""
    (tmp_path / "further").symlink_to(link)
    assert distrust(tmp_path / "further") == ""
    home.chmod(0o722)
    assert "written by others" in distrust(link)
    home.chmod(0o700)
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    (public / "link").symlink_to(home)
    assert "which can be written by all" in distrust(public / "link")
    (tmp_path / "detour").symlink_to(public / "link")
    assert "which can be written by all" in distrust(tmp_path / "detour")


class Harmful:
    """Unpickling one leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_the_description_of_an_exception_calls_nothing(tmp_path):
    """It is read from the data of an object file; pickle.loads, the control, would run it."""
    described = io.BytesIO(pickle.dumps((ValueError, ("no",), None)))
    kind, args = machine._Description(described).load()[:2]
    assert kind is ValueError
    assert args == ("no",)
    planted = pickle.dumps(Harmful(tmp_path / "harm"))
    assert type(machine._Description(io.BytesIO(planted)).load()) is machine._Nothing
    assert not (tmp_path / "harm").exists()
    pickle.loads(planted)
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_a_solution_file_with_objects_in_it_is_refused(tmp_path, suffix):
    """An archive of NumPy may hold pickled objects, which NumPy would build if it were let."""
    path = tmp_path / f"solution{suffix}"
    sdde.solve(problem(), (0.0, 1.0), dt=0.5, rng=1).save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as good:
        arrays = dict(good)
    arrays["end_time"] = np.array([Harmful(tmp_path / "harm")], dtype=object)
    with path.open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(sdde.ArgumentError, match="not a solution"):
        sdde.Solution.load(path)
    assert not (tmp_path / "harm").exists()
    with np.load(path, allow_pickle=True) as control:
        control["end_time"]
    assert (tmp_path / "harm").exists()


def test_toml_and_csv_hold_names_and_numbers_only(tmp_path):
    """What looks like code is text, and refused as such."""
    from sdde.cluster import Trace
    from sdde.description import describe

    harm = tmp_path / "harm"
    code = f"__import__('os').mkdir('{harm}')"
    for law in ("distributions", "os.system", code, "rv_continuous", "__init__"):
        toml = tmp_path / "system.toml"
        toml.write_text(
            f'[system]\nworkers = 2\ncompute_time = {{ law = "{law}" }}\n'
            "[objective]\neigenvalues = [1.0]\n"
        )
        with pytest.raises(sdde.ArgumentError):
            describe(str(toml))
    trace = tmp_path / "trace.csv"
    trace.write_text(f'worker,start_time,apply_time\n"{code}",0.0,"{code}"\n')
    with pytest.raises(sdde.ArgumentError):
        Trace.read(trace)
    lines = tmp_path / "trace.jsonl"
    lines.write_text(f'{{"worker": 0, "start_time": 0.0, "apply_time": "{code}"}}\n')
    with pytest.raises(sdde.ArgumentError):
        Trace.read(lines)
    assert not harm.exists()


def test_no_module_unpickles_or_evaluates_what_it_has_read():
    """Text becomes code only where the package wrote the text; these are all such places."""
    root = Path(sdde.__file__).parents[1]
    files = [*(root / "sdde").rglob("*.py"), *(root / "theory").rglob("*.py")]
    found = {(file.relative_to(root).as_posix(), call) for file in files for call in _risky(file)}
    assert found == {
        ("sdde/engine/building.py", "exec"),  # the text of a chunk
        ("sdde/engine/kernels/calling.py", "exec"),  # the text of an entry
        ("sdde/symbolic/from_expressions.py", "exec"),  # NumPy functions printed by SymPy
        ("sdde/solving/executors.py", "pickle.loads"),  # what this user's executor has delivered
    }


def _risky(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("exec", "eval") or called.startswith(("joblib.", "shelve.", "marshal.")):
            yield called
        if called.endswith((".load", ".loads")) and called.partition(".")[0] in (
            "pickle", "cloudpickle", "dill", "torch", "serialize",
        ):  # fmt: skip
            yield called
        if any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords):
            yield "allow_pickle"
        if called == "np.load" and not any(k.arg == "allow_pickle" for k in node.keywords):
            yield called


@pytest.mark.slow
def test_two_processes_may_fill_one_cache(tmp_path):
    """Each writes whole files under other names first."""
    code = (
        "import sdde\n"
        "p = sdde.Problem(lambda t, x, delayed: -2.5 * x, 0.5, history=1.0)\n"
        "print(sdde.solve(p, (0.0, 1.0), dt=0.1, rng=1).x[0, -1].hex())\n"
    )
    environment = {**os.environ, "SDDE_CACHE_DIR": str(tmp_path / "cache")}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = {process.communicate()[0] for process in running}
    assert {process.returncode for process in running} == {0}
    assert len(said) == 1
    assert not list((tmp_path / "cache").glob("*.tmp"))
