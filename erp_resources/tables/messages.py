"""Lists of messages, as logs and data sets of conversations have them, become the text of a prompt or response.

What belongs here: the forms of such lists. What to keep out: which part of a conversation is embedded
(`prompt_sources.recorded`).
"""

from typing import Any

from erp_resources.tables.parts import to_json

_ROLES = {"human": "user", "gpt": "assistant"}
"""The roles of ShareGPT's form."""


def conversation(value: Any) -> list[dict[str, str]] | None:
    """Messages with `role` and `content` as text; None when the value is no list of them, or holds more than text.

    Read are `[{"role": ..., "content": ...}]`, with content as text or as a list of parts of text, ShareGPT's
    `[{"from": ..., "value": ...}]`, and `{"messages": [...]}`.
    """
    messages = [_message(item) for item in _items(value)]
    return None if not messages or None in messages else messages  # type: ignore[return-value]


def prompt_text(value: Any) -> str | None:
    """A prompt out of messages: the text of the only one, a user's, or else all of them as JSON; None: no messages."""
    return _text_of(value, "user")


def response_text(value: Any) -> str | None:
    """A response out of messages: the text of the only one, the assistant's; otherwise as `prompt_text`."""
    if isinstance(value, dict):
        value = [value]
    return _text_of(value, "assistant")


def last_user_turn(value: Any) -> str | None:
    """What the user said last in a list of messages, whatever the others hold; None where that is nothing."""
    messages = [_message(item) for item in _items(value)]
    users = [message["content"] for message in messages if message is not None and message["role"] == "user"]
    return users[-1] or None if users else None


def _text_of(value: Any, role: str) -> str | None:
    messages = conversation(value)
    if messages is None:
        return None
    if len(messages) == 1 and messages[0]["role"] == role:
        return messages[0]["content"]
    return to_json(messages)


def _items(value: Any) -> list[Any]:
    """What may be messages; nothing when the value is of another form."""
    if isinstance(value, dict) and list(value) == ["messages"]:
        value = value["messages"]
    return value if isinstance(value, list) else []


def _message(item: Any) -> dict[str, str] | None:
    if not isinstance(item, dict):
        return None
    role, content = item.get("role"), item.get("content")
    if role is None and isinstance(item.get("from"), str):
        role, content = _ROLES.get(item["from"], item["from"]), item.get("value")
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        content = None if None in parts else "\n".join(part for part in parts if part is not None)
    if not isinstance(role, str) or not isinstance(content, str):
        return None
    return {"role": role, "content": content}


def _part(part: Any) -> str | None:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else None
