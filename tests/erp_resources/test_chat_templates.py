"""A chat template that drops what it is given, or fails, is seen before anything is sampled or scored by it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from erp_resources.hugging_face import chat_texts, encode_chats, load_chat_tokenizer, variables_of
from erp_resources.language_models import LLM
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


# ---- another template than the model's own, and what a template is told

THINKING = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
"""As Qwen3's: it thinks unless it is told not to."""

QUESTION = "What is 2 + 2?"
NO_THOUGHTS = {"enable_thinking": False}


def llm(**extra: Any) -> Any:
    return TypeAdapter(LLM).validate_python({"backend": "transformers", "model": "m", "cost": 1} | extra)


def prompt_given(model: Any) -> str:
    """What the model reads when it is asked the question."""
    read: list[list[int]] = []
    forward = model._forward

    def spy(input_ids: Any, *rest: Any) -> Any:
        read.extend(input_ids.tolist())
        return forward(input_ids, *rest)

    model._forward = spy
    table = model.sample([QUESTION], Sampling(n=1, max_tokens=1), seed=0)
    assert table["prompt_tokens"].to_pylist() == [len(read[0])]
    text: str = model.tokenizer.decode(read[0])
    return text


@pytest.fixture
def thinker(tmp_path: Path) -> Path:
    """A project with the playground's small model and a template that thinks unless it is told not to."""
    root = with_template(tmp_path, "generalist-small", THINKING)
    shutil.copy(MODELS / "generalist-small" / "model.safetensors", root / "m")
    return root


@pytest.mark.parametrize("kwargs", [{}, NO_THOUGHTS, {"enable_thinking": True}])
def test_a_model_reads_what_transformers_own_rendering_gives(thinker: Path, kwargs: dict[str, Any]) -> None:
    model = llm(chat_template_kwargs=kwargs).load(thinker)
    chat = [{"role": "user", "content": QUESTION}]
    expected = model.tokenizer.apply_chat_template(chat, add_generation_prompt=True, **kwargs)["input_ids"]
    assert prompt_given(model) == model.tokenizer.decode(expected)
    assert ("<think>" in prompt_given(model)) == (kwargs == NO_THOUGHTS)


def test_another_template_is_a_text_or_a_file_and_is_known_by_its_content(thinker: Path) -> None:
    other = "{% for m in messages %}USER {{ m.content }} {{ mood }}{% endfor %} BOT"
    (thinker / "other.jinja").write_text(other)
    kwargs = {"mood": "sober"}
    by_text, by_file = (llm(chat_template=one, chat_template_kwargs=kwargs) for one in (other, "other.jinja"))
    assert prompt_given(by_text.load(thinker)) == prompt_given(by_file.load(thinker)) == f"USER {QUESTION} sober BOT"
    before = by_file.fingerprint(thinker)
    assert by_text.fingerprint(thinker) == before
    (thinker / "other.jinja").write_text(other + "!")
    assert by_file.fingerprint(thinker) != before


@pytest.mark.parametrize("backend", ["transformers", "vllm", "openai"])
def test_fingerprints_change_with_what_the_template_is_told_and_not_without(thinker: Path, backend: str) -> None:
    def fingerprint(**extra: Any) -> str:
        found: str = llm(backend=backend, **extra).fingerprint(thinker)
        return found

    plain, told = fingerprint(), fingerprint(chat_template_kwargs=NO_THOUGHTS)
    assert "chat_template" not in plain
    assert fingerprint(chat_template_kwargs={}) == plain != told
    if backend != "openai":
        assert len({plain, told, fingerprint(chat_template=THINKING)}) == 3


def test_a_server_is_sent_what_its_template_is_told_from_either_place() -> None:
    own, among = llm(backend="openai", chat_template_kwargs=NO_THOUGHTS), {"chat_template_kwargs": NO_THOUGHTS}
    assert own.sent == among
    assert own.fingerprint(Path()) == llm(backend="openai", options=among).fingerprint(Path())
    assert json.loads(llm(backend="openai").fingerprint(Path()))["options"] == {}
    with pytest.raises(ValidationError, match="stands twice: leave it out of options"):
        llm(backend="openai", chat_template_kwargs=NO_THOUGHTS, options=among)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (
            {"enable_thinkin": False},
            "chat_template_kwargs.enable_thinkin: its chat template does not read this; did you",
        ),
        ({"mood": "sober"}, "does not read this; it reads enable_thinking; leave it out"),
    ],
)
def test_what_the_template_does_not_read_is_refused(thinker: Path, kwargs: dict[str, Any], said: str) -> None:
    entry = llm(chat_template_kwargs=kwargs)
    for look in (lambda: entry.load(thinker), lambda: entry.inspect(thinker, [QUESTION], Sampling())):
        with pytest.raises(UserError) as raised:
            look()
        assert said in str(raised.value)


@pytest.mark.parametrize(
    ("template", "read"),
    [
        (THINKING, {"messages", "add_generation_prompt", "enable_thinking"}),
        ("{% set enable_thinking = enable_thinking | default(false) %}{{ messages }}", {"enable_thinking", "messages"}),
        ("{% if deep is not defined %}{% set deep = 1 %}{% endif %}{{ deep }}", {"deep"}),
        ("{% set deep = 1 %}{{ deep }}", set()),
        ("{% macro m(a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}", {"b"}),
        ("{% generation %}{{ a }}{% endgeneration %}{% for i in range(3) %}{% break %}{% endfor %}", {"a"}),
        ("{{ raise_exception('no') }}{{ strftime_now('%d') }}{% set n = namespace(x=1) %}{{ n.x }}", set()),
    ],
)
def test_the_variables_of_a_template_are_those_it_is_to_be_told(template: str, read: set[str]) -> None:
    assert variables_of(template) == read


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"chat_template_kwargs": {"add_generation_prompt": False}}, "leave out add_generation_prompt: a prompt is"),
        ({"chat_template": ""}, "at least 1 character"),
        ({"backend": "vllm", "options": {"chat_template": THINKING}}, "write chat_template beside options, not in"),
        ({"backend": "openai", "chat_template": THINKING}, "Extra inputs are not permitted"),
    ],
)
def test_settings_of_templates_that_cannot_be_meant_are_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        llm(**entry)


def test_a_template_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"chat_template 'no.jinja': .*no.jinja cannot be read \(FileNotFoundError\)"):
        llm(chat_template="no.jinja").template(tmp_path)
