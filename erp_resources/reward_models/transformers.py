"""Reward models that transformers runs: sequence classifiers with one output."""

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from erp_resources.hugging_face import chat_texts, few_threads, load_config, load_model, load_tokenizer
from erp_resources.model_files import model_fingerprint
from erp_resources.reward_models.interface import RewardModel
from erp_resources.settings import Count, Device, Settings, Text, UserError


class TransformersRewardModel(Settings):
    """A sequence classifier with one output.

    `input` says how it reads a response: "pair", as a pair of texts (encoders such as OpenAssistant's
    DeBERTa), or "chat", as a chat in its tokenizer's template (decoders such as GRM). A batch holds at
    most `batch_tokens` tokens, padding included.
    """

    backend: Literal["transformers"]
    model: Text
    input: Literal["pair", "chat"]
    trust_remote_code: bool = False
    device: Device = "cpu"
    batch_tokens: Count = 8_192

    def load(self, root: Path) -> RewardModel:
        """Load the weights. Raises `UserError` when they cannot be loaded or are no reward model's."""
        from transformers import AutoModelForSequenceClassification

        tokenizer = load_reward_tokenizer(self.model, self.input, root, self.trust_remote_code)
        model = load_model(AutoModelForSequenceClassification, self.model, root, self.device, self.trust_remote_code)
        refuse_labels(self.model, model.config.num_labels)
        return TransformersClassifier(self, model, tokenizer)

    def inspect(self, root: Path) -> None:
        """See that it is a reward model, from its config and tokenizer. Raises `UserError` when it is not."""
        inspect_reward_model(self.model, self.input, root, self.trust_remote_code)

    def fingerprint(self, root: Path) -> str:
        """Changes with everything that changes the rewards: not with `batch_tokens`."""
        return json.dumps(
            {
                "backend": self.backend,
                "model": model_fingerprint(self.model, root),
                "input": self.input,
                "trust_remote_code": self.trust_remote_code,
                "device": self.device.partition(":")[0],
            }
        )


class TransformersClassifier:
    """See `RewardModel`."""

    def __init__(self, settings: TransformersRewardModel, model: Any, tokenizer: Any) -> None:
        self._settings = settings
        self._model = model
        self._encoder = InputEncoder(settings.model, tokenizer, settings.input, model.config)
        self._inputs = {"input_ids", "token_type_ids"} & set(inspect.signature(model.forward).parameters)
        if model.config.pad_token_id is None:
            # Decoders look for the last token that is not padding; without the id they refuse batches.
            # Which token pads is of no matter behind the mask, unless inputs end with it.
            [shortest] = self._encoder.encode([""], [""])
            model.config.pad_token_id = int(shortest["input_ids"][-1] == 0)

    @property
    def truncated(self) -> int:
        """How many of the inputs scored so far did not fit the model's context."""
        return self._encoder.truncated

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """See `RewardModel.score`; `answers` is not looked at."""
        import torch

        device = self._model.device
        encoded = self._encoder.encode(list(prompts), list(responses))
        rewards = np.empty(len(encoded), dtype=np.float32)
        for rows in self._batches([len(tokens["input_ids"]) for tokens in encoded]):
            lengths = torch.tensor([len(encoded[row]["input_ids"]) for row in rows])
            width = int(lengths.max())
            batch = {"attention_mask": (torch.arange(width) < lengths[:, None]).long()}
            for name in self._inputs & encoded[rows[0]].keys():
                pad = (self._model.config.pad_token_id or 0) if name == "input_ids" else 0
                batch[name] = torch.full((len(rows), width), pad)
                for i, row in enumerate(rows):
                    batch[name][i, : lengths[i]] = torch.tensor(encoded[row][name])
            with torch.inference_mode(), few_threads(self._model):
                logits = self._model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
            rewards[rows] = logits[:, 0].float().cpu().numpy()
        return rewards

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Rows of similar length, within the budget; longest first, so that a lack of memory shows at once."""
        rows: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if rows and (len(rows) + 1) * lengths[rows[0]] > self._settings.batch_tokens:
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows


def load_reward_tokenizer(model: str, input: Literal["pair", "chat"], root: Path, trust_remote_code: bool) -> Any:
    """The tokenizer of a reward model. Raises `UserError` when it lacks the chat template that it needs."""
    tokenizer = load_tokenizer(model, root, trust_remote_code)
    if input == "chat" and not tokenizer.chat_template:
        raise UserError(
            f"model '{model}': its tokenizer has no chat template, which input: chat needs; "
            "use input: pair if the model reads a pair of texts"
        )
    if input == "chat":
        chat_texts(model, tokenizer, [("a prompt", "a response")])
    return tokenizer


def inspect_reward_model(model: str, input: Literal["pair", "chat"], root: Path, trust_remote_code: bool) -> None:
    """Raise `UserError` when a model's tokenizer and config, without its weights, are not those of a reward model."""
    load_reward_tokenizer(model, input, root, trust_remote_code)
    config = load_config(model, root, trust_remote_code)
    # A value head, as InternLM2's reward models have, is no classifier with labels.
    if not any("RewardModel" in name for name in config.architectures or []):
        refuse_labels(model, config.num_labels)


