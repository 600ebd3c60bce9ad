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


def read(file: Path) -> Any:
    text = file.read_text()
    return [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)


def write(file: Path, value: Any) -> None:
    file.write_text("\n".join(map(json.dumps, value)) if file.suffix == ".jsonl" else json.dumps(value))


def change(value: Any, place: tuple[Any, ...], other: Any, is_gone: bool = False) -> None:
    """Put something else at a place of a JSON value, or nothing."""
    *outer, last = place
    for key in outer:
        value = value[key]
    if is_gone:
        del value[last]
    else:
        value[last] = other


@pytest.mark.parametrize(
    ("build", "pattern", "place", "other"),
    [
        (sets.ultrafeedback, "*.jsonl", (3, "completions", 2), "x"),
        (sets.helm, "scenario_state.json", ("request_states", 0, "instance"), True),
        (sets.promptfoo_json, "*.json", ("results", "results", 2, "response"), [{}]),
        (sets.inspect_ai, "*.json", ("samples", 1), [{"role": "user", "content": "x"}]),
        (sets.openai_evals, "*.jsonl", (3, "data"), [None]),
    ],
)
def test_what_a_log_does_not_hold_is_told_of_its_file(
    tmp_path: Path, build: sets.Builder, pattern: str, place: tuple[Any, ...], other: Any
) -> None:
    found = build(tmp_path)
    file = sorted(found.rglob(pattern))[0] if found.is_dir() else found
    value = read(file)
    change(value, place, other)
    write(file, value)
    with pytest.raises(
        UserError, match=r"looks like .*, but something in it has another form \(.*\); write the outcomes"
    ):
        load_outcomes(str(found), tmp_path)


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
    value = read(file)
    all_places = list(places(value))
    change(value, all_places[place % len(all_places)], other, is_gone)
    write(file, value)
    try:
        outcomes = load_outcomes(str(found), found.parent)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 1_500  # noqa: PT017
    else:
        assert outcomes.prompts.num_rows
    finally:
        file.write_text(before)
