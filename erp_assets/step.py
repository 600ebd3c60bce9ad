"""What the function of an asset is given: which partitions to make, of what pool, and whom to tell.

What belongs here: `Step`, and what a stage needs while it works. What to keep out: how an asset is declared (`stage`)
and what becomes of what it makes (`making`).
"""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import pyarrow as pa
from dagster._core.storage.tags import AUTOMATION_CONDITION_TAG

from erp_assets.progress import Advance, progress
from erp_assets.states import Failure, look, stopped
from erp_resources.lineage import (
    GATHERING,
    REWARD_MODEL,
    STAGES,
    UNPARTITIONED,
    Inputs,
    Partition,
    evaluations_of,
    fingerprint,
    inputs_of,
    names_in,
    settings_hash,
    states,
)
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions, Staging, Warehouse, shown_name

Value: TypeAlias = pa.Table | Callable[[Path], None]
"""A table, or a function that saves files into a folder."""


@contextmanager
def released(model: Any) -> Iterator[Any]:
    """A loaded model, whose device or processes are given back at the end if it holds any."""
    try:
        yield model
    finally:
        if (close := getattr(model, "close", None)) is not None:
            close()


class _Everything:
    def __contains__(self, partition: object) -> bool:
        return True


class Step:
    """What an asset's function is given besides its inputs."""

    def __init__(
        self, asset: str, pool: Pool, context: dg.AssetExecutionContext, inputs: Mapping[str, Partitions]
    ) -> None:
        self.pool = pool
        self.keys = list(context.partition_keys) if STAGES[asset].dimensions else [UNPARTITIONED]
        self._every = tuple(self.keys)
        self.asset = asset
        self.log = context.log
        self.run: str = context.run.run_id
        self._context = context
        self._reported: dict[str, dict[str, Any]] = defaultdict(dict)
        self._inputs: dict[str, Inputs]
        self._begun: dict[str, tuple[str, str]] = {}
        self._stopped: Mapping[Partition, Failure] = {}
        self._found: Mapping[Partition, str] = defaultdict(lambda: "materialized")
        self.read(inputs)

    def read(self, inputs: Mapping[str, Partitions]) -> None:
        """Take what is there now for what the partitions are made from."""
        self._inputs = {}
        self._contents: dict[Partition, Mapping[str, str]] = {
            partition: content for read in inputs.values() for partition, content in read.contents.items()
        }

    @property
    def asked_at(self) -> float:
        """When the step's run was asked for (seconds since 1970)."""
        record = self._context.instance.get_run_record_by_id(self.run)
        return record.create_timestamp.timestamp() if record else 0.0

    @property
    def is_automatic(self) -> bool:
        """Whether nobody asked for it but the pool's automation."""
        return AUTOMATION_CONDITION_TAG in self._context.run.tags

    def names(self, key: str) -> dict[str, str]:
        """The LLM and the reward model that a partition key names."""
        return names_in(key, STAGES[self.asset].dimensions)

    def inputs(self, key: str) -> Inputs:
        """What a partition of this asset is made from: the LLMs that are complete.

        Raises `UserError` when there is none yet, when a check stopped what it is made from, or when an evaluation that
        it reads is of other LLMs, or of what they were before.
        """
        if not self._inputs:
            self._stopped = stopped(self.pool)
            if self.asset in GATHERING:
                # Whatever is not there now counts as failed: who asks for an evaluation gets one of what there is.
                stamp = Warehouse(self.pool).stamp
                self._found = states(self.pool, stamp, failed=_Everything(), wrong=self._stopped)
            self._inputs = {its: inputs_of(self.pool, self.partition(its), self._found) for its in self._every}
        inputs = self._inputs[key]
        if not any(inputs.complete.values()):
            raise UserError(
                f"{self.asset}[{key}]: no LLM of pool '{self.pool.name}' has all its rewards and predictions yet; "
                f"make them with: erp run --pool {self.pool.name}"
            )
        if wrong := [up for up in inputs.used if up in self._stopped]:
            raise UserError(
                f"{self.asset}[{key}]: nothing is made from {wrong[0].asset}[{wrong[0].key}], which did not pass "
                f"{self._stopped[wrong[0]].said}"
            )
        evaluations = evaluations_of(self.pool)
        if behind := [up for up in inputs.used if up.asset in evaluations and self._found[up] != "materialized"]:
            raise UserError(
                f"{self.asset}[{key}]: {behind[0].asset}[{behind[0].key}] was made of other LLMs than are complete "
                f"now, or of what they were before; make it first, with: erp run --pool {self.pool.name}"
            )
        return inputs

    def llms(self, reward_model: str) -> list[str]:
        """The LLMs that this evaluation by a reward model covers, in the pool file's order."""
        key = reward_model if STAGES[self.asset].dimensions else UNPARTITIONED
        return list(self.inputs(key).complete[reward_model])

    def seen(self, key: str) -> Pool:
        """The pool as a partition of this evaluation sees it: without what is not complete."""
        return self.inputs(key).seen(self.pool)

    def llm_keys(self, reward_model: str) -> list[str]:
        """The keys of their partitions of this reward model."""
        return [f"{llm}|{reward_model}" for llm in self.llms(reward_model)]

    def left_out(self, key: str) -> list[str]:
        """The LLMs and reward models of the pool that are not in an evaluation, because they are not complete."""
        complete = self.inputs(key).complete
        own = self.names(key).get(REWARD_MODEL)
        covered = [own] if own else list(self.pool.reward_models)
        seen = [name for name in covered if name in complete]
        named = [name for name in covered if name not in complete]
        for llm in self.pool.llms:
            without = [name for name in seen if llm not in complete[name]]
            if without:
                named.append(llm if without == seen else f"{llm} (by {', '.join(without)})")
        return named

    def why_left_out(self, key: str) -> list[str]:
        """The same, with why each failed, where it did."""
        reasons: dict[str, str] = {}
        for partition, failure in look(self.pool).failures.items():
            for name in names_in(partition.key, STAGES[partition.asset].dimensions).values():
                reasons.setdefault(name, failure.said)
        named = self.left_out(key)
        return [
            f"{name}: {reasons[first]}" if (first := name.partition(" (by ")[0]) in reasons else name for name in named
        ]

    def partition(self, key: str) -> Partition:
        """The partition of this asset with this key."""
        return Partition(self.asset, key)

    def begin(self) -> None:
        """Take the settings, files and code that the partitions are made from for what they are now.

        The partitions carry that: what changes from here on, while samples are drawn for hours, leaves them stale.
        """
        self._begun = {}
        self._begun = {key: (self.fingerprint(key), settings_hash(self.pool, self.partition(key))) for key in self.keys}

    def see_unchanged(self) -> None:
        """To be called when something of the pool file was loaded: it is to be what the partitions will carry.

        Raises `UserError` when its files or code are others than when the making began.
        """
        for key, (_, settings) in self._begun.items():
            if settings_hash(self.pool, self.partition(key)) != settings:
                raise UserError(
                    f"{shown_name(self.partition(key))}: the model, data or code changed while it was loaded; run again"
                )

    def fingerprint(self, key: str) -> str:
        """The hash of what a partition is being made from."""
        if key in self._begun:
            return self._begun[key][0]
        return fingerprint(self.pool, self.partition(key), self.inputs(key), self._contents)

    def staging(self, key: str) -> AbstractContextManager[Staging]:
        """Where a long stage collects its chunks, so that a crash costs one of them."""
        partition = self.partition(key)
        settings = self._begun[key][1] if key in self._begun else settings_hash(self.pool, partition)
        return Warehouse(self.pool).staging(partition, self.fingerprint(key), settings)

    def progress(self, description: str, total: int, unit: str = "prompts") -> Advance:
        """A function to call with the number of prompts, or of another unit, that were just finished."""
        return progress(description, total, self._context.log, unit)

    def report(self, key: str, **metadata: Any) -> None:
        """Show numbers beside a partition in the UI; None stands for "undefined" and is left out."""
        known = {name: value for name, value in metadata.items() if value is not None}
        self._reported[key] |= known
        self._context.add_asset_metadata(known, partition_key=key or None)

    def asked_for(self) -> datetime.datetime:
        """When the run of this step was asked for."""
        record = self._context.instance.get_run_record_by_id(self.run)
        assert record is not None
        created: datetime.datetime = record.create_timestamp
        return created

    def tell_made(self, key: str) -> None:
        """Tell Dagster that a partition is there, although its step is going to fail."""
        materialization = dg.AssetMaterialization(
            dg.AssetKey([self.pool.name, self.asset]), partition=key or None, metadata=self._reported[key]
        )
        self._context.log_event(materialization)
