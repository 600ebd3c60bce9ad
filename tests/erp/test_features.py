"""What the probes read of a prompt."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances_argmin

from erp.features import CLUSTERINGS, Features, form

RANDOM = np.random.default_rng(0)
TEXTS = [f"What is {i} + {i * 7}?" for i in range(60)] + [
    f"def f{i}(x):\n    return x\n\nWrite a test of it, please." for i in range(60)
]


def unit(n: int, d: int = 6) -> np.ndarray:
    vectors = RANDOM.normal(size=(n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_embedding_alone_is_the_paper_s_features() -> None:
    vectors = unit(5)
    np.testing.assert_array_equal(Features.of_embedding()(vectors), vectors)
    assert not Features.of_embedding().needs_texts


def test_form_tells_code_from_sums_and_is_finite_for_any_text() -> None:
    statistics = form(TEXTS)
    sums, code = statistics[:60], statistics[60:]
    assert ((sums[:, 2] == 0) & (code[:, 2] > 0)).all()  # lines
    assert code[:, 12].min() > sums[:, 12].max()  # words of code
    assert np.isfinite(form(["", " ", "\n", "🦆" * 10_000, "(A) yes\n(B) no"])).all()
    assert form([]).shape == (0, statistics.shape[1])


def test_every_prompt_is_a_member_of_the_nearest_cluster_of_every_clustering() -> None:
    vectors = unit(len(TEXTS))
    features = Features.fit(vectors, TEXTS)
    found = features(vectors, TEXTS)
    n_centres = int(features.sizes.sum())
    member = found[:, :n_centres] * np.sqrt(len(CLUSTERINGS))
    joined = found[:, n_centres:] / np.sqrt(0.3)
    np.testing.assert_allclose(joined[:, :6], vectors)
    assert len(features.sizes) == len(CLUSTERINGS)
    start = 0
    for size in features.sizes.astype(int):
        own = pairwise_distances_argmin(joined, features.centres[start : start + size])
        np.testing.assert_allclose(member[:, start : start + size], np.eye(size)[own])
        start += size


def test_the_same_prompts_give_the_same_features_and_the_stored_map_is_the_map() -> None:
    vectors = unit(len(TEXTS))
    first, second = Features.fit(vectors, TEXTS), Features.fit(vectors, TEXTS)
    for name, tensor in first.tensors().items():
        np.testing.assert_array_equal(tensor, second.tensors()[name])
    again = Features.from_tensors(first.tensors())
    np.testing.assert_array_equal(again(vectors, TEXTS), first(vectors, TEXTS))


def test_few_prompts_have_fewer_clusters_and_equal_ones_share_all() -> None:
    features = Features.fit(np.ones((3, 4)) / 2, ["same"] * 3)
    assert (features.sizes == 1).all()
    found = features(np.ones((2, 4)) / 2, ["same", "same"])
    np.testing.assert_array_equal(found[0], found[1])


def test_mistakes_are_named() -> None:
    vectors = unit(len(TEXTS))
    features = Features.fit(vectors, TEXTS)
    with pytest.raises(ValueError, match="read the prompts' texts as well"):
        features(vectors)
    with pytest.raises(ValueError, match="embeddings has shape"):
        features(vectors[:, :3], TEXTS)
    with pytest.raises(ValueError, match="embeddings has shape"):
        Features.fit(vectors[:3], TEXTS)
