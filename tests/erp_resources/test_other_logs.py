"""Public logs with something else in one place, as another version of their maker writes: understood or refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import public_sets as sets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.recorded import load_outcomes
from erp_resources.settings import UserError

LOGS = (
    sets.routerdc,
    sets.routerarena,
    sets.mt_bench_folder,
    sets.alpaca_eval,
    sets.inspect_ai,
    sets.lm_eval,
    sets.helm,
    sets.promptfoo_jsonl,
    sets.promptfoo_json,
    sets.arena,
    sets.ultrafeedback,
    sets.openai_evals,
)
OTHERS = [
    None, True, 0, -1, 0.5, float("nan"), 2**64, "", "x", " ", "tie", "\ud83d", [], {}, ["x"], [1], [{}], [[1]], [None],
    {"a": 1}, {"a": None}, [{"role": "user", "content": "x"}],
]  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every log by its name."""
    return {build.__name__: build(tmp_path_factory.mktemp(build.__name__)) for build in LOGS}


def places(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value; of a long list the beginning."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*keys, key)
        yield from places(item, (*keys, key))


@given(
    log=st.sampled_from([build.__name__ for build in LOGS]),
    place=st.integers(0, 10_000),
    other=st.sampled_from(OTHERS),
    is_gone=st.booleans(),
)
def test_a_log_with_something_else_in_one_place_is_understood_or_refused(
    logs: dict[str, Path], log: str, place: int, other: Any, is_gone: bool
) -> None:
    found = logs[log]
    files = sorted(file for file in found.rglob("*.json*")) if found.is_dir() else [found]
    file = files[place % len(files)]
    before = file.read_text()
    is_lines = file.suffix == ".jsonl"
    value = [json.loads(line) for line in before.splitlines()] if is_lines else json.loads(before)
    all_places = list(places(value))
    *outer, last = all_places[place % len(all_places)]
    holder = value
    for key in outer:
        holder = holder[key]
    if is_gone:
        del holder[last]
    else:
        holder[last] = other
    file.write_text("\n".join(map(json.dumps, value)) if is_lines else json.dumps(value))
    try:
        outcomes = load_outcomes(str(found), found.parent)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 1_500  # noqa: PT017
    else:
        assert outcomes.prompts.num_rows
    finally:
        file.write_text(before)
