"""Which YAML a pool file is: what means one thing to everybody who reads it.

What belongs here: from a file to plain values, with the line of each. What to keep out: which keys and values a pool
has (`shape`).

YAML 1.1 reads 1:30 as 90, 040 as 32, no as false and 2024-08-06 as a date; others read them otherwise. All of these
are refused, with the way to write what was meant, as are tags, which make objects. Anchors and aliases may be used, but
not to make a small file a huge one: what is read has a bound, and is looked at before anything is built from it.
"""

import math
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.reader import Reader

from erp_resources.pool.mistakes import refuse
from erp_resources.settings import UserError, shown

_MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000
_DEEPEST = 32
_MOST_DIGITS = 400
_OF_YAML = "tag:yaml.org,2002:"
_MERGE = f"{_OF_YAML}merge"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


class Document(NamedTuple):
    """A file's values, and where each stands."""

    data: Any
    node: yaml.Node | None

    def line(self, path: tuple[int | str, ...]) -> int:
        """The line of the deepest key of `path` that the file has."""
        line, node = 1, self.node
        for part in path:
            if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
                continue
            found = next((pair for pair in _pairs(node) if pair[0].value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line


def read_document(path: Path, place: str) -> Document:
    """The values of a YAML file; `place` is what it is called in errors. Raises `UserError`, a line per mistake."""
    text = _read(path, place)
    try:
        _check_size(text, place)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{place}{line}: is not YAML: {shown(error.problem or error.context)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{place}: is not YAML: {shown(' '.join(str(error).split()))}") from error
    builder = _Builder(place)
    data = None if node is None else builder.value(node, ())
    refuse(builder.mistakes)
    return Document(data, node)


def _read(path: Path, place: str) -> str:
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise UserError(f"{place}: has {size:,} bytes, of which a pool file has at most {_MOST_BYTES:,}")
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{place}:{line}: is not UTF-8 text; save it in that encoding") from error
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror or error}") from error
    if wrong := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, wrong.start()) + 1
        raise UserError(f"{place}:{line}: holds the character {shown(wrong[0])}, which no text has; remove it")
    return text


def _check_size(text: str, place: str) -> None:
    """See, event by event and so within bounds, how deep and how large the values are once aliases are followed."""
    sizes: dict[str | None, int] = {}
    begun: list[tuple[str | None, int]] = []
    values = documents = 0
    events: Iterable[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        where = f"{place}:{event.start_mark.line + 1}"
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise UserError(f"{where}: a second document begins here; remove the line with ---")
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in begun):
                raise UserError(f"{where}: *{shown(event.anchor)} stands within what it stands for; write it out")
            values += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            sizes[anchor] = values - before + 1
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.tag is not None:
                raise UserError(
                    f"{where}: has the tag {shown(event.tag.replace(_OF_YAML, '!!'))}; write the value alone"
                )
            values += 1
            if isinstance(event, yaml.CollectionStartEvent):
                begun.append((event.anchor, values))
                if len(begun) > _DEEPEST:
                    raise UserError(f"{where}: is nested more than {_DEEPEST} deep, as no pool file is")
            else:
                sizes[event.anchor] = 1
        if values > _MOST_VALUES:
            raise UserError(f"{where}: stands for more than {_MOST_VALUES:,} values, as no pool file does")


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    """A mapping's keys and values; those that are merged into it come last, and where they do not stand already."""
    if not isinstance(node, yaml.MappingNode):
        return []
    own = [(key, value) for key, value in node.value if key.tag != _MERGE]
    merged = [value for key, value in node.value if key.tag == _MERGE]
    sources = [source for value in merged for source in (value.value if _is_list(value) else [value])]
    names = {str(key.value) for key, _ in own}
    for source in sources:
        for key, value in _pairs(source):
            if str(key.value) not in names:
                names.add(str(key.value))
                own.append((key, value))
    return own


def _is_list(node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode)


class _Builder:
    """Plain values out of nodes, and the mistakes found on the way."""

    def __init__(self, place: str) -> None:
        self.mistakes: list[str] = []
        self._place = place

    def value(self, node: yaml.Node, path: tuple[int | str, ...]) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: tuple[int | str, ...]) -> dict[str, Any]:
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                self._add(key, (), f"'{shown(key.value)}' stands twice (first in line {lines[key.value]}); keep one")
            elif isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
        values: dict[str, Any] = {}
        before: yaml.Node | None = None
        for key, value in _pairs(node):
            if self._is_key(key, value, before, path):
                values[key.value] = self.value(value, (*path, key.value))
            before = value
        return values

    def _is_key(self, key: yaml.Node, value: yaml.Node, before: yaml.Node | None, path: tuple[int | str, ...]) -> bool:
        if not isinstance(key, yaml.ScalarNode):
            self._add(key, path, "has a key that is no text; write a name before the colon")
            return False
        kind = _kind(key)
        if kind in ("str", "value") and not _UNREADABLE.search(key.value):
            return True
        if kind == "int" and not value.value and before is not None and _INTEGER.fullmatch(str(before.value)):
            number = f"{before.value}.{key.value}"
            self._add(
                key, path, f"{shown(key.value)} stands for itself behind a comma; is {number} meant? write a point"
            )
        elif kind == "str":
            self._add(key, path, f"the name '{shown(key.value)}' holds a character that no text has; remove it")
        else:
            what = _WHAT.get(kind, "something else")
            said = f"the name {shown(key.value)} would be read as {what}; put it in quotes: '{shown(key.value)}'"
            self._add(key, path, said if key.value else "has a value without a name; write a name before the colon")
        return False

    def _scalar(self, node: yaml.Node, path: tuple[int | str, ...]) -> Any:
        kind, text = _kind(node), str(node.value)
        quoted = f"a text in quotes: '{shown(text, 40)}'"
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _INTEGER.fullmatch(text) and len(text) <= _MOST_DIGITS:
            return int(text)
        if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        if kind in ("str", "value"):
            if _UNREADABLE.search(text):
                self._add(node, path, f"'{shown(text)}' holds a character that no text has; remove it")
            return text
        if kind == "bool":
            self._add(node, path, f"{text} means true to some and a text to others; write true or false, or {quoted}")
        elif kind == "timestamp":
            self._add(node, path, f"{shown(text)} would be read as a date; write {quoted}")
        else:
            self._add(node, path, f"{shown(text, 40)} is no finite number in plain digits; write one, or {quoted}")
        return text

    def _add(self, node: yaml.Node, path: tuple[int | str, ...], said: str) -> None:
        where = f"{shown('.'.join(map(str, path)))}: " if path else ""
        self.mistakes.append(f"{self._place}:{node.start_mark.line + 1}: {where}{said}")


_WHAT = {"bool": "true or false", "null": "nothing", "int": "a number", "float": "a number", "timestamp": "a date"}


def _kind(node: yaml.Node) -> str:
    """What YAML takes a scalar for. 1e-3 is a number to everybody but YAML 1.1."""
    kind = str(node.tag).rpartition(":")[2]
    if (
        kind == "str"
        and getattr(node, "style", None) not in ("'", '"', "|", ">")
        and re.fullmatch(r"[-+]?[0-9.]+[eE].*", node.value)
    ):
        return "float" if _FLOAT.fullmatch(node.value) else kind
    return kind
