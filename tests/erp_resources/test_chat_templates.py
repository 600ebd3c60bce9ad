"""A chat template that drops what it is given, or fails, is seen before anything is sampled or scored by it."""

import shutil
from pathlib import Path

import pytest

from erp_resources.hugging_face import chat_texts, encode_chats, load_chat_tokenizer
from erp_resources.language_models.interface import Sampling
from erp_resources.language_models.transformers import TransformersLLM
from erp_resources.reward_models.transformers import TransformersRewardModel, load_reward_tokenizer
from erp_resources.settings import UserError

MODELS = Path(__file__).parents[2] / "playground" / "models"
IN_PARTS = "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}<bot>"
BY_KIND = (
    "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% else %}{{ m['content'][0]['text'] }}"
    "{% endif %}{% endfor %}"
)
RAISING = "{{ raise_exception('System role not supported') }}"
BROKEN = "{% for m in messages %}{{ m['content'] }}"
UNUSABLE = {
    "raises": (RAISING, "System role not supported"),
    "a syntax error": (BROKEN, "its chat template fails"),
    "drops everything": ("{% for m in messages %}<turn>{% endfor %}", "leaves out the prompt"),
    "reads another field": ("{% for m in messages %}{{ m['text'] }}{% endfor %}", "leaves out the prompt"),
}
FOR_REWARDS = UNUSABLE | {
    "drops the response": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
        "leaves out the prompt or the response",
    ),
    "drops the prompt": ("{{ messages[-1]['content'] }}", "leaves out the prompt or the response"),
}


def with_template(folder: Path, model: str, template: str) -> Path:
    """A project whose model `m` has the tokenizer and config of a model of the playground, and another template."""
    shutil.copytree(MODELS / model, folder / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "m" / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize("template", [IN_PARTS, BY_KIND])
def test_a_template_that_reads_parts_is_given_parts(tmp_path: Path, template: str) -> None:
    root = with_template(tmp_path, "generalist-small", template)
    tokenizer = load_chat_tokenizer("m", root, False)
    (one, two) = encode_chats("m", tokenizer, ["What is 2 + 2?", "Name a river, please."])
    assert "What is 2 + 2?" in tokenizer.decode(one)
    assert "Name a river, please." in tokenizer.decode(two)
    [both] = chat_texts("m", load_reward_tokenizer("m", "chat", root, False), [("a question", "an answer")])
    assert "a question" in both
    assert "an answer" in both


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_llm_whose_template_cannot_be_used_is_named_with_the_way_out(tmp_path: Path, kind: str) -> None:
    template, said = UNUSABLE[kind]
    root = with_template(tmp_path, "generalist-small", template)
    llm = TransformersLLM.model_validate({"backend": "transformers", "model": "m", "cost": 1})
    with pytest.raises(UserError, match="model 'm': its chat template") as raised:
        llm.inspect(root, ["a"], Sampling())
    assert said in str(raised.value)
    assert "chat_template.jinja" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", FOR_REWARDS)
def test_a_reward_model_whose_template_drops_what_it_is_to_judge_is_refused(tmp_path: Path, kind: str) -> None:
    template, said = FOR_REWARDS[kind]
    root = with_template(tmp_path, "generalist-small", template)
    settings = {"backend": "transformers", "model": "m", "input": "chat"}
    with pytest.raises(UserError) as raised:
        TransformersRewardModel.model_validate(settings).inspect(root)
    assert said in str(raised.value)
