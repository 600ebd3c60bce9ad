"""What a prompt is known by.

What belongs here: the id of a prompt. What to keep out: everything else; any module may import this one.
"""

import hashlib

import pyarrow as pa


def prompt_ids(prompts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The id of every prompt: a hash of its text, so that it keeps its id whatever else is in the corpus."""
    return pa.array([hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in prompts.to_pylist()])
