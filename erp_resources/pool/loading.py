"""Finding, reading and checking pool files.

What belongs here: from a pool's name to a valid `Pool`. What to keep out: which YAML is read (`yaml_text`), and the
wording of what is wrong in a file (`mistakes`).
"""

import difflib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from erp_resources.names import check_pool_name
from erp_resources.pool.mistakes import explain, refuse
from erp_resources.pool.shape import POOLS_FOLDER, Pool
from erp_resources.pool.yaml_text import read_document
from erp_resources.settings import UserError, shown
from erp_resources.user_code import load_function


def find_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` (the working directory) upwards, with pools/ and dagster.yaml in it."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / POOLS_FOLDER).is_dir() and (folder / "dagster.yaml").is_file():
            return folder
    raise UserError(
        f"no folder with {POOLS_FOLDER}/ and dagster.yaml at or above {start}; "
        "run the command inside the project's folder"
    )


def pool_names(root: Path) -> list[str]:
    """The names of all pool files, sorted."""
    return sorted(path.stem for path in (root / POOLS_FOLDER).glob("*.yaml") if path.is_file())


def overlooked(root: Path) -> list[str]:
    """What stands among the pool files and looks like one, but is not read: why, in a line each."""
    lines = [
        f"{POOLS_FOLDER}/{shown(path.name)} is not read, since pool files end in .yaml; rename it to "
        f"{shown(path.stem)}.yaml"
        for path in sorted((root / POOLS_FOLDER).glob("*.[yY][mM][lL]"))
    ]
    folders = [path for path in sorted((root / POOLS_FOLDER).glob("*.yaml")) if not path.is_file()]
    return lines + [f"{POOLS_FOLDER}/{shown(path.name)} is not read, since it is no file" for path in folders]


def load_pool(name: str, root: Path) -> Pool:
    """Read and validate `pools/<name>.yaml`.

    Raises `UserError` with one line per mistake: file, line, place in the file, what to write instead.
    """
    try:
        check_pool_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    path = root / POOLS_FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(_not_there(name, path, root))
    place = f"{POOLS_FOLDER}/{path.name}"
    document = read_document(path, place)
    if not isinstance(document.data, dict):
        what = "is empty" if document.data is None else "a pool file is a mapping"
        raise UserError(f"{place}:1: {what}; `erp new NAME` writes one to begin with")
    try:
        pool = Pool.model_validate(document.data)
    except ValidationError as error:
        refuse(explain(error.errors(include_url=False), Pool, document, place))
        raise
    if pool.name != path.stem:
        where = f"{place}:{document.line(('name',))}"
        raise UserError(f"{where}: name: '{pool.name}' is not the name of the file; write 'name: {path.stem}'")
    pool._root = root
    return pool


def _not_there(name: str, path: Path, root: Path) -> str:
    other = next((line for line in overlooked(root) if line.startswith(f"{POOLS_FOLDER}/{name}.")), None)
    if other:
        return f"there is no pool '{name}': {other}"
    names = pool_names(root)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(map(shown, names[:20])) or 'none yet'};"
    return f"there is no pool '{name}' ({path}); {hint} `erp new {name}` writes one to edit"


def check_entries(pool: Pool) -> None:
    """See that every model, package and function that the pool file names is there, without loading models.

    Raises `UserError` with one line per entry that names something missing.
    """
    entries: list[tuple[tuple[str, ...], Any]] = [(("prompts",), pool.prompts), (("embedder",), pool.embedder)]
    entries += [(("llms", name), entry) for name, entry in pool.llms.items()]
    entries += [(("reward_models", name), entry) for name, entry in pool.reward_models.items()]
    problems = []
    for path, entry in entries:
        try:
            entry.fingerprint(pool.root)
            for part in (entry, getattr(entry, "otherwise", None)):
                if function := getattr(part, "function", None):
                    load_function(function, pool.root)
        except UserError as error:
            problems.append(f"{line_of(pool, path)}: {'.'.join(path)}: {error}")
    refuse(problems)


def line_of(pool: Pool, path: tuple[str, ...]) -> str:
    """Where an entry stands, as pools/NAME.yaml:LINE."""
    place = str(pool.path.relative_to(pool.root))
    return f"{place}:{read_document(pool.path, place).line(path)}"
