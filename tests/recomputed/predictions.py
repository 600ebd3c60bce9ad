"""Expected rewards, features, probes, Zooter, and what policies believe."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from recomputed.stored import Compared, Floats, Stored

BETAS = [10 ** (-3 + k / 4) for k in range(29)]
ZOOTER_PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)


def expected_rewards(stored: Stored) -> Iterator[Compared]:
    """Mean, unbiased variance and number of every prompt's samples (section 3.1)."""
    for (llm, name), rows in stored.tables["expected_rewards"].groupby(["llm", "reward_model"]):
        samples = stored.samples(str(name), str(llm), list(rows["prompt_id"]))
        yield Compared("mean", rows["mean"], [sum(one) / len(one) for one in samples], 1e-12)
        spread = [sum((one - sum(one) / len(one)) ** 2) / (len(one) - 1) for one in samples]
        yield Compared("variance", rows["variance"], spread, 1e-11)
        yield Compared("n", rows["n"], [len(one) for one in samples], 0.5)


def _form(text: str) -> list[float]:
    """The statistics of form as `erp.features` lists them, counted letter by letter."""
    length = len(text)
    kinds = [0, 0, 0, 0]
    for letter in text:
        kinds[0] += letter.isdigit()
        kinds[1] += letter.isupper()
        kinds[2] += not (letter.isalnum() or letter.isspace())
        kinds[3] += ord(letter) > 127
    counts = {letter: text.count(letter) for letter in "\n?$\\=,"}
    options = len(re.findall(r"^\s*\(?[A-J][).:]", text, re.MULTILINE))
    code = len(re.findall(r"\b(def|return|import|class|function|assert|var|int|void|SELECT)\b", text))
    numbers = len(re.findall(r"[0-9]+", text))
    logs = [counts["?"], counts["$"], counts["\\"], options, code, numbers, counts["="], counts[","]]
    words = len(text.split())
    return [
        np.log(1 + length),
        np.log(1 + words),
        np.log(1 + counts["\n"]),
        length / (words + 1),
        *(kind / max(1, length) for kind in kinds),
        *(np.log(1 + count) for count in logs),
        float(text.rstrip()[-1:] == "?"),
        float(text.rstrip()[-1:] == "."),
    ]


def _texts(stored: Stored, prompt_ids: list[str]) -> list[str]:
    return list(stored.tables["prompts"].set_index("prompt_id").loc[prompt_ids, "embed_text"])


def _joined(stored: Stored, prompt_ids: list[str], mean: Floats, scale: Floats) -> Floats:
    """The embedding, and beside it the form in train standard deviations, at most 5 of them, a tenth as large."""
    form = (np.array([_form(text) for text in _texts(stored, prompt_ids)]) - mean) / scale
    return np.hstack([stored.embeddings(prompt_ids), 0.1 * np.minimum(np.maximum(form, -5), 5)])


def feature_matrix(stored: Stored, prompt_ids: list[str]) -> Floats:
    """What the probes read (n, f), by the stored centres of clusters."""
    found = stored.features
    if not found["form_mean"].size:
        return stored.embeddings(prompt_ids)
    joined = _joined(stored, prompt_ids, found["form_mean"], found["form_scale"])
    clusterings = np.split(found["centres"], np.cumsum(found["sizes"].astype(int))[:-1])
    rows = []
    for one in joined:
        member = []
        for centres in clusterings:
            distances = [float(((one - centre) ** 2).sum()) for centre in centres]
            member += [float(place == np.argmin(distances)) for place in range(len(centres))]
        rows.append([*np.array(member) / len(clusterings) ** 0.5, *(0.3**0.5 * one)])
    return np.array(rows)


