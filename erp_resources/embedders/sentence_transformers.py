"""Embedders that sentence-transformers runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from erp_resources.embedders.interface import Embedded, Embedder, Normalized
from erp_resources.hugging_face import load_config_file, load_sentence_transformer, load_tokenizer
from erp_resources.model_files import model_fingerprint
from erp_resources.settings import Count, Device, Text


class SentenceTransformersEmbedder(Normalized):
    """A sentence-transformers model with its own pooling; its embeddings are scaled to unit norm.

    With `normalize: false` they are what the model gives, which is of unit norm if its last module is a Normalize.
    """

    backend: Literal["sentence_transformers"]
    model: Text
    trust_remote_code: bool = False
    device: Device = "cpu"
    batch_size: Count = 64
    truncation_side: Literal["left", "right"] = "right"
    """Which side of a text that is longer than the model's window is not read: left keeps the end."""

    def load(self, root: Path) -> Embedder:
        """Load the weights. Raises `UserError` when they cannot be loaded."""
        model = load_sentence_transformer(self.model, root, self.device, self.trust_remote_code)
        model.tokenizer.truncation_side = self.truncation_side
        return _SentenceEmbedder(model, self.batch_size, self.normalize)

    def inspect(self, root: Path) -> None:
        """See that the tokenizer can be loaded. Raises `UserError` when it cannot."""
        load_tokenizer(self.model, root, self.trust_remote_code)

    def too_long(self, root: Path, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts (n,) are longer than the model's window, by its tokenizer alone: no weights are loaded."""
        tokenizer = load_tokenizer(self.model, root, self.trust_remote_code)
        config = load_config_file(self.model, root, "sentence_bert_config.json")
        return _longer(tokenizer, config.get("max_seq_length") or tokenizer.model_max_length, texts)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the embeddings: not with `batch_size`."""
        return json.dumps(
            {
                "backend": self.backend,
                "model": model_fingerprint(self.model, root),
                "trust_remote_code": self.trust_remote_code,
                "device": self.device.partition(":")[0],
                **({"truncation_side": self.truncation_side} if self.truncation_side != "right" else {}),
                **({} if self.normalize else {"normalize": False}),
            }
        )


class _SentenceEmbedder:
    """See `Embedder`."""

    def __init__(self, model: Any, batch_size: int, normalize: bool) -> None:
        self._model = model
        self._batch_size = batch_size
        self._normalize = normalize

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See `Embedder.embed`; a text is truncated to the model's `max_seq_length` tokens."""
        if not texts:
            return Embedded(
                np.empty((0, self._model.get_embedding_dimension()), dtype=np.float32), np.zeros(0, dtype=bool)
            )
        embeddings = self._model.encode(
            list(texts), batch_size=self._batch_size, normalize_embeddings=self._normalize, show_progress_bar=False
        )
        return Embedded(
            np.asarray(embeddings, dtype=np.float32), _longer(self._model.tokenizer, self._model.max_seq_length, texts)
        )


def _longer(tokenizer: Any, window: int | None, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts (n,) have more tokens than the window."""
    if window is None or not texts:
        return np.zeros(len(texts), dtype=bool)
    tokens = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    return np.array([len(ids) > window for ids in tokens])
