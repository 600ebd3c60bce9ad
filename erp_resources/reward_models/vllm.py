"""Reward models that vLLM runs in this process's own engine: the backend for large ones on GPUs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from erp_resources.model_files import model_fingerprint
from erp_resources.reward_models.interface import RewardModel
from erp_resources.reward_models.transformers import InputEncoder, inspect_reward_model, load_reward_tokenizer
from erp_resources.settings import Settings, Text, UserError
from erp_resources.vllm_engine import VLLMEngine, check_installed


class VLLMRewardModel(Settings):
    """A classifier with one output, or a decoder with a value head (InternLM2's reward models).

    `input` is what it is for the transformers backend, and the tokens are the same. `options` go to
    `vllm.LLM` as they are; vLLM reads float32 weights as float16 unless they say dtype: float32.
    """

    backend: Literal["vllm"]
    model: Text
    input: Literal["pair", "chat"]
    trust_remote_code: bool = False
    options: dict[str, JsonValue] = Field(default_factory=dict)

    def load(self, root: Path) -> RewardModel:
        """Start the engine. Raises `UserError` when it cannot be started or the model is no reward model."""
        tokenizer = load_reward_tokenizer(self.model, self.input, root, self.trust_remote_code)
        engine = VLLMEngine(self.model, root, self.options, trust_remote_code=self.trust_remote_code, runner="pooling")
        try:
            return VLLMClassifier(self, engine, tokenizer)
        except BaseException:
            engine.close()
            raise

    def inspect(self, root: Path) -> None:
        """See that it is a reward model, from its config and tokenizer. Raises `UserError` when it is not."""
        check_installed(self.model)
        inspect_reward_model(self.model, self.input, root, self.trust_remote_code)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the rewards."""
        return json.dumps(
            {
                "backend": self.backend,
                "model": model_fingerprint(self.model, root),
                "input": self.input,
                "trust_remote_code": self.trust_remote_code,
                "options": self.options,
            },
            sort_keys=True,
        )


class VLLMClassifier:
    """See `RewardModel`."""

    def __init__(self, settings: VLLMRewardModel, engine: VLLMEngine, tokenizer: Any) -> None:
        self._settings = settings
        self._engine = engine
        model_config = engine.llm.model_config
        config = model_config.hf_config
        self._encoder = InputEncoder(settings.model, tokenizer, settings.input, config, engine.context)
        self._task = engine.llm.pooling_task
        value_head = self._task == "token_classify" and any(
            "RewardModel" in name for name in model_config.architectures
        )
        if self._task != "classify" and not value_head:
            raise UserError(
                f"model '{settings.model}': vLLM runs it as {', '.join(model_config.architectures)}, which gives no "
                "reward; give a model with a classification head of one output"
            )
        # The transformers backend reads a decoder's reward at the last token that is not its padding.
        reads_last = not value_head and model_config.pooler_config.seq_pooling_type == "LAST"
        self._padding = config.pad_token_id if reads_last else None
        [outputs] = self._run([""], [""])
        if outputs.shape[-1] != 1:
            raise UserError(
                f"model '{settings.model}': it has {outputs.shape[-1]} labels, but a reward model has one "
                "output; give a model whose config says num_labels 1"
            )

    @property
    def truncated(self) -> int:
        """How many of the inputs scored so far did not fit the model's context."""
        return self._encoder.truncated

    def close(self) -> None:
        """End the engine and free its memory; nothing can be scored after it."""
        self._engine.close()

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """See `RewardModel.score`; `answers` is not looked at."""
        outputs = self._run(list(prompts), list(responses))
        # A value head gives a value at every token, of which the last one is the reward.
        return np.array([output.flatten()[-1] for output in outputs], dtype=np.float32)

    def _run(self, prompts: list[str], responses: list[str]) -> list[NDArray[np.float32]]:
        """The raw outputs, without a sigmoid: of shape (1,), or (tokens, 1) of a value head."""
        from vllm import PoolingParams

        encoded = self._encoder.encode(prompts, responses)
        if not encoded:
            return []
        inputs = [{"prompt_token_ids": self._without_padding(tokens["input_ids"])} for tokens in encoded]
        parameters = [
            PoolingParams(use_activation=False, extra_kwargs=_segments(tokens.get("token_type_ids", [])))
            for tokens in encoded
        ]
        outputs = self._engine.run(
            lambda llm: llm.encode(inputs, pooling_params=parameters, pooling_task=self._task, use_tqdm=False)
        )
        return [output.outputs.data.float().numpy() for output in outputs]

    def _without_padding(self, ids: list[int]) -> list[int]:
        length = len(ids)
        while length > 1 and ids[length - 1] == self._padding:
            length -= 1
        return ids[:length]


def _segments(token_type_ids: list[int]) -> dict[str, int] | None:
    """What vLLM wants of a pair's segments: where the second begins."""
    return {"compressed_token_type_ids": token_type_ids.index(1)} if 1 in token_type_ids else None
