"""LLMs that transformers runs, on the CPU or a GPU: the backend that needs no extra install.

Samples are drawn by a prefix tree: samples that agree so far are one row with a count, so that the
model runs once per distinct prefix. The n samples of a prompt share its prefill, an LLM that is sure
of its answer costs little more than one sample, and a finished response leaves the batch. Drawing the
next tokens of a row with count c as c independent draws keeps the samples independent and exact.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from erp_resources.hugging_face import (
    context_of,
    encode_chats,
    few_threads,
    load_chat_tokenizer,
    load_config,
    load_model,
)
from erp_resources.language_models.chat_template import ChatTemplate
from erp_resources.language_models.interface import RESPONSES, Cost, Inspected, LanguageModel, Sampling, failed
from erp_resources.model_files import model_fingerprint
from erp_resources.settings import Device, Text, UserError

if TYPE_CHECKING:
    import torch

_CPU_BYTES = 256 * 2**20
"""What a batch may take on the CPU if all its samples differ."""
_GPU_SHARE = 0.25
"""The same as a share of a GPU's memory."""
_PREFILL_TOKENS = 16_384
_MAX_COUNT = 256
"""Samples of one prompt in one batch: bounds the draws, of which a row gets as many as the largest count."""


class TransformersLLM(ChatTemplate):
    """An LLM in transformers' format with a chat template; `cost` is its cost per response (section 4)."""

    backend: Literal["transformers"]
    model: Text
    cost: Cost
    trust_remote_code: bool = False
    device: Device = "cpu"

    def load(self, root: Path) -> LanguageModel:
        """Load the weights. Raises `UserError` when they cannot be loaded or cannot be sampled from."""
        from transformers import AutoModelForCausalLM

        tokenizer = self._tokenizer(root)
        model = load_model(AutoModelForCausalLM, self.model, root, self.device, self.trust_remote_code)
        return TransformersLanguageModel(self.model, model, tokenizer, self.chat_template_kwargs)

    def inspect(self, root: Path, prompts: Sequence[str], sampling: Sampling) -> Inspected:
        """See `Inspected`; loads no weights."""
        tokenizer = self._tokenizer(root)
        config = load_config(self.model, root, self.trust_remote_code)
        lengths = [len(ids) for ids in encode_chats(self.model, tokenizer, prompts, self.chat_template_kwargs)]
        return Inspected.of(lengths, context_of(config), sampling)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the responses: not with `cost`."""
        return json.dumps(
            {
                "backend": self.backend,
                "model": model_fingerprint(self.model, root),
                "trust_remote_code": self.trust_remote_code,
                "device": self.device.partition(":")[0],
            }
            | self.of_fingerprint(root)
        )

    def _tokenizer(self, root: Path) -> Any:
        template, kwargs = self.template(root), self.chat_template_kwargs
        return load_chat_tokenizer(self.model, root, self.trust_remote_code, template, kwargs)


@dataclass(frozen=True)
class _Leaves:
    """Finished rows of the tree, all of one length: `tokens` (rows, length) without the end token."""

    prompt: "torch.Tensor"
    count: "torch.Tensor"
    tokens: "torch.Tensor"
    stopped: "torch.Tensor"


class TransformersLanguageModel:
    """Exact samples at a temperature, without top-k, top-p or any other setting of generation_config."""

    def __init__(self, name: str, model: Any, tokenizer: Any, template_kwargs: Mapping[str, Any]) -> None:
        self.name = name
        self._template_kwargs = template_kwargs
        self.model = model
        self.tokenizer = tokenizer
        self._end_tokens = _end_tokens(model, tokenizer)
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._last_logits: dict[str, int] = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._token_bytes = self._measure_cache()

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """See `LanguageModel.sample`; a prompt fails when it and `sampling.max_tokens` exceed the context."""
        import torch

        every = encode_chats(self.name, self.tokenizer, prompts, self._template_kwargs)
        too_long = self._too_long(every, sampling)
        kept = [index for index in range(len(every)) if index not in too_long]
        if not kept:
            return failed(too_long)
        encoded = [every[index] for index in kept]
        generator = torch.Generator(self.model.device).manual_seed(seed)
        leaves: list[_Leaves] = []
        with torch.inference_mode(), few_threads(self.model):
            for indices, counts in self._batches(encoded, sampling):
                leaves.extend(self._grow(encoded, indices, counts, sampling, generator))
        sampled = self._to_table(leaves, encoded, sampling.n, generator)
        if not too_long:
            return sampled
        index = pa.array(kept, pa.int32()).take(sampled["prompt_index"])
        sampled = sampled.set_column(0, RESPONSES.field("prompt_index"), index)
        return pa.concat_tables([sampled, failed(too_long)]).sort_by(
            [("prompt_index", "ascending"), ("sample", "ascending")]
        )

    def _too_long(self, encoded: list[list[int]], sampling: Sampling) -> dict[int, str]:
        """Why prompts fail that leave less than `sampling.max_tokens` of the context, by their index."""
        context = context_of(self.model.config) or float("inf")
        return {
            index: f"the prompt's {len(ids)} tokens and sampling.max_tokens {sampling.max_tokens} exceed the "
            f"context of {context} tokens"
            for index, ids in enumerate(encoded)
            if len(ids) + sampling.max_tokens > context
        }

    def _measure_cache(self) -> int:
        """Bytes that one token of one row takes in the cache; refuses caches whose rows cannot be chosen."""
        import torch
        from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

        from erp_resources.language_models.tree_cache import tree_cache

        cache = tree_cache(self.model.config, rows=1, length=1)
        layers: list[Any] = cache.layers
        if any(
            isinstance(layer, LinearAttentionCacheLayerMixin) or not isinstance(layer, DynamicLayer) for layer in layers
        ):
            raise UserError(
                f"model '{self.name}': the transformers backend samples models of attention alone, and "
                f"{type(self.model).__name__} has layers with another kind of state"
            )
        one_token = torch.zeros(1, 1, dtype=torch.long, device=self.model.device)
        with torch.inference_mode():
            self._forward(one_token, torch.ones_like(one_token), cache)
        return sum(int(layer.keys.nbytes + layer.values.nbytes) for layer in layers)

    def _batches(self, encoded: list[list[int]], sampling: Sampling) -> Iterator[tuple[list[int], list[int]]]:
        """Prompts and how many samples of each, longest first: a lack of memory shows at once."""
        import torch

        device = self.model.device
        budget = _CPU_BYTES
        if device.type == "cuda":
            budget = int(torch.cuda.get_device_properties(device).total_memory * _GPU_SHARE)
        indices: list[int] = []
        counts: list[int] = []
        longest = rows = 0
        for index in sorted(range(len(encoded)), key=lambda i: -len(encoded[i])):
            left = sampling.n
            while left:
                if not indices:
                    longest = len(encoded[index])
                    # The row's cache, then its logits, probabilities and their cumulative sums.
                    row_bytes = (longest + sampling.max_tokens) * self._token_bytes
                    row_bytes += 12 * self.model.config.get_text_config().vocab_size
                    rows = max(1, budget // row_bytes)
                count = min(left, rows, _MAX_COUNT)
                if indices and (sum(counts) + count > rows or (len(indices) + 1) * longest > _PREFILL_TOKENS):
                    yield indices, counts
                    indices, counts = [], []
                    continue
                indices.append(index)
                counts.append(count)
                left -= count
        if indices:
            yield indices, counts

    def _grow(
        self,
        encoded: list[list[int]],
        indices: list[int],
        counts: list[int],
        sampling: Sampling,
        generator: "torch.Generator",
    ) -> Iterator[_Leaves]:
        """Grow the trees of one batch of prompts, one token at a time, and yield what has ended."""
        import torch

        from erp_resources.language_models.tree_cache import stay_in_place, tree_cache

        device = self.model.device
        ends = torch.tensor(self._end_tokens, dtype=torch.long, device=device)
        longest = max(len(encoded[i]) for i in indices)
        # Padding is on the left, so that the last column is the last token of every prompt; which token
        # pads is of no matter behind the mask.
        input_ids = torch.zeros(len(indices), longest, dtype=torch.long)
        mask = torch.zeros(len(indices), longest, dtype=torch.long)
        for row, index in enumerate(indices):
            input_ids[row, longest - len(encoded[index]) :] = torch.tensor(encoded[index])
            mask[row, longest - len(encoded[index]) :] = 1
        mask = mask.to(device)
        prompt = torch.tensor(indices, device=device)
        count = torch.tensor(counts, device=device)
        tokens = torch.zeros(len(indices), 0, dtype=torch.long, device=device)
        cache = tree_cache(self.model.config, sum(counts), longest + sampling.max_tokens)
        logits = self._forward(input_ids.to(device), mask, cache)

        for step in range(sampling.max_tokens):
            vocabulary = logits.shape[-1]
            probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
            # As many draws for every row as the largest count; a row with count c uses its first c. Never
            # one alone: torch then takes another path, with an exponential variate for every token.
            width = max(2, int(count.max()))
            drawn = torch.multinomial(probabilities, width, replacement=True, generator=generator)
            drawn += vocabulary * torch.arange(len(count), device=device)[:, None]
            used = torch.arange(width, device=device) < count[:, None]
            pairs, count = torch.unique(drawn[used], return_counts=True)
            parent, token = pairs // vocabulary, pairs % vocabulary
            prompt, tokens = prompt[parent], tokens[parent]

            stopped = torch.isin(token, ends)
            if stopped.any():
                yield _Leaves(prompt[stopped], count[stopped], tokens[stopped], stopped[stopped])
            alive = (~stopped).nonzero().squeeze(1)
            if not len(alive):
                return
            alive = alive[stay_in_place(parent[alive])]
            parent, token, prompt, count = parent[alive], token[alive], prompt[alive], count[alive]
            tokens = torch.cat([tokens[alive], token[:, None]], dim=1)
            if step + 1 < sampling.max_tokens:
                cache.batch_select_indices(parent)
                mask = torch.cat([mask[parent], mask.new_ones(len(parent), 1)], dim=1)
                logits = self._forward(token[:, None], mask, cache)
        yield _Leaves(prompt, count, tokens, torch.zeros(len(count), dtype=torch.bool, device=device))

    def _forward(self, input_ids: "torch.Tensor", mask: "torch.Tensor", cache: Any) -> "torch.Tensor":
        """The logits after the last token, shape (rows, vocabulary); the cache grows by the tokens."""
        options: dict[str, Any] = dict(self._last_logits)
        if self._takes_positions:
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
            options["position_ids"] = positions[:, -input_ids.shape[1] :]
        output = self.model(input_ids=input_ids, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
        return output.logits[:, -1]  # type: ignore[no-any-return]

    def _to_table(
        self, leaves: list[_Leaves], encoded: list[list[int]], n: int, generator: "torch.Generator"
    ) -> pa.Table:
        """One row per sample: only the distinct responses are decoded."""
        import torch

        token_lists = [ids for leaf in leaves for ids in leaf.tokens.cpu().numpy().tolist()]
        texts = self.tokenizer.batch_decode(token_lists, skip_special_tokens=True)
        prompt = torch.cat([leaf.prompt for leaf in leaves]).cpu()
        count = torch.cat([leaf.count for leaf in leaves]).cpu()
        stopped = torch.cat([leaf.stopped for leaf in leaves]).cpu().numpy()
        # The tree gives the samples of a prompt in the order of its branches; later stages take any of
        # them for the next independent sample, so their order has to be random.
        which = torch.repeat_interleave(torch.arange(len(count)), count)
        shuffled = torch.randperm(len(which), generator=generator, device=generator.device)
        which = which[shuffled.cpu()]
        which = which[torch.argsort(prompt[which], stable=True)]
        rows = which.numpy()
        prompt_tokens = np.array([len(ids) for ids in encoded], dtype=np.int32)
        completion_tokens = np.array([len(ids) for ids in token_lists], dtype=np.int32)
        prompt_index = prompt.numpy()[rows].astype(np.int32)
        return pa.table(
            {
                "prompt_index": prompt_index,
                "sample": np.tile(np.arange(n, dtype=np.int32), len(encoded)),
                "response": pa.array(texts, pa.string()).take(rows),
                "finish_reason": pa.array(["length", "stop"]).take(stopped[rows].astype(np.int8)),
                "prompt_tokens": prompt_tokens[prompt_index],
                "completion_tokens": completion_tokens[rows],
                "error": pa.nulls(len(rows), pa.string()),
            },
            schema=RESPONSES,
        )


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a response: those of generation_config and the tokenizer's own."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = set(configured if isinstance(configured, list) else [configured])
    return sorted((ends | {tokenizer.eos_token_id}) - {None})
