"""What an OpenAI-compatible server answered, read as far as it can be.

What belongs here: the shapes in which servers give, withhold and count responses. What to keep out: asking for them
(`openai`), and whether a failure ends the run.

- A choice whose content is text, or a list of parts of which some are text, is a response; thoughts that stand in parts
  of their own are left out.
- A refusal that stands in a field of its own is what the model said: its text is the response.
- A choice that a filter withheld, that calls a tool in the place of an answer, or that is broken, is no response: it
  carries its error, and the other samples of the prompt are kept. Where all are broken, the request is made again.
- No choice at all is an error of the prompt: this is how some gateways say that a filter stopped it.
- Numbers of tokens that are no numbers a table can hold are not counted (0).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

_BROKEN_OFF = ("error", "abort")
"""Finish reasons by which gateways and engines say that they failed in the middle of a response."""
_MOST_TOKENS = 2**31 - 1
_LONGEST_NAME = 200
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking")


class Answer(NamedTuple):
    """One sample of a prompt, or why there is none; `model` is what the server says has answered."""

    response: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    error: str | None = None
    model: str | None = None


def failed_answer(error: str, model: str | None = None) -> Answer:
    """The answer that says why there is none."""
    return Answer("", "error", 0, 0, error, model)


def is_completion(answer: Any) -> bool:
    """Whether this is a completion, be it an empty one; anything else is for the client to ask for again."""
    if not isinstance(answer, dict) or "choices" not in answer:
        return False
    choices = answer["choices"]
    if choices is None or choices == []:
        return not answer.get("error")
    return isinstance(choices, list) and any(map(_is_choice, choices))


def read_answers(completion: dict[str, Any], most: int, clean: Callable[[str], str]) -> list[Answer]:
    """At most so many answers of a completion, at least one; `clean` takes out of a text what must not be kept.

    Where there is no choice, none of the samples is to be had.
    """
    choices = (completion.get("choices") or [])[:most]
    model = completion.get("model")
    model = clean(_text(model))[:_LONGEST_NAME] if isinstance(model, str) and model else None
    if not choices:
        return [
            failed_answer("the server gave no choice at all, as some do when a filter stops a prompt", model)
        ] * most
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    asked = _count(usage.get("prompt_tokens"))
    counts = _token_counts(choices, _count(usage.get("completion_tokens")))
    return [_answer(choice, asked, tokens, model, clean) for choice, tokens in zip(choices, counts, strict=True)]


def _answer(choice: Any, asked: int, tokens: int, model: str | None, clean: Callable[[str], str]) -> Answer:
    if not _is_choice(choice):
        return failed_answer("the server broke this response off", model)
    message, reason = choice["message"], choice.get("finish_reason")
    text = _text_of(message.get("content"))
    if reason == "content_filter":
        return failed_answer("the server's content filter withheld a response", model)
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    if not text and (message.get("tool_calls") or message.get("function_call")):
        return failed_answer("the model called a tool in the place of an answer", model)
    return Answer(clean(_text(text)), "length" if reason == "length" else "stop", asked, tokens, None, model)


def _is_choice(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    return (
        isinstance(message, dict)
        and isinstance(message.get("content"), str | list | None)
        and choice.get("finish_reason") not in _BROKEN_OFF
    )


def _text_of(content: str | list[Any] | None) -> str:
    """The text of a content, of its parts where it has such."""
    if not isinstance(content, list):
        return content or ""
    texts = (
        part if isinstance(part, str) else part.get("text")
        for part in content
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type") not in _THOUGHTS)
    )
    return "".join(text for text in texts if isinstance(text, str))


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if is_count else 0


def _token_counts(choices: list[Any], total: int) -> list[int]:
    """The tokens of every response, by the server's own lists of them where it gives these."""
    own = [len(tokens) for choice in choices if (tokens := _tokens(choice))]
    if len(own) == len(choices) and total in (0, sum(own)):
        return own
    share, remainder = divmod(total, len(choices))
    return [share + (position < remainder) for position in range(len(choices))]


def _tokens(choice: Any) -> list[Any]:
    if not isinstance(choice, dict):
        return []
    logprobs = choice.get("logprobs")
    for tokens in (choice.get("token_ids"), logprobs.get("content") if isinstance(logprobs, dict) else None):
        if isinstance(tokens, list) and tokens:
            return tokens
    return []


def _text(content: str) -> str:
    """JSON can hold halves of surrogate pairs, which no file of ours can: each becomes U+FFFD."""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
