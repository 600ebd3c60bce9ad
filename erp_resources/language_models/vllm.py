"""LLMs that vLLM runs in this process's own engine: the backend for GPUs.

An engine is started once per LLM. It begins on a call only when there is more in its queue than it takes
in at once, so that the same call is batched in the same way every time: batches change the last bits of
the logits, and with them, now and then, a token.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue, field_validator

from erp_resources.hugging_face import context_of, encode_chats, load_chat_tokenizer, load_config
from erp_resources.language_models.chat_template import ChatTemplate
from erp_resources.language_models.interface import RESPONSES, Cost, Inspected, LanguageModel, Sampling, failed
from erp_resources.model_files import model_fingerprint
from erp_resources.settings import Text, UserError
from erp_resources.vllm_engine import VLLMEngine, check_installed

_HEAD_START = 2
"""Responses in the queue before the engine begins, in batches; the others are queued much faster than it samples."""


class VLLMLLM(ChatTemplate):
    """An LLM in transformers' format with a chat template; `cost` is its cost per response (section 4).

    `options` go to `vllm.LLM` as they are: tensor_parallel_size, quantization, max_model_len, dtype,
    gpu_memory_utilization, ... Prompts are given to the engine as tokens, so that the template is `chat_template`'s and
    none of its options. `over_long` says what becomes of a prompt that leaves less than
    sampling.max_tokens of the context: it fails, or loses its beginning.
    """

    backend: Literal["vllm"]
    model: Text
    cost: Cost
    trust_remote_code: bool = False
    options: dict[str, JsonValue] = Field(default_factory=dict)
    over_long: Literal["refuse", "truncate"] = "refuse"

    @field_validator("options")
    @classmethod
    def _the_template_is_none_of_them(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "chat_template" in options:
            raise ValueError("write chat_template beside options, not in them: prompts are put into it before vLLM")
        return options

    def load(self, root: Path) -> LanguageModel:
        """Start the engine. Raises `UserError` when it cannot be started or the model has no chat template."""
        tokenizer = self._tokenizer(root)
        engine = VLLMEngine(
            self.model,
            root,
            self.options,
            trust_remote_code=self.trust_remote_code,
            runner="generate",
            # Samples are of the model's own distribution: its top_p, top_k, ... do not hold, its end tokens do.
            generation_config="vllm",
            override_generation_config={},
            enable_prefix_caching=True,
        )
        return VLLMLanguageModel(self, engine, tokenizer)

    def inspect(self, root: Path, prompts: Sequence[str], sampling: Sampling) -> Inspected:
        """See `Inspected`; starts no engine. A prompt that is truncated is none that fails."""
        check_installed(self.model)
        tokenizer = self._tokenizer(root)
        config = load_config(self.model, root, self.trust_remote_code)
        lengths = [len(ids) for ids in encode_chats(self.model, tokenizer, prompts, self.chat_template_kwargs)]
        limits = [context_of(config), self.options.get("max_model_len")]
        context = min((limit for limit in limits if isinstance(limit, int)), default=None)
        return Inspected.of(lengths, context if self.over_long == "refuse" else None, sampling)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the responses: not with `cost`."""
        return json.dumps(
            {
                "backend": self.backend,
                "model": model_fingerprint(self.model, root),
                "trust_remote_code": self.trust_remote_code,
                "options": self.options,
                "over_long": self.over_long,
            }
            | self.of_fingerprint(root),
            sort_keys=True,
        )

    def _tokenizer(self, root: Path) -> Any:
        template, kwargs = self.template(root), self.chat_template_kwargs
        return load_chat_tokenizer(self.model, root, self.trust_remote_code, template, kwargs)


