"""What an OpenAI-compatible server can do, and what becomes of the other prompts.

    python benchmarks/reliability/server_faults.py

A real server on this machine answers 40 prompts with 4 samples each, but one prompt (or all of them, in the last rows)
by a fault. Each kind is tried twice: the second time only what was not kept is asked for. The table shows the prompts
that were kept with their answers, those kept with an error of their own, the requests of both times, and what ended the
first one where something did.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from erp_resources.language_models.interface import Sampling
from erp_resources.language_models.openai import OpenAILanguageModel, OpenAILLM
from erp_resources.settings import UserError

PROMPTS = [f"prompt {i}" for i in range(40)]
BAD = PROMPTS[17]
SAMPLING = Sampling(n=4)
GOOD = {"message": {"content": "an answer"}, "finish_reason": "stop"}

Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the fault that is being tried, or well."""

    protocol_version = "HTTP/1.1"
    fault: Fault
    everywhere = False
    requests = 0

    def do_POST(self) -> None:
        """Answer a request for a completion."""
        type(self).requests += 1
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.samples = body.get("n", 1)
        self.body = body
        try:
            if self.everywhere or body["messages"][0]["content"] == BAD:
                type(self).fault(self)
            else:
                self.give({"choices": [GOOD] * self.samples, "model": "m", "usage": {"completion_tokens": 8}})
        except OSError:
            pass  # the client left

    def give(self, answer: Any, status: int = 200, **headers: str) -> None:
        """Send JSON, or bytes as they are."""
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the table is all that is printed."""


class Server(ThreadingHTTPServer):
    """The server; that clients leave it in the middle is part of the trial."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of it."""


def refuse(status: int, said: str, **headers: str) -> Fault:
    """An error in OpenAI's form."""
    return lambda server: server.give({"error": {"message": said}}, status, **headers)


def choices(*given: Any, **more: Any) -> Fault:
    """A completion of these choices."""
    return lambda server: server.give({"choices": list(given) or None, **more})


def refuse_several(server: Handler) -> None:
    """Give one sample alone, and say so in words of its own."""
    if server.samples > 1:
        refuse(400, "Only one completion choice is allowed")(server)
    else:
        server.give({"choices": [GOOD]})


def drip(server: Handler) -> None:
    """Send a byte now and then, for ever."""
    server.send_response(200)
    server.send_header("content-length", "100000")
    server.end_headers()
    for _ in range(100):
        server.wfile.write(b" ")
        time.sleep(0.2)


def hang_up(server: Handler) -> None:
    """End the connection in the middle."""
    server.send_response(200)
    server.send_header("content-length", "1000")
    server.end_headers()
    server.wfile.write(b'{"choices": [')
    server.close_connection = True


FAULTS: dict[str, Fault] = {
    "500 always": refuse(500, "CUDA error"),
    "503 with HTML": lambda server: server.give(b"<html>busy</html>", 503),
    "400 content filter": refuse(400, "filtered"),
    "403 moderation": refuse(403, "flagged"),
    "choices: null": choices(),
    "choices: []": lambda server: server.give({"choices": []}),
    "200 with HTML": lambda server: server.give(b"<html>welcome</html>"),
    "half a JSON": lambda server: server.give(b'{"choices": [{"mess'),
    "a redirect": lambda server: server.give(b"", 307, location="http://127.0.0.1:9/"),
    "drips": drip,
    "hangs up": hang_up,
    "parts": choices(*[{"message": {"content": [{"type": "text", "text": "3"}]}}] * 4),
    "a tool call": choices(*[{"message": {"content": None, "tool_calls": [{"id": "1"}]}}] * 4),
    "a refusal": choices(*[{"message": {"content": None, "refusal": "no"}}] * 4),
    "one of 4 withheld": choices(GOOD, GOOD, GOOD, {"message": {"content": None}, "finish_reason": "content_filter"}),
    "one of 4 broken": choices(GOOD, None, GOOD, GOOD),
    "usage of strings": choices(*[GOOD] * 4, usage={"completion_tokens": "8", "prompt_tokens": -2}),
    "usage of 2^40": choices(*[GOOD] * 4, usage={"completion_tokens": 2**40}),
}
ALWAYS: dict[str, Fault] = {
    "n refused": refuse_several,
    "401, all prompts": refuse(401, "wrong key"),
    "500, all prompts": refuse(500, "out of order"),
    "429, all prompts": refuse(429, "quota", retry_after="3600"),
}


def model(port: int) -> OpenAILanguageModel:
    """An LLM behind the server, of little patience."""
    settings = {"model": "m", "base_url": f"http://127.0.0.1:{port}/v1", "max_retries": 1, "timeout": 1, "cost": 1}
    loaded = OpenAILLM.model_validate({"backend": "openai", **settings}).load(Path())
    assert isinstance(loaded, OpenAILanguageModel)
    return loaded


def attempt(port: int, kept: dict[int, Sequence[Sequence[Any]]]) -> tuple[int, str]:
    """Sample what is not kept; how many requests it took, and what ended it."""
    Handler.requests = 0
    said = ""
    try:
        model(port).sample_and_keep(PROMPTS, SAMPLING, 0, dict(kept), kept.__setitem__)
    except UserError as error:
        said = str(error).partition("/v1: ")[2]
    return Handler.requests, said


def main() -> None:
    """Print the table."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{'kind':20} {'answered':>8} {'errors':>6} {'requests':>8} {'again':>5}  said")
    for everywhere, faults in ((False, FAULTS), (True, ALWAYS)):
        for kind, fault in faults.items():
            Handler.fault, Handler.everywhere = fault, everywhere
            kept: dict[int, Sequence[Sequence[Any]]] = {}
            first, said = attempt(server.server_port, kept)
            again, _ = attempt(server.server_port, kept)
            answered = sum(any(row[4] is None for row in rows) for rows in kept.values())
            errors = sorted({str(row[4]) for rows in kept.values() for row in rows if row[4] is not None})
            told = (said or (errors[0].rpartition("/v1: ")[2] if errors else ""))[:60]
            print(f"{kind:20} {answered:8} {len(kept) - answered:6} {first:8} {again:5}  {told}", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main()
