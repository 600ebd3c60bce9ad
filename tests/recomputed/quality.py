"""How well expected rewards are predicted: R2, AUROC, win rates, and Proposition 1."""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score, roc_auc_score

from recomputed.predictions import feature_matrix
from recomputed.stored import Compared, Floats, Stored
from recomputed.uncertainty import beyond_chance, resampled

ALL = "(all)"


def _chosen(stored: Stored, category: str) -> list[str]:
    """The test prompts of a category."""
    test = stored.prompts("test")
    return [one for one, kind in zip(test, stored.categories(test), strict=True) if category in (ALL, kind)]


def predictability(stored: Stored) -> Iterator[Compared]:
    """R2 by scikit-learn within every category, its ceiling, and its interval (Tables 1 and 2)."""
    for (name, category), rows in stored.tables["predictability"].groupby(["reward_model", "category"]):
        chosen = _chosen(stored, str(category))
        actual, variance, n = (
            stored.matrix("expected_rewards", column, str(name), chosen) for column in ("mean", "variance", "n")
        )
        predicted = stored.matrix("predicted_rewards", "predicted", str(name), chosen)
        rows = rows.set_index("llm").loc[stored.llms]
        for i, llm in enumerate(stored.llms):
            row = rows.loc[llm]
            spread = actual[:, i].var()
            r2 = ceiling = np.nan
            if spread > 0:
                r2 = r2_score(actual[:, i], predicted[:, i])
                ceiling = min(max(1 - (variance[:, i] / n[:, i]).mean() / spread, 0), 1)
            yield Compared("r2", row["r2"], r2, 1e-9)
            yield Compared("noise_ceiling", row["noise_ceiling"], ceiling, 1e-9)
            # Where next to nothing can be explained, its share is rounding by rounding.
            share = max(r2, 0) / ceiling if ceiling > 1e-9 else row["explained"]
            yield Compared("explained", row["explained"], share, 1e-8)
            yield Compared("n", row["n"], len(chosen), 0.5)
            drawn = [_r2_of(actual[rows_, i], predicted[rows_, i]) for rows_ in resampled(len(chosen))]
            yield from beyond_chance("r2", row["r2_low"], row["r2_high"], drawn, len(chosen))


def _r2_of(actual: Floats, predicted: Floats) -> float:
    spread = ((actual - actual.mean()) ** 2).sum()
    return float(1 - ((actual - predicted) ** 2).sum() / spread) if spread > 1e-12 else np.nan


def _wins(a: list[Floats], b: list[Floats]) -> tuple[Floats, Floats]:
    """Shares of pairs of samples in which b is above a, and in which both are equal, prompt by prompt."""
    pairs = [(y[:, None] - x[None, :]) for x, y in zip(a, b, strict=True)]
    return np.array([(one > 0).mean() for one in pairs]), np.array([(one == 0).mean() for one in pairs])


def _area(decision: Floats, probability: Floats) -> float:
    """AUROC by scikit-learn: every prompt a win and a loss, each with its weight."""
    label = np.repeat([1, 0], len(decision))
    return float(roc_auc_score(label, np.tile(decision, 2), sample_weight=np.append(probability, 1 - probability)))


def _area_of_one_pair(decision: Floats, a: list[Floats], b: list[Floats]) -> float:
    """AUROC of the label of one pair of samples a prompt, the k-th of both, equal ones left out: mean over all k."""
    found = []
    for k in range(min(max(map(len, a)), max(map(len, b)))):
        drawn = [(place, y[k] - x[k]) for place, (x, y) in enumerate(zip(a, b, strict=True)) if k < min(len(x), len(y))]
        told = [(place, rise > 0) for place, rise in drawn if rise != 0]
        if len({won for _, won in told}) == 2:
            found.append(roc_auc_score([won for _, won in told], decision[[place for place, _ in told]]))
    return float(np.mean(found)) if found else np.nan


def _trained(X: Floats, probability: Floats, asked: Floats) -> Floats:
    """A logistic regression on the probabilities of a win, each prompt a win and a loss, by Newton's method."""
    label = np.repeat([1, 0], len(X))
    weight = np.append(probability, 1 - probability)
    centre = X.mean(axis=0)
    model = LogisticRegression(C=4, solver="newton-cholesky", tol=1e-10, max_iter=200)
    model.fit(np.vstack([X - centre] * 2)[weight > 0], label[weight > 0], weight[weight > 0])
    return np.asarray(model.decision_function(asked - centre))


