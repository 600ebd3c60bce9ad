"""The warehouse: one Parquet file per partition, replaced whole, read by DuckDB through views.

What belongs here: the schemas of all tables, the reading and writing of partitions, staging, and the
views. What to keep out: what the numbers mean (`erp`), what is made from what (`lineage`), Dagster
(`io_manager`).

    warehouse/<pool>/<asset>/llm=<key>/reward_model=<key>/part.parquet    the data
    warehouse/<pool>/.staging/...                                         chunks of unfinished partitions
    warehouse/<pool>.duckdb                                               views over the data, nothing else

A partition is written beside its place and renamed into it: a reader sees the old one or the new one,
and a killed writer leaves the old one. The footer of a file carries its `Stamp`. Assets that are no
table (the router, the report) are a folder of files with the stamp in `stamp.json`, written last.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import duckdb
import filelock
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from erp_resources.files import replace_file, sync
from erp_resources.lineage import STAGES, Partition, Stamp, names_in
from erp_resources.pool import WAREHOUSE_FOLDER, Pool
from erp_resources.settings import UserError

_ROWS_PER_GROUP = 8_192


def _column(name: str, kind: pa.DataType, about: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"about": about})


def _interval(name: str, about: str = "null when undefined") -> list[pa.Field]:
    return [
        _column(f"{name}_{end}", pa.float64(), f"{end} end of the 95 % interval of {name}; {about}", nullable=True)
        for end in ("low", "high")
    ]


_PROMPT_ID = _column("prompt_id", pa.string(), "hash of the prompt's text")

SCHEMAS: dict[str, pa.Schema] = {
    "prompts": pa.schema(
        [
            _PROMPT_ID,
            _column("prompt", pa.string(), "what the LLMs are asked"),
            _column("embed_text", pa.string(), "what the embedder reads, mostly the prompt itself"),
            _column("category", pa.string(), "kind of task; never used in training a probe"),
            _column(
                "split",
                pa.string(),
                "train or test, drawn by category or given; ood: apart",
            ),
            _column("answer", pa.string(), "known right answer of a verifiable prompt", nullable=True),
            _column("source", pa.string(), "where the prompt is from"),
        ]
    ),
    "prompt_embeddings": pa.schema(
        [
            _PROMPT_ID,
            _column("embedding", pa.list_(pa.float32()), "the prompt's embedding, d numbers"),
            _column("truncated", pa.bool_(), "whether the embedder read only the beginning of its embed_text"),
        ]
    ),
    "generations": pa.schema(
        [
            _PROMPT_ID,
            _column("sample", pa.int32(), "0 to n - 1"),
            _column("response", pa.string(), "what the LLM answered"),
            _column("finish_reason", pa.string(), "stop, length when max_tokens cut it, error when the prompt failed"),
            _column("prompt_tokens", pa.int32(), "tokens of the prompt, chat template included"),
            _column("completion_tokens", pa.int32(), "tokens of the response"),
            _column("error", pa.string(), "why the prompt failed for good; it then has this one row", nullable=True),
        ]
    ),
    "prompt_costs": pa.schema(
        [
            _PROMPT_ID,
            _column("cost", pa.float64(), "what a response cost, or costs on average; null: not known", nullable=True),
            _column("predicted", pa.float64(), "predicted cost; leave-one-out on train prompts"),
        ]
    ),
    "rewards": pa.schema(
        [
            _PROMPT_ID,
            _column("sample", pa.int32(), "0 to n - 1, as in generations"),
            _column("reward", pa.float32(), "r(x, y); a reward model's raw logit"),
            _column("n", pa.int32(), "how many samples the row is a mean of; 1 for a scored response"),
        ]
    ),
    "expected_rewards": pa.schema(
        [
            _PROMPT_ID,
            _column(
                "mean", pa.float64(), "empirical expected reward: mean over n samples; null without", nullable=True
            ),
            _column("variance", pa.float64(), "unbiased variance over the samples; null below 2", nullable=True),
            _column("n", pa.int32(), "samples; 0 when the prompt failed"),
        ]
    ),
    "penalties": pa.schema([_column("beta", pa.float64(), "the penalty of all probes (eq. 3.2)")]),
    "probes": pa.schema(
        [
            _column("coefficients", pa.list_(pa.float64()), "ridge coefficients, one for each feature"),
            _column("intercept", pa.float64(), "unpenalised intercept"),
            _column("beta", pa.float64(), "penalty on the sum of squares (eq. 3.2)"),
            _column("n_train", pa.int32(), "prompts that the probe was fitted on"),
            _column("r2", pa.float64(), "R2 on the test split; null when undefined", nullable=True),
            _column("noise_ceiling", pa.float64(), "largest R2 that any predictor could reach", nullable=True),
        ]
    ),
    "predicted_rewards": pa.schema(
        [_PROMPT_ID, _column("predicted", pa.float64(), "predicted expected reward; leave-one-out on train prompts")]
    ),
    "zooter": pa.schema(
        [
            _column("llm", pa.string(), "LLM whose logit the row is"),
            _column("weights", pa.list_(pa.float64()), "weights of the linear softmax network, d numbers"),
            _column("intercept", pa.float64(), "intercept of the logit"),
            _column("beta", pa.float64(), "penalty, tuned on held-out train prompts; one for the network"),
            _column("divergence", pa.float64(), "mean KL on the train prompts, in nats; one for the network"),
            _column("n_train", pa.int32(), "prompts that the network was trained on"),
        ]
    ),
    "beliefs": pa.schema(
        [
            _column("policy", pa.string(), "ERP, Zooter, kNN, k-means or category (which is told the category)"),
            _column("llm", pa.string(), "LLM"),
            _PROMPT_ID,
            _column("belief", pa.float64(), "what the policy believes that the LLM earns, up to the prompt's constant"),
        ]
    ),
    "predictability": pa.schema(
        [
            _column("llm", pa.string(), "LLM"),
            _column("category", pa.string(), "category of prompts; (all), (out of distribution)"),
            _column("r2", pa.float64(), "R2 on the test split; null when undefined", nullable=True),
            *_interval("r2"),
            _column("noise_ceiling", pa.float64(), "largest R2 that any predictor could reach", nullable=True),
            _column("explained", pa.float64(), "r2 / noise_ceiling: share of the explainable", nullable=True),
            _column("n", pa.int32(), "test prompts"),
        ]
    ),
    "pairwise_wins": pa.schema(
        [
            _column("llm_a", pa.string(), "the first LLM of the pair"),
            _column("llm_b", pa.string(), "the second LLM of the pair"),
            _column(
                "wins", pa.float64(), "P(r(x, Y_b) > r(x, Y_a)), ties half, over all pairs of samples", nullable=True
            ),
            _column("ties", pa.float64(), "P(r(x, Y_b) = r(x, Y_a))", nullable=True),
            _column("auroc", pa.float64(), "AUROC of the difference of predicted ER; null: undefined", nullable=True),
            *_interval("auroc"),
            _column("logistic", pa.float64(), "AUROC of a logistic regression trained on this pair", nullable=True),
            *_interval("logistic"),
            _column("difference", pa.float64(), "auroc less logistic", nullable=True),
            *_interval("difference"),
            _column("n", pa.int32(), "test prompts"),
        ]
    ),
    "win_rates": pa.schema(
        [
            _column("category", pa.string(), "category of prompts, or (all)"),
            _column("llm", pa.string(), "LLM"),
            _column("empirical", pa.float64(), "share of prompts on which its ER is the largest, ties shared"),
            *_interval("empirical"),
            _column("predicted", pa.float64(), "share of prompts on which its predicted ER is the largest"),
            _column("n", pa.int32(), "test prompts"),
        ]
    ),
    "proposition_1": pa.schema(
        [
            _column("gap_low", pa.float64(), "the bin's smallest difference of ER"),
            _column("gap_high", pa.float64(), "the bin's largest difference of ER"),
            _column("gap", pa.float64(), "mean difference of ER between the better and the other LLM"),
            _column(
                "win", pa.float64(), "P(reward of the better LLM > reward of the other), over all pairs of samples"
            ),
            *_interval("win"),
            _column("tie", pa.float64(), "P(the two rewards are equal)"),
            _column("bound", pa.float64(), "1 - exp(-gap^2 / (4 sigma^2)), mean over the bin", nullable=True),
            _column("safe_bound", pa.float64(), "the same with safe_sigma", nullable=True),
            _column("verdict", pa.string(), "holds, vacuous (bound no better than a coin), violated, or undefined"),
            _column(
                "sigma", pa.float64(), "pooled standard deviation of the noisiest LLM; one for the table", nullable=True
            ),
            _column(
                "safe_sigma",
                pa.float64(),
                "half of the widest range of rewards of a prompt; one for the table",
                nullable=True,
            ),
            _column("n", pa.int32(), "pairs of LLMs on test prompts"),
        ]
    ),
    "frontiers": pa.schema(
        [
            _column("policy", pa.string(), "the policy; always: one fixed LLM"),
            _column("llm", pa.string(), "the fixed LLM of policy always", nullable=True),
            _column("exchange_rate", pa.float64(), "lambda from which on this row holds"),
            _column("cost", pa.float64(), "mean cost per test prompt"),
            _column("reward", pa.float64(), "mean expected reward of the chosen LLMs"),
            _column("regret", pa.float64(), "mean regret (eq. 4.2)"),
            *_interval("regret", "null but at up to 400 points of a policy"),
            _column("shares", pa.list_(pa.float64()), "share of prompts sent to each LLM, in the pool file's order"),
        ]
    ),
    "comparisons": pa.schema(
        [
            _column("policy", pa.string(), "the policy"),
            _column("against", pa.string(), "what is subtracted; null: the policy's own number", nullable=True),
            _column("summary", pa.string(), "what is measured, as erp.summaries.SUMMARIES defines it"),
            _column(
                "value", pa.float64(), "the number or difference; null: undefined, inf: never reached", nullable=True
            ),
            *_interval("value"),
            _column("shown", pa.bool_(), "whether a difference stands when all pairs are looked at", nullable=True),
        ]
    ),
    "reevaluations": pa.schema(
        [
            _column("reward_model", pa.string(), "reward model"),
            _column("llm", pa.string(), "LLM"),
            _column("n", pa.int32(), "held-out prompts that it answered"),
            _column("samples", pa.int32(), "fresh responses to each prompt"),
            _column("fresh", pa.float64(), "mean reward of the fresh responses; null: it answered none", nullable=True),
            _column("predicted", pa.float64(), "mean predicted expected reward of these prompts", nullable=True),
            _column("recorded", pa.float64(), "mean expected reward of these prompts as first sampled", nullable=True),
            _column("bias", pa.float64(), "mean of fresh less predicted", nullable=True),
            *_interval("bias"),
            _column("bias_p", pa.float64(), "probability of such a bias if there were none", nullable=True),
            _column("shift", pa.float64(), "mean of fresh less recorded, on the same prompts", nullable=True),
            *_interval("shift"),
            _column("shift_p", pa.float64(), "probability of such a shift if there were none", nullable=True),
            _column("r2", pa.float64(), "R2 of the predictions at the fresh rewards", nullable=True),
            _column("regret", pa.float64(), "regret of the router at exchange rate 0; one for its LLMs", nullable=True),
            *_interval("regret"),
        ]
    ),
}
SCHEMAS["fresh_generations"] = pa.schema(
    [_column("llm", pa.string(), "LLM"), *SCHEMAS["generations"]],
)
"""The columns of every table; `llm` and `reward_model` come from the partition where it has them."""


class Warehouse:
    """The stored partitions of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.folder = pool.root / WAREHOUSE_FOLDER / pool.name
        self.database = pool.root / WAREHOUSE_FOLDER / f"{pool.name}.duckdb"

    # ---- where things are

    def place(self, partition: Partition) -> Path:
        """The folder of a partition: hive-style, so that DuckDB reads the keys from the path."""
        return self.folder / partition.asset / self._partition_path(partition)

    def _partition_path(self, partition: Partition) -> Path:
        names = names_in(partition.key, STAGES[partition.asset].dimensions)
        return Path(*(f"{dimension}={quote(name, safe='')}" for dimension, name in names.items()))

    def _file(self, partition: Partition) -> Path:
        return self.place(partition) / "part.parquet"

    # ---- reading

    def stamp(self, partition: Partition) -> Stamp | None:
        """The stamp of a stored partition, None when there is none."""
        try:
            if partition.asset in SCHEMAS:
                metadata = pq.read_metadata(self._file(partition)).metadata or {}
                settings = metadata.get(b"erp.settings", b"").decode()
                return Stamp(metadata[b"erp.fingerprint"].decode(), json.loads(metadata[b"erp.content"]), settings)
            return Stamp(**json.loads((self.place(partition) / "stamp.json").read_text()))
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None  # not a file of ours, or a damaged one: it is made again

    def stored(self, asset: str) -> list[str]:
        """The keys of all partitions of an asset that have a folder, those that are not in the pool file included."""
        pattern = "/".join("*" for _ in STAGES[asset].dimensions)
        folders = sorted((self.folder / asset).glob(pattern)) if pattern else [self.folder / asset]
        keys = (
            "|".join(unquote(part.partition("=")[2]) for part in folder.relative_to(self.folder / asset).parts)
            for folder in folders
            if folder.is_dir()
        )
        return [key for key in keys if self.stamp(Partition(asset, key)) is not None]

    def open(self, partition: Partition) -> pq.ParquetFile:
        """A stored table, to be read row group by row group.

        Raises `UserError` when the partition has not been materialised, or is damaged.
        """
        name = f"{partition.asset}[{partition.key}]" if partition.key else partition.asset
        try:
            return pq.ParquetFile(self._file(partition))
        except pa.ArrowInvalid as error:
            raise UserError(f"{name}: {self._file(partition)} is damaged; delete it and run again") from error
        except FileNotFoundError:
            raise UserError(
                f"{name} of pool '{self.pool.name}' is not there yet; make it with: erp run --pool {self.pool.name}"
            ) from None

    def read(self, partition: Partition) -> pa.Table:
        """A stored table, whole."""
        with self.open(partition) as file:
            return file.read()

    # ---- writing

    @contextlib.contextmanager
    def staging(self, partition: Partition, fingerprint: str, settings: str = "") -> Iterator["Staging"]:
        """A place to collect the chunks of a partition, kept when the process dies.

        The partition will carry `fingerprint` and, if it is to be known by them, the hash of its `settings`.
        What an earlier attempt with the same fingerprint left is there; what others left is removed.
        Raises `UserError` when another process is writing the partition.
        """
        folder = self.staging_folder(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / "lock", timeout=0):
                for other in folder.iterdir():
                    if other.is_dir() and other.name != fingerprint:
                        shutil.rmtree(other)
                yield Staging(self, partition, fingerprint, folder / fingerprint, settings)
        except filelock.Timeout:
            raise UserError(
                f"{partition.asset}[{partition.key}] of pool '{self.pool.name}' is being written by another run; "
                "wait until it ends"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write {partition.asset}[{partition.key}] of pool '{self.pool.name}': {error}; "
                "what was finished is kept: mend it and run again"
            ) from error

    def staging_folder(self, partition: Partition) -> Path:
        """Where the chunks of a partition are collected."""
        return self.folder / ".staging" / partition.asset / self._partition_path(partition)

    def staged_rows(self, partition: Partition) -> int:
        """How many rows the chunks of an unfinished partition hold."""
        chunks = self.staging_folder(partition).glob("*/chunk-*.parquet")
        return sum(int(pq.read_metadata(chunk).num_rows) for chunk in chunks)

    def forget_chunks(self, partition: Partition) -> None:
        """Remove chunks of a partition that was committed; a process killed between the two leaves them."""
        stamp = self.stamp(partition)
        if stamp and (self.staging_folder(partition) / stamp.fingerprint).exists():
            with self.staging(partition, fingerprint=""):  # removes the chunks of every other fingerprint
                pass

    def write(self, partition: Partition, table: pa.Table, fingerprint: str) -> Stamp:
        """Replace a partition by a table.

        Raises `UserError` when the table does not fit its schema by name and type; what was there stays.
        """
        with self.staging(partition, fingerprint) as staging:
            return staging.commit_batches(table.schema, table.to_batches(max_chunksize=_ROWS_PER_GROUP))

    def put(self, partition: Partition, value: pa.Table | Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition by a table, or by the files that a function saves."""
        if isinstance(value, pa.Table):
            return self.write(partition, value, fingerprint)
        return self.write_files(partition, value, fingerprint)

    def write_files(self, partition: Partition, save: Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition of files: `save` is given the folder and replaces its files one by one."""
        place = self.place(partition)
        with self.staging(partition, fingerprint):
            place.mkdir(parents=True, exist_ok=True)
            save(place)
            digest = hashlib.blake2b(digest_size=16)
            for path in sorted(p for p in place.iterdir() if p.name != "stamp.json"):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
            stamp = Stamp(fingerprint, {"files": digest.hexdigest()})
            replace_file(place / "stamp.json", json.dumps(stamp._asdict()).encode())
        return stamp

    # ---- DuckDB

    def _views(self) -> dict[str, str]:
        """The SELECT of every table that has files (a view over none would fail)."""
        found = {}
        for asset in SCHEMAS:
            dimensions = STAGES[asset].dimensions
            pattern = "/".join([*("*" for _ in dimensions), "part.parquet"])
            if next((self.folder / asset).glob(pattern), None) is None:
                continue
            path = str(self.folder / asset / pattern).replace("'", "''")
            found[asset] = (
                f"SELECT * FROM read_parquet('{path}', hive_partitioning = {str(bool(dimensions)).lower()}, "
                "hive_types_autocast = false, union_by_name = true)"
            )
        return found

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection of one's own, with every table of the pool as a view."""
        connection = duckdb.connect()
        for name, select in self._views().items():
            connection.execute(f"CREATE VIEW {name} AS {select}")
        return connection

    def refresh_views(self) -> None:
        """Bring `warehouse/<pool>.duckdb` up to date: written beside and renamed, and only when a view changed."""
        views = self._views()
        wanted = json.dumps(views)
        note = self.folder / ".staging" / "views.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(note.with_suffix(".lock")):
            if self.database.exists() and note.exists() and note.read_text() == wanted:
                return
            beside = self.database.with_suffix(".duckdb.new")
            beside.unlink(missing_ok=True)
            with duckdb.connect(beside) as connection:
                for name, select in views.items():
                    connection.execute(f"CREATE VIEW {name} AS {select}")
            os.replace(beside, self.database)
            replace_file(note, wanted.encode())


class Staging:
    """The chunks of one partition, each a file that is written beside and renamed."""

    def __init__(
        self, warehouse: Warehouse, partition: Partition, fingerprint: str, folder: Path, settings: str
    ) -> None:
        self._warehouse = warehouse
        self._partition = partition
        self._fingerprint = fingerprint
        self._folder = folder
        self._settings = settings

    def _chunk(self, index: int) -> Path:
        return self._folder / f"chunk-{index:06d}.parquet"

    def has(self, index: int) -> bool:
        """Whether a chunk was written, by this process or by one before it."""
        return self._chunk(index).exists()

    def write(self, index: int, table: pa.Table) -> None:
        """Keep a chunk; from here on a crash does not lose it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._chunk(index).with_suffix(".new")
        pq.write_table(_fitted(table, self._partition), beside, compression="zstd")
        sync(beside)
        os.replace(beside, self._chunk(index))

    def commit(self, chunks: int) -> Stamp:
        """Join chunks 0 to `chunks` - 1 into the partition, a row group each, and forget them."""
        paths = [self._chunk(index) for index in range(chunks)]
        tables = (pq.read_table(path, partitioning=None).combine_chunks() for path in paths)
        batches = (batch for table in tables for batch in table.to_batches())
        return self.commit_batches(SCHEMAS[self._partition.asset], batches)

    def commit_batches(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Stamp:
        """Write the partition from batches, a row group each, and replace what was there."""
        target = SCHEMAS[self._partition.asset]
        destination = self._warehouse._file(self._partition)
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / "part.parquet.new"
        content = _ContentHash()
        with pq.ParquetWriter(beside, target, compression="zstd") as writer:
            if set(schema.names) != set(target.names):
                _fitted(schema.empty_table(), self._partition)
            for batch in batches:
                table = _fitted(pa.Table.from_batches([batch]), self._partition)
                content.update(table)
                writer.write_table(table, row_group_size=max(1, table.num_rows))
            stamp = Stamp(self._fingerprint, content.columns(), self._settings)
            writer.add_key_value_metadata(
                {
                    "erp.fingerprint": stamp.fingerprint,
                    "erp.content": json.dumps(stamp.content),
                    "erp.settings": stamp.settings,
                }
            )
        sync(beside)
        os.replace(beside, destination)
        shutil.rmtree(self._folder)
        self._warehouse.refresh_views()
        return stamp


class Partitions:
    """The upstream partitions that an asset reads, as they were when its step began.

    Reading one that was replaced since is refused, so that a fingerprint never claims what was not read.
    """

    def __init__(self, warehouse: Warehouse, partitions: Iterable[Partition]) -> None:
        self._warehouse = warehouse
        self._partitions = {partition.key: partition for partition in partitions}
        stamps = {partition: warehouse.stamp(partition) for partition in self._partitions.values()}
        self.contents: dict[Partition, Mapping[str, str]] = {
            partition: stamp.content for partition, stamp in stamps.items() if stamp
        }

    def place(self, key: str = "") -> Path:
        """The folder of one partition that is files."""
        partition = self._partitions[key]
        stamp = self._warehouse.stamp(partition)
        if stamp is None or stamp.content != self.contents.get(partition):
            raise UserError(f"{partition.asset}[{partition.key}] was replaced by another run meanwhile; run again")
        return self._warehouse.place(partition)

    def open(self, key: str = "") -> pq.ParquetFile:
        """One partition, to be read row group by row group."""
        partition = self._partitions[key]
        file = self._warehouse.open(partition)
        content = json.loads((file.metadata.metadata or {}).get(b"erp.content", b"null"))
        if content is None or content != self.contents.get(partition):
            file.close()
            raise UserError(f"{partition.asset}[{partition.key}] was replaced by another run meanwhile; run again")
        return file

    def read(self, key: str = "") -> pa.Table:
        """One partition, whole."""
        with self.open(key) as file:
            return file.read()


def _fitted(table: pa.Table, partition: Partition) -> pa.Table:
    """The table with its columns in the schema's order.

    Raises `UserError` when a column is missing, unknown, of another type or null where it must not be.
    """
    schema = SCHEMAS[partition.asset]
    name = f"{partition.asset}[{partition.key}]" if partition.key else partition.asset
    if set(table.column_names) != set(schema.names):
        missing = sorted(set(schema.names) - set(table.column_names))
        unknown = sorted(set(table.column_names) - set(schema.names))
        raise UserError(f"{name}: refused, columns do not fit: missing {missing}, unknown {unknown}")
    table = table.select(schema.names)
    for field in schema:
        column = table.column(field.name)
        if column.type != field.type:
            raise UserError(f"{name}: refused, column '{field.name}' is {column.type} and must be {field.type}")
        if column.null_count and not field.nullable:
            raise UserError(f"{name}: refused, column '{field.name}' has {column.null_count} empty values")
    return table.cast(schema)


class _ContentHash:
    """A hash of every column's values that does not depend on how the rows were chunked."""

    def __init__(self) -> None:
        self._digests: dict[str, list[hashlib.blake2b]] = {}

    def update(self, table: pa.Table) -> None:
        for name in table.column_names:
            digests = self._digests.setdefault(name, [hashlib.blake2b(digest_size=16) for _ in range(3)])
            for chunk in table.column(name).chunks:
                self._update(digests, chunk)

    def _update(self, digests: "list[hashlib.blake2b]", values: pa.Array) -> None:
        of_shape, of_nulls, of_values = digests
        of_nulls.update(_bytes(values.is_null()))
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.uint8())
        if pa.types.is_string(values.type):
            of_shape.update(_bytes(pc.binary_length(values).fill_null(0)))
            of_values.update(b"".join(values.cast(pa.binary()).fill_null(b"").to_pylist()))
        elif pa.types.is_list(values.type):
            of_shape.update(_bytes(pc.list_value_length(values).fill_null(0)))
            of_values.update(_bytes(values.flatten().fill_null(0)))
        else:
            of_values.update(_bytes(values.fill_null(0)))

    def columns(self) -> dict[str, str]:
        return {
            name: hashlib.blake2b(b"".join(d.digest() for d in digests), digest_size=16).hexdigest()
            for name, digests in self._digests.items()
        }


def _bytes(values: pa.Array) -> bytes:
    data: bytes = values.to_numpy(zero_copy_only=False).tobytes()
    return data
