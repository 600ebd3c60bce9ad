"""The mistakes in a pool file, in words: file, line, place in the file, and what to write instead.

What belongs here: what pydantic found, a line for each mistake of the user's. What to keep out: what is a mistake
(`shape`, `yaml_text`, and each backend's settings).
"""

import difflib
import re
import types
import typing
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from erp_resources.settings import UserError, shown

if TYPE_CHECKING:
    from erp_resources.pool.yaml_text import Document

_MOST = 20
_LONGEST = 800
_TAGS = ("backend", "source")

FilePath = tuple[int | str, ...]


def refuse(mistakes: Iterable[str]) -> None:
    """Raise `UserError` with a line for each mistake, and no more than fit a screen. Nothing when there are none."""
    lines = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..." for line in dict.fromkeys(mistakes)]
    if len(lines) > _MOST:
        lines = [*lines[:_MOST], f"and {len(lines) - _MOST} more"]
    if lines:
        raise UserError("\n".join(lines))


def explain(found: Sequence[ErrorDetails], shape: type[BaseModel], document: "Document", place: str) -> list[str]:
    """A line for every mistake in a file of this shape, in the file's order."""
    by_path: dict[FilePath, list[ErrorDetails]] = defaultdict(list)
    for details in found:
        by_path[_file_path(details["loc"], document.data)].append(details)
    lines: list[tuple[int, str]] = []

    def add(path: FilePath, said: str) -> None:
        line = document.line(path)
        lines.append((line, f"{place}:{line}: {shown('.'.join(map(str, path))) or 'the file'}: {said}"))

    for parent in dict.fromkeys(path[:-1] for path in by_path):
        unknown = [path[-1] for path, its in by_path.items() if path[:-1] == parent and _is(its, "extra_forbidden")]
        missing = [path[-1] for path, its in by_path.items() if path[:-1] == parent and _is(its, "missing")]
        known = _keys_at(shape, parent, document.data)
        for path, said in _about_keys(parent, list(map(str, unknown)), list(map(str, missing)), known):
            add(path, said)
    for path, its in by_path.items():
        if _is(its, "extra_forbidden") or _is(its, "missing"):
            continue
        # Of the kinds that a value may be, one that the user wrote the keys of is the one that was meant.
        is_of_another_kind = any(other[: len(path)] == path and other != path for other in by_path)
        if not is_of_another_kind:
            add(*_about_value(path, its))
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _is(found: Sequence[ErrorDetails], kind: str) -> bool:
    return all(details["type"] == kind for details in found)


def _about_keys(
    parent: FilePath, unknown: list[str], missing: list[str], known: list[str]
) -> Iterable[tuple[FilePath, str]]:
    """What to say of the keys of one mapping that are unknown, or missing: a mistyped one is both."""
    strange = []
    for key in unknown:
        close = difflib.get_close_matches(key[:100], known, n=1)
        if close:
            missing = [name for name in missing if name != close[0]]
            yield (*parent, key), f"unknown key; did you mean '{close[0]}'?"
        else:
            strange.append(key)
    if strange:
        lacks = f"; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else ""
        keys = f"known keys are {', '.join(known)}{lacks}"
        if len(strange) == 1:
            yield (*parent, strange[0]), f"unknown key; {keys}"
        else:
            yield parent, f"unknown keys {shown(', '.join(strange))}; {keys}"
        return
    for name in missing:
        yield (*parent, name), f"is missing; add '{name}: ...'"


