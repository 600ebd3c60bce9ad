"""Which files of a data set hold what: a public shape, or tables that say it by their columns.

What belongs here: the choice among files, and of the reader that they get. What to keep out: how outcomes are read
out of them (`outcomes`, `wide`, `shapes`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from erp_resources.identity import prompt_ids
from erp_resources.recorded.columns import Columns, check_given, missing, roles_in
from erp_resources.recorded.shapes import SHAPES
from erp_resources.recorded.shapes.interface import Shape
from erp_resources.recorded.sources import File, files_in
from erp_resources.settings import UserError
from erp_resources.tables import listed

_TIDY = "tidy: a row for every outcome"
_WIDE = "wide: a row for every prompt, a column for every LLM"
_FILES = "tidy: a row for every outcome, a file for every LLM"
_SHARED = 0.5
"""The share of prompts that files must have in common to be taken for those of one LLM each."""


class Plan(NamedTuple):
    """What the files of a data set are."""

    form: str
    outcomes: tuple[File, ...]
    prompts: tuple[File, ...] = ()
    shape: Shape | None = None
    is_wide: bool = False
    llm_of_file: tuple[str, ...] = ()
    """The LLM of each file of outcomes, where no column names it."""
    unused: tuple[File, ...] = ()

    def used(self) -> list[Path]:
        """The files that are read."""
        return [file.path for file in (*self.outcomes, *self.prompts)]


def find(source: Path, path: str, given: Columns) -> Plan:
    """What the file or the files in a folder hold. Raises `UserError` when that cannot be told."""
    files = files_in(source, path)
    if given == Columns():
        for shape in SHAPES:
            used = tuple(file for file in files if shape.recognise(file))
            if used:
                return Plan(shape.form, used, shape=shape, unused=tuple(file for file in files if file not in used))
    return _tables(files, path, given)


def _tables(files: Sequence[File], path: str, given: Columns) -> Plan:
    roles = {file: roles_in(sorted(file.columns), given, file.name) for file in files}
    present = sorted(set().union(*(file.columns for file in files)))
    if not present:
        raise UserError(
            f"path '{path}': {files[0].name} is one object without a list of rows, and no log or report that is known; "
            "write a list of objects, [{...}, ...], or one object in every line"
        )
    check_given(given, present, path)
    tidy = [file for file in files if "llm" in roles[file]]
    asked = [file for file in files if "prompt" in roles[file]]
    if tidy:
        whole = [file for file in tidy if file in asked]
        if len(whole) == len(tidy):
            return Plan(_TIDY, tuple(tidy), unused=_rest(files, tidy))
        prompts = [file for file in asked if file not in tidy]
        if not whole and prompts and all("prompt_id" in roles[file] for file in tidy):
            return Plan(_TIDY, tuple(tidy), tuple(prompts), unused=_rest(files, [*tidy, *prompts]))
        if not whole and not prompts:
            raise missing("prompt", tidy[0].name, sorted(tidy[0].columns))
        if not whole:
            raise UserError(f"{tidy[0].name}: it has no column prompt_id, by which its rows would name their prompts")
        return Plan(_TIDY, tuple(whole), unused=_rest(files, whole))
    if not asked:
        raise missing("prompt", path, present)
    if len(asked) == 1:
        return Plan(_WIDE, tuple(asked), is_wide=True, unused=_rest(files, asked))
    if all("reward" in roles[file] or "response" in roles[file] for file in asked):
        return _file_for_each_llm(files, asked, roles, path)
    kinds = {file.columns for file in asked}
    if len(kinds) > 1:
        several = "; ".join(f"{file.name} has {listed(sorted(file.columns))}" for file in asked[:4])
        raise UserError(
            f"path '{path}': its files are of several kinds; give one of them, or a folder of one. {several}"
        )
    return Plan(_WIDE, tuple(asked), is_wide=True, unused=_rest(files, asked))


def _file_for_each_llm(
    files: Sequence[File], asked: Sequence[File], roles: dict[File, dict[str, str]], path: str
) -> Plan:
    """Files without a column of LLMs: named by their LLM, if most prompts stand in more than one of them."""
    texts = []
    for file in asked:
        assert file.head is not None
        texts.append(set(prompt_ids(file.head.prompts(roles[file]["prompt"]).drop_null()).to_pylist()))
    times: dict[str, int] = {}
    for own in texts:
        for prompt in own:
            times[prompt] = times.get(prompt, 0) + 1
    if sum(n > 1 for n in times.values()) < _SHARED * len(times):
        raise UserError(
            f"path '{path}': no column says whose outcomes these are, and the files {listed(f.name for f in asked)} "
            "ask other prompts, so that they are not taken for one LLM each; name the column with --llm COLUMN, or add "
            f"a column 'llm'. There is {listed(sorted(asked[0].columns))}"
        )
    return Plan(_FILES, tuple(asked), llm_of_file=names_of(asked), unused=_rest(files, asked))


def names_of(files: Sequence[File]) -> tuple[str, ...]:
    """What tells files apart: their names, or those of their folders where all are called alike."""
    stems = [file.path.name.partition(".")[0] if file.path.name.count(".") == 1 else file.path.stem for file in files]
    if len(set(stems)) == len(stems):
        return tuple(stems)
    folders = [file.path.parent.name for file in files]
    if len(set(folders)) == len(folders):
        return tuple(folders)
    return tuple("/".join(file.path.with_suffix("").parts[-2:]) for file in files)


def _rest(files: Sequence[File], used: Sequence[File]) -> tuple[File, ...]:
    return tuple(file for file in files if file not in used)
