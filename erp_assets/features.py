"""What the probes read of a prompt.

What belongs here: the features asset, the map from embeddings and texts to the probes' features, and its reading.
What to keep out: the map itself (`erp.features`).
"""

import hashlib
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import safetensors.numpy

import erp
from erp_assets.matrices import Floats, embedding_matrix, is_split
from erp_assets.stage import Step, Value, stage
from erp_resources.files import replace_file
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions

FEATURES_FILE = "features.safetensors"


def read_features(features: Partitions) -> erp.Features:
    """The stored map."""
    return erp.Features.from_tensors(safetensors.numpy.load((features.place() / FEATURES_FILE).read_bytes()))


_latest: dict[str, Floats] = {}


def feature_matrix(prompts: pa.Table, prompt_embeddings: Partitions, features: Partitions) -> Floats:
    """The features (n, f) of these prompts, in their order; read-only.

    The matrix that was computed last is kept: the checks of many partitions read the same.
    """
    contents = [prompts["prompt_id"].to_pylist(), *prompt_embeddings.contents.items(), *features.contents.items()]
    key = hashlib.blake2b(repr(contents).encode()).hexdigest()
    if key not in _latest:
        vectors = embedding_matrix(prompt_embeddings.read(), prompts["prompt_id"])
        matrix = read_features(features)(vectors, prompts["embed_text"].to_pylist())
        matrix.setflags(write=False)
        _latest.clear()
        _latest[key] = matrix
    return _latest[key]


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The asset of this module for one pool."""

    @stage(pool, group="data", kinds={"scikitlearn"})
    def features(step: Step, prompts: Partitions, prompt_embeddings: Partitions) -> Value:
        """The map from a prompt's embedding and text to what the probes read, fitted on the train prompts."""
        table = prompts.read()
        train = table.filter(pa.array(is_split(table, "train")))
        vectors = embedding_matrix(prompt_embeddings.read(), train["prompt_id"])
        found = erp.Features.of_embedding()
        if step.pool.probe.features == "auto":
            found = erp.Features.fit(vectors, train["embed_text"].to_pylist())
        content = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in found.tensors().items()})
        step.report("", clusterings=len(found.sizes), statistics_of_form=len(found.form_mean))

        def save(folder: Path) -> None:
            replace_file(folder / FEATURES_FILE, content)

        return save

    return [features]
