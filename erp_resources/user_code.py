"""The user's own Python functions that a pool file names as `package.module:function`.

What belongs here: finding and importing them, and the fingerprint of their code. What to keep out: what they are called
with (`prompt_sources.function`, `reward_models.verifiable`).

A fingerprint is of the files, which are read and never run for it: so a pool's state is known without importing what
its functions import. What is imported is what the fingerprint is of: a module whose files changed since this process
imported it is imported again, and one that changes in the very moment is refused.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from erp_resources.settings import UserError, shown

_FOREIGN = {"site-packages", "dist-packages"}
_OURS = {"erp", "erp_resources", "erp_assets"}
_IMPORTED: dict[Path, bytes] = {}
"""What stood in every file of users' code when this process imported it, as a hash."""


def load_function(name: str, root: Path) -> Callable[..., Any]:
    """Import the user's function `package.module:function`; modules beside `root` can be named too.

    Raises `UserError` when the form, the module or the function is wrong, or the module cannot be imported.
    """
    module_name, function_name = _parts(name)
    code = _code(module_name, root, name)
    if any(_IMPORTED.get(path, digest) != digest for path, digest in code.items()):
        _forget(code)
    _forget_other_projects(module_name, code, root)
    module = _import(module_name, root, name)
    if _code(module_name, root, name) != code:
        _forget(code)
        raise UserError(f"function '{name}': its code changed while it was read; run again")
    _IMPORTED.update(code)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"function '{name}': {module.__file__} has no function '{function_name}'")
    return function  # type: ignore[no-any-return]


def function_fingerprint(name: str, root: Path) -> str:
    """A short hash of the code behind a function, so that a change of it is noticed.

    All modules of the function's package count, or its one module when it is in none; and whatever modules of the
    project's folder these import.
    """
    module_name, _ = _parts(name)
    digest = hashlib.blake2b(digest_size=16)
    for content in _read(module_name, root, name).values():
        digest.update(content)
    return digest.hexdigest()


def _code(module: str, root: Path, name: str) -> dict[Path, bytes]:
    return {path: hashlib.blake2b(content).digest() for path, content in _read(module, root, name).items()}


def _read(module: str, root: Path, name: str) -> dict[Path, bytes]:
    try:
        return {path: path.read_bytes() for path in _files(module, root, name)}
    except OSError as error:
        raise UserError(f"function '{name}': its code cannot be read: {error}") from error


def _parts(name: str) -> tuple[str, str]:
    module, _, function = name.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"function '{shown(name)}': write it as package.module:function")
    if module.partition(".")[0] in {*sys.stdlib_module_names, "__main__"}:
        raise UserError(f"function '{name}': '{module}' is Python's own; name a module of yours, by another name")
    return module, function


def _files(module: str, root: Path, name: str) -> list[Path]:
    """The files of a module's code: those of its package, sorted, then what they import from the project's folder."""
    own = _file_of(module, root)
    if own is None:
        base = _installed_in(module.partition(".")[0])
        own = _file_of(module, base) if base else None
        if own is None or base is None:
            raise UserError(
                f"function '{shown(name)}': No module named '{shown(module)}'; the module is looked up from {root}"
            )
    else:
        base = root
    files = [own] if own.parent == base else sorted((base / module.partition(".")[0]).rglob("*.py"))
    seen = set(files)
    for path in files:  # which grows
        found = sorted(set(_imports(path, root, path.stat().st_mtime_ns, path.stat().st_size)) - seen)
        files += found
        seen |= set(found)
    return files


def _installed_in(package: str) -> Path | None:
    """The folder that an installed package, or module, is in."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]


def _file_of(module: str, base: Path) -> Path | None:
    place = base.joinpath(*module.split("."))
    try:
        return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)
    except OSError:  # such as a name that is too long
        return None


@functools.lru_cache(maxsize=4096)
def _imports(path: Path, root: Path, changed: int, size: int) -> tuple[Path, ...]:
    """The files of the user's own, in the project's folder, that a file imports anywhere in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):  # importing it says so
        return ()
    found = (_file_of(module, root) for node in ast.walk(tree) for module in _named(node, path, root))
    return tuple(file for file in found if file and _is_users(file, root))


def _named(node: ast.AST, path: Path, root: Path) -> Iterator[str]:
    """The modules that an import statement may name."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = path.parents[node.level - 1] if node.level <= len(path.parents) else root
            if not above.is_relative_to(root):
                return
            base = ".".join([*above.relative_to(root).parts, *([base] if base else [])])
        names = [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)] if base or node.level else []
    else:
        return
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1) if parts[0])


def _is_users(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    return parts[0].removesuffix(".py") not in _OURS and not _FOREIGN & set(parts)


def _import(module: str, root: Path, name: str) -> Any:
    if sys.path[:1] != [str(root)]:  # whatever other projects stand there
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    # Compiled files are known by second and size alone, and an edit may have the same.
    wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"function '{name}': {error}; the module is looked up from {root}") from error
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        raise UserError(
            f"function '{name}': importing '{module}' failed{_place_of(error)} with {type(error).__name__}: "
            f"{shown(error) or 'no further message'}"
        ) from error
    finally:
        sys.dont_write_bytecode = wrote


def _place_of(error: BaseException) -> str:
    """The line of the user's that raised: the last one that is none of Python's own or of a package's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    library = sysconfig.get_path("stdlib")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((library, "<")) and frame.filename != __file__
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _forget_other_projects(module: str, code: Mapping[Path, bytes], root: Path) -> None:
    """Let Python import a module of this project though one of its name was imported from another."""
    place = getattr(sys.modules.get(module), "__file__", None)
    own = {path.resolve() for path in code if path.is_relative_to(root)}
    if place and own and Path(place).resolve() not in own:
        top = module.partition(".")[0]
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]


def _forget(files: Iterable[Path]) -> None:
    """Let Python import these files again."""
    paths = {str(file) for file in files}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in paths:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(child, None)
