"""Caddy's configuration for the one door to the appliance. Pure.

It holds no secret: those are in files of their own, which it imports, so that a preview tells by
the file's name whether keys change or what is offered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from edge.limits import KEY_HEADER

FOLDER = "/etc/caddy"
KEYS, OPERATOR, RAY = f"{FOLDER}/keys", f"{FOLDER}/operator", f"{FOLDER}/ray"
"""What is imported: lines of a `map`, of `basicauth`, and of a `reverse_proxy`."""
NOBODY = "-"
"""What stands for the name of a key where there is none; no name begins so."""

READY = "/v1/models"
"""What Serve answers with 200 exactly while its LLM application has a route and a replica of its
ingress; a head that has just come back answers 404, one that is starting refuses.
"""
CHECK_TIMEOUT_S = 5


@dataclass(frozen=True)
class _Limit:
    """How large a request's body may be.

    Caddy cuts a larger one off and calls that the upstream's fault; so one that tells its length is
    refused before.
    """

    size: str
    too_long: str


_API_LIMIT = _Limit("100MB", r"^\d{9,}$")
_FRONT_LIMIT = _Limit("1GB", r"^\d{10,}$")
"""Front-ends take documents."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Something besides the API: an upstream behind a port, and a path or a host name."""

    name: str
    upstream: str
    port: int
    host_name: str | None = None
    path: str = "/"
    password: bool = False
    is_ray: bool = False
    """Ray's dashboard: without its path, with Ray's token, and only to look at."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """All that the edge offers, and how."""

    address: str
    port: int
    host_names: Sequence[str]
    api: str
    """host:port of Ray Serve."""
    wait_s: int
    readiness_port: int
    """On the loopback, of this Caddy itself."""
    limits_port: int | None = None
    """On the loopback, where requests are counted; None: they aren't."""
    tls: Literal["internal", "acme", "own"] = "internal"
    email: str | None = None
    offers: Sequence[Offer] = ()


def caddyfile(door: Door) -> str:
    """Return the Caddyfile: the API by its keys, every offer on its port, 404 for the rest.

    `default_sni` names the certificate for clients that reach the edge by its address, since TLS
    has no server name then.
    """
    here = [offer for offer in door.offers if offer.port == door.port]
    others = sorted((o for o in door.offers if o.port != door.port), key=lambda each: each.port)
    blocks = [_global(door), _COMMON, _readiness(door), _api(door, here)]
    blocks += _sites(door, door.port, door.host_names, "api")
    for port, group in groupby(others, key=lambda each: each.port):
        offers = list(group)
        blocks.append(_snippet(f"port_{port}", _bodies(offers)))
        names = [*door.host_names, *(o.host_name for o in offers if o.host_name)]
        blocks += _sites(door, port, names, f"port_{port}")
    for offer in others:
        if offer.host_name:
            snippet = f"named_{offer.name}"
            blocks.append(_snippet(snippet, _bodies([offer])))
            blocks += _sites(door, door.port, [offer.host_name], snippet, by_address=False)
    return "\n\n".join(blocks) + "\n"


def _global(door: Door) -> str:
    automation = "disable_redirects" if door.tls == "acme" else "off"
    return f"""\
{{
	admin off
	auto_https {automation}
	default_sni {door.address}
	servers {{
		protocols h1 h2
		timeouts {{
			read_header 10s
		}}
	}}
}}
(bound) {{
	bind {door.address}
}}"""


_COMMON = """\
(common) {
	import bound
	header {
		-Server
		?X-Content-Type-Options nosniff
		?X-Frame-Options SAMEORIGIN
		?Referrer-Policy same-origin
	}
}"""


def _readiness(door: Door) -> str:
    """Return the site that tells on the loopback whether Serve is ready.

    Debian's Caddy holds a request back until an upstream is healthy only if it is a GET, and asks
    again only where a connection breaks: a POST fails at once, and a status is passed on. So each
    request is preceded by a GET to this site, which waits in its place: it is answered when Serve
    is ready at that moment, and breaks off where it isn't.
    """
    return f"""\
http://127.0.0.1:{door.readiness_port} {{
	bind 127.0.0.1
	rewrite * {READY}
	reverse_proxy {door.api} {{
		transport http {{
			response_header_timeout {CHECK_TIMEOUT_S}s
		}}
		@ready status 200
		handle_response @ready {{
			respond 204
		}}
		handle_response {{
			abort
		}}
	}}
	handle_errors {{
		abort
	}}
}}"""


def _sites(
    door: Door, port: int, names: Sequence[str], snippet: str, *, by_address: bool = True
) -> Iterator[str]:
    """Yield the sites of one port: one for each certificate that is shown there."""
    kinds = [("internal", [door.address] if by_address else []), (door.tls, list(names))]
    for tls, group in groupby(kinds, key=lambda kind: kind[0]):
        if hosts := [host for _, some in group for host in some]:
            addresses = ", ".join(f"https://{host}:{port}" for host in hosts)
            lines = ["import common", *_tls(tls, door.email), f"import {snippet}"]
            yield _block(addresses, lines)


def _tls(kind: str, email: str | None) -> list[str]:
    if kind == "acme":
        # The authority asks back on port 443, which is open; port 80 is not.
        issuer = _block("issuer acme", [f"email {email}", "disable_http_challenge"])
        return [_block("tls", [issuer]), "header ?Strict-Transport-Security max-age=31536000"]
    if kind == "own":
        hsts = "header ?Strict-Transport-Security max-age=31536000"
        return [f"tls {FOLDER}/own.crt {FOLDER}/own.key", hsts]
    return [f"tls {FOLDER}/tls.crt {FOLDER}/tls.key"]


