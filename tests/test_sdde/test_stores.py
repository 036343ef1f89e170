"""Stores: blocks that are there as a whole or not at all, and belong to one run."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr

import sdde
from sdde.solving.stores import Damaged, Rows, Store

ROWS = {
    "x": Rows((3, 2), "float64", float("nan"), ("path", "time", "component")),
    "codes": Rows((), "int8", -1, ("path",)),
}


def header(**run):
    run = {"seed": "1", "dt": 0.1, "functions": "sha256:aa", **run}
    return {"kind": "paths", "run": run, "made": {"engine": "a"}, "blocks": 3, "length": 4,
            "total": 10}  # fmt: skip


def opened(place, **run):
    return Store.for_writing(place, header(**run), ROWS)


def block(number, store):
    first, end = store.span(number)
    rng = np.random.default_rng(number)
    return {
        "x": rng.normal(size=(end - first, 3, 2)),
        "codes": np.full(end - first, number, dtype=np.int8),
        "pieces": rng.integers(0, 9, size=(2, number + 1)),
    }


def fill(place):
    with opened(place) as store:
        for number in range(3):
            store.put(number, block(number, store))


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
        for name in one
    )


@pytest.mark.parametrize("where", ["folder", "url"])
def test_blocks_come_back_as_they_were_put(tmp_path, where):
    """Also the last one, which is shorter; a store reopened knows what is missing."""
    place = tmp_path / "a.zarr" if where == "folder" else f"memory://{tmp_path.name}/a.zarr"
    with opened(place) as store:
        assert store.missing() == [0, 1, 2]
        store.put(2, block(2, store))
        store.put(0, block(0, store))
    with opened(place) as store:
        assert store.missing() == [1]
        assert same(store.get(2), block(2, store))
    read = Store.for_reading(place)
    assert same(read.get(0), block(0, read))
    with pytest.raises(Damaged):
        read.get(1)


def test_other_programs_can_read_it(tmp_path):
    """It is an ordinary zarr group; what is not there yet is nan."""
    with opened(tmp_path / "a.zarr") as store:
        store.put(1, block(1, store))
        expected = block(1, store)["x"]
    plain = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert np.array_equal(plain["x"][4:8], expected)
    assert np.isnan(plain["x"][:4]).all()
    assert plain["x"].metadata.dimension_names == ("path", "time", "component")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"seed": "2"}, "seed = '1' there and '2' here"), ({"dt": 0.2}, "dt = 0.1 there and 0.2"),
     ({"functions": "sha256:bb"}, "it has other functions")],
)  # fmt: skip
def test_a_store_of_another_run_is_refused(tmp_path, change, said):
    """Nothing is written to it."""
    fill(tmp_path / "a.zarr")
    with pytest.raises(sdde.ArgumentError, match=said):
        opened(tmp_path / "a.zarr", **change)
    with opened(tmp_path / "a.zarr") as store:
        assert store.missing() == []


def test_another_version_is_noted(tmp_path):
    """Its last bits may differ."""
    fill(tmp_path / "a.zarr")
    changed = header() | {"made": {"engine": "b"}}
    with (
        pytest.warns(sdde.SolutionWarning, match="begun with another engine"),
        Store.for_writing(tmp_path / "a.zarr", changed, ROWS) as store,
    ):
        assert store.missing() == []


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    """A slip of the keyboard must not cost anything."""
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(sdde.ArgumentError, match="folder with other files"):
        opened(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("bad", [None, 3, ""])
def test_what_is_no_place_is_refused(bad):
    """With a value that would work."""
    with pytest.raises(sdde.ArgumentError, match=r"neither a path nor a URL\.\n.*runs\.zarr"):
        opened(bad)


def test_a_url_that_nobody_understands_is_refused():
    """The error names what fsspec said."""
    with pytest.raises(sdde.ArgumentError, match="cannot be opened"):
        opened("nosuch://bucket/a.zarr")


def data_files(place):
    return sorted(file for file in Path(place).rglob("*") if file.is_file())


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_any_damaged_file_is_noticed(tmp_path, damage):
    """Each file of a store in turn: what comes back is either the truth or an error.

    The control at the end shows that the damage is real: without the look at digests a removed
    chunk reads as nan.
    """
    fill(tmp_path / "a.zarr")
    truth = {number: Store.for_reading(tmp_path / "a.zarr").get(number) for number in range(3)}
    noticed = 0
    for file in data_files(tmp_path / "a.zarr"):
        content = file.read_bytes()
        middle = len(content) // 2
        if damage == "remove":
            file.unlink()
        else:
            changed = bytes([content[middle] ^ 0x10]) if content else b""
            cut = {"flip": content[:middle] + changed + content[middle + 1 :],
                   "cut": content[:middle], "empty": b""}  # fmt: skip
            file.write_bytes(cut[damage])
        try:
            store = Store.for_reading(tmp_path / "a.zarr")
        except sdde.Error:
            assert file == tmp_path / "a.zarr" / "zarr.json"
            noticed += 1
        else:
            for number in range(3):
                try:
                    found = store.get(number)
                except Damaged:
                    noticed += 1
                else:
                    assert same(found, truth[number]), file
        file.write_bytes(content)
    assert noticed >= 12
    (tmp_path / "a.zarr" / "x" / "c" / "1" / "0" / "0").unlink()
    assert np.isnan(zarr.open_group(tmp_path / "a.zarr", mode="r")["x"][4:8]).all()


def test_a_damaged_block_is_missing_again_and_can_be_replaced(tmp_path):
    """With a warning that names it."""
    fill(tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "x" / "c" / "1" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-9])
    with opened(tmp_path / "a.zarr") as store:
        with pytest.warns(sdde.SolutionWarning, match=r"1 of 3 blocks are damaged \(1\)"):
            assert store.missing() == [1]
        store.put(1, block(1, store))
        assert store.missing() == []
        assert same(store.get(1), block(1, store))


@pytest.mark.parametrize("name", ["x", "digests", "rest/1"])
def test_a_lost_description_of_an_array_costs_its_blocks(tmp_path, name):
    """The arrays are made again."""
    fill(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / name / "zarr.json").write_text("{")
    with opened(tmp_path / "a.zarr") as store:
        if name == "digests":  # then nothing counts as written
            missing = store.missing()
        else:
            with pytest.warns(sdde.SolutionWarning, match="are damaged"):
                missing = store.missing()
        assert missing == ([1] if name == "rest/1" else [0, 1, 2])
        for number in missing:
            store.put(number, block(number, store))
        assert store.missing() == []


def test_arrays_that_need_code_to_be_read_are_refused(tmp_path):
    """Zarr can hold pickled objects (as filters of version 2), and codecs are code."""
    fill(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    values = group["x"][:]
    group.create_array("x", data=values, overwrite=True)  # compressed: right numbers, other codecs
    with pytest.raises(Damaged, match="not of plain numbers"):
        Store.for_reading(tmp_path / "a.zarr").get(0)


def test_one_run_at_a_time_writes_a_store(tmp_path):
    """In this process and in others; the lock goes with its holder, also when that is killed."""
    place = tmp_path / "a.zarr"
    with opened(place), pytest.raises(sdde.StoreError, match="being written by another run"):
        opened(place)
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from sdde.solving.locking import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'a')\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(sdde.StoreError, match="being written by another run"):
            opened(place)
        other.kill()
    with opened(place) as store:
        assert store.missing() == [0, 1, 2]


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """Workers of a run that was killed may live on for a while."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from sdde.solving.locking import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'a')\n"
        "end, begin = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(begin, b'!')\n"
        "    time.sleep(20)\n"
        "    os._exit(0)\n"
        "os.read(end, 1)\n"
        "os._exit(0)\n"
    )
    place = tmp_path / "a.zarr"
    place.mkdir()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-c", code, place], check=True, **quiet)
    with opened(place) as store:
        assert store.missing() == [0, 1, 2]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_costs_nothing_that_was_stored(tmp_path, monkeypatch, number):
    """The same call goes on when there is room again."""
    from zarr.storage import LocalStore

    place = tmp_path / "a.zarr"
    with opened(place) as store:
        store.put(0, block(0, store))
        with monkeypatch.context() as patch:

            async def full(self, key, value):
                raise OSError(number, os.strerror(number))

            patch.setattr(LocalStore, "set", full)
            with pytest.raises(sdde.StoreError, match=r"is full: .*(\n.*)*1 of 3 blocks") as info:
                store.put(1, block(1, store))
            assert info.value.errno == number
        assert store.missing() == [1, 2]
    with opened(place) as store:
        assert same(store.get(0), block(0, store))
        assert store.missing() == [1, 2]


def test_a_run_killed_between_arrays_and_digests_leaves_no_block(tmp_path, monkeypatch):
    """The digests are written last; unfinished files are removed by the next run."""
    place = tmp_path / "a.zarr"
    with opened(place) as store:
        store.put(0, block(0, store))
        arrays = block(1, store)
        store._array("x")[4:8] = arrays["x"]  # and no more
    (place / "x" / "c" / "1" / "0" / "0.0123.partial").write_bytes(b"half")
    with opened(place) as store:
        assert store.missing() == [1, 2]
    assert not list(place.rglob("*.partial"))


def test_threads_of_one_process_are_kept_apart(tmp_path):
    """The second of two runs is refused, whichever it is."""
    refused = []

    def use():
        try:
            with opened(tmp_path / "a.zarr") as store:
                store.put(0, block(0, store))
                barrier.wait(5)
        except sdde.StoreError:
            refused.append(True)
            barrier.wait(5)

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [True]
