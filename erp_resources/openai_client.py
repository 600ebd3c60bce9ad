"""One OpenAI-compatible server: its settings, its client, and its failures in words.

What belongs here: what sampling and embedding share, that is the address and the key, bounded
concurrency, retries (the `openai` client's own: exponential backoff with jitter on 408, 409, 429, 5xx,
timeouts and broken connections, honouring a Retry-After of a minute or two at most) and who
is to blame for a failure: the request (`RefusedError`) or the server (`UserError`). What to keep out:
what is asked, and what an answer means.
"""

import asyncio
import difflib
import json
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from erp_resources.settings import Settings, Text, UserError

if TYPE_CHECKING:
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


class RefusedError(Exception):
    """The server refused a request for what is in it; the message says why, in the server's words."""

    def __init__(self, said: str, parameter: str | None = None) -> None:
        super().__init__(said[:_SHOWN])
        self.said = said
        self.parameter = parameter


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
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"'{base_url}' is no address of a server; write it as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            # Not repeated: it may hold a key.
            raise ValueError("leave out user, password and query; name the key's variable in api_key_env")
        return base_url.rstrip("/")

    def connect(self, is_answer: Callable[[Any], bool]) -> "OpenAIClient":
        """A client for this server, which takes a success for one only if `is_answer` of its JSON.

        Raises `UserError` when the openai package or the key is missing.
        """
        return OpenAIClient(self, self._key(), is_answer)

    def check_server(self) -> None:
        """Ask the server which models it has. Raises `UserError` when it does not answer, or has no such model."""
        client = self.model_copy(update={"max_retries": 0}).connect(lambda answer: "data" in answer)
        try:
            listed = client.run(client.ask(lambda api: api.models.with_raw_response.list()))
        except RefusedError as error:
            raise client.error(f"the server does not list its models: {error}") from error
        names = [str(model.get("id")) for model in listed["data"] if isinstance(model, dict)]
        if names and self.model not in names:
            close = difflib.get_close_matches(self.model, names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(names[:5])}"
            raise client.error(f"the server has no model of this name; {hint}")

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        place = f"model '{self.model}' at {self.base_url}: the environment variable {self.api_key_env}"
        if not key:
            raise UserError(f"{place} is not set; put the key into it: export {self.api_key_env}=...")
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
        try:
            import openai
        except ModuleNotFoundError as error:
            raise UserError(
                f"model '{server.model}': the openai client is not installed; "
                "install it with: pip install 'expected-reward-routing[openai]'"
            ) from error

        async def check(response: Any) -> None:
            # Proxies answer 200 with a page in HTML, half a body or an error: for the client to retry
            # these as it does a bad gateway, they have to look like one.
            if response.is_success:
                await response.aread()
                try:
                    usable = is_answer(response.json())
                except (ValueError, RecursionError):
                    usable = False
                if not usable:
                    response.status_code = _NOT_AN_ANSWER

        self._server = server
        self._key = key
        self.slot = asyncio.Semaphore(server.max_concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=server.base_url,
            max_retries=server.max_retries,
            timeout=openai.Timeout(server.timeout, connect=min(server.timeout, _CONNECT_SECONDS)),
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [check]}),
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

        Raises `RefusedError` when the server refuses what is in the request (400, 413, 422), and `UserError`
        when it fails otherwise and the client's retries are used up.
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

    def _explain(self, error: "openai.APIError") -> Exception:
        import openai

        retries = f"after {error.request.headers.get('x-stainless-retry-count', 0)} retries"
        if isinstance(error, openai.APITimeoutError):
            return self.error(
                f"no answer within {self._server.timeout:g} s {retries}; raise timeout or lower max_concurrency"
            )
        if not isinstance(error, openai.APIStatusError):
            cause = self._words(str(error.__cause__ or error))[:_SHOWN]
            return self.error(f"the connection failed {retries} ({cause}); is the server up, and base_url right?")
        said, status = self._words(_message(error.body)), error.status_code
        if status in _REFUSALS:
            return RefusedError(said, error.param)
        said = said[:_SHOWN] or "it did not say why"
        if status == _NOT_AN_ANSWER:
            return self.error(
                f"what came back {retries} is not the JSON that was asked for: {said}; does base_url name an "
                "OpenAI-compatible server? (most end in /v1)"
            )
        key = self._server.api_key_env
        if status not in (401, 403):
            way_out = {404: "check model and base_url", 429: "lower max_concurrency, or run it again later"}.get(
                status, "run it again when the server is well"
            )
        elif key is None:
            way_out = "set api_key_env to the name of the environment variable that holds the key"
        else:
            way_out = f"check the key in the environment variable {key}"
        answered = f"{status} {_phrase(status)}".strip()
        return self.error(f"the server answered {answered} {retries}: {said}; {way_out}")

    def _words(self, text: str) -> str:
        """What a server said, on one line and without the key, which some servers repeat."""
        if self._key is not None:
            text = text.replace(self._key, "***")
        return " ".join("".join(character if character.isprintable() else " " for character in text).split())


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


def _message(body: object) -> str:
    """The message in an error's body, or else all of the body: an object, HTML, nothing."""
    message = body.get("message") if isinstance(body, dict) else body
    if body is None or isinstance(message, str):
        return str(message or "")
    return json.dumps(body, ensure_ascii=False)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
