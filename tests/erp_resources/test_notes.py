"""What became of a partition is kept beside the data, and a process is known by more than its number."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.lineage import STAGES, Partition, Stamp
from erp_resources.notes import KILLED, Finding, Note, Notes, mark_of
from erp_resources.processes import is_dead, is_dead_since, this_process

PLACE = Partition("rewards", "a|b")
STAMP = Stamp("fingerprint", {"prompt_id": "1", "reward": "2"})


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def finding(stamp: Stamp = STAMP, passed: bool = True) -> Finding:
    return Finding(passed=passed, blocking=True, said="", time=1.0, run="run", of=mark_of(stamp))


def test_a_try_is_under_way_until_it_ends(notes: Notes) -> None:
    assert notes.of(PLACE) == Note()
    notes.begin(PLACE, "run")
    last = notes.of(PLACE).last_try
    assert last is not None
    assert last.is_under_way
    assert last.failure is None
    notes.end(PLACE, "failed", "no disk")
    last = notes.of(PLACE).last_try
    assert last is not None
    assert not last.is_under_way
    assert last.failure == "no disk"
    assert last.ended is not None
    notes.begin(PLACE, "another")
    notes.end(PLACE, "made")
    last = notes.of(PLACE).last_try
    assert last is not None
    assert (last.run, last.failure) == ("another", None)


def test_a_try_whose_process_was_killed_failed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from erp_resources.notes import Notes;"
        "from erp_resources.lineage import Partition;"
        "Notes(Path(sys.argv[1])).begin(Partition('rewards', 'a|b'), 'run'); print('begun', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    last = Notes(tmp_path).of(PLACE).last_try
    assert last is not None
    assert last.is_under_way
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while last.is_under_way:  # dead before anybody waited for it, too
        assert time.monotonic() < deadline
    process.wait()
    assert last.failure == KILLED
    process.stdout.close()


def test_a_number_that_was_given_to_another_process_is_not_the_same_process() -> None:
    process = this_process()
    assert not is_dead(process)
    assert is_dead(process._replace(started="some other time"))
    assert not is_dead(process._replace(host="elsewhere", pid=1, started="unknown"))  # nothing is known of it
    assert not is_dead_since(os.getpid(), time.time())
    assert is_dead_since(os.getpid(), 1_000_000.0)  # long before this process began
    assert is_dead_since(2**22 + 1, time.time())  # more than there can be


def test_a_verdict_is_about_exactly_what_is_stored(notes: Notes) -> None:
    notes.add(PLACE, {"first": finding()})
    notes.add(PLACE, {"second": finding(passed=False)})
    note = notes.of(PLACE)
    assert {name: found.passed for name, found in note.about(STAMP).items()} == {"first": True, "second": False}
    assert note.about(STAMP._replace(fingerprint="other")) == {}
    assert note.about(STAMP._replace(content={**STAMP.content, "reward": "3"})) == {}
    notes.begin(PLACE, "run")
    assert notes.of(PLACE).findings == note.findings


@given(key=st.text(max_size=300).filter(lambda key: key.isprintable()))
def test_every_key_finds_its_note_again_and_no_other(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    notes = Notes(tmp_path_factory.mktemp("notes"))
    places = [Partition("rewards", name) for name in {key, f"{key}x", f"x{key}", "../a|b"}]
    for place in places:
        notes.add(place, {place.key: finding()})
    assert {place: [*note.findings] for place, note in notes.all().items()} == {p: [p.key] for p in places}
    for place in places:
        assert [*notes.of(place).findings] == [place.key]
        assert notes.folder.resolve() in notes._file(place).resolve().parents


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"key": 1}', b'{"key": "", "try": 3, "checks": []}'])
def test_a_note_that_cannot_be_read_counts_as_not_there(notes: Notes, damage: bytes) -> None:
    notes.begin(PLACE, "run")
    (file,) = (notes.folder / "rewards").iterdir()
    file.write_bytes(damage)
    assert notes.of(PLACE) == Note()
    assert notes.all() == {}
    notes.begin(PLACE, "run")
    assert notes.of(PLACE).last_try is not None
    assert [path.name for path in (notes.folder / "rewards").iterdir()] == [file.name]


def test_forgotten_notes_are_gone(notes: Notes) -> None:
    for asset in STAGES:
        notes.begin(Partition(asset, "a"), "run")
    notes.forget(Partition("rewards", "a"))
    notes.forget(Partition("rewards", "never there"))
    assert {place.asset for place in notes.all()} == STAGES.keys() - {"rewards"}
