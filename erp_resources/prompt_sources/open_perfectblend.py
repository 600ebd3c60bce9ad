"""The prompts of open-perfectblend, the corpus of the paper's experiments (section 3.1)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_resources.prompt_sources.hub_dataset import HubDataset
from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.sampling import draw, prompt_keys
from erp_resources.settings import Count, Seed, UserError
from erp_resources.tables import check_column, text_column

NAME = "mlabonne/open-perfectblend"
_PLACE = f"dataset '{NAME}'"

CATEGORY_OF = {
    "theblackcat102/evol-codealpaca-v1": "coding",
    "mlabonne/ultrachat_200k_sft": "general_chat",
    "HuggingFaceH4/ultrachat_200k": "general_chat",
    "mlabonne/lmsys-arena-human-preference-55k-sharegpt": "general_chat",
    "Post-training-Data-Flywheel/AutoIF-instruct-61k": "instruction_following",
    "meta-math/MetaMathQA": "math",
    "HuggingFaceH4/orca-math-word-problems-200k": "math",
    "microsoft/orca-math-word-problems-200k": "math",
}
"""The category of every value of the column `source` that has one.

UltraChat and Orca-Math stand here twice, because the dataset's card and its rows name them differently.
Left out by default are the two sources that are of no one category: openbmb/UltraInteract_sft mixes code,
mathematics and logic, HuggingFaceH4/ultrafeedback_binarized the prompts of six datasets of every kind.
"""

Category = Literal["coding", "general_chat", "instruction_following", "math"]
"""The paper's categories."""

MIXED = ("ultrainteract", "ultrafeedback")
"""The two: what their names have in them, however the dataset spells them, and the settings that count them in."""

_CATEGORIES = list(get_args(Category))
_CODES = np.array([_CATEGORIES.index(category) for category in CATEGORY_OF.values()])
_BATCH_ROWS = 10_000


class OpenPerfectBlendPrompts(HubDataset):
    """The first user turns of open-perfectblend, `per_category` of each of the paper's four categories.

    A conversation that does not begin with a user's turn (a system's may stand before it) is left out.
    The prompt is the turn without the whitespace around it, which chat templates drop anyway.

    `ultrainteract` and `ultrafeedback` count all of a mixed source to one category; without them it is left out. The
    paper does not say which of its categories a source is counted to.
    """

    source: Literal["open_perfectblend"]
    per_category: Count = 1000
    seed: Seed = 0
    ultrainteract: Category | None = None
    ultrafeedback: Category | None = None

    def fingerprint(self, root: Path) -> str:
        """See `HubDataset.fingerprint`; a mixed source that is left out is not in it."""
        entry: dict[str, Any] = json.loads(super().fingerprint(root))
        return json.dumps({name: value for name, value in entry.items() if name not in MIXED or value is not None})

    @property
    def counted(self) -> dict[str, str]:
        """The mixed sources that are counted to a category, and to which."""
        return {name: category for name in MIXED if (category := getattr(self, name)) is not None}

    def load(self, root: Path) -> PromptSource:
        """Open the dataset. Raises `UserError` when it is not there or the package `datasets` is missing."""
        return _OpenPerfectBlend(self, self._open(NAME, "train", root))