def pairwise_wins(stored: Stored) -> Iterator[Compared]:
    """Who wins by all pairs of samples, and how well predictions and logistic regressions tell (Figure 3)."""
    train, test = stored.prompts("train"), stored.prompts("test")
    inputs = {
        "logistic": (stored.embeddings(train), stored.embeddings(test)),
        "logistic_features": (feature_matrix(stored, train), feature_matrix(stored, test)),
    }
    for (name, a, b), rows in stored.tables["pairwise_wins"].groupby(["reward_model", "llm_a", "llm_b"]):
        row = rows.iloc[0]
        of_a, of_b = (stored.samples(str(name), llm, test) for llm in (a, b))
        wins, ties = _wins(of_a, of_b)
        learned, tied = _wins(*(stored.samples(str(name), llm, train) for llm in (a, b)))
        yield Compared("wins", row["wins"], (wins + ties / 2).mean(), 1e-12)
        yield Compared("ties", row["ties"], ties.mean(), 1e-12)
        yield Compared("n", row["n"], len(test), 0.5)
        predicted = stored.matrix("predicted_rewards", "predicted", str(name), test)
        probability = wins + ties / 2
        gap = predicted[:, stored.llms.index(b)] - predicted[:, stored.llms.index(a)]
        ours = _area(gap, probability)
        yield Compared("auroc", row["auroc"], ours, 1e-9)
        yield Compared("ceiling", row["ceiling"], _area(probability, probability), 1e-9)
        yield Compared("auroc_single", row["auroc_single"], _area_of_one_pair(gap, of_a, of_b), 1e-9)
        # Two solvers may order two prompts differently whose decisions are all but equal: some swaps of n^2 / 4.
        swap = 16 / len(test) ** 2 if len(test) > 100 else 1e-9
        for column, (X, asked) in inputs.items():
            decision = _trained(X, learned + tied / 2, asked)
            theirs = _area(decision, probability)
            yield Compared(column, row[column], theirs, swap)
            yield Compared(f"{column}_single", row[f"{column}_single"], _area_of_one_pair(decision, of_a, of_b), swap)
            difference = column.replace("logistic", "difference")
            yield Compared(difference, row[difference], ours - theirs, swap)


def win_rates(stored: Stored) -> Iterator[Compared]:
    """How often each LLM is the best one, ties shared, with its interval (Figure 4)."""
    for (name, category), rows in stored.tables["win_rates"].groupby(["reward_model", "category"]):
        chosen = _chosen(stored, str(category))
        rows = rows.set_index("llm").loc[stored.llms]
        for column, table, of in (
            ("empirical", "expected_rewards", "mean"),
            ("predicted", "predicted_rewards", "predicted"),
        ):
            values = stored.matrix(table, of, str(name), chosen)
            # Means of as many samples with the same rewards are equal but for rounding.
            shares = np.array([np.isclose(row, row.max(), rtol=1e-12, atol=0) for row in values], dtype=float)
            shares /= shares.sum(axis=1)[:, None]
            yield Compared(column, rows[column], shares.mean(axis=0), 1e-9)
            if column == "empirical":
                for i, (low, high) in enumerate(rows[["empirical_low", "empirical_high"]].to_numpy()):
                    drawn = [shares[drawn_, i].mean() for drawn_ in resampled(len(chosen))]
                    yield from beyond_chance("empirical", low, high, drawn, len(chosen))
        yield Compared("n", rows["n"], [len(chosen)] * len(rows), 0.5)


def proposition_1(stored: Stored) -> Iterator[Compared]:
    """Proposition 1 in ten bins of the gap that hold equally many pairs of LLMs on prompts."""
    test = stored.prompts("test")
    for name in stored.reward_models:
        samples = {llm: stored.samples(name, llm, test) for llm in stored.llms}
        sigma = max(
            (sum(((one - one.mean()) ** 2).sum() for one in every) / sum(len(one) - 1 for one in every)) ** 0.5
            for every in samples.values()
        )
        widest = max(one.max() - one.min() for every in samples.values() for one in every) / 2
        pairs = []
        for a, b in combinations(stored.llms, 2):
            for x, y in zip(samples[a], samples[b], strict=True):
                gap = abs(y.mean() - x.mean())
                gap = 0.0 if gap < 1e-12 else gap
                better, worse = (y, x) if y.mean() >= x.mean() or gap == 0 else (x, y)
                win = np.mean([one > other for one in better for other in worse])
                tie = np.mean([one == other for one in better for other in worse])
                pairs.append((gap, win, tie))
        found = np.array(sorted(pairs))
        edges = sorted({found[-(-len(found) * k // 10) - 1, 0] for k in range(1, 11)})
        rows = stored.of("proposition_1", reward_model=name).sort_values("gap")
        bins = [found[(found[:, 0] > low) & (found[:, 0] <= high)] for low, high in pairwise([-1, *edges])]
        yield Compared("n", rows["n"], [len(one) for one in bins], 0.5)
        safe = max(widest, sigma)
        again = {
            "gap_low": [one[:, 0].min() for one in bins],
            "gap_high": [one[:, 0].max() for one in bins],
            "gap": [one[:, 0].mean() for one in bins],
            "win": [one[:, 1].mean() for one in bins],
            "tie": [one[:, 2].mean() for one in bins],
            "bound": [(1 - np.exp(-(one[:, 0] ** 2) / (4 * sigma**2))).mean() for one in bins],
            "safe_bound": [(1 - np.exp(-(one[:, 0] ** 2) / (4 * safe**2))).mean() for one in bins],
            "sigma": [sigma] * len(bins),
            "safe_sigma": [safe] * len(bins),
        }
        for column, values in again.items():
            yield Compared(column, rows[column], values, 1e-9)


COMPARISONS = {function.__name__: function for function in (predictability, pairwise_wins, win_rates, proposition_1)}
"""Table -> its comparisons."""
