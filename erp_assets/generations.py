"""Responses sampled from the LLMs.

What belongs here: the generations asset, its chunks and its check. What to keep out: how an LLM is
run (`erp_resources.language_models`).
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.progress import Advance
from erp_assets.prompts import shortened
from erp_assets.stage import Step, Verdict, released, stage, stage_checks
from erp_resources.language_models import LanguageModel, Sampling
from erp_resources.language_models.interface import ServedModel
from erp_resources.lineage import Partition, settings_hash
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Staging, TableFile, Warehouse
from erp_resources.warehouse.journal import Journal


def chunks_by_length(prompts: pa.Table, size: int) -> list[pa.Table]:
    """The prompts in chunks of `size`, longest first: alike lengths batch well, and what needs most fails first."""
    order = np.argsort(-pc.utf8_length(prompts["prompt"]).to_numpy(), kind="stable")
    return [prompts.take(pa.array(order[start : start + size])) for start in range(0, len(order), size)]


def chunk_seed(sampling: Sampling, llm: str, chunk: pa.Table, start: int = 0) -> int:
    """The seed of an LLM's chunk: its own, and the same whatever was sampled before it.

    Samples that join others, from number `start` on, have a seed of their own, or they would be the same again.
    """
    name = f"{sampling.seed}/{llm}/{chunk['prompt_id'][0]}" + (f"/{start}" if start else "")
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")


def kept_responses(warehouse: Warehouse, partition: Partition, prompts: pa.Table) -> Iterator[pa.Table]:
    """What a stored partition has of these prompts, sampled by the same settings, without what failed.

    So a corpus that grows costs its new prompts, making a partition again samples what failed, and of another
    `sampling.n` the first n are kept. Other samples are had by another `sampling.seed`. Of one that was found damaged
    what can be read is kept: it was paid for.
    """
    left = prompts["prompt_id"].combine_chunks()
    for file in warehouse.files_left(partition):
        if not _samples_in(file, warehouse.pool, partition):
            continue
        wanted_ids = left
        if file.path != warehouse.current_file(partition):
            wanted_ids = left.filter(pc.is_in(left, value_set=_without_gaps(file)))
        for rows in file.readable_groups():
            wanted = pc.and_(pc.is_null(rows["error"]), pc.is_in(rows["prompt_id"], value_set=wanted_ids))
            wanted = pc.and_(wanted, pc.less(rows["sample"], warehouse.pool.sampling.n))
            if (kept := rows.filter(wanted)).num_rows:
                left = left.filter(pc.invert(pc.is_in(left, value_set=kept["prompt_id"].combine_chunks())))
                yield kept


def _without_gaps(file: TableFile) -> pa.Array:
    """The prompts of which a damaged file has all samples from 0 on: some may be lost, and the next ones be there."""
    groups = [rows.select(["prompt_id", "sample"]) for rows in file.readable_groups()]
    if not groups:
        return pa.array([], pa.string())
    counts = pa.concat_tables(groups).group_by("prompt_id").aggregate([("sample", "count"), ("sample", "max")])
    whole = pc.equal(counts["sample_count"], pc.add(counts["sample_max"], 1))
    return counts.filter(whole)["prompt_id"].combine_chunks()


def samples_kept(warehouse: Warehouse, partition: Partition) -> int:
    """How many samples of a prompt are kept when a partition is made by the settings of today: 0 by other ones."""
    if warehouse.stamp(partition) is None:
        return 0
    with warehouse.open(partition) as file:
        return _samples_in(file, warehouse.pool, partition)


def _samples_in(file: TableFile, pool: Pool, partition: Partition) -> int:
    """How many samples of a prompt a file has, at most sampling.n; 0 when they were sampled by other settings.

    Another number of samples is no other setting: they are independent of each other.
    """
    most = [pc.max(rows["sample"]).as_py() for rows in file.readable_groups(["sample"])]
    last: int = max((sample for sample in most if sample is not None), default=-1)
    as_stored = pool.model_copy(update={"sampling": pool.sampling.model_copy(update={"n": last + 1})})
    if file.stamp is None or last < 0 or file.stamp.settings != settings_hash(as_stored, partition):
        return 0
    return min(last + 1, pool.sampling.n)


class Work(NamedTuple):
    """What was sampled just now: tokens of responses, the seconds it took, and the prompts that were truncated.

    `truncated` is None for an LLM that truncates none.
    """

    tokens: int
    seconds: float
    truncated: int | None


def sample_into(
    staging: Staging,
    prompts: pa.Table,
    name: str,
    pool: Pool,
    advance: Advance,
    kept: Iterable[pa.Table] = (),
    on_load: Callable[[], None] = lambda: None,
) -> Work:
    """Keep what is there, sample every chunk of what is lacking and not staged yet, and commit the partition.

    The LLM is loaded only when there is something left to sample, and `on_load` called when it is.
    """
    chunk_count = tokens = 0
    seconds = 0.0
    there = pa.table({"prompt_id": pa.array([], pa.string()), "samples": pa.array([], pa.int64())})
    for responses in kept:
        counts = responses.group_by("prompt_id").aggregate([("sample", "count")]).rename_columns(there.column_names)
        there = pa.concat_tables([there, counts.cast(there.schema)])
        if not staging.has(chunk_count):
            staging.write(chunk_count, responses)
        chunk_count += 1
        advance(pc.sum(pc.equal(counts["samples"], pool.sampling.n)).as_py())
    with ExitStack() as loaded:
        model: LanguageModel | None = None
        for start, chunk in chunks_to_sample(prompts, there, pool.sampling):
            if not staging.has(chunk_count):
                if model is None:
                    model = loaded.enter_context(released(pool.llms[name].load(pool.root)))
                    on_load()
                seed = chunk_seed(pool.sampling, name, chunk, start)
                sampling = pool.sampling.model_copy(update={"n": pool.sampling.n - start})
                began = time.monotonic()
                with contextlib.closing(staging.journal(chunk_count)) as journal:
                    responses = sample_and_keep(model, chunk, sampling, seed, journal)
                    seconds += time.monotonic() - began
                    tokens += pc.sum(responses["completion_tokens"]).as_py() or 0
                    staging.write(chunk_count, _numbered(responses, chunk, start))
                    journal.forget()
            chunk_count += 1
            advance(chunk.num_rows)
        truncated: int | None = getattr(model, "truncated", None)
    staging.commit(chunk_count)
    return Work(tokens, seconds, truncated)


def sample_and_keep(model: LanguageModel, chunk: pa.Table, sampling: Sampling, seed: int, journal: Journal) -> pa.Table:
    """The responses to a chunk. What a server has answered is in the journal at once, and is not asked for again."""
    prompts = chunk["prompt"].to_pylist()
    if not isinstance(model, ServedModel):
        return model.sample(prompts, sampling, seed)
    ids = chunk["prompt_id"].to_pylist()
    kept = journal.pieces()
    known = {index: kept[prompt_id] for index, prompt_id in enumerate(ids) if prompt_id in kept}
    return model.sample_and_keep(prompts, sampling, seed, known, lambda index, rows: journal.add(ids[index], rows))


def chunks_to_sample(prompts: pa.Table, there: pa.Table, sampling: Sampling) -> Iterator[tuple[int, pa.Table]]:
    """The prompts that lack samples, in chunks, and the number of the first sample that a chunk lacks.

    `there` counts the samples that are kept, by prompt and perhaps in pieces.
    """
    counts = there.group_by("prompt_id").aggregate([("samples", "sum")])
    place = pc.index_in(prompts["prompt_id"], value_set=counts["prompt_id"].combine_chunks())
    has = pc.fill_null(counts["samples_sum"].combine_chunks().take(place.combine_chunks()), 0)
    for start in sorted(pc.unique(has).to_pylist()):
        if start < sampling.n:
            lacking = prompts.filter(pc.equal(has, start))
            yield from ((start, chunk) for chunk in chunks_by_length(lacking, sampling.chunk_size))


def _numbered(responses: pa.Table, chunk: pa.Table, start: int) -> pa.Table:
    """The responses to a chunk as rows of `generations`, their samples counted from `start`."""
    prompt_ids = chunk["prompt_id"].take(responses["prompt_index"])
    place = responses.schema.get_field_index("sample")
    samples = pc.add(responses["sample"], pa.scalar(start, pa.int32()))
    numbered = responses.set_column(place, responses.schema.field(place), samples)
    return numbered.drop_columns("prompt_index").add_column(0, "prompt_id", prompt_ids)


# ---- checks

MOST_EMPTY = 0.05
"""The share of empty responses above which an LLM, or its template, is more likely broken than terse."""

MOST_CUT = 0.2
"""The share of responses cut by max_tokens above which rewards judge beginnings."""

MOST_ALIKE = 0.5
"""The share of prompts that may get the same response: a letter of four is had by a quarter of them by chance."""

CHARACTERS_PER_TOKEN = (0.2, 25.0)
"""Between one token for a byte of a character of four, and one for the longest words of a large vocabulary."""

_ANSWERED = "SELECT * FROM generations WHERE llm = $1 AND error IS NULL"


def every_prompt_has_n_samples(place: tuple[Warehouse, Partition]) -> Verdict:
    """Every prompt has samples 0 to n - 1, once each; of those that failed no more than sampling.max_failed.

    A sample that was withheld has a row with its error; a prompt that has no other samples failed. Recorded outcomes
    are as many as they are.
    """
    warehouse, partition = place
    if partition.key not in warehouse.pool.sampled_llms:
        return _recorded(warehouse, partition)
    sampling = warehouse.pool.sampling
    with warehouse.connect("prompts", "generations") as connection:
        connection.execute(
            "CREATE TEMP TABLE counted AS SELECT prompt_id, count(g.sample) AS samples,"
            " count(DISTINCT g.sample) AS distinct_samples, coalesce(max(g.sample), -1) AS last,"
            " count(g.sample) FILTER (g.error IS NULL) AS given FROM prompts"
            " LEFT JOIN (SELECT * FROM generations WHERE llm = $1) g USING (prompt_id) GROUP BY prompt_id",
            [partition.key],
        )
        counts = connection.execute(
            "SELECT prompt_id, samples FROM counted WHERE (given > 0 OR samples = 0)"
            " AND (samples <> $1 OR distinct_samples <> $1 OR last <> $1 - 1)",
            [sampling.n],
        ).fetchall()
        failed, withheld, prompts = connection.execute(
            "SELECT count(*) FILTER (given = 0 AND samples > 0),"
            " coalesce(sum(samples - given) FILTER (given > 0), 0), count(*) FROM counted"
        ).fetchall()[0]
        errors = connection.execute(
            "SELECT error, count(DISTINCT prompt_id) AS prompts FROM generations WHERE llm = $1 AND error IS NOT NULL"
            " GROUP BY error ORDER BY prompts DESC, error",
            [partition.key],
        ).fetchall()
    problems = [f"prompt {prompt_id} has {samples} samples, not {sampling.n}" for prompt_id, samples in counts]
    if failed > sampling.max_failed * prompts:
        examples = "; ".join(f"{count} of them: {error}" for error, count in errors[:3])
        problems.append(
            f"{failed} of {prompts} prompts failed, more than sampling.max_failed {sampling.max_failed:g} allows "
            f"({examples}); running again samples these alone"
        )
    numbers = {
        "samples_per_prompt": sampling.n,
        "prompts_not_whole": len(counts),
        "prompts_failed": failed,
        "samples_withheld": int(withheld),
    }
    return Verdict(problems, numbers, pd.DataFrame(errors, columns=["error", "prompts"]))


def _recorded(warehouse: Warehouse, partition: Partition) -> Verdict:
    """Of an LLM with recorded outcomes: some prompt has one. Those without are missing cells, which are allowed."""
    with warehouse.connect("prompts", "generations") as connection:
        prompts, covered, silent = connection.execute(
            "SELECT (SELECT count(*) FROM prompts), count(DISTINCT prompt_id), count(error) FROM generations"
            " WHERE llm = $1",
            [partition.key],
        ).fetchall()[0]
    problems = [] if covered else [f"{partition.key} has no outcome on any of the {prompts} prompts"]
    numbers = {"prompts_with_outcomes": covered, "prompts_without": prompts - covered, "without_response": silent}
    return Verdict(problems, numbers)


def responses_are_not_empty(place: tuple[Warehouse, Partition]) -> Verdict:
    """At most 5 % of the responses are empty."""
    return _share_of(place, "trim(response) = ''", MOST_EMPTY, "are empty; see its chat template and its stop tokens")


def responses_are_not_cut(place: tuple[Warehouse, Partition]) -> Verdict:
    """At most 20 % of the responses are cut by sampling.max_tokens: of the others, rewards judge the beginning."""
    warehouse, partition = place
    if partition.key not in warehouse.pool.sampled_llms:
        return Verdict([])  # where they were cut is not known
    limit = warehouse.pool.sampling.max_tokens
    return _share_of(
        place, "finish_reason = 'length'", MOST_CUT, f"are cut at {limit} tokens; raise sampling.max_tokens"
    )


def _share_of(place: tuple[Warehouse, Partition], condition: str, most: float, wrong: str) -> Verdict:
    """A verdict on the share of responses for which a condition of SQL holds, with the prompts that have most."""
    warehouse, partition = place
    with warehouse.connect("prompts", "generations") as connection:
        share = connection.execute(
            f"SELECT coalesce(mean(({condition})::INT), 0) FROM ({_ANSWERED})", [partition.key]
        ).fetchall()[0][0]
        rows = connection.execute(
            f"SELECT prompt_id, sum(({condition})::INT)::INT AS responses, count(*) AS of FROM ({_ANSWERED})"
            " GROUP BY prompt_id HAVING responses > 0 ORDER BY responses DESC, prompt_id LIMIT 10",
            [partition.key],
        ).df()
    problems = [f"{share:.0%} of the responses of {partition.key} {wrong}"] if share > most else []
    return Verdict(problems, {"share": share}, rows if problems else None)


def responses_depend_on_the_prompt(place: tuple[Warehouse, Partition]) -> Verdict:
    """No response is the same for more than half of the prompts, as a broken or cheating LLM's is."""
    warehouse, partition = place
    with warehouse.connect("prompts", "generations") as connection:
        prompts = connection.execute(
            f"SELECT count(DISTINCT prompt_id) FROM ({_ANSWERED})", [partition.key]
        ).fetchall()[0][0]
        rows = connection.execute(
            "SELECT trim(response) AS response, count(DISTINCT prompt_id) AS prompts, count(*) AS responses"
            f" FROM ({_ANSWERED}) WHERE trim(response) <> '' GROUP BY ALL ORDER BY prompts DESC, response LIMIT 10",
            [partition.key],
        ).df()
    most = int(rows["prompts"].max()) if len(rows) else 0
    problems = []
    if prompts > 1 and most > MOST_ALIKE * prompts:
        problems.append(
            f"{partition.key} answers {most} of {prompts} prompts with {shortened(rows['response'][0], 40)!r}; "
            "a constant answer can earn a high reward and means nothing"
        )
    rows["response"] = rows["response"].map(shortened)
    numbers = {"prompts_with_the_commonest_response": most}
    return Verdict(problems, numbers, rows[rows["prompts"] > MOST_ALIKE * prompts])


