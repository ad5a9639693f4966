"""An OpenAI API that embeds texts on the CPU: `python3 embed.py settings.json`.

A program of its own in vLLM's image, of which it uses torch and transformers. It makes of a text
what sentence-transformers makes of it: the mean of its tokens' last states, of length 1. One
request is computed at a time; the others wait.
"""

import base64
import json
import struct
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

_BATCH = 32
_LONGEST_BODY = 8 << 20


class Embedder:
    """One model; texts longer than it takes are cut off."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self._longest = _longest(Path(folder), self._model.config.max_position_embeddings)
        self._one_at_a_time = threading.Lock()

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return a vector for each text, and how many tokens were read."""
        vectors: list[list[float]] = []
        tokens = 0
        with self._one_at_a_time, torch.inference_mode():
            for first in range(0, len(texts), _BATCH):
                batch = self._tokenizer(
                    list(texts[first : first + _BATCH]),
                    padding=True, truncation=True, max_length=self._longest, return_tensors="pt",
                )  # fmt: skip
                mask = batch["attention_mask"].unsqueeze(-1)
                states = self._model(**batch).last_hidden_state
                mean = (states * mask).sum(1) / mask.sum(1)
                vectors += torch.nn.functional.normalize(mean, dim=1).tolist()
                tokens += int(mask.sum())
        return vectors, tokens


def _longest(folder: Path, model_s: int) -> int:
    """Return how many tokens a text may have: what sentence-transformers was told, or the model."""
    told = folder / "sentence_bert_config.json"
    return int(json.loads(told.read_text())["max_seq_length"]) if told.exists() else model_s


class WrongRequestError(Exception):
    """What a client sent is no request for embeddings; its text says why."""


def texts_of(asked: Any) -> list[str]:
    texts = asked.get("input") if isinstance(asked, dict) else None
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise WrongRequestError("input must be a text, or a list of texts that is not empty")
    return texts


def answer(embedder: Embedder, model: str, asked: Any) -> dict[str, Any]:
    vectors, tokens = embedder.embed(texts_of(asked))
    packed = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(v) if packed else v}
        for index, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def handler(embedder: Embedder, model: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = {"/v1/models": {"object": "list", "data": [{"id": model, "object": "model"}]}}
            found = known.get(self.path)
            self._send(200 if found else 404, found or _error("there is no such page"))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/v1/embeddings" or not 0 < length <= _LONGEST_BODY:
                self.close_connection = True
                self._send(400, _error(f"POST up to {_LONGEST_BODY} bytes to /v1/embeddings"))
                return
            try:
                self._send(200, answer(embedder, model, json.loads(self.rfile.read(length))))
            except (WrongRequestError, ValueError) as error:
                self._send(400, _error(str(error)))

        def _send(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Keep quiet: texts are people's own."""

    return Handler


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


def main() -> None:
    settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    embedder = Embedder(settings["folder"], settings["threads"])
    embedder.embed(["the first one takes longest"])
    where = (settings["address"], settings["port"])
    ThreadingHTTPServer(where, handler(embedder, settings["model"])).serve_forever()


if __name__ == "__main__":
    main()
