"""One prompt through the edge, its answer as it comes."""

import json
import ssl
from collections.abc import Iterator

import httpx

from cli.access import Access
from remote.errors import RackformError

_CONNECT_S, _READ_S = 10.0, 180.0


def stream(
    access: Access, prompt: str, max_tokens: int = 256, timeout_s: float = _READ_S
) -> Iterator[str]:
    """Yield the answer's pieces as the model makes them; each within `timeout_s`.

    Raises:
        RackformError: the edge can't be reached, refuses, or the stream breaks off.

    """
    request = {
        "model": access.outputs.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
    }
    url = f"{access.outputs.endpoint}/chat/completions"
    trust = ssl.create_default_context(cafile=str(access.ca_file))
    timeout = httpx.Timeout(_CONNECT_S, read=timeout_s)
    headers = {"Authorization": f"Bearer {access.api_key}"}
    try:
        with (
            httpx.Client(verify=trust, timeout=timeout, trust_env=False) as client,
            client.stream("POST", url, json=request, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                reason = answer.read().decode(errors="replace")[:300]
                raise RackformError(
                    f"{url} answered {answer.status_code}: {reason or 'no reason given'};"
                    f" see ./rackform status"
                )
            yield from _pieces(answer.iter_lines())
    except httpx.HTTPError as error:
        raise RackformError(f"{url}: {error}; see ./rackform status") from error


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        event = line.removeprefix("data: ")
        if event in (line, "[DONE]"):
            continue
        for choice in json.loads(event)["choices"]:
            if text := choice["delta"].get("content"):
                yield text