def refuse_labels(model: str, labels: int) -> None:
    """Raise `UserError` when a model has not exactly one output."""
    if labels != 1:
        raise UserError(
            f"model '{model}': it has {labels} labels, but a reward model has one output; "
            "give a model whose config says num_labels 1"
        )


class InputEncoder:
    """What a reward model reads, the same for every backend that runs it.

    `context` bounds the tokens further than the model's `config` and its tokenizer do. Some decoders give
    their reward at a token of their own (`reward_token_id` in InternLM2's config), which then ends the chat.

    Attributes
    ----------
    truncated : how many of the inputs encoded so far did not fit the context. Of these the beginning of
        the prompt is left out; a response is cut (at its end) only if it does not fit alone.
    """

    def __init__(
        self, model: str, tokenizer: Any, input: Literal["pair", "chat"], config: Any, context: int | None = None
    ) -> None:
        self.truncated = 0
        self._model = model
        self._tokenizer = tokenizer
        self._input = input
        self._reward_token: int | None = getattr(config, "reward_token_id", None)
        limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length, context]
        self._context = min((limit for limit in limits if limit and limit > 0), default=None)

    def encode(self, prompts: list[str], responses: list[str]) -> list[dict[str, list[int]]]:
        """The model's inputs, one dictionary per response, none longer than the context."""
        if not prompts:
            return []
        encoded = self._tokenize(prompts, responses)
        for row, tokens in enumerate(encoded):
            if self._context is not None and len(tokens["input_ids"]) > self._context:
                encoded[row] = self._truncate(prompts[row], responses[row], tokens)
                self.truncated += 1
        return encoded

    def _tokenize(self, prompts: list[str], responses: list[str]) -> list[dict[str, list[int]]]:
        if self._input == "pair":
            columns = self._tokenizer(prompts, responses, verbose=False)
        else:
            texts = chat_texts(self._model, self._tokenizer, list(zip(prompts, responses, strict=True)))
            columns = self._tokenizer(texts, add_special_tokens=False, verbose=False)
            if self._reward_token is not None:
                end = self._reward_token
                columns = {"input_ids": [ids if ids[-1:] == [end] else [*ids, end] for ids in columns["input_ids"]]}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _truncate(self, prompt: str, response: str, tokens: dict[str, list[int]]) -> dict[str, list[int]]:
        """Leave out the prompt's first tokens, and what of the response's end still does not fit.

        The texts are cut, not the tokens, so that the template and the special tokens stay whole.
        """
        assert self._context is not None
        prompt_ids = self._tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        response_ids = self._tokenizer(response, add_special_tokens=False, verbose=False)["input_ids"]
        cut_prompt = cut_response = 0
        while (excess := len(tokens["input_ids"]) - self._context) > 0:
            if cut_prompt < len(prompt_ids):
                cut_prompt = min(cut_prompt + excess, len(prompt_ids))
                prompt = self._tokenizer.decode(prompt_ids[cut_prompt:])
            elif cut_response < len(response_ids):
                cut_response = min(cut_response + excess, len(response_ids))
                response = self._tokenizer.decode(response_ids[: len(response_ids) - cut_response])
            else:
                raise UserError(
                    f"model '{self._model}': its context of {self._context} tokens holds not even "
                    "an empty prompt and response"
                )
            [tokens] = self._tokenize([prompt], [response])
        return tokens
