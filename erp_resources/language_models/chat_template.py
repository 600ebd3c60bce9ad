"""How a prompt becomes a chat, where a pool file has a say in it.

What belongs here: the settings that the backends share, another template than the model's own and what a template is
told. What to keep out: rendering, and whether a template reads what it is told (`erp_resources.hugging_face`).
"""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, field_validator

from erp_resources.settings import Settings, UserError, shown

_OURS = {
    *("messages", "conversation", "add_generation_prompt", "continue_final_message", "chat_template"),
    *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict", "tokenizer_kwargs"),
    "return_assistant_tokens_mask",
}
"""What `apply_chat_template` takes beside what it passes on to the template."""


class ChatTemplateKwargs(Settings):
    """What the chat template is told beside the prompt: {enable_thinking: false} keeps Qwen3 from thinking."""

    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_the_templates(cls, kwargs: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(_OURS & kwargs.keys()):
            raise ValueError(
                f"leave out {', '.join(taken)}: a prompt is always one user's message, ready for its answer"
            )
        return kwargs


class ChatTemplate(ChatTemplateKwargs):
    """The same, and the chat template itself: `chat_template` is another than the model's own.

    It is the template itself, which has braces, or else a file relative to the project.
    """

    chat_template: str | None = Field(default=None, min_length=1)

    def template(self, root: Path) -> str | None:
        """The template, None for the model's own. Raises `UserError` when its file cannot be read."""
        given = self.chat_template
        if given is None or "{" in given:
            return given
        try:
            return (root / given).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"chat_template '{shown(given)}': {shown(root / given)} cannot be read ({type(error).__name__}); give "
                "a text file relative to the project, or the template itself"
            ) from error

    def of_fingerprint(self, root: Path) -> dict[str, Any]:
        """What of a fingerprint is due to these settings: nothing where they are not given."""
        template = self.template(root)
        return {
            **({} if template is None else {"chat_template": hashlib.blake2b(template.encode()).hexdigest()}),
            **({"chat_template_kwargs": self.chat_template_kwargs} if self.chat_template_kwargs else {}),
        }
