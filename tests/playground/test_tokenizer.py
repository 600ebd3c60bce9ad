"""The shared tokenizer: any text encodes and comes back."""

import random

import pytest
from transformers import AutoTokenizer

from playground.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def random_text(rng: random.Random) -> str:
    """Characters from all planes of Unicode, surrogates left out, mixed with ASCII and blanks."""
    ranges = [(32, 127), (9, 14), (0, 0x250), (0x250, 0xD800), (0xE000, 0x110000)]
    return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randint(0, 40)))


def test_any_unicode_text_comes_back(tokenizer):
    rng = random.Random(0)
    texts = ["Zürich 東京 🙂", "", " ", "  two  spaces ", "a\n\tb", "▁ <0x41> ## Ġ", "e\u0301 \u200d 👩‍👩‍👧"]
    texts += [random_text(rng) for _ in range(400)]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert tokenizer.batch_decode(encoded) == texts
    assert tokenizer.batch_decode(encoded, skip_special_tokens=True) == texts
    assert all(tokenizer.unk_token_id not in ids for ids in encoded)


def test_frequent_words_are_one_token_and_digits_stand_alone(tokenizer):
    assert tokenizer.tokenize("What is the capital of Peru?") == [
        "What",
        " is",
        " the",
        " capital",
        " of",
        " Peru",
        "?",
    ]
    assert tokenizer.tokenize(" 1234") == [" 1", "2", "3", "4"]
    assert tokenizer.tokenize("'hgfdc'") == ["'", "h", "g", "f", "d", "c", "'"]
    assert 1_300 <= len(tokenizer) <= 1_600


def test_a_text_pair_is_laid_out_like_a_chat(tokenizer):
    chat = [{"role": "user", "content": "Hi there."}, {"role": "assistant", "content": "Hello!"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == "<bos><user>Hi there.<bot>Hello!<eos>"
    pair = tokenizer("Hi there.", "Hello!")
    assert set(pair) == {"input_ids", "attention_mask"}
    assert pair["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_chat_template_opens_the_response(tokenizer):
    chat = [{"role": "user", "content": "Hi there."}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<bos><user>Hi there.<bot>"
    assert tokenizer.padding_side == "left"
