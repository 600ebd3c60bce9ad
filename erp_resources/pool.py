"""The pool file: all that a user edits, validated once, with errors that name file, line and way out.

What belongs here: the shape of a pool file, how it is found and read, and the wording of its errors.
What to keep out: the settings of a backend (they stand in that backend's file) and what is done with
a pool (`erp_assets`).
"""

import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from erp_resources.embedders import EmbedderEntry
from erp_resources.language_models import LLM, RecordedCost, Sampling, TokenPrice
from erp_resources.names import check_distinct, check_entry_name, check_pool_name
from erp_resources.prompt_sources import PromptSourceEntry
from erp_resources.reward_models import RecordedRewardModel, RewardModelEntry
from erp_resources.settings import WAREHOUSE_FOLDER as WAREHOUSE_FOLDER
from erp_resources.settings import Settings, UserError

POOLS_FOLDER = "pools"


def _is_cron(schedule: str) -> str:
    from dagster._utils.schedules import is_valid_cron_string  # late: it takes a second

    if not is_valid_cron_string(schedule):
        raise ValueError(
            f"'{schedule}' is not a cron schedule; write minute, hour, day, month and weekday: '0 6 * * 1'"
        )
    return schedule


def _is_owner(owner: str) -> str:
    if not (re.fullmatch(r"team:[\w-]+", owner) or re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", owner)):
        raise ValueError(f"'{owner}' is neither team:NAME nor an e-mail address")
    return owner


Cron = Annotated[str, AfterValidator(_is_cron)]
"""A time table in the five fields of cron, in UTC."""

Owner = Annotated[str, AfterValidator(_is_owner)]
"""Who answers for a pool's assets in the UI."""


class Split(Settings):
    """The stratified train/test split of the prompts (section 3.1 of the paper: 50/50 by category)."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: int = Field(default=0, ge=0)


class Probe(Settings):
    """The ridge probe (eq. 3.2)."""

    beta: PositiveFloat | Literal["auto"] = "auto"
    """The penalty on the sum of squares; auto: one for all LLMs of a reward model, by exact leave-one-out."""
    features: Literal["auto", "embedding"] = "auto"
    """What the probe reads: the embedding alone, as in the paper, or with form and kind of the prompt (auto)."""


class Routing(Settings):
    """How the router decides."""

    guard: Literal["auto", "none"] = "auto"
    """auto: the best single LLM is left only for a predicted gain above a margin that routes the train prompts best."""


class Automation(Settings):
    """What Dagster does with the pool by itself, at times given as cron schedules in UTC."""

    enabled: bool = False
    """Whether what is missing or stale is made without being asked for."""
    retry: Cron = "0 * * * *"
    """When what failed is tried again."""
    refresh: Cron | None = None
    """When evaluations are made again, whether or not anything changed."""
    reevaluate: Cron | None = None
    """When fresh responses are sampled and compared with what was predicted."""
    reevaluate_prompts: PositiveInt = 100
    """How many held-out prompts a re-evaluation samples."""
    reevaluate_n: Annotated[int, Field(ge=2)] = 8
    """How many fresh responses it samples to each of them."""


class Pool(Settings):
    """One pool of LLMs: one asset graph."""

    name: str
    prompts: PromptSourceEntry
    split: Split = Split()
    sampling: Sampling = Sampling()
    embedder: EmbedderEntry
    probe: Probe = Probe()
    router: Routing = Routing()
    automation: Automation = Automation()
    owners: list[Owner] = Field(default_factory=list)
    llms: dict[str, LLM] = Field(min_length=1)
    reward_models: dict[str, RewardModelEntry] = Field(min_length=1)

    _root: Path = PrivateAttr()

    @field_validator("name")
    @classmethod
    def _legal_pool_name(cls, name: str) -> str:
        return check_pool_name(name)

    @field_validator("llms", "reward_models")
    @classmethod
    def _legal_partition_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            check_entry_name(name)
        check_distinct(entries)
        return entries

    @model_validator(mode="after")
    def _every_llm_can_be_rewarded(self) -> Self:
        for name, entry in self.reward_models.items():
            if isinstance(entry, RecordedRewardModel) and entry.otherwise is None and self.sampled_llms:
                raise ValueError(
                    f"reward_models.{name} has recorded rewards only, but llms.{self.sampled_llms[0]} is sampled: give "
                    "it a reward model under otherwise: that scores as the recorded rewards were"
                )
        return self

    @property
    def root(self) -> Path:
        """The project folder: the one that holds pools/ and warehouse/."""
        return self._root

    @property
    def path(self) -> Path:
        """The pool file."""
        return self.root / POOLS_FOLDER / f"{self.name}.yaml"

    @property
    def costs(self) -> list[float | TokenPrice | RecordedCost]:
        """What every LLM costs, in the file's order: a number for a response, a price of tokens, or as recorded."""
        return [llm.cost for llm in self.llms.values()]

    @property
    def sampled_llms(self) -> list[str]:
        """The LLMs that can be asked: of the others, outcomes are recorded."""
        return [name for name, llm in self.llms.items() if llm.backend != "recorded"]

    def only(self, llms: Sequence[str], reward_models: Sequence[str]) -> "Pool":
        """The same pool with no other LLMs and reward models than these."""
        return self.model_copy(
            update={
                "llms": {name: self.llms[name] for name in llms},
                "reward_models": {name: self.reward_models[name] for name in reward_models},
            }
        )


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
    return sorted(path.stem for path in (root / POOLS_FOLDER).glob("*.yaml"))


def load_pool(name: str, root: Path) -> Pool:
    """Read and validate `pools/<name>.yaml`.

    Raises `UserError` with one line per mistake: file, line, place in the file, what to write instead.
    """
    path = root / POOLS_FOLDER / f"{name}.yaml"
    if not path.is_file():
        names = pool_names(root)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(names) or 'none yet'}"
        raise UserError(f"there is no pool '{name}' ({path}); {hint} `erp new {name}` writes one to edit")
    place = f"{POOLS_FOLDER}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicate_keys(node, place)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{place}{line}: is not YAML: {error.problem}") from error
    if not isinstance(data, dict):
        raise UserError(f"{place}:1: a pool file is a mapping; `erp new NAME` writes one to begin with")
    try:
        pool = Pool.model_validate(data)
    except ValidationError as error:
        lines = [_explain(details, place, node, data) for details in error.errors()]
        raise UserError("\n".join(dict.fromkeys(lines))) from None
    if pool.name != path.stem:
        where = f"{place}:{_line(node, ('name',))}"
        raise UserError(f"{where}: name: '{pool.name}' is not the name of the file; write 'name: {path.stem}'")
    pool._root = root
    return pool


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
        except UserError as error:
            problems.append(f"{line_of(pool, path)}: {'.'.join(path)}: {error}")
    if problems:
        raise UserError("\n".join(problems))


