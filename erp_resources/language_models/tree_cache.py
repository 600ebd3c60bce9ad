"""A key-value cache for a prefix tree: rows split, end and move without the cache being copied.

transformers' own cache copies every key and value twice per token (to append one, and to choose the
rows that go on), which for a small model costs more than the model itself. Here the rows stand in a
buffer that is as large as it can become; a step writes one column, and only rows that move are copied.

What belongs here: tensors alone. This module imports torch, so import it inside functions.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class TreeLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer of full attention with room for `rows` rows of `length` tokens.

    Memory is reserved at the first `update` (and, on the CPU, taken only when written).
    """

    def __init__(self, rows: int, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows = rows
        self._length = length
        self._filled = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Reserve the buffers, shape (rows, heads, length, head size); called by `update`."""

        def reserve(states: torch.Tensor) -> torch.Tensor:
            return states.new_empty(self._rows, states.shape[1], self._length, states.shape[3])

        self.dtype, self.device = key_states.dtype, key_states.device
        self._key_buffer, self._value_buffer = reserve(key_states), reserve(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the states of the newest tokens; returns views of everything so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start = key_states.shape[0], self._filled
        self._filled = start + key_states.shape[2]
        self._key_buffer[:rows, :, start : self._filled] = key_states
        self._value_buffer[:rows, :, start : self._filled] = value_states
        self.keys = self._key_buffer[:rows, :, : self._filled]
        self.values = self._value_buffer[:rows, :, : self._filled]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens so far, padding included."""
        return self._filled

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Row i becomes what row `indices[i]` was; a row that stays where it was costs nothing."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero().squeeze(1)
        source = indices[moved]
        for buffer in (self._key_buffer, self._value_buffer):
            buffer[moved, :, : self._filled] = buffer[source, :, : self._filled]


def tree_cache(config: Any, rows: int, length: int) -> DynamicCache:
    """A cache for a model with this config. Layers that are not of full attention stay transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [TreeLayer(rows, length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def stay_in_place(parent: torch.Tensor) -> torch.Tensor:
    """An order of the next rows in which as many as possible stand where their parents stood.

    `parent` (n,) is sorted and names every next row's parent row. In the order returned, the first
    child of a parent keeps its parent's place if that is below n, and all others fill the gaps.
    """
    n = len(parent)
    first = torch.ones(n, dtype=torch.bool, device=parent.device)
    first[1:] = parent[1:] != parent[:-1]
    stays = first & (parent < n)
    order = torch.empty_like(parent)
    free = torch.ones(n, dtype=torch.bool, device=parent.device)
    free[parent[stays]] = False
    order[parent[stays]] = stays.nonzero().squeeze(1)
    order[free] = (~stays).nonzero().squeeze(1)
    return order
