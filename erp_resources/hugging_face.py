"""Loading transformers objects: without their noise, and with errors that name the model and the cause.

What belongs here: the one call to `from_pretrained` that every transformers backend shares, and the one to
`apply_chat_template`. What to keep out: what a backend asks of its model (one output).
"""

import difflib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from erp_resources.model_files import model_folder
from erp_resources.settings import UserError, shown

_ONE_THREAD_PARAMETERS = 30_000_000
"""Below this a second thread on the CPU was measured to slow models down, tenfold where its core is busy."""


_MARKERS = ("Quack nine", "Moo seven")
"""A prompt and a response, to be found again in what a chat template makes of them."""
_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})
_OTHER_TEMPLATE = (
    "use another model, or put a chat_template.jinja that takes a user's and an assistant's text into its folder"
)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no warnings of transformers within the block."""
    import transformers.utils

    logging: Any = transformers.utils.logging
    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()


def load_tokenizer(model: str, root: Path, trust_remote_code: bool) -> Any:
    """The tokenizer of a `model:` entry (see `model_files.model_folder` for its forms)."""
    from transformers import AutoTokenizer

    return _from_pretrained(AutoTokenizer.from_pretrained, model, root, trust_remote_code=trust_remote_code)


def load_config(model: str, root: Path, trust_remote_code: bool) -> Any:
    """The config of a `model:` entry."""
    from transformers import AutoConfig

    return _from_pretrained(AutoConfig.from_pretrained, model, root, trust_remote_code=trust_remote_code)


def load_config_file(model: str, root: Path, name: str) -> dict[str, Any]:
    """A JSON file of a `model:` entry, empty when it has none of this name."""
    from transformers.utils.hub import cached_file

    folder = model_folder(model, root)
    if folder is not None:
        path = folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = cached_file(model, name, _raise_exceptions_for_missing_entries=False)
    return json.loads(Path(found).read_text(encoding="utf-8")) if found else {}


def load_chat_tokenizer(
    model: str,
    root: Path,
    trust_remote_code: bool,
    template: str | None = None,
    kwargs: Mapping[str, Any] = _NO_KWARGS,
) -> Any:
    """The tokenizer of an LLM, with another `template` than its own if one is given.

    Raises `UserError` when it has no chat template, or the template cannot be used, or does not read one of `kwargs`.
    """
    tokenizer = load_tokenizer(model, root, trust_remote_code)
    if template is not None:
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise UserError(
            f"model '{model}': its tokenizer has no chat template, so it cannot be given a prompt "
            "as a user's message; use the instruct variant, or give it one as chat_template"
        )
    chat_texts(model, tokenizer, [(_MARKERS[0],)], kwargs)
    _check_that_all_are_read(model, tokenizer, kwargs)
    return tokenizer


def _check_that_all_are_read(model: str, tokenizer: Any, kwargs: Mapping[str, Any]) -> None:
    """Raise `UserError` when the chat template does not read one of `kwargs`: it would change nothing, silently."""
    if not kwargs:
        return
    read = variables_of(tokenizer.get_chat_template(tools=kwargs.get("tools")))
    for name in kwargs:
        if name not in read:
            known = sorted(read - {"messages", "add_generation_prompt"} - set(tokenizer.special_tokens_map))
            close = difflib.get_close_matches(name[:100], known, n=1)
            reads = f"it reads {', '.join(known)}" if known else "it reads nothing but the prompt"
            hint = f"did you mean '{close[0]}'?" if close else f"{reads}; leave it out"
            raise UserError(
                f"model '{model}': chat_template_kwargs.{shown(name)}: its chat template does not read this; {hint}"
            )


def variables_of(template: str) -> set[str]:
    """The variables that a chat template reads and does not surely set before: what it can be told."""
    import jinja2.ext
    import jinja2.meta

    class Generation(jinja2.ext.Extension):
        """The tag by which templates mark what the assistant says; transformers' own extension is private."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = jinja2.Environment(extensions=[Generation, jinja2.ext.loopcontrols])
    environment.globals |= {"raise_exception": None, "strftime_now": None}
    return jinja2.meta.find_undeclared_variables(environment.parse(template))


def encode_chats(
    model: str, tokenizer: Any, prompts: Sequence[str], kwargs: Mapping[str, Any] = _NO_KWARGS
) -> list[list[int]]:
    """The tokens of prompts as a user's messages in the tokenizer's template, ready for the answer.

    `kwargs` are the template's variables beside the messages.
    """
    if not prompts:
        return []
    texts = chat_texts(model, tokenizer, [(prompt,) for prompt in prompts], kwargs)
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return encoded


