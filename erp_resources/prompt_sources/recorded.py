"""The prompts of outcomes that a user already has."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import field_validator

from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.recorded import Columns, content_hash, load_outcomes
from erp_resources.settings import Settings, Text
from erp_resources.tables import last_user_turn

_TURNS = re.compile(r"(?im)^\s*(user|human|assistant|ai|system)\s*:")


class RecordedPrompts(Settings):
    """The prompts in `path`, a file or folder relative to the project (see `erp_resources.recorded`).

    A split that the data bring is kept. `embed` says which part of a prompt is embedded, where instructions or
    examples stand before what matters: "all" of it; "last_user_turn" of a conversation, written as a JSON list of
    messages or with lines that begin with User: or Human:; or what follows the last occurrence of the text given, as
    in `embed: {after: "Question:"}`. Data with a column embed_text say it themselves.
    """

    source: Literal["recorded"]
    path: Text
    embed: Literal["all", "last_user_turn"] | dict[Literal["after"], str] = "all"
    columns: Columns = Columns()

    @field_validator("embed")
    @classmethod
    def _has_a_text(cls, embed: str | dict[str, str]) -> str | dict[str, str]:
        if isinstance(embed, dict) and not embed.get("after"):
            raise ValueError('write embed: {after: "the text before what matters"}, or embed: all')
        return embed

    def load(self, root: Path) -> PromptSource:
        """Read the prompts. Raises `UserError` with the line of what does not fit."""
        return _RecordedSource(self, load_outcomes(self.path, root, self.columns).prompts)

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and the data's content."""
        content = content_hash(self.path, root, self.columns)
        return json.dumps(self.model_dump(exclude={"path", "columns"}) | {"content": content} | self.columns.chosen())


class _RecordedSource:
    """See `PromptSource`."""

    def __init__(self, settings: RecordedPrompts, prompts: pa.Table) -> None:
        self.notes: dict[str, int] = {}
        self._settings = settings
        self._prompts = prompts

    def load(self) -> pa.Table:
        """See `PromptSource.load`."""
        table = self._prompts.select([*PROMPTS.names, "split"])
        if self._settings.embed != "all":
            texts = table["embed_text"].to_pylist()
            parts = [embedded_part(text, self._settings.embed) for text in texts]
            whole = sum(part is None for part in parts)
            self.notes[f"embedded whole, since embed: {json.dumps(self._settings.embed)} found nothing in them"] = whole
            chosen = pa.array([part or text for part, text in zip(parts, texts, strict=True)], pa.string())
            table = table.set_column(table.column_names.index("embed_text"), "embed_text", chosen)
        if table["split"].null_count == table.num_rows:
            return table.drop_columns("split")
        return table


def embedded_part(text: str, embed: Literal["last_user_turn"] | Mapping[Literal["after"], str]) -> str | None:
    """The part of a prompt that is embedded; None where there is no such part."""
    if not isinstance(embed, str):
        _, mark, part = text.rpartition(embed["after"])
        return part.strip() or None if mark else None
    try:
        said = last_user_turn(json.loads(text))
    except (ValueError, RecursionError):
        said = None
    if said is not None:
        return said
    turns = _TURNS.split(text)
    # The text of a turn stands behind its speaker.
    users = [turns[i + 1].strip() for i in range(1, len(turns) - 1, 2) if turns[i].lower() in ("user", "human")]
    return users[-1] or None if users else None