def token_counts_are_plausible(place: tuple[Warehouse, Partition]) -> Verdict:
    """The LLM's counts of tokens fit its texts: prices and speeds are computed from them."""
    warehouse, partition = place
    limit = warehouse.pool.sampling.max_tokens
    if partition.key not in warehouse.pool.sampled_llms:
        return Verdict([])  # its costs are recorded, too, or its tokens were counted by someone else
    with warehouse.connect("prompts", "generations") as connection:
        prompt_tokens, most, tokens, characters = connection.execute(
            "SELECT coalesce(mean(prompt_tokens), 0), coalesce(max(completion_tokens), 0),"
            f" coalesce(sum(completion_tokens), 0), coalesce(sum(length(response)), 0) FROM ({_ANSWERED})",
            [partition.key],
        ).fetchall()[0]
    low, high = CHARACTERS_PER_TOKEN
    rate = characters / tokens if tokens else None
    problems = []
    if most > limit:
        problems.append(f"{partition.key} counts {most} tokens in a response, more than sampling.max_tokens {limit}")
    if characters and (rate is None or not low <= rate <= high):
        counted = "no tokens" if rate is None else f"{rate:.2g} characters to a token"
        problems.append(f"{partition.key} counts {counted} in its responses; give its cost as a number, not as a price")
    if characters and not prompt_tokens:
        problems.append(f"{partition.key} counts no tokens in its prompts; give its cost as a number, not as a price")
    return Verdict(problems, {"characters_per_token": rate, "most_tokens": most, "mean_prompt_tokens": prompt_tokens})


