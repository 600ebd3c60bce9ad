"""What every entry of a pool file shares: strict validation, errors for people, and where a model is.

What belongs here: the base class of the entries, `UserError`, and the resolution of names that a
user writes (a model, a `module:function`). What to keep out: any one backend's settings; they stand
in that backend's own file.
"""

import hashlib
import importlib
import importlib.util
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

PACKAGE_PREFIX = "package:"
_SAMPLED_BYTES = 65_536
_SHOWN = 200


class UserError(Exception):
    """A mistake that the user can mend: the message names the thing, the place and the way out.

    The command prints it without a traceback and exits with status 2.
    """


def shown(value: object, length: int = _SHOWN) -> str:
    r"""A value as an error message repeats it: one line, at most `length` characters, nothing that a terminal obeys.

    Control, invisible and direction characters become escapes such as `\x1b`. It never raises, whatever the value.
    """
    try:
        # An integer of thousands of digits refuses to be a text; no other value here does.
        text = value if isinstance(value, str) else str(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    line = "".join(_escaped(character) for character in text[: length + 1])
    return line if len(line) <= length else f"{line[: length - 3]}..."


def _escaped(character: str) -> str:
    # Categories C: control, format (bidi, zero-width), surrogates, private, unassigned. Z: separators but the blank.
    if character != " " and unicodedata.category(character)[0] in "CZ":
        return character.encode("unicode_escape").decode()
    return character


class Settings(BaseModel):
    """Base of every entry in a pool file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def model_folder(model: str, root: Path) -> Path | None:
    """The local folder that a `model:` entry names, or None when it is the name of a hub model.

    Three forms are understood: `package:NAME/FOLDER` (a folder inside an installed Python package),
    a folder relative to `root` (or absolute), and otherwise a hub name of the form `owner/model`.

    Raises `UserError` when the package is not installed, the folder is not in it, or the name is
    neither an existing folder nor the shape of a hub name.
    """
    if model.startswith(PACKAGE_PREFIX):
        package, _, inner = model.removeprefix(PACKAGE_PREFIX).partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise UserError(
                f"model '{model}': the Python package '{package}' is not installed; "
                f"install it with: pip install {package.replace('_', '-')}"
            )
        folder = Path(spec.origin).parent / inner
        if not folder.is_dir():
            raise UserError(f"model '{model}': there is no folder '{inner}' in the package at {folder.parent}")
        return folder
    folder = root / model
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(
            f"model '{model}': {folder} is not a folder, and a hub model is written 'owner/model'; "
            f"give a folder relative to {root}, 'package:NAME/FOLDER' or a hub name"
        )
    return None


def model_fingerprint(model: str, root: Path) -> str:
    """A short hash that changes when the files of a local model change; a hub name stands for itself.

    Of every file the name, the size and the first and last 64 KiB count, so that a folder of many
    gigabytes is read in milliseconds.
    """
    folder = model_folder(model, root)
    if folder is None:
        return model
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLED_BYTES))
            if size > _SAMPLED_BYTES:
                file.seek(max(_SAMPLED_BYTES, size - _SAMPLED_BYTES))
                digest.update(file.read(_SAMPLED_BYTES))
    return digest.hexdigest()


def load_function(name: str, root: Path) -> Callable[..., Any]:
    """Import the user's function `package.module:function`; modules beside `root` can be named too.

    Raises `UserError` when the form, the module or the function is wrong.
    """
    module_name, separator, function_name = name.partition(":")
    if not separator or not module_name or not function_name:
        raise UserError(f"function '{name}': write it as package.module:function")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"function '{name}': {error}; the module is looked up from {root}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"function '{name}': {module.__file__} has no function '{function_name}'")
    return function  # type: ignore[no-any-return]


def function_fingerprint(name: str, root: Path) -> str:
    """A short hash of the code behind a function, so that a change of it is noticed.

    All modules of the function's package count, or its one module when it is in none.
    """
    module = sys.modules[load_function(name, root).__module__]
    file = Path(module.__file__ or "")
    package = (module.__package__ or "").partition(".")[0]
    folder = Path(sys.modules[package].__file__ or "").parent if package else None
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")) if folder else [file]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
