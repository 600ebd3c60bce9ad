"""What is there of a pool, by its files and by the notes beside them.

What belongs here: the state of every partition, why it failed, and the checks that were not passed. What to keep out:
Dagster, so that `erp status` need not import it, and what is done about the states (`runs`, `automation`).

Dagster's own records are not asked: they may be lost, or be another instance's, and what a check stopped stays
stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from erp_resources.lineage import REEVALUATIONS, STAGES, Partition, Stamp, partitions_of, states
from erp_resources.notes import Note, Notes, Try
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

BLOCKING: Mapping[str, tuple[str, ...]] = {
    "prompts": ("no_duplicate_prompts",),
    "prompt_embeddings": ("embeddings_are_whole",),
    "generations": ("every_prompt_has_n_samples",),
    "rewards": ("rewards_are_finite_and_complete",),
    "probes": ("probes_are_finite",),
    "frontiers": ("regret_is_never_negative", "the_oracle_earns_most_at_every_cost"),
}
"""The checks that must be passed before anything is built upon a partition; the stages declare what they do."""


class FailedCheck(NamedTuple):
    """A check that its partition did not pass, and what it says."""

    partition: Partition
    check: str
    blocking: bool
    said: str


class Failure(NamedTuple):
    """Why a partition is "failed": in a line, by which of Dagster's runs, and when (seconds since 1970)."""

    partition: Partition
    said: str
    run: str
    time: float


@dataclass(frozen=True)
class PoolState:
    """All that is known of a pool's partitions, at one moment.

    `states`: as `lineage.states` says. `failures`: why those failed. `unchecked`: partitions
    that are there and whose blocking checks said nothing of what is there, since their process was killed before.
    `failed_checks`: warnings included, of the latest re-evaluation too. `under_way`: what is being made just now.
    """

    states: dict[Partition, str]
    failures: dict[Partition, Failure]
    unchecked: set[Partition]
    failed_checks: list[FailedCheck]
    under_way: dict[Partition, Try]


def look(pool: Pool) -> PoolState:
    """Read the stamps and notes of a pool, once, and see what follows.

    A partition is failed when its last try failed, was cancelled or died before it was made, or when a blocking check
    found what is there wrong: since the pool file was last edited, for what failed before is to be made again.
    """
    warehouse = Warehouse(pool)
    notes = Notes(warehouse.folder).all()
    edited = pool.path.stat().st_mtime if pool.path.exists() else 0.0
    every = [partition for asset in STAGES for partition in partitions_of(pool, asset)]
    stamps = {partition: stamp for partition in every if (stamp := warehouse.stamp(partition)) is not None}
    tried = {
        partition: Failure(partition, said, last.run, last.ended or last.began)
        for partition in every
        if (last := notes.get(partition, _NO_NOTE).last_try) is not None
        and (said := last.failure) is not None
        and last.began >= edited
    }
    stopped = {p: failure for p, stamp in stamps.items() if (failure := _stopped(p, stamp, notes.get(p, _NO_NOTE)))}
    wrong = {partition: failure for partition, failure in stopped.items() if failure.time >= edited}
    found = states(pool, stamps.get, failed=tried, wrong=wrong)
    for partition in stopped.keys() - wrong.keys():
        if found[partition] == "materialized":
            found[partition] = "stale"
    checked = stamps | _latest_reevaluations(warehouse)
    return PoolState(
        states=found,
        failures={p: tried.get(p) or wrong[p] for p, state in found.items() if state == "failed"},
        unchecked={p for p, stamp in stamps.items() if _is_unchecked(p, stamp, notes.get(p, _NO_NOTE))},
        failed_checks=[
            failed for p, stamp in checked.items() for failed in _failed_checks(p, stamp, notes.get(p, _NO_NOTE))
        ],
        under_way={
            partition: last
            for partition, note in notes.items()
            if (last := note.last_try) is not None and last.is_under_way
        },
    )


def pool_states(pool: Pool) -> dict[Partition, str]:
    """The state of every partition. All but the materialised are made by `erp run`."""
    return look(pool).states


def failed_checks(pool: Pool) -> list[FailedCheck]:
    """Every check of the pool that found something wrong, warnings included."""
    return look(pool).failed_checks


def stopped(pool: Pool) -> dict[Partition, Failure]:
    """What a blocking check found wrong with what is stored now: nothing is built upon it, whoever asks."""
    warehouse = Warehouse(pool)
    noted = Notes(warehouse.folder).all().items()
    suspects = {p: note for p, note in noted if any(one.blocking and not one.passed for one in note.findings.values())}
    stamps = ((p, warehouse.stamp(p), note) for p, note in suspects.items())
    return {p: failure for p, stamp, note in stamps if stamp and (failure := _stopped(p, stamp, note))}


_NO_NOTE = Note()


def _stopped(partition: Partition, stamp: Stamp, note: Note) -> Failure | None:
    """What a blocking check found wrong with what is there."""
    for name, finding in note.about(stamp).items():
        if finding.blocking and not finding.passed:
            return Failure(partition, f"check {name}: {finding.said}", finding.run, finding.time)
    return None


def _is_unchecked(partition: Partition, stamp: Stamp, note: Note) -> bool:
    return not {*BLOCKING.get(partition.asset, ())} <= note.about(stamp).keys()


def _failed_checks(partition: Partition, stamp: Stamp, note: Note) -> Iterable[FailedCheck]:
    for name, finding in note.about(stamp).items():
        if not finding.passed:
            yield FailedCheck(partition, name, finding.blocking, finding.said)


def _latest_reevaluations(warehouse: Warehouse) -> dict[Partition, Stamp]:
    latest = [Partition(asset, key) for asset in REEVALUATIONS for key in warehouse.stored(asset)[-1:]]
    return {partition: stamp for partition in latest if (stamp := warehouse.stamp(partition)) is not None}