def the_model_is_the_one_asked_for(place: tuple[Warehouse, Partition]) -> Verdict:
    """The server says that the model it was asked for has answered, or a dated version of it: gateways fall back."""
    warehouse, partition = place
    entry = warehouse.pool.llms.get(partition.key)
    asked = getattr(entry, "model", None)
    if partition.key not in warehouse.pool.sampled_llms or asked is None:
        return Verdict([])
    with warehouse.connect("prompts", "generations") as connection:
        rows = connection.execute(
            "SELECT model, count(*) AS responses FROM generations WHERE llm = $1 AND model IS NOT NULL"
            " GROUP BY model ORDER BY responses DESC, model",
            [partition.key],
        ).df()
    is_other = [not is_version_of(served, asked) for served in rows["model"]]
    others = rows[np.array(is_other, dtype=bool)]  # of no rows a list would choose columns
    problems = [
        f"{row.responses} responses of {partition.key} are of model {row.model!r}, not of {asked!r}: a gateway may "
        "fall back to another; their rewards are not this LLM's"
        for row in others.head(3).itertuples()
    ]
    return Verdict(problems, {"models": len(rows), "responses_of_other_models": int(others["responses"].sum())}, others)


_VERSION = re.compile(r"[-@:](?:v?\d{3,8}|\d{4}-\d{2}-\d{2}|latest)$")
"""What a server adds to a model's name to say which version it is; a size (-32k) or another number (.1) is none."""


