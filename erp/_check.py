"""How every function here checks its arrays, so that all refuse the same mistakes in the same words.

What belongs here: conversion to float64 or to indices with a check of dimensions, shape and values. What
to keep out: anything that knows what the numbers mean.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]


def finite(name: str, values: ArrayLike, dimensions: int, shape: tuple[int | None, ...] = ()) -> Floats:
    """`values` as float64 with the given number of dimensions, every one finite and none of length 0.

    `shape` may fix lengths (None leaves one open). Raises `ValueError` naming the array otherwise.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    for axis, length in enumerate(shape):
        if length is not None and array.shape[axis] != length:
            expected = tuple("any" if wanted is None else wanted for wanted in shape)
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    bad = ~np.isfinite(array)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be finite: {array[place]} at index {place} (of {bad.sum()} such)")
    return array


def indices(name: str, values: ArrayLike, length: int | None, upper: int) -> Integers:
    """`values` as a vector of indices in [0, upper); `length` may fix how many.

    Raises `ValueError` naming the array otherwise.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1 or (length is not None and array.shape[0] != length):
        expected = "a vector" if length is None else f"shape ({length},)"
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {array.dtype}")
    result: Integers = array.astype(np.intp)
    if result.size and (result.min() < 0 or result.max() >= upper):
        raise ValueError(f"{name} must lie in [0, {upper}), got {result.min()} to {result.max()}")
    return result


def prompt_costs_of(values: ArrayLike, n_prompts: int, n_llms: int) -> Floats:
    """Costs of every LLM, (n_llms,), or of every LLM on every prompt, (n_prompts, n_llms), checked like `costs_of`."""
    if np.ndim(values) < 2:
        return costs_of(values, n_llms)
    costs = finite("costs", values, 2, (n_prompts, n_llms))
    if costs.min() < 0:
        place = tuple(int(i) for i in np.argwhere(costs < 0)[0])
        raise ValueError(f"costs must not be negative: {costs[place]} at index {place}")
    return costs


def costs_of(values: ArrayLike, n_llms: int) -> Floats:
    """The cost per prompt of every LLM, shape (n_llms,): finite and not negative, or `ValueError`."""
    costs = finite("costs", values, 1, (n_llms,))
    if costs.min() < 0:
        raise ValueError(f"costs must not be negative: {costs.min()} at index {int(costs.argmin())}")
    return costs