def _api(door: Door, offers: Sequence[Offer]) -> str:
    limits = f"""
			forward_auth 127.0.0.1:{door.limits_port} {{
				uri /
				header_up -Authorization
				header_up {KEY_HEADER} {{http.auth.user.id}}
				lb_try_duration 5s
			}}"""
    return f"""\
(api) {{
	log {{
		output stdout
		format filter {{
			wrap json
			fields {{
				request>headers delete
				resp_headers delete
			}}
		}}
	}}
	map {{http.request.header.Authorization}} {{http.auth.user.id}} {{
		import {KEYS}
		default {NOBODY}
	}}
	handle /v1/* {{
		@stranger vars {{http.auth.user.id}} {NOBODY}
		handle @stranger {{
			header WWW-Authenticate Bearer
			header Content-Type application/json
			respond `{_error("a valid API key is required", "invalid_api_key", 401)}` 401
		}}
		@large header_regexp Content-Length {_API_LIMIT.too_long}
		handle @large {{
			header Content-Type application/json
			respond `{_error("the request is too large", "invalid_request_error", 413)}` 413
		}}
		handle {{
			request_body {{
				max_size {_API_LIMIT.size}
			}}{limits if door.limits_port else ""}
			forward_auth 127.0.0.1:{door.readiness_port} {{
				uri /
				header_up -Authorization
				lb_try_duration {door.wait_s}s
				lb_try_interval 250ms
				health_uri /
				health_interval 1s
				health_timeout {CHECK_TIMEOUT_S}s
				health_status 204
			}}
			reverse_proxy {door.api} {{
				flush_interval -1
				lb_try_duration {door.wait_s}s
				lb_try_interval 250ms
				transport http {{
					keepalive off
				}}
				header_up -Authorization
				header_up -{KEY_HEADER}
				@routeless {{
					status 404
					header Content-Type text/plain*
				}}
				handle_response @routeless {{
					error 503
				}}
			}}
		}}
	}}
{_indented(_bodies(offers))}
	handle_errors {{
		header Content-Type application/json
		@absent expression `{{http.error.status_code}} in [502, 503, 504]`
		handle @absent {{
			header Retry-After 10
			respond `{_error("the model does not answer yet: try again", "unavailable", 503)}` 503
		}}
		handle {{
			respond `{_REFUSED}` {{http.error.status_code}}
		}}
	}}
}}"""


_REFUSED = '{"error": {"message": "refused, as the status tells", "type": "invalid_request_error"}}'


def _error(message: str, kind: str, code: int) -> str:
    """Return an error as OpenAI's clients read it."""
    return f'{{"error": {{"message": "{message}", "type": "{kind}", "code": {code}}}}}'


def _bodies(offers: Sequence[Offer]) -> list[str]:
    """Return the handlers of what one port or name offers, with a list of it where there is none
    at its root.
    """
    lines = [line for offer in offers for line in _body(offer)]
    if any(offer.path == "/" for offer in offers):
        return [*lines, *_FRONT_ERRORS]
    listed = [offer for offer in offers if offer.password]
    if listed:
        links = "".join(f'<p><a href="{o.path}/">{o.name}</a>' for o in listed)
        index = ["header Content-Type text/html", f"respond `<!doctype html>{links}` 200"]
        lines.append(_block("handle /", [_basic(), *index]))
        lines += _FRONT_ERRORS
    return [*lines, _block("handle", ["respond 404"])]


_FRONT_ERRORS = (
    """\
handle_errors {
	respond "{http.error.status_code} {http.error.status_text}" {http.error.status_code}
}""",
)


def _body(offer: Offer) -> Iterator[str]:
    asked = [_basic()] if offer.password else []
    # Not passed on: the operator's password is the edge's, and no service's.
    upward = ["header_up -Authorization"] if offer.password else []
    if offer.is_ray:
        yield f"redir {offer.path} {offer.path}/"
        changes = _block("handle @change", ["respond `this door is for looking only` 405"])
        proxy = _proxy(offer, [f"import {RAY}"])
        lines = [*asked, "@change not method GET HEAD", changes, _block("handle", [proxy])]
        yield _block(f"handle_path {offer.path}/*", lines)
    elif offer.path == "/":
        yield f"@large header_regexp Content-Length {_FRONT_LIMIT.too_long}"
        yield _block("handle @large", [*asked, "respond 413"])
        body = _block("request_body", [f"max_size {_FRONT_LIMIT.size}"])
        yield _block("handle", [*asked, body, _proxy(offer, upward)])
    else:
        yield f"@{offer.name} path {offer.path} {offer.path}/*"
        yield _block(f"handle @{offer.name}", [*asked, _proxy(offer, upward)])


def _basic() -> str:
    return _block("basicauth", [f"import {OPERATOR}"])


def _proxy(offer: Offer, lines: Sequence[str]) -> str:
    return _block(f"reverse_proxy {offer.upstream}", ["flush_interval -1", *lines])


def _snippet(name: str, lines: Sequence[str]) -> str:
    return _block(f"({name})", lines)


def _block(head: str, lines: Sequence[str]) -> str:
    return f"{head} {{\n{_indented(lines)}\n}}"


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"\t{line}" for text in lines for line in text.splitlines())