def line_of(pool: Pool, path: tuple[str, ...]) -> str:
    """Where an entry stands, as pools/NAME.yaml:LINE."""
    node = yaml.compose(pool.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return f"{pool.path.relative_to(pool.root)}:{_line(node, path)}"


def _refuse_duplicate_keys(node: yaml.Node | None, place: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise UserError(
                    f"{place}:{line}: '{key.value}' stands twice (first in line {seen[key.value]}); keep one"
                )
            seen[key.value] = line
            _refuse_duplicate_keys(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicate_keys(value, place)


def _line(node: yaml.Node | None, path: tuple[int | str, ...]) -> int:
    """The line of the deepest key of `path` that the file has."""
    line = 1
    for part in path:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == str(part):
                line, node = key.start_mark.line + 1, value
                break
    return line


def _file_path(location: tuple[int | str, ...], data: Any) -> tuple[int | str, ...]:
    """pydantic's location without the names of union members, which do not stand in the file."""
    path: list[int | str] = []
    is_tag_due = True  # a tag stands once, before the keys of its entry: `source: function` has a key function, too
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if is_tag_due and isinstance(data, dict) and part in _tags(data):
            is_tag_due = False
        elif isinstance(data, dict) and part in data:
            path.append(part)
            data, is_tag_due = data[part], True
        elif is_last and isinstance(data, dict):
            path.append(part)
    return tuple(path)


def _tags(data: dict[Any, Any]) -> set[Any]:
    return {data.get("backend"), data.get("source")}


def _explain(details: ErrorDetails, place: str, node: yaml.Node | None, data: Any) -> str:
    path = _file_path(details["loc"], data)
    where = f"{place}:{_line(node, path)}: {'.'.join(map(str, path)) or 'the file'}"
    given, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            allowed = _fields_at(Pool, details["loc"][:-1])
            close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys are {', '.join(allowed)}"
            return f"{where}: unknown key; {hint}"
        case "missing":
            return f"{where}: is missing; add '{path[-1]}: ...'"
        case "union_tag_invalid":
            tag = context["discriminator"].strip("'")
            expected = context["expected_tags"].replace("'", "")
            place_of_tag = f"{place}:{_line(node, (*path, tag))}: {'.'.join(map(str, (*path, tag)))}"
            return f"{place_of_tag}: '{context['tag']}' is not one of {expected}"
        case "union_tag_not_found":
            return f"{where}: has no {context['discriminator']}; add '{context['discriminator'].strip(chr(39))}: ...'"
        case "literal_error":
            return f"{where}: '{given}' is not one of {context['expected'].replace(chr(39), '').replace(' or ', ', ')}"
        case "value_error":
            return f"{where}: {context['error']}"
        case _:
            shown = "" if isinstance(given, dict | list) else f", not {given!r}"
            return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}{shown}"


def _fields_at(annotation: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that are legal at a location of the file."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _fields_at(arguments[0], location)
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        fields = annotation.model_fields
        if not location:
            return list(fields)
        if location[0] in fields:
            return _fields_at(fields[str(location[0])].annotation, location[1:])
        return _fields_at(annotation, location[1:])  # the tag of a union that has one member
    if origin is dict:
        return _fields_at(arguments[1], location[1:])
    for member in arguments:
        if location and location[0] in _tags_of(member):
            return _fields_at(member, location[1:])
    return []


def _tags_of(member: Any) -> list[Any]:
    fields = getattr(member, "model_fields", {})
    return [tag for key in ("backend", "source") if key in fields for tag in typing.get_args(fields[key].annotation)]
