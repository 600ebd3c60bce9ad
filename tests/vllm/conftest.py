"""Fixtures of the tests that start real vLLM engines; constraints-vllm.txt says how to install vLLM."""

from collections.abc import Iterator

import pytest
from engines import living_children


@pytest.fixture(scope="module")
def no_process_is_left() -> Iterator[None]:
    before = living_children()
    yield
    assert living_children() == before