def _about_value(path: FilePath, found: Sequence[ErrorDetails]) -> tuple[FilePath, str]:
    """Where a wrong value stands, and what to say of it; several when it may be of several kinds."""
    details = found[0]
    given, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "union_tag_invalid":
            discriminator, tag = context["discriminator"].strip("'"), context["tag"]
            expected = context["expected_tags"].replace("'", "")
            close = difflib.get_close_matches(str(tag)[:100], expected.split(", "), n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            return (*path, discriminator), f"'{shown(tag)}' is not one of {expected}{hint}"
        case "union_tag_not_found":
            return path, f"has no {context['discriminator']}; add '{context['discriminator'].strip(chr(39))}: ...'"
        case "literal_error" if len(found) == 1:
            choices = context["expected"].replace("'", "").replace(" or ", ", ")
            return path, f"'{shown(given)}' is not one of {choices}"
        case "value_error":
            return path, str(context["error"])
    if keys := [one for one in found if one["loc"][-1] == "[key]" and one["type"] == "literal_error"]:
        return path, f"unknown key; known keys are {keys[0].get('ctx', {})['expected'].replace(chr(39), '')}"
    if details["type"] == "too_short":
        return path, "is empty; name one at least"
    wanted = list(dict.fromkeys(map(_wanted, found)))
    should = "input should be "
    if len(wanted) > 1:
        wanted = [f"{should}{' or '.join(one.removeprefix(should) for one in wanted)}"]
    return path, f"{wanted[0]}{_given(given)}"


_WANTED = {
    "int_type": "input should be a valid integer",
    "float_type": "input should be a valid number",
    "string_type": "input should be a text",
    "bool_type": "input should be true or false",
    "list_type": "input should be a list",
}
_MAPPINGS = ("model_type", "dict_type", "model_attributes_type")


def _wanted(details: ErrorDetails) -> str:
    """What would be right."""
    kind, said = details["type"], details["msg"]
    if kind in _MAPPINGS:
        return "input should be a mapping, with keys and values"
    if kind == "literal_error":
        return str(details.get("ctx", {})["expected"])
    return _WANTED.get(kind, f"{said[0].lower()}{said[1:]}")


def _given(value: Any) -> str:
    """What stands there instead, and what may have been meant."""
    if value is None:
        return ", but nothing stands here"
    if isinstance(value, dict | list):
        return ", not a mapping" if isinstance(value, dict) else ", not a list" if value else ""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20},[0-9]{1,20}", value):
        return f", not '{value}'; write {value.replace(',', '.')}, with a point"
    return f", not '{shown(value)}'" if isinstance(value, str) else f", not {shown(value)}"


def _file_path(location: tuple[int | str, ...], data: Any) -> FilePath:
    """pydantic's location without the names of union members, which do not stand in the file."""
    path: list[int | str] = []
    is_tag_due = True  # a tag stands once, before the keys of its entry: `source: function` has a key function, too
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
        elif is_tag_due and isinstance(data, dict) and part in [data.get(tag) for tag in _TAGS]:
            is_tag_due = False
        elif isinstance(data, dict) and part in data:
            path.append(part)
            data, is_tag_due = data[part], True
        elif is_last and isinstance(data, dict) and _is_name(part):
            path.append(part)
    return tuple(path)


def _is_name(part: int | str) -> bool:
    """Whether pydantic means a key, and none of its own words, such as float or literal['auto',...] or [key]."""
    return isinstance(part, str) and part.replace("_", "").isalnum() and part not in ("float", "int", "str", "dict")


def _keys_at(annotation: Any, path: FilePath, data: Any) -> list[str]:
    """The keys that a file may have at a place, given what it has."""
    shapes = [shape for shape in _members(annotation) if _fits(shape, data)]
    if not path:
        return list(dict.fromkeys(name for shape in shapes for name in getattr(shape, "model_fields", {})))
    below = data[path[0]] if isinstance(data, dict) and path[0] in data else None
    for shape in shapes:
        fields = getattr(shape, "model_fields", {})
        if path[0] in fields:
            return _keys_at(fields[path[0]].annotation, path[1:], below)
        if typing.get_origin(shape) is dict:
            return _keys_at(typing.get_args(shape)[1], path[1:], below)
    return []


def _members(annotation: Any) -> list[Any]:
    """What an annotation may be: the members of unions, without what annotates them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(annotation) for member in _members(part)]
    return [annotation]


def _fits(shape: Any, data: Any) -> bool:
    """Whether an entry says that it is of this shape, or says nothing about it."""
    fields = getattr(shape, "model_fields", {})
    tags = [tag for tag in _TAGS if tag in fields and typing.get_origin(fields[tag].annotation) is typing.Literal]
    return not (isinstance(data, dict) and tags) or any(
        data.get(tag) in typing.get_args(fields[tag].annotation) for tag in tags
    )