class _OpenPerfectBlend:
    """See `PromptSource`."""

    def __init__(self, settings: OpenPerfectBlendPrompts, dataset: Any) -> None:
        self.notes: dict[str, int] = {}
        self._settings = settings
        self._dataset = dataset.with_format("arrow")

    def load(self) -> pa.Table:
        """See `PromptSource.load`; the conversations (1.4 million) are read batch by batch."""
        notes: dict[str, int] = {}
        mixed = self._settings.counted
        absent = set(mixed)
        rows, codes, keys = [], [], []
        start = 0
        for batch in self._dataset.iter(batch_size=_BATCH_ROWS):
            prompts, code = _read(batch, mixed)
            absent -= {name for name in absent if _named(batch, name).any()}
            is_known = code >= 0
            unknown = text_column(batch, "source", _PLACE).filter(pa.array(~is_known))
            for counted in pc.value_counts(unknown).to_pylist():
                _count(notes, f"no category: {counted['values']}", counted["counts"])
            has_turn = pc.is_valid(prompts).to_numpy(zero_copy_only=False)
            has_text = pc.fill_null(pc.not_equal(prompts, ""), False).to_numpy(zero_copy_only=False)
            _count(notes, "no user turn first", (is_known & ~has_turn).sum())
            _count(notes, "empty", (is_known & has_turn & ~has_text).sum())
            (kept,) = np.nonzero(is_known & has_text)
            rows.append(start + kept)
            codes.append(code[kept])
            keys.append(prompt_keys(prompts.take(pa.array(kept)), self._settings.seed))
            start += batch.num_rows
        if not sum(map(len, rows)):
            left_out = ", ".join(f"{reason}: {n}" for reason, n in notes.items()) or "it has no rows"
            raise UserError(f"{_PLACE}: it holds no prompts of the known sources ({left_out})")
        if absent:
            raise UserError(
                f"{_PLACE}: no row's source is called {' or '.join(sorted(absent))}; leave out prompts."
                f"{min(absent)}, or name a copy that has it"
            )
        categories = pd.Categorical.from_codes(np.concatenate(codes), _CATEGORIES)
        drawn, drawing = draw(np.concatenate(keys), categories, self._settings.per_category)
        self.notes = notes | drawing
        taken = self._dataset[np.concatenate(rows)[drawn].tolist()]
        prompts, code = _read(taken, mixed)
        return pa.table(
            {
                "prompt": prompts,
                "embed_text": prompts,
                "category": np.array(_CATEGORIES)[code],
                "answer": pa.nulls(len(prompts), pa.string()),
                "source": text_column(taken, "source", _PLACE),
            },
            schema=PROMPTS,
        )


def _count(notes: dict[str, int], reason: str, n: int) -> None:
    if n:
        notes[reason] = notes.get(reason, 0) + int(n)


def _named(batch: pa.Table, name: str) -> NDArray[np.bool_]:
    """Which of n rows are of a source whose name has `name` in it, in whatever case."""
    sources = text_column(batch, "source", _PLACE)
    found = pc.fill_null(pc.match_substring(sources, name, ignore_case=True), False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _read(batch: pa.Table, counted: Mapping[str, str]) -> tuple[pa.Array, NDArray[np.intp]]:
    """Of n rows the prompts, null where a conversation does not begin with one, and the categories' codes.

    The code of a source without a category is -1; `counted` gives one to mixed sources.
    """
    sources = text_column(batch, "source", _PLACE)
    index = pc.fill_null(pc.index_in(sources, value_set=pa.array(list(CATEGORY_OF))), -1).to_numpy()
    codes = np.where(index < 0, -1, _CODES[index])
    for name, category in counted.items():
        codes = np.where(_named(batch, name), _CATEGORIES.index(category), codes)
    return pc.utf8_trim_whitespace(_first_user_turns(batch)), codes


def _first_user_turns(batch: pa.Table) -> pa.Array:
    """The text of every conversation's first turn that is not the system's, null where it is not a user's."""
    check_column("conversations", batch.column_names, _PLACE)
    kind = batch["conversations"].type
    turn = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else pa.null()
    if not pa.types.is_struct(turn) or not {"from", "value"} <= {field.name for field in turn}:
        raise UserError(
            f"{_PLACE}: its column 'conversations' holds {kind}, but lists of turns with 'from' and 'value' are needed"
        )
    conversations = batch["conversations"].combine_chunks()
    turns = conversations.flatten()
    role = pc.struct_field(turns, "from")
    spoken = pc.fill_null(pc.not_equal(role, "system"), True)
    texts = pc.if_else(pc.equal(role, "human"), pc.struct_field(turns, "value"), None).filter(spoken)
    owners = pc.list_parent_indices(conversations).filter(spoken).to_numpy()
    owners, first = np.unique(owners, return_index=True)
    position = np.full(len(conversations), -1)
    position[owners] = first
    return texts.take(pa.array(position, mask=position < 0)).cast(pa.string())
