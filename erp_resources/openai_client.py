"""One OpenAI-compatible server: its settings, its client, and its failures in words.

What belongs here: what sampling and embedding share, that is the address and the key, bounded
concurrency, retries (the `openai` client's own: exponential backoff with jitter on 408, 409, 429, 5xx,
timeouts and broken connections, honouring a Retry-After of a minute or two at most) and who
is to blame for a failure: what is in the request (`RefusedError`), this request or all of them (`FailedError`), or the
settings (`UserError`). What to keep out: what is asked, and what an answer means.
"""

import asyncio
import base64
import difflib
import json
import os
import re
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator

from erp_resources.settings import Settings, Text, UserError, shown

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
"""A server that does not even accept a connection is not worth the patience that a long response is."""
_SHOWN = 200
"""Characters of what a server said that an error repeats."""
_NO_KEY = "no-key"
"""The client insists on a key, and servers that need none ignore it."""
_NOT_AN_ANSWER = 599
"""The status that stands for a success whose body is no answer; the client retries every status from 500."""
_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_OF_A_REQUEST = (HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
"""Statuses that another request may not get: gateways answer 403 to prompts that they find improper."""
_LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer: a thousand long responses need a tenth of it, a server that never ends would need all memory."""


_KNOWN = frozenset(HTTPStatus)
_SECRET = 16
"""Letters from which on a key is taken out of responses, too."""


class RefusedError(Exception):
    """The server refused a request for what is in it; the message says why, in the server's words."""

    def __init__(self, said: str, parameter: str | None = None) -> None:
        super().__init__(said[:_SHOWN])
        self.said = said
        self.parameter = parameter


class FailedError(UserError):
    """A request failed, and its retries too; another request may not. `status` is the server's, None without one."""

    def __init__(self, said: str, status: int | None = None) -> None:
        super().__init__(said)
        self.status = status


class OpenAIServer(Settings):
    """An OpenAI-compatible server and one of its models.

    `api_key_env` names the environment variable that holds the key (None: the server needs no key);
    `timeout` is in seconds for each request, which is repeated up to `max_retries` times.
    """

    model: Text
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str | None = None
    max_concurrency: Annotated[int, Field(gt=0, le=10_000)] = 16
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 120
    max_retries: Annotated[int, Field(ge=0, le=1_000)] = 6

    @field_validator("base_url")
    @classmethod
    def _is_an_address_alone(cls, base_url: str) -> str:
        # What is refused is not repeated: it may hold a password or a key.
        if re.search(r"[@?#\\\s]|[^ -~]", base_url):
            raise ValueError(
                "leave out user, password, query and fragment, blanks and line breaks; write the address alone, as "
                "http://localhost:8000/v1, and name the key's variable in api_key_env"
            )
        try:
            parts = urlsplit(base_url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # its message repeats what stands in the place of the port
            is_address = False
        if not is_address:
            raise ValueError("this is no address of a server; write it as http://localhost:8000/v1")
        return base_url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_the_name_of_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            # Not repeated: the key itself is what people write here by mistake.
            raise ValueError(
                "this is no name of an environment variable (letters, digits and _); put the key into a variable, "
                "export MY_KEY=..., and write its name here"
            )
        return name

    def connect(self, is_answer: Callable[[Any], bool]) -> "OpenAIClient":
        """A client for this server, which takes a success for one only if `is_answer` of its JSON.

        Raises `UserError` when the openai package or the key is missing.
        """
        return OpenAIClient(self, self._key(), is_answer)

    def check_server(self) -> None:
        """Ask the server which models it has. Raises `UserError` when it does not answer, or has no such model."""
        client = self.model_copy(update={"max_retries": 0}).connect(_is_list)
        try:
            listed = client.run(client.ask(lambda api: api.models.with_raw_response.list()))
        except RefusedError as error:
            raise client.error(f"the server does not list its models: {client.words(str(error))}") from None
        names = [str(model.get("id")) for model in listed["data"] if isinstance(model, dict)]
        if names and self.model not in names:
            close = difflib.get_close_matches(self.model, names, n=1)
            hint = f"did you mean '{shown(close[0])}'?" if close else f"it has {shown(', '.join(names[:5]))}"
            raise client.error(f"the server has no model of this name; {hint}")

    def key_variable(self) -> str:
        """The variable of the key in words: by its name, unless that may be the key itself (gsk_..., AKIA...)."""
        name = self.api_key_env or ""
        is_name = re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name)
        return f"the environment variable {name}" if is_name else "the environment variable that api_key_env names"

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        place = f"model '{self.model}' at {self.base_url}: {self.key_variable()}"
        if not key:
            name = self.api_key_env if self.api_key_env in place else "NAME"
            raise UserError(f"{place} is not set; put the key into it: export {name}=...")
        if not key.isascii() or not key.isprintable() or " " in key:
            # The HTTP library would refuse the header and quote it, key and all.
            raise UserError(f"{place} holds characters that no key has (spaces, line breaks, accents); set it again")
        return key


class OpenAIClient:
    """An `openai.AsyncOpenAI` on an event loop of its own, in a thread of its own.

    So that its connections live through many calls of `run`, that it works in a thread that runs an
    event loop itself (a notebook), and that an interrupt reaches whoever waits. It ends with its owner.

    Attributes
    ----------
    slot : one of `max_concurrency` requests; hold it (`async with client.slot`) while asking.
    """

    def __init__(self, server: OpenAIServer, key: str | None, is_answer: Callable[[Any], bool]) -> None:
        import openai

        self._server = server
        self._secrets = _forms_of(key) if key else ()
        self.slot = asyncio.Semaphore(server.max_concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=server.base_url,
            max_retries=server.max_retries,
            timeout=openai.Timeout(server.timeout, connect=min(server.timeout, _CONNECT_SECONDS)),
            http_client=_http_client(server.timeout, is_answer),
        )
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        thread = threading.Thread(target=asyncio.run, args=(_live(self._client, started),), daemon=True)
        thread.start()
        self._loop, stop = started.result()
        weakref.finalize(self, _end, self._loop, stop, thread)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that calls `ask`; when this thread is interrupted, what is outstanding is cancelled."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def ask(self, call: "Callable[[openai.AsyncOpenAI], Awaitable[Any]]") -> dict[str, Any]:
        """The JSON of the answer to one request, which `call` makes by a `with_raw_response` method.

        Raises `RefusedError` when the server refuses what is in the request (400, 413, 422), `FailedError` when it
        fails and the client's retries are used up, and `UserError` when no request would fare better.
        """
        import openai

        try:
            raw = await call(self._client)
        except openai.APIError as error:
            failure = self._explain(error)
        else:
            return raw.http_response.json()  # type: ignore[no-any-return]
        # Raised out here, so that it drags no exception along whose request holds the key.
        raise failure

    def error(self, problem: str) -> UserError:
        """A `UserError` that names the model and the server."""
        return UserError(f"model '{self._server.model}' at {self._server.base_url}: {problem}")

    def without_secrets(self, text: str, shortest: int = 1) -> str:
        """A text of the server's without the key, which some servers repeat; keys that are shorter stay."""
        for secret in self._secrets:
            if len(secret) >= shortest:
                text = text.replace(secret, "***")
        return text

    def clean_response(self, text: str) -> str:
        """A response without the key. Short keys, such as EMPTY, are no secret, and may be words of the response."""
        return self.without_secrets(text, _SECRET)

    def _explain(self, error: "openai.APIError") -> Exception:
        import openai

        retries = f"after {error.request.headers.get('x-stainless-retry-count', 0)} retries"
        if isinstance(error, openai.APITimeoutError):
            return self._failed(
                f"no answer within {self._server.timeout:g} s {retries}; raise timeout or lower max_concurrency"
            )
        if not isinstance(error, openai.APIStatusError):
            cause = self.words(str(error.__cause__ or error))[:_SHOWN]
            return self._failed(f"the connection failed {retries} ({cause}); is the server up, and base_url right?")
        said, status = self.words(_message(error.body)), error.status_code
        if status in _REFUSALS:
            return RefusedError(said, error.param if isinstance(error.param, str) else None)
        said = said[:_SHOWN] or "it did not say why"
        if status == _NOT_AN_ANSWER:
            return self._failed(
                f"what came back {retries} is not the JSON that was asked for: {said}; does base_url name an "
                "OpenAI-compatible server? (most end in /v1)"
            )
        answered = f"the server answered {status} {_phrase(status)}".strip()
        if 300 <= status < 400:
            return self._failed(
                f"{answered}: it redirects, which is not followed; write the address itself in base_url"
            )
        problem = f"{answered} {retries}: {said}; {self._way_out(status, error.response.headers.get('retry-after'))}"
        return self._failed(problem, status) if status in _OF_A_REQUEST or status >= 500 else self.error(problem)

    def _way_out(self, status: int, wait: str | None) -> str:
        key = self._server.api_key_env
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            if key is None:
                return "set api_key_env to the name of the environment variable that holds the key"
            return f"check the key in {self._server.key_variable()}"
        if wait is not None:
            return f"it asks to be left alone for {self.words(wait)[:40]} seconds: run it again then"
        if status == HTTPStatus.NOT_FOUND:
            return "check model and base_url"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return "lower max_concurrency, or run it again later"
        return "run it again when the server is well"

    def _failed(self, problem: str, status: int | None = None) -> FailedError:
        return FailedError(str(self.error(problem)), status)

    def words(self, text: str) -> str:
        """What a server said, on one line."""
        text = self.without_secrets(text)
        return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _forms_of(key: str) -> tuple[str, ...]:
    """The forms in which a key may come back: as it is, in an address, in JSON, and in base64 wherever it begins."""
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1], key.replace("/", "\\/")}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")
        # Without the letters that its neighbours have a part in.
        core = encoded[(before * 8 + 5) // 6 : -1]
        if len(core) >= _SECRET:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return tuple(sorted(forms, key=len, reverse=True))


def _http_client(seconds: float, is_answer: Callable[[Any], bool]) -> "openai.DefaultAsyncHttpxClient":
    """An HTTP client whose requests end in time, whose answers end in size, and which follows no redirect."""
    import httpx2
    import openai

    class Bounded(openai.DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            # The library's own time-out is one for every read: a server that drips never meets it.
            try:
                async with asyncio.timeout(seconds):
                    response = await super().send(request, **options | {"stream": True, "follow_redirects": False})
                    try:
                        body = await _bounded_body(response)
                    finally:
                        await response.aclose()
            except TimeoutError:
                late = httpx2.ReadTimeout("", request=request)
            else:
                status = response.status_code if body is not None else _NOT_AN_ANSWER
                # Proxies answer 200 with a page in HTML, half a body or an error: for the client to retry these as it
                # does a bad gateway, they have to look like one.
                if response.is_success and (body is None or not _holds(body, is_answer)):
                    status = _NOT_AN_ANSWER
                gone = ("content-encoding", "content-length", "transfer-encoding")
                headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in gone]
                content = f"an answer of more than {_LARGEST_ANSWER >> 20} MiB".encode() if body is None else body
                return httpx2.Response(status, headers=headers, content=content, request=request)
            raise late

    return Bounded()


async def _bounded_body(response: "httpx2.Response") -> bytes | None:
    """The body, unpacked; None when it is too large."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LARGEST_ANSWER:
            return None
    return bytes(body)


def _holds(body: bytes, is_answer: Callable[[Any], bool]) -> bool:
    try:
        return is_answer(json.loads(body))
    except (ValueError, RecursionError):
        return False


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first failure cancels the others, waits for their end and is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _live(
    client: "openai.AsyncOpenAI", started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"
) -> None:
    """What the client's thread runs, until it is told to stop."""
    stop = asyncio.Event()
    async with client:
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        await _cancel(asyncio.all_tasks() - {asyncio.current_task()})


def _end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(stop.set)
    # The garbage collector may call this from any thread, the client's included.
    if threading.current_thread() is not thread:
        thread.join(timeout=5)


def _is_list(answer: Any) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("data"), list)


def _message(body: object) -> str:
    """The message in an error's body, or else all of the body: an object, HTML, nothing."""
    message = body.get("message") if isinstance(body, dict) else body
    if body is None or isinstance(message, str):
        return str(message or "")
    return json.dumps(body, ensure_ascii=False)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in _KNOWN else ""
