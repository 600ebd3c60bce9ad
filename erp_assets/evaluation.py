"""How well expected rewards are predicted.

What belongs here: the predictability, pairwise_wins, win_rates and proposition_1 assets. What to keep out:
the numbers themselves (`erp.metrics`, `erp.pairwise`), and what routing earns (`frontiers`).
"""

from typing import TypeAlias

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

import erp
from erp import figures, pairwise
from erp.bootstrap import interval, resamples
from erp_assets.matrices import Floats, is_split, matrix, rewarded
from erp_assets.metadata import picture, table
from erp_assets.policies import EMBEDDING, FEATURES, vectors_of
from erp_assets.prompts import ALL_CATEGORIES, OUT_OF_DISTRIBUTION
from erp_assets.stage import Step, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Partitions

Categories: TypeAlias = list[tuple[str, np.ndarray]]
"""The name of every category, and which prompts count for it: booleans (n,)."""


def predictability_rows(
    actual: Floats, predicted: Floats, variances: Floats, counts: Floats, categories: Categories, llms: list[str]
) -> pd.DataFrame:
    """R2, its interval and its noise ceiling for every LLM, on the prompts of every category (Tables 1 and 2)."""
    rows = []
    for category, chosen in categories:
        r2 = erp.r2(actual[chosen], predicted[chosen])
        blocks = [erp.r2(actual[chosen], predicted[chosen], weights) for weights in resamples(int(chosen.sum()))]
        low, high = interval(np.concatenate(blocks), int(chosen.sum()))
        for i, llm in enumerate(llms):
            ceiling = erp.noise_ceiling(actual[chosen, i], variances[chosen, i], counts[chosen, i])
            explained = max(0.0, r2[i]) / ceiling if ceiling > 0 and not np.isnan(r2[i]) else np.nan
            rows.append((llm, category, r2[i], low[i], high[i], ceiling, explained, int(chosen.sum())))
    return pd.DataFrame(rows, columns=SCHEMAS["predictability"].names)


def win_rate_rows(actual: Floats, predicted: Floats, categories: Categories, llms: list[str]) -> pd.DataFrame:
    """How often each LLM has the largest ER, empirically and by prediction, in every category (Figure 4)."""
    rows = []
    for category, chosen in categories:
        empirical, expected = (pairwise.win_rates(values[chosen]) for values in (actual, predicted))
        blocks = [pairwise.win_rates(actual[chosen], weights) for weights in resamples(int(chosen.sum()))]
        low, high = interval(np.concatenate(blocks), int(chosen.sum()))
        for i, llm in enumerate(llms):
            rows.append((category, llm, empirical[i], low[i], high[i], expected[i], int(chosen.sum())))
    return pd.DataFrame(rows, columns=SCHEMAS["win_rates"].names)


def by_category(categories: pd.Series) -> Categories:
    """Which prompts count for all categories together, and for each of them where there is more than one."""
    every = [(ALL_CATEGORIES, np.ones(len(categories), dtype=bool))]
    names = sorted(categories.unique())
    return every + [(name, np.asarray(categories == name)) for name in names if len(names) > 1]


def rewarded_test(
    prompts: pa.Table, expected_rewards: Partitions, keys: list[str], split: str = "test"
) -> tuple[pa.Table, Floats]:
    """The test prompts, or those of another split, that every LLM has an expected reward on, and these (n, M)."""
    test_ids, actual = rewarded(expected_rewards, keys, prompts["prompt_id"].filter(pa.array(is_split(prompts, split))))
    return prompts.filter(pc.is_in(prompts["prompt_id"], value_set=test_ids.combine_chunks())), actual


