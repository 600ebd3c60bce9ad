"""The vLLM backends' pool entries: what can be said of them where vLLM is not installed."""

import sys
from pathlib import Path
from typing import Any

import pytest
from engines import ROOT
from pydantic import ValidationError

from erp_resources.language_models.vllm import VLLMLLM
from erp_resources.reward_models.vllm import VLLMRewardModel
from erp_resources.settings import UserError

LLM = {"backend": "vllm", "model": "playground/models/generalist-small", "cost": 1}
REWARD_MODEL = {"backend": "vllm", "model": "playground/models/concise", "input": "chat"}
ENTRIES: Any = pytest.mark.parametrize(("entry", "settings"), [(VLLMLLM, LLM), (VLLMRewardModel, REWARD_MODEL)])


@ENTRIES
def test_without_vllm_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, entry: Any, settings: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vLLM is not installed.* pip install 'vllm>=0\.32'"):
        entry.model_validate(settings).load(ROOT)


@ENTRIES
def test_the_fingerprint_changes_with_what_changes_the_answers(entry: Any, settings: dict[str, Any]) -> None:
    def fingerprint(**changed: Any) -> str:
        return entry.model_validate(settings | changed).fingerprint(ROOT)  # type: ignore[no-any-return]

    before = fingerprint(options={"dtype": "float16", "max_model_len": 128})
    assert fingerprint(options={"max_model_len": 128, "dtype": "float16"}) == before
    assert fingerprint(options={"dtype": "float32", "max_model_len": 128}) != before
    assert fingerprint() != before
    assert fingerprint(trust_remote_code=True) != fingerprint()
    assert fingerprint(model="playground/models/warm") != fingerprint()


def test_the_fingerprint_of_an_llm_does_not_change_with_its_cost() -> None:
    before = VLLMLLM.model_validate(LLM).fingerprint(ROOT)
    assert VLLMLLM.model_validate(LLM | {"cost": 9}).fingerprint(ROOT) == before
    assert VLLMLLM.model_validate(LLM | {"over_long": "truncate"}).fingerprint(ROOT) != before


def test_over_long_is_one_of_two() -> None:
    with pytest.raises(ValidationError, match="'refuse' or 'truncate'"):
        VLLMLLM.model_validate(LLM | {"over_long": "drop"})


@ENTRIES
def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path, entry: Any, settings: dict[str, Any]) -> None:
    source = ROOT / settings["model"]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    with pytest.raises(UserError, match="no chat template"):
        entry.model_validate(settings | {"model": str(tmp_path)}).load(tmp_path)
