"""The tokenizer that all models of the playground share.

What belongs here: its vocabulary, its chat template and its layout of text pairs. Frequent words of the
corpus are one token each, with their leading space; digits stand alone; any other word is spelled in
ASCII characters, and any other character in UTF-8 bytes, so that every text encodes and comes back.
"""

from collections import Counter
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from playground.corpus import Side, draw_prompts

PAD, UNKNOWN, BOS, EOS, USER, BOT = "<pad>", "<unk>", "<bos>", "<eos>", "<user>", "<bot>"
SPECIAL_TOKENS = [PAD, UNKNOWN, BOS, EOS, USER, BOT]
MAX_LENGTH = 256

WORD_PATTERN = r" ?[A-Za-z]+| ?[0-9]| ?[^A-Za-z0-9\s]|\s"

CHAT_TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<bot>' + message['content'] + '<eos>' }}"
    "{% else %}{{ '<user>' + message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<bot>' }}{% endif %}"
)

_PROMPTS_PER_CATEGORY = 5_000
_LEAST_COUNT = 16
"""Rarer words are spelled: the models shall read random letter strings letter by letter."""


def frequent_words(seed: int = 0) -> list[str]:
    """Words of the training side, with their leading space, the most frequent first."""
    splitter = pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated")
    counts: Counter[str] = Counter()
    drawn = draw_prompts(_PROMPTS_PER_CATEGORY, seed, Side.TRAINING, distinct_questions=False)
    for prompt in chain.from_iterable(drawn.values()):
        for text in (prompt.text, *prompt.exercise.full, *prompt.exercise.terse):
            counts.update(word for word, _ in splitter.pre_tokenize_str(text))
    return [word for word, n in counts.most_common() if n >= _LEAST_COUNT]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer from the corpus; the same on every machine."""
    printable = range(32, 127)
    characters = [chr(code) for code in printable]
    characters += [" " + character for character in characters[1:]]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256) if byte not in printable]
    vocabulary = dict.fromkeys([*SPECIAL_TOKENS, *byte_tokens, *characters, *frequent_words()])
    ids = {token: i for i, token in enumerate(vocabulary)}

    # Without merges and with ignore_merges, a word is one token if it is in the vocabulary, otherwise
    # its characters, and a character that is not in the vocabulary its bytes.
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=[],
            ignore_merges=True,
            byte_fallback=True,
            unk_token=UNKNOWN,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    # A pair is laid out exactly as the chat template lays out a prompt and its response.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A",
        pair=f"{BOS} {USER} $A {BOT} $B:0 {EOS}",
        special_tokens=[(token, ids[token]) for token in (BOS, USER, BOT, EOS)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BOS,
        eos_token=EOS,
        padding_side="left",
        truncation_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        chat_template=CHAT_TEMPLATE,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that `build_tokenizer` made and `save_pretrained` wrote."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer


def token_ids(tokenizer: PreTrainedTokenizerFast, *tokens: str) -> list[int]:
    """The ids of tokens of the vocabulary."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return [vocabulary[token] for token in tokens]