def samples(rewards: Partitions, keys: list[str], prompt_ids: pa.ChunkedArray, column: str = "reward") -> list[Floats]:
    """The rewards of every LLM's samples, or another column of theirs, (n, K) each, in the order of `prompt_ids`."""
    found = []
    for key in keys:
        scored = rewards.read(key)
        place = pc.index_in(scored["prompt_id"], value_set=prompt_ids.combine_chunks())
        wanted = pc.is_valid(place)
        index = place.filter(wanted).to_numpy()
        found.append(pairwise.sample_matrix(index, scored[column].filter(wanted).to_numpy(), len(prompt_ids)))
    return found


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""

    @stage(pool, group="evaluation", kinds={"numpy"})
    def predictability(
        step: Step, prompts: Partitions, expected_rewards: Partitions, predicted_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """R2 of every LLM's probe on the test prompts beside its noise ceiling, in all and by category (Table 1)."""
        every = prompts.read()
        made = {}
        for key in step.keys:
            llms, keys = step.llms(key), step.llm_keys(key)
            frames = []
            for split in ("test", "ood") if is_split(every, "ood").any() else ("test",):
                test, actual = rewarded_test(every, expected_rewards, keys, split)
                ids = test["prompt_id"]
                variances, counts = (matrix(expected_rewards, keys, column, ids) for column in ("variance", "n"))
                predicted = matrix(predicted_rewards, keys, "predicted", ids)
                apart = [(OUT_OF_DISTRIBUTION, np.ones(len(ids), dtype=bool))]
                chosen = apart if split == "ood" else by_category(test["category"].to_pandas())
                frames.append(predictability_rows(actual, predicted, variances, counts, chosen, llms))
            frame = pd.concat(frames, ignore_index=True)
            made[key] = pa.Table.from_pandas(frame, SCHEMAS["predictability"], preserve_index=False)
            overall = frame[frame["category"] == ALL_CATEGORIES]
            step.report(
                key,
                mean_r2=float(overall["r2"].mean()) if overall["r2"].notna().any() else None,
                mean_explained=float(overall["explained"].mean()) if overall["explained"].notna().any() else None,
                table=table(overall.drop(columns="category")),
                figure=picture(figures.predictability_png(*predictability_parts(frame, llms)), "R2"),
            )
        return made

    @stage(pool, group="evaluation", kinds={"scikitlearn"})
    def pairwise_wins(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        features: Partitions,
        rewards: Partitions,
        predicted_rewards: Partitions,
    ) -> dict[str, pa.Table]:
        """AUROC of ER differences at telling which of two LLMs wins, beside a model trained per pair (Figure 3)."""
        every = prompts.read()
        rows = {name: is_split(every, name) for name in ("train", "test")}
        split = {name: every["prompt_id"].filter(pa.array(chosen)) for name, chosen in rows.items()}
        vectors = vectors_of(every, prompt_embeddings, features)
        train, test = ({name: X[rows[part]] for name, X in vectors.items()} for part in ("train", "test"))
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            keys = step.llm_keys(key)
            wins = pairwise.pairwise_wins(
                matrix(predicted_rewards, keys, "predicted", split["test"]),
                samples(rewards, keys, split["test"]),
                train[EMBEDDING],
                samples(rewards, keys, split["train"]),
                test[EMBEDDING],
                train_features=train.get(FEATURES),
                features=test.get(FEATURES),
                advance=step.progress(
                    f"logistic regressions {key}", len(pairwise.pairs_looked_at(len(llms))[0]), "pairs"
                ),
            )
            frame = pd.DataFrame(wins._asdict())
            frame.insert(0, "llm_a", [llms[i] for i in frame.pop("a")])
            frame.insert(1, "llm_b", [llms[i] for i in frame.pop("b")])
            made[key] = pa.Table.from_pandas(frame, SCHEMAS["pairwise_wins"], preserve_index=False)
            shown = ["llm_a", "llm_b", "wins", "auroc", "logistic", "logistic_features", "ceiling", "auroc_single"]
            step.report(
                key,
                mean_auroc=_mean(frame["auroc"]),
                mean_logistic_auroc=_mean(frame["logistic"]),
                mean_ceiling=_mean(frame["ceiling"]),
                table=table(frame[shown]),
                figure=picture(figures.pairwise_png(llms, wins), "AUROC") if len(frame) else None,
            )
        return made

    @stage(pool, group="evaluation", kinds={"numpy"})
    def win_rates(
        step: Step, prompts: Partitions, expected_rewards: Partitions, predicted_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """How often each LLM is the best one, empirically and by prediction, in all and by category (Figure 4)."""
        every = prompts.read()
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            test, actual = rewarded_test(every, expected_rewards, step.llm_keys(key))
            predicted = matrix(predicted_rewards, step.llm_keys(key), "predicted", test["prompt_id"])
            frame = win_rate_rows(actual, predicted, by_category(test["category"].to_pandas()), llms)
            made[key] = pa.Table.from_pandas(frame, SCHEMAS["win_rates"], preserve_index=False)
            step.report(
                key,
                table=table(frame[frame["category"] == ALL_CATEGORIES].drop(columns="category")),
                figure=picture(figures.win_rate_png(*win_rate_parts(frame, llms)), "win rates"),
            )
        return made

    @stage(pool, group="evaluation", kinds={"numpy"})
    def proposition_1(step: Step, prompts: Partitions, rewards: Partitions) -> dict[str, pa.Table]:
        """Proposition 1's bound on the probability that the better LLM wins, beside what the samples say."""
        every = prompts.read()
        prompt_ids = every["prompt_id"].filter(pa.array(is_split(every, "test")))
        made = {}
        for key in step.keys:
            found = pairwise.proposition_1(samples(rewards, step.llm_keys(key), prompt_ids))
            frame = pd.DataFrame(found._asdict())
            made[key] = pa.Table.from_pandas(frame, SCHEMAS["proposition_1"], preserve_index=False)
            verdicts = frame["verdict"].value_counts()
            step.report(
                key,
                **{f"bins_{verdict}": int(count) for verdict, count in verdicts.items()},
                table=table(frame[["gap", "win", "win_low", "win_high", "bound", "verdict", "n"]]),
            )
        return made

    return [predictability, pairwise_wins, win_rates, proposition_1]


def grid(frame: pd.DataFrame, rows: list[str], columns: list[str], value: str) -> Floats:
    """One column of a table with a row for every LLM and category as an array, LLMs by categories."""
    by_both = frame.pivot(index="llm", columns="category", values=value)
    return np.asarray(by_both.loc[rows, columns], dtype=np.float64)


def predictability_parts(frame: pd.DataFrame, llms: list[str]) -> tuple[list[str], list[str], Floats, Floats, Floats]:
    """LLMs, columns, R2, ceilings and counts of a `predictability` table, as the figures take them."""
    columns = list(dict.fromkeys(frame["category"]))
    r2, ceiling, counts = (grid(frame, llms, columns, value) for value in ("r2", "noise_ceiling", "n"))
    return llms, columns, r2, ceiling, counts[0].astype(int)


def win_rate_parts(
    frame: pd.DataFrame, llms: list[str]
) -> tuple[list[str], list[str], Floats, Floats, Floats, Floats, Floats]:
    """LLMs, categories, both rates, the interval and counts of a `win_rates` table, as the figures take them."""
    columns = list(dict.fromkeys(frame["category"]))
    names = ("empirical", "predicted", "empirical_low", "empirical_high")
    empirical, predicted, low, high = (grid(frame, llms, columns, value).T for value in names)
    counts = grid(frame, llms, columns, "n")[0].astype(int)
    return llms, columns, empirical, predicted, low, high, counts


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None