def features(stored: Stored) -> Iterator[Compared]:
    """Scales of form and centres of clusters, from train prompts alone."""
    found = stored.features
    if not found["form_mean"].size:
        return
    train = stored.prompts("train")
    form = np.array([_form(text) for text in _texts(stored, train)])
    scale = form.std(axis=0)
    scale[scale == 0] = 1
    yield Compared("form_mean", found["form_mean"], form.mean(axis=0), 1e-12)
    yield Compared("form_scale", found["form_scale"], scale, 1e-12)
    joined = _joined(stored, train, form.mean(axis=0), scale)
    sizes = [min(wanted, len(train) // 4) for wanted in (16, 32) * 4]
    yield Compared("sizes", found["sizes"], sizes, 0.5)
    models = [KMeans(size, n_init=1, random_state=seed).fit(joined) for seed, size in enumerate(sizes)]
    yield Compared("centres", found["centres"], np.vstack([model.cluster_centers_ for model in models]), 1e-9)


def _left_out(X: Floats, targets: Floats, beta: float) -> Floats:
    """For every prompt the predictions by ridge regressions that were fitted without it."""
    every = np.arange(len(X))
    found = np.empty_like(targets)
    for i in every:
        rest = every != i
        found[i] = Ridge(alpha=beta).fit(X[rest], targets[rest]).predict(X[[i]])[0]
    return found


def penalties(stored: Stored) -> Iterator[Compared]:
    """The pool file's penalty, or the best of 29: by deviations from the prompt's mean, each prompt left out."""
    beta = stored.settings.get("probe", {}).get("beta", 1.0)
    train = stored.prompts("train")
    X = feature_matrix(stored, train)
    for name in stored.reward_models:
        again = beta
        if beta == "auto":
            targets = stored.matrix("expected_rewards", "mean", name, train)
            missed = [_left_out_by_leverage(X, targets, one) - targets for one in BETAS]
            errors = [((one - one.mean(axis=1, keepdims=True)) ** 2).sum() for one in missed]
            again = BETAS[int(np.argmin(errors))]
        theirs = stored.of("penalties", reward_model=name)["beta"]
        yield Compared("beta", theirs, [again], 1e-9 * float(again))


def _left_out_by_leverage(X: Floats, targets: Floats, beta: float) -> Floats:
    """The same by the hat matrix of the dual normal equations, for many penalties."""
    centred = X - X.mean(axis=0)
    gram = centred @ centred.T
    hat = gram @ np.linalg.inv(gram + beta * np.eye(len(X))) + 1 / len(X)
    return targets - (targets - hat @ targets) / (1 - np.diag(hat))[:, None]


def probes(stored: Stored) -> Iterator[Compared]:
    """Ridge coefficients (equation 3.2) by scikit-learn, R2 and its noise ceiling on the test prompts."""
    train, test = stored.prompts("train"), stored.prompts("test")
    X, asked = feature_matrix(stored, train), feature_matrix(stored, test)
    for (llm, name), rows in stored.tables["probes"].groupby(["llm", "reward_model"]):
        row = rows.iloc[0]
        place = stored.llms.index(str(llm))
        mean, variance, n = (
            stored.matrix("expected_rewards", column, str(name), train + test)[:, place]
            for column in ("mean", "variance", "n")
        )
        actual = mean[len(train) :]
        beta = stored.of("penalties", reward_model=str(name))["beta"].iloc[0]
        model = Ridge(alpha=beta).fit(X, mean[: len(train)])
        yield Compared("beta", row["beta"], beta, 1e-12)
        yield Compared("coefficients", row["coefficients"], model.coef_, 1e-9)
        yield Compared("intercept", row["intercept"], model.intercept_, 1e-9)
        yield Compared("n_train", row["n_train"], len(train), 0.5)
        spread = float(((actual - actual.mean()) ** 2).mean())
        missed = float(((actual - model.predict(asked)) ** 2).mean())
        noise = float((variance / n)[len(train) :].mean())
        yield Compared("r2", row["r2"], 1 - missed / spread, 1e-9)
        yield Compared("noise_ceiling", row["noise_ceiling"], min(max(1 - noise / spread, 0), 1), 1e-9)


def predicted_rewards(stored: Stored) -> Iterator[Compared]:
    """Test prompts by the stored probes, train prompts by ridge regressions that are fitted without them."""
    train, test = stored.prompts("train"), stored.prompts("test")
    X, asked = feature_matrix(stored, train), feature_matrix(stored, test)
    for name in stored.reward_models:
        probe = stored.of("probes", reward_model=name).set_index("llm").loc[stored.llms]
        by_probe = asked @ np.array(probe["coefficients"].to_list()).T + probe["intercept"].to_numpy()
        theirs = stored.matrix("predicted_rewards", "predicted", name, train + test)
        yield Compared("predicted, of test prompts", theirs[len(train) :], by_probe, 1e-9)
        targets = stored.matrix("expected_rewards", "mean", name, train)
        left_out = _left_out(X, targets, float(probe["beta"].iloc[0]))
        yield Compared("predicted, of train prompts", theirs[: len(train)], left_out, 1e-8)


def network(X: Floats, target: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Weights and intercepts of the least sum of KL(target || softmax(W x + b)) + penalty / 2 |W|^2, by PyTorch."""
    centre = X.mean(axis=0)
    inputs, wanted = torch.tensor(X - centre), torch.tensor(target)
    weights = torch.zeros(target.shape[1], X.shape[1], dtype=torch.float64, requires_grad=True)
    intercept = torch.zeros(target.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, intercept], max_iter=3_000, tolerance_grad=1e-6, tolerance_change=0.0, history_size=30,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = torch.log_softmax(inputs @ weights.T + intercept, dim=1)
        value = (wanted * (wanted.log() - logits)).sum() + penalty / 2 * (weights**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    W = weights.detach().numpy()
    return W, intercept.detach().numpy() - W @ centre


def _divergence(target: Floats, logits: Floats) -> float:
    return float((target * (np.log(target) - log_softmax(logits, axis=1))).sum(axis=1).mean())


def _centred(logits: Floats) -> Floats:
    return logits - logits.mean(axis=1, keepdims=True)


def reads(stored: Stored, what: str) -> Callable[[list[str]], Floats]:
    """What a policy reads of prompts: their embeddings, or all that the probes read."""
    return stored.embeddings if what == "embedding" else partial(feature_matrix, stored)


def _best_penalty(X: Floats, target: Floats) -> float:
    """Of five the one with the least KL on held-out train prompts."""
    missed = np.zeros(len(ZOOTER_PENALTIES))
    for fitted, held_out in KFold(min(5, len(X)), shuffle=True, random_state=0).split(X):
        for i, penalty in enumerate(ZOOTER_PENALTIES):
            weights, intercept = network(X[fitted], target[fitted], penalty)
            missed[i] += len(held_out) * _divergence(target[held_out], X[held_out] @ weights.T + intercept)
    return ZOOTER_PENALTIES[int(missed.argmin())]


def zooter(stored: Stored) -> Iterator[Compared]:
    """Zooter's networks trained again by another optimiser, and their penalties by held-out train prompts."""
    train, test = stored.prompts("train"), stored.prompts("test")
    for (name, what), rows in stored.tables["zooter"].groupby(["reward_model", "reads"]):
        rows = rows.set_index("llm").loc[stored.llms]
        seen = reads(stored, str(what))
        X, asked = seen(train), seen(test)
        target = softmax(stored.matrix("expected_rewards", "mean", str(name), train), axis=1)
        penalty = _best_penalty(X, target)
        yield Compared("beta", rows["beta"], [penalty] * len(rows), 1e-9)
        yield Compared("n_train", rows["n_train"], [len(train)] * len(rows), 0.5)
        weights, intercept = network(X, target, penalty)
        # Two optimisers end at the same loss, and as near to each other as the root of its rounding.
        least = _divergence(target, X @ weights.T + intercept)
        yield Compared("divergence", rows["divergence"], [least] * len(rows), 1e-5)
        theirs = np.array(rows["weights"].to_list())
        yield Compared("weights", theirs, weights - weights.mean(axis=0), 1e-3)
        logits = asked @ theirs.T + rows["intercept"].to_numpy()
        yield Compared("logits of test prompts", logits, _centred(asked @ weights.T + intercept), 1e-3)


def beliefs(stored: Stored) -> Iterator[Compared]:
    """What policies believe of the test prompts, from the stored tables and from train means."""
    train, test = stored.prompts("train"), stored.prompts("test")
    kinds, asked = stored.categories(train), stored.categories(test)
    for name in stored.reward_models:
        rewards = stored.matrix("expected_rewards", "mean", name, train)
        again = {
            "ERP": stored.matrix("predicted_rewards", "predicted", name, test),
            "ERP (paper)": Ridge(alpha=1.0).fit(stored.embeddings(train), rewards).predict(stored.embeddings(test)),
            "category": np.array([rewards[kinds == kind].mean(axis=0) for kind in asked]),
            "blind": np.array([rewards.mean(axis=0) for _ in asked]),
        }
        for what, rows in stored.of("zooter", reward_model=name).groupby("reads"):
            rows = rows.set_index("llm").loc[stored.llms]
            logits = reads(stored, str(what))(test) @ np.array(rows["weights"].to_list()).T
            again["Zooter" if what == "embedding" else "Zooter (features)"] = logits + rows["intercept"].to_numpy()
        for what, label in (("embedding", "kNN"), ("features", "kNN (features)")):
            seen = reads(stored, what)
            again[label] = nearest_neighbours(seen(train), rewards, seen(test))
        for policy, rows in stored.of("beliefs", reward_model=name).groupby("policy"):
            theirs = rows.pivot(index="prompt_id", columns="llm", values="belief").loc[test, stored.llms]
            if policy in again:
                yield Compared(f"belief of {policy}", theirs.to_numpy(), again[str(policy)], 1e-8)


def nearest_neighbours(X: Floats, rewards: Floats, asked: Floats) -> Floats:
    """Mean rewards of the k nearest train prompts by cosine, the k by leave-one-out differences between LLMs."""

    def nearness(rows: Floats) -> Floats:
        return (rows / np.linalg.norm(rows, axis=1)[:, None]) @ (X / np.linalg.norm(X, axis=1)[:, None]).T

    own = nearness(X)
    np.fill_diagonal(own, -np.inf)
    ks = [k for k in (1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 128) if k < len(X)]
    missed = []
    for k in ks:
        off = np.array([rewards[np.argsort(-row)[:k]].mean(axis=0) for row in own]) - rewards
        missed.append((_centred(off) ** 2).sum())
    k = ks[int(np.argmin(missed))]
    return np.array([rewards[np.argsort(-row)[:k]].mean(axis=0) for row in nearness(asked)])


COMPARISONS = {
    function.__name__: function
    for function in (expected_rewards, features, penalties, probes, predicted_rewards, zooter, beliefs)
}
"""Table -> its comparisons."""
