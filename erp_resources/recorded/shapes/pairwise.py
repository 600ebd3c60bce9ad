"""Battles of two LLMs, as LMSYS' arenas publish them: the winner of each becomes a share of wins per prompt.

The LLM that won has the reward 1, the other 0, and both one half for a tie. Of an LLM that fought several times on one
prompt these are its samples, so that its mean is the share of its battles that it won. Who the others were does not
count: where LLMs met different ones, fit a Bradley-Terry model, and import its strengths.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.recorded.shapes.interface import Shape, objects, response_of, turns_of, users_turns
from erp_resources.recorded.sources import File, Tidy, whole_rows
from erp_resources.settings import UserError
from erp_resources.tables import Rows, conversation

_WINS = {"model_a": 1.0, "a": 1.0, "model_b": 0.0, "b": 0.0}
_TIES = ("tie", "tie (bothbad)", "tie(bothbad)", "both_bad", "bothbad", "both bad", "draw")
_PROMPTS = ("prompt", "question", "conversation_a", "full_conversation")


def _recognise(file: File) -> bool:
    keys = file.keys
    return keys >= {"model_a", "model_b"} and bool(keys & {"winner", "winner_model_a"}) and bool(keys & set(_PROMPTS))


def _read(files: Sequence[File]) -> Tidy:
    rows = whole_rows(files)
    present = rows.table.column_names
    won = _shares(rows)
    prompts = _prompts(rows)
    sides = []
    for side, share in (("a", won), ("b", pc.subtract(1.0, won))):
        said = next((name for name in (f"response_{side}", f"conversation_{side}") if name in present), None)
        responses = [None] * len(won) if said is None else [_response(value) for value in objects(rows, said)]
        columns = {
            "prompt": pa.array(prompts, pa.string()),
            "model": rows.labels(f"model_{side}"),
            "win": share,
            "against": rows.labels(f"model_{'b' if side == 'a' else 'a'}"),
            "response": pa.array(responses, pa.string()),
        }
        for name in ("category", "language", "task"):
            if name in present and pa.types.is_string(rows.table[name].type) and name not in rows.mixed:
                columns["category"] = rows.labels(name)
                break
        sides.append(pa.table(columns))
    lines, file_of = np.tile(rows.lines, 2), np.tile(rows.file_of, 2)
    table = pa.concat_tables(sides)
    both = Rows(table, rows.paths, lines, file_of, frozenset(), frozenset(), False, rows.notes)
    roles = {"prompt": "prompt", "llm": "model", "reward": "win", "response": "response"}
    roles |= {"category": "category"} if "category" in table.column_names else {}
    note = (
        "win is 1 for the LLM that won a battle, 0 for the other, 0.5 for a tie: its mean is the share of battles won"
    )
    return Tidy(both, roles, (note,), "win")


def _shares(rows: Rows) -> pa.Array:
    """How much of each battle model_a won."""
    if "winner" not in rows.table.column_names:
        first, second, tie = (rows.numbers(f"winner_{name}") for name in ("model_a", "model_b", "tie"))
        known = pc.equal(pc.add(pc.add(first, second), tie), 1)
        bad = pc.fill_null(pc.invert(known), False)
        if pc.any(bad).as_py():
            raise UserError(
                f"{rows.place(pc.index(bad, True).as_py())}: one of winner_model_a, _b and _tie has to be 1"
            )
        return pc.add(first, pc.multiply(tie, 0.5))
    winners = pc.utf8_lower(pc.utf8_trim_whitespace(rows.labels("winner")))
    shares = {**_WINS, **dict.fromkeys(_TIES, 0.5)}
    place = pc.index_in(winners, value_set=pa.array(list(shares)))
    unknown = pc.and_(pc.is_null(place), pc.and_(pc.is_valid(winners), pc.fill_null(pc.not_equal(winners, ""), False)))
    if pc.any(unknown).as_py():
        row = pc.index(unknown, True).as_py()
        raise UserError(
            f"{rows.place(row)}: column 'winner' holds '{winners[row].as_py()[:50]}'; write model_a, model_b or tie"
        )
    return pa.array(list(shares.values()), pa.float64()).take(place)


def _prompts(rows: Rows) -> list[str | None]:
    """What the user said, in all turns."""
    name = next(name for name in _PROMPTS if name in rows.table.column_names)
    return [_prompt(value) for value in objects(rows, name)]


def _prompt(value: Any) -> str | None:
    turns = _list(value)
    if isinstance(turns, list) and turns and all(turn is None or isinstance(turn, str) for turn in turns):
        return turns_of([turn or "" for turn in turns])
    return users_turns(value) or (value if isinstance(value, str) else None)


def _response(value: Any) -> str | None:
    """What an LLM said: in a conversation its own turns."""
    turns = _list(value)
    if isinstance(turns, list) and turns and all(turn is None or isinstance(turn, str) for turn in turns):
        return "\n\n".join(turn or "" for turn in turns)
    messages = conversation(turns)
    if messages is not None:
        return "\n\n".join(one["content"] for one in messages if one["role"] == "assistant")
    return response_of(value)


def _list(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


PAIRWISE = Shape("battles of two LLMs each", _recognise, _read)
