"""An OpenAI-compatible server on the loopback interface that answers by rule and fails on demand.

It echoes: sample i of a request with seed s answers "<prompt> #<s + i>", so that every response says
where it came from. A rule is a function of a request's body that may change the body (then the server
does as if it had been asked that), and returns what to answer instead, or None for the usual answer.
"""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Rule = Callable[[dict[str, Any]], Response | None]


@dataclass(frozen=True)
class Recorded:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    at: float


class FaultServer:
    """`rules` are asked in order, and the first response of one is the answer; `delay` of a body is in seconds."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.delay: Callable[[dict[str, Any]], float] = lambda body: 0.0
        self.requests: list[Recorded] = []
        self._under_way: list[int] = []
        self._unseeded = itertools.count(10**10)
        routes = [
            Route("/v1/chat/completions", self._serve(self._complete), methods=["POST"]),
            Route("/v1/embeddings", self._serve(self._embed), methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)

    def stop(self) -> None:
        """Die: connections are cut, and no more are accepted."""
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()

    def reset(self) -> None:
        self.rules, self.delay = [], lambda body: 0.0
        # New ones: what the requests of an earlier test still write is not this test's.
        self.requests, self._under_way = [], []

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.requests]

    @property
    def most_at_once(self) -> int:
        """How many requests were under way together at most."""
        return max(itertools.accumulate(self._under_way))

    def _serve(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.json()
            port = request.client.port if request.client else 0
            sent = json.loads(json.dumps(body))
            self.requests.append(Recorded(request.url.path, dict(request.headers), sent, port, time.monotonic()))
            under_way = self._under_way
            under_way.append(+1)
            try:
                await asyncio.sleep(self.delay(body))
                responses = (response for rule in self.rules if (response := rule(body)) is not None)
                return next(responses, None) or JSONResponse(answer(body))
            finally:
                under_way.append(-1)

        return endpoint

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, n = body["messages"][0]["content"], body.get("n", 1)
        choices = []
        for i in range(n):
            source = body["seed"] + i if "seed" in body else next(self._unseeded)
            message = {"role": "assistant", "content": f"{prompt} #{source}"}
            choices.append({"index": i, "message": message, "finish_reason": "stop"})
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 2 * n + 1, "total_tokens": len(prompt) + 2 * n + 1}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}

    def _embed(self, body: dict[str, Any]) -> dict[str, Any]:
        size = body.get("dimensions", 4)
        data = [
            {"object": "embedding", "index": i, "embedding": [1.0 + len(text), *map(float, range(1, size))]}
            for i, text in enumerate(body["input"])
        ]
        # The API promises an index to each, not their order.
        return {"object": "list", "data": data[::-1], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    server = FaultServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def error(status: int, message: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    """An error in OpenAI's form."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": None} | extra}
    return JSONResponse(body, status_code=status, headers=headers)


def html(status: int = 200) -> Response:
    return HTMLResponse("<html><body><h1>Welcome</h1>\n<p>to the proxy</p></body></html>", status_code=status)


def truncated() -> Response:
    return Response('{"id": "1", "choices": [{"message": {"content": "half a', media_type="application/json")


def cut_off() -> Response:
    """A connection that breaks in the middle of the body."""

    async def half() -> AsyncIterator[bytes]:
        yield b'{"id": "1", "choices'

    return StreamingResponse(half(), headers={"content-length": "1000"}, media_type="application/json")


def first(count: int, make: Callable[[], Response]) -> Rule:
    """Fail the first requests, and serve the rest."""
    left = itertools.count(count, -1)
    return lambda body: make() if next(left) > 0 else None


def always(make: Callable[[], Response]) -> Rule:
    return lambda body: make()


def for_prompt(prompt: str, make: Callable[[], Response]) -> Rule:
    return lambda body: make() if body["messages"][0]["content"] == prompt else None


def refuse(parameter: str, message: str, status: int = 400, **extra: Any) -> Rule:
    """Refuse every request that has a parameter."""
    return lambda body: error(status, message, **extra) if parameter in body else None


def without(parameter: str) -> Rule:
    """Ignore a parameter."""

    def rule(body: dict[str, Any]) -> None:
        body.pop(parameter, None)

    return rule


def finishing(reason: str | None, content: str | None = "text", prompt: str | None = None) -> Rule:
    """One choice that ends by this reason, for every prompt or for one."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}
    body_out = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
    # In ASCII, so that the content can hold what is no Unicode.
    response = Response(json.dumps(body_out), media_type="application/json")
    return lambda body: response if prompt in (None, body["messages"][0]["content"]) else None


def completion(choices: list[dict[str, Any]], model: Any = "m", usage: Any = None) -> Response:
    """A completion of these choices, in ASCII, so that it can hold what is no Unicode."""
    return Response(json.dumps({"choices": choices, "model": model, "usage": usage}), media_type="application/json")


@contextmanager
def dripping_server(part: str) -> Iterator[str]:
    """A server that sends its headers, or its body, a byte at a time and never ends; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    start = start if part == "headers" else start + b"Content-Length: 100000\r\n\r\n"
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(start)
            while not ended.wait(0.1):
                connection.sendall(b"X-" if part == "headers" else b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        ended.set()
        listening.close()