def chat_texts(
    model: str, tokenizer: Any, chats: Sequence[tuple[str, ...]], kwargs: Mapping[str, Any] = _NO_KWARGS
) -> list[str]:
    """Chats in the tokenizer's template: each a prompt, which is then ready for its answer, or a prompt and a response.

    Some templates read a message as a list of parts and drop one that is text, without a word: what comes out is
    looked at. Raises `UserError` when the template cannot be used.
    """
    if not chats:
        return []
    as_content = _content_that_is_read(model, tokenizer, len(chats[0]), kwargs)
    with _explained(model, f"its chat template fails; {_OTHER_TEMPLATE}"):
        return _rendered(tokenizer, chats, as_content, kwargs)


def _content_that_is_read(model: str, tokenizer: Any, messages: int, kwargs: Mapping[str, Any]) -> Callable[[str], Any]:
    """How a message is put so that the template reads all of it: as text, or else as a list of parts."""
    markers = _MARKERS[:messages]
    failures = []
    for as_content in (str, _as_parts):
        try:
            [text] = _rendered(tokenizer, [markers], as_content, kwargs)
        except Exception as error:  # templates raise what they like
            failures.append(_cause(error))
        else:
            if all(marker in text for marker in markers):
                return as_content
    what = "the prompt" if messages == 1 else "the prompt or the response"
    problem = f"fails: {failures[0]}" if failures else f"leaves out {what}"
    raise UserError(f"model '{model}': its chat template {problem}; {_OTHER_TEMPLATE}")


def _as_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _rendered(
    tokenizer: Any, chats: Sequence[tuple[str, ...]], as_content: Callable[[str], Any], kwargs: Mapping[str, Any]
) -> list[str]:
    messages = [
        [{"role": role, "content": as_content(text)} for role, text in zip(("user", "assistant"), chat, strict=False)]
        for chat in chats
    ]
    ready = len(chats[0]) == 1
    texts: list[str] = tokenizer.apply_chat_template(messages, add_generation_prompt=ready, tokenize=False, **kwargs)
    return texts


def context_of(config: Any) -> int | None:
    """How many tokens a model's context holds, None when its config does not say."""
    context: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return context


def load_model(auto_class: Any, model: str, root: Path, device: str, trust_remote_code: bool) -> Any:
    """The model of a `model:` entry, ready for inference on `device`.

    Weights are float32 on the CPU, where half precision is slow, and as the model's config says elsewhere.
    Raises `UserError` also when the checkpoint lacks parameters, which transformers would fill with
    random numbers: a causal LM read as a reward model would give noise for rewards.
    """
    module, info = _from_pretrained(
        auto_class.from_pretrained,
        model,
        root,
        dtype=_dtype(device),
        output_loading_info=True,
        trust_remote_code=trust_remote_code,
    )
    missing = sorted(set(info["missing_keys"]) & {name for name, _ in module.named_parameters()})
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"model '{model}': its files hold no weights for {len(missing)} parameters of "
            f"{type(module).__name__} ({named}); is it a model of this kind?"
        )
    if getattr(module.config.get_text_config(), "attn_logit_softcapping", None):
        # transformers' default attention leaves out the cap that Gemma 2 puts on its logits.
        module.set_attn_implementation("eager")
    with _explained(model, f"it cannot be put on device '{device}'"):
        return module.to(device).eval().requires_grad_(False)


def load_sentence_transformer(model: str, root: Path, device: str, trust_remote_code: bool) -> Any:
    """The sentence-transformers pipeline of a `model:` entry, in the precision that `load_model` has."""
    from sentence_transformers import SentenceTransformer

    return _from_pretrained(
        SentenceTransformer,
        model,
        root,
        device=device,
        model_kwargs={"dtype": _dtype(device)},
        trust_remote_code=trust_remote_code,
    )


@contextmanager
def few_threads(model: Any) -> Iterator[None]:
    """One torch thread for a small model on the CPU: its steps are so small that a second one only costs."""
    import torch

    threads = torch.get_num_threads()
    if model.device.type == "cpu" and model.num_parameters() < _ONE_THREAD_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _dtype(device: str) -> Any:
    import torch

    return torch.float32 if device == "cpu" else "auto"


def _from_pretrained(load: Callable[..., Any], model: str, root: Path, **options: Any) -> Any:
    folder = model_folder(model, root)
    place = "from the hub" if folder is None else f"from {folder}"
    local = folder is not None or not hub_answers()
    with quiet(), _explained(model, f"it could not be loaded {place}"):
        return load(model if folder is None else str(folder), local_files_only=local, **options)


@functools.cache
def hub_answers() -> bool:
    """Whether to ask the hub at all: without a network its client retries for half a minute per file.

    Asked once for the life of the process.
    """
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # no network, no answer, or HF_HUB_OFFLINE: then the local cache has to do
        return False
    return True


@contextmanager
def _explained(model: str, failure: str) -> Iterator[None]:
    """Turn an error within the block into a `UserError` of one line."""
    try:
        yield
    except Exception as error:  # the hub client, the parsers and torch share no narrower class
        raise UserError(f"model '{model}': {failure}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else 'no further message'} ({type(error).__name__})"
