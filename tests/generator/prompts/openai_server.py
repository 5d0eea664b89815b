"""A server that speaks the OpenAI protocol on loopback, looks at the pictures, and fails as it is told to."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from generator.records import ELEMENTS

KEY = "a key that must stay in its file"
#: A client that is to meet a slow server waits less than this.
SLOW_S = 2.5


def words(element: str, grey: int) -> str:
    """What the server sees of an element in a picture of such a grey: all have the same corner in red."""
    return "a red corner" if element == "clothing" else f"{element} in grey {grey}"


class Script:
    """What goes wrong, and a record of what was asked.

    Attributes:
        first: faults by form; each request of that form takes the next one until none is left.
        always: faults by subject, such as `description 40`, for every request.
        asked: how often each subject was asked for.
        answered: how often it got a proper answer.
        bodies: of all requests.
        keys: that they came with.
        pause_s: before every answer.
        meeting: where the requests for descriptions wait for each other.
        most_open: requests at a time.
    """

    def __init__(self) -> None:
        self.first: dict[str, list[str]] = defaultdict(list)
        self.always: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.pause_s = 0.0
        self.meeting: threading.Barrier | None = None
        self.open = self.most_open = 0
        self._lock = threading.Lock()

    def next_fault(self, form: str, subject: str) -> str | None:
        with self._lock:
            self.asked[subject] += 1
            if subject in self.always:
                return self.always[subject]
            if self.first[form]:
                return self.first[form].pop(0)
            self.answered[subject] += 1
            return None

    @contextmanager
    def count(self, form: str) -> Iterator[None]:
        with self._lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            if self.meeting and form == "description":
                self.meeting.wait(timeout=20)
            time.sleep(self.pause_s)
            yield
        finally:
            with self._lock:
                self.open -= 1


@contextmanager
def openai_server() -> Iterator[tuple[str, Script]]:
    """Its base_url, and its script."""
    script = Script()
    handler = type("Bound", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.script.bodies.append(body)
        self.script.keys.add(self.headers["Authorization"])
        form = body["response_format"]["json_schema"]["name"]
        with self.script.count(form):
            subject, answer = _answer(form, body["messages"][0]["content"])
            self._send_fault(self.script.next_fault(form, subject), answer)

    def _send_fault(self, fault: str | None, answer: dict[str, Any]) -> None:
        first, second = (list(answer) * 2)[:2]
        whole = json.dumps(answer)
        if fault is None:
            self._send(200, _completion(whole))
        elif fault.startswith("http_"):
            status, _, wait = fault.removeprefix("http_").partition("+")
            headers = {"Retry-After": wait} if wait else {}
            self._send(int(status), json.dumps({"error": {"message": "no\ntoday", "code": None}}), headers)
        elif fault == "malformed":
            self._send(200, _completion(whole)[:-20])
        elif fault == "page":
            self._send(200, "<html>the proxy is tired</html>", {"Content-Type": "text/html"})
        elif fault == "latin":
            self._send(200, _completion(whole).replace("assistant", "\udcff"))
        elif fault == "half":
            self._send(200, _completion(json.dumps({**answer, first: "\ud800 waves"})))
        elif fault == "no_choice":
            self._send(200, json.dumps({"choices": []}))
        elif fault == "empty":
            self._send(200, _completion(None))
        elif fault == "prose":
            self._send(200, _completion("Sure! The person wears a hat."))
        elif fault == "omitted":
            self._send(200, _completion(json.dumps({k: v for k, v in answer.items() if k != first})))
        elif fault == "invented":
            self._send(200, _completion(json.dumps({**answer, "jewellery": answer[first]})))
        elif fault == "repeated":
            said = "The person waits."
            same = {**answer[first], "prompt": said, "standard_prompt": f"A scene. {said}"}
            self._send(200, _completion(json.dumps(dict.fromkeys(answer, same))))
        elif fault == "wrong_value":
            self._send(200, _completion(json.dumps({**answer, second: [7]})))
        elif fault == "cut":
            self._send(200, _completion(whole), cut=40)
        elif fault == "drip":
            self._send(200, _completion(whole), pause_s=0.02)
        elif fault == "slow":
            time.sleep(SLOW_S)
            self._send(200, _completion(whole))
        else:
            raise ValueError(f"no fault {fault!r}")

    def _send(
        self,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
        cut: int = 0,
        pause_s: float = 0,
    ) -> None:
        data = text.encode(errors="surrogateescape")
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        step = 1 if pause_s else len(data)
        try:
            for start in range(0, len(data) - cut, step):
                self.wfile.write(data[start : min(start + step, len(data) - cut)])
                time.sleep(pause_s)
        except OSError:
            self.close_connection = True  # whoever asked has gone
        if cut:
            self.close_connection = True


def _completion(text: str | None) -> str:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


def _answer(form: str, parts: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """What the question is about, and the right answer."""
    greys = [_grey(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    if form == "description":
        return f"description {greys[0]}", {element: words(element, greys[0]) for element in ELEMENTS}
    if form == "changes":
        before, after = greys[0], greys[-1]
        changes: dict[str, Any] = {
            element: {"target": words(element, after), "statement": f"Show {words(element, after)}"}
            for element in ELEMENTS
        }
        return f"changes {before} {after}", changes | {"clothing": None}
    if form == "rubric":
        # The darker a video, the worse it is.
        said = {"reason": f"grey {greys[-1]}", "score": greys[-1] // 40}
        return f"rubric {greys[-1]}", dict.fromkeys(("app", "mot", "bg"), said)
    facts = next(value for part in parts if (value := _facts(part)))
    if form == "benchmark_prompts":
        return f"benchmark_prompts {facts['seed']}", _prompts(facts, parts[-1]["text"].split("schema: ")[1])
    subject = "comparison " + " ".join(text.rsplit(" ", 1)[1] for text in facts["background"].values())
    return subject, {element: 0.9 if element == "hairstyle" else 0.1 for element in facts}


def _prompts(facts: dict[str, Any], schema: str) -> dict[str, Any]:
    """As many as are asked for, none of them written before."""
    wanted = json.loads(schema.partition("\n")[0])
    answer = {}
    for number, name in enumerate(wanted["required"], start=len(facts["earlier prompts"])):
        text = f"The person is in place {number}."
        free = wanted["properties"][name]["properties"]["changed"]["items"]["enum"]
        answer[name] = {"prompt": text, "standard_prompt": f"A scene. {text}", "changed": free[-2:]}
    return answer


def _facts(part: dict[str, Any]) -> dict[str, Any] | None:
    try:
        value = json.loads(part.get("text", ""))
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _grey(url: str) -> int:
    """Of the bottom right quarter, to the nearest ten."""
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    height, width = pixels.shape[:2]
    return round(float(pixels[height // 2 :, width // 2 :].mean()) / 10) * 10
