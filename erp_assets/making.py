"""How the partitions of a step are made, and what becomes of each.

What belongs here: the parts of a step that share no failure, the storing of what a stage's function returns, the notes
of every try, and the one error that a step ends with. What to keep out: how an asset is declared (`stage`), what its
function is given (`step`), and the checks (`checking`).
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from erp_assets.lock import hold_partitions
from erp_assets.step import Step, Value
from erp_resources.lineage import GATHERING, LOADS_MODELS, REWARD_MODEL, UNPARTITIONED
from erp_resources.notes import Notes
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions, Warehouse

_LONGEST = 1_000
_KEYS_NAMED = 3


def make(step: Step, function: Callable[..., Any], inputs: Mapping[str, Partitions]) -> None:
    """Make all keys of a step by a stage's function, together where that is cheap; what fails takes nothing with it.

    Raises `dagster.Failure`, which says why in words, when something failed; everything else is stored by then, and
    told to Dagster.
    """
    asked = step.keys
    errors: dict[str, Exception] = {}
    with hold_partitions(step.pool, step.asset, asked, step.log.info) as has_waited:
        if has_waited:
            inputs = {name: read.again() for name, read in inputs.items()}
            step.read(inputs)
        step.keys = [key for key in asked if not _was_made_meanwhile(step, key)]
        for keys in _parts(step):
            errors |= _make_part(step, keys, lambda: _make_now(step, function, inputs))
    step.keys = asked
    Warehouse(step.pool).refresh_views()
    if not errors:
        return
    for key in asked:
        if key not in errors:
            step.tell_made(key)
    said = "\n".join(_by_error(step, errors))
    raise dg.Failure(said, metadata={"why": said}, allow_retries=False) from next(iter(errors.values()))


def in_words(error: BaseException) -> str:
    """An error in one line: a user's mistake as it is said, another with its type."""
    said = " ".join(str(error).split())
    if not isinstance(error, UserError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."


def _parts(step: Step) -> list[list[str]]:
    """The keys of a step in parts that do not share a failure: those that a loaded model serves stay together."""
    if step.asset == "rewards":
        by_model: dict[str, list[str]] = defaultdict(list)
        for key in step.keys:
            by_model[step.names(key)[REWARD_MODEL]].append(key)
        return list(by_model.values())
    return [[key] for key in step.keys] if step.asset in LOADS_MODELS else [step.keys] if step.keys else []


def _make_part(step: Step, keys: list[str], make_now: Callable[[], None]) -> dict[str, Exception]:
    """Make some keys together, and those that a failure held up without the one that failed; returns what failed."""
    errors: dict[str, Exception] = {}
    left = keys
    while left:
        error = _try(step, left, make_now)
        if error is None:
            break
        unmade = [key for key in left if not _is_made(step, key)] or left[-1:]
        if step.asset not in LOADS_MODELS and len(left) > 1:  # computed together: which of them failed is not known
            step.log.warning(f"{step.asset}: all partitions together failed ({in_words(error)}); making each alone")
            return {key: failed for key in unmade if (failed := _try(step, [key], make_now)) is not None}
        is_the_same = in_words(error) in {in_words(one) for one in errors.values()}
        errors[unmade[0]] = error
        left = unmade[1:]
        if is_the_same:  # a model that cannot be loaded fails for all: it is not loaded for each
            errors |= dict.fromkeys(left, error)
            for key in left:
                _note_end(step, key, error)
            break
    return errors


def _try(step: Step, keys: Sequence[str], make_now: Callable[[], None]) -> Exception | None:
    """Make some keys, with a note of how each began and ended."""
    notes = Notes(Warehouse(step.pool).folder)
    step.keys = list(keys)
    for key in keys:
        notes.begin(step.partition(key), step.run)
    try:
        make_now()
    except Exception as error:
        for key in keys:
            _note_end(step, key, None if _is_made(step, key) else error)
        return error
    except BaseException:
        for key in keys:
            with contextlib.suppress(OSError):
                notes.end(step.partition(key), "cancelled", "it was interrupted")
        raise
    for key in keys:
        _note_end(step, key, None)
    return None


def _note_end(step: Step, key: str, error: Exception | None) -> None:
    notes = Notes(Warehouse(step.pool).folder)
    with contextlib.suppress(OSError):  # such as a full disk, which has an error of its own
        if error is None:
            notes.end(step.partition(key), "made")
        else:
            notes.end(step.partition(key), "failed", in_words(error))


def _make_now(step: Step, function: Callable[..., Any], inputs: Mapping[str, Partitions]) -> None:
    """Call a stage's function for the keys of the step, and store what it returns."""
    step.begin()
    made = function(step, **inputs)
    if made is None:
        return  # it committed its partitions from staging
    by_key: Mapping[str, Value] = made if isinstance(made, Mapping) else {UNPARTITIONED: made}
    for key, value in by_key.items():
        if step.asset in GATHERING and (left_out := step.left_out(key)):
            step.report(key, left_out=", ".join(left_out))
        if isinstance(value, pa.Table):
            rows = "dagster/partition_row_count" if key else "dagster/row_count"
            step.report(key, **{rows: value.num_rows})
        Warehouse(step.pool).put(step.partition(key), value, step.fingerprint(key))


def _is_made(step: Step, key: str) -> bool:
    """Whether what is stored is what is to be made."""
    stamp = Warehouse(step.pool).stamp(step.partition(key))
    try:
        return stamp is not None and stamp.fingerprint == step.fingerprint(key)
    except Exception:  # what it is made from is not there
        return False


def _was_made_meanwhile(step: Step, key: str) -> bool:
    """Whether another run made this very partition after this run was asked for, as the daemon and `erp run` may.

    What automation asks for is missing or stale, or an evaluation whose time has come: another that is there already
    was made since. Whoever asks for a partition that was there before gets it made again.
    """
    if not _is_made(step, key):
        return False
    partition = step.partition(key)
    note = Notes(Warehouse(step.pool).folder).of(partition)
    stamp = Warehouse(step.pool).stamp(partition)
    if stamp is None or any(found.blocking and not found.passed for found in note.about(stamp).values()):
        return False
    last = note.last_try
    is_news = last is not None and last.outcome == "made" and last.run != step.run and (last.ended or 0) > step.asked_at
    return is_news or (step.is_automatic and step.asset not in GATHERING)


def _by_error(step: Step, errors: Mapping[str, Exception]) -> Iterator[str]:
    """A line for every error that is not said yet, with the partitions that it is about."""
    by_words: dict[str, list[str]] = defaultdict(list)
    for key, error in errors.items():
        by_words[in_words(error)].append(key)
    for said, keys in by_words.items():
        if said.startswith(f"{step.asset}[") or (len(by_words) == 1 and len(keys) == len(step.keys)):
            yield said
            continue
        more = f" and {len(keys) - _KEYS_NAMED} more" if len(keys) > _KEYS_NAMED else ""
        yield f"{step.asset}[{', '.join(keys[:_KEYS_NAMED])}]{more}: {said}"