class VLLMLanguageModel:
    """See `LanguageModel`.

    Attributes
    ----------
    truncated : how many of the prompts sampled so far lost their beginning.
    """

    def __init__(self, settings: VLLMLLM, engine: VLLMEngine, tokenizer: Any) -> None:
        self.truncated = 0
        self._settings = settings
        self._engine = engine
        self._tokenizer = tokenizer

    def close(self) -> None:
        """End the engine and free its memory; nothing can be sampled after it."""
        self._engine.close()

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """See `LanguageModel.sample`. Raises `UserError` when the engine itself fails."""
        encoded, too_long = self._fitted(list(prompts), sampling)
        if not encoded:
            return failed(too_long)
        from vllm import SamplingParams

        first = _first_seed(seed)
        parameters = [
            SamplingParams(
                n=sampling.n,
                temperature=sampling.temperature,
                max_tokens=sampling.max_tokens,
                # vLLM gives sample i of a request the seed + i: so these are all different.
                seed=first + index * sampling.n,
                # Decoded below, all at once, which costs less and spells as the transformers backend does.
                detokenize=False,
            )
            for index in encoded
        ]

        requests = [{"prompt_token_ids": ids} for ids in encoded.values()]
        head_start = math.ceil(_HEAD_START * self._engine.batch / sampling.n)

        def draw(llm: Any) -> list[Any]:
            # What an earlier call left in the cache would change how this one is batched.
            llm.reset_prefix_cache()
            llm.sleep(level=0)
            llm.enqueue(requests[:head_start], parameters[:head_start], use_tqdm=False)
            llm.wake_up(tags=["scheduling"])
            if requests[head_start:]:
                llm.enqueue(requests[head_start:], parameters[head_start:], use_tqdm=False)
            outputs: list[Any] = llm.wait_for_completion(use_tqdm=False)
            return outputs

        table = self._to_table(encoded, self._engine.run(draw), sampling.n)
        if not too_long:
            return table
        return pa.concat_tables([table, failed(too_long)]).sort_by(
            [("prompt_index", "ascending"), ("sample", "ascending")]
        )

    def _fitted(self, prompts: list[str], sampling: Sampling) -> tuple[dict[int, list[int]], dict[int, str]]:
        """The tokens of the prompts that leave room for max_tokens, and why the others fail, by index."""
        room = self._engine.context - sampling.max_tokens
        encoded, too_long = {}, {}
        for index, ids in enumerate(self._encoded(prompts)):
            fitting = ids
            if len(ids) > room and self._settings.over_long == "truncate":
                fitting = self._truncate(prompts[index], ids, room)
                self.truncated += len(fitting) <= room
            if len(fitting) <= room:
                encoded[index] = fitting
            else:
                too_long[index] = (
                    f"the prompt's {len(ids)} tokens and sampling.max_tokens {sampling.max_tokens} exceed the "
                    f"context of {self._engine.context} tokens"
                )
        return encoded, too_long

    def _truncate(self, prompt: str, ids: list[int], room: int) -> list[int]:
        """Leave out the prompt's first tokens: of the text, so that the template stays whole."""
        prompt_ids = self._tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        cut = 0
        while (excess := len(ids) - room) > 0 and cut < len(prompt_ids):
            cut = min(cut + excess, len(prompt_ids))
            shorter = self._tokenizer.decode(prompt_ids[cut:])
            [ids] = self._encoded([shorter])
        return ids

    def _encoded(self, prompts: list[str]) -> list[list[int]]:
        return encode_chats(self._settings.model, self._tokenizer, prompts, self._settings.chat_template_kwargs)

    def _to_table(self, encoded: dict[int, list[int]], outputs: list[Any], n: int) -> pa.Table:
        """One row per sample; `outputs` are vLLM's, in the order of `encoded`."""
        completions = [completion for output in outputs for completion in output.outputs]
        reasons = [completion.finish_reason for completion in completions]
        if broken := set(reasons) - {"stop", "length"}:
            raise UserError(f"model '{self._settings.model}': vLLM ended responses with {sorted(map(str, broken))}")
        # The token that ends a response is none of it.
        tokens = [
            completion.token_ids[: len(completion.token_ids) - (reason == "stop")]
            for completion, reason in zip(completions, reasons, strict=True)
        ]
        return pa.table(
            {
                "prompt_index": np.repeat(np.array(list(encoded), dtype=np.int32), n),
                "sample": np.tile(np.arange(n, dtype=np.int32), len(encoded)),
                "response": pa.array(self._tokenizer.batch_decode(tokens, skip_special_tokens=True), pa.string()),
                "finish_reason": pa.array(reasons, pa.string()),
                "prompt_tokens": np.repeat(np.array([len(ids) for ids in encoded.values()], dtype=np.int32), n),
                "completion_tokens": np.array([len(ids) for ids in tokens], dtype=np.int32),
                "error": pa.nulls(len(tokens), pa.string()),
            },
            schema=RESPONSES,
        )


def _first_seed(seed: int) -> int:
    """Far from the seeds of other calls, and so small that the last prompt's still fits into 63 bits."""
    return int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "big") >> 2