def is_version_of(served: str, asked: str) -> bool:
    """Whether a server's name of a model means the one asked for: with a date or version, or a provider before it."""
    served, asked = (name.rpartition("/")[2].casefold() for name in (served, asked))
    return asked.removesuffix(":latest") in (served, _VERSION.sub("", served))


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="models", kinds={"llm"}, one_run_each=True)
    def generations(step: Step, prompts: Partitions) -> None:
        """Responses that the LLM samples to every prompt: the y ~ pi(.|x) of the expected reward (eq. 3.1)."""
        every = prompts.read()
        for key in step.keys:
            advance = step.progress(f"generations {key}", every.num_rows)
            warehouse = Warehouse(step.pool)
            with step.staging(key) as staging:
                kept = kept_responses(warehouse, step.partition(key), every)
                work = sample_into(staging, every, key, step.pool, advance, kept, step.see_unchanged)
            step.report(
                key,
                **_summary(warehouse, step.partition(key)),
                prompts_truncated=work.truncated,
                tokens_per_second=work.tokens / work.seconds if work.tokens else None,
            )

    return [
        generations,
        stage_checks(
            pool,
            "generations",
            lambda *place: place,
            blocking=[every_prompt_has_n_samples],
            warnings=[
                responses_are_not_empty,
                responses_are_not_cut,
                responses_depend_on_the_prompt,
                token_counts_are_plausible,
                the_model_is_the_one_asked_for,
            ],
        ),
    ]


def _summary(warehouse: Warehouse, partition: Partition) -> dict[str, float | int | None]:
    with warehouse.connect("prompts", "generations") as connection:
        rows, tokens, cut, empty = connection.execute(
            "SELECT count(*), mean(completion_tokens), mean((finish_reason = 'length')::INT),"
            " mean((response = '')::INT) FROM generations WHERE llm = $1 AND error IS NULL",
            [partition.key],
        ).fetchall()[0]
    return {
        "dagster/partition_row_count": rows,
        "mean_completion_tokens": tokens,
        "share_cut_by_max_tokens": cut,
        "share_empty": empty,
    }
