"""HAProxy's configuration: how many requests a minute each API key is good for. Pure.

Debian's Caddy has no limit of requests. It asks here before it passes a request on, by the name of
the key: 204 lets it pass, anything else is the client's answer. No request's body comes by.
"""

KEY_HEADER = "X-Rackform-Key"
FOLDER = "/etc/haproxy"


def limits(requests_per_minute: int, port: int) -> str:
    """Return haproxy.cfg; a refused request does not count, so that nobody stays locked out."""
    over = '{"error": {"message": "this API key is good for %d requests a minute: wait, then try'
    over += ' again", "type": "rate_limit_exceeded", "code": 429}}'
    answer = over % requests_per_minute
    return f"""\
global
	maxconn 4096
	log stdout format raw local0 warning
defaults
	mode http
	log global
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout http-request 10s
frontend limits
	bind 127.0.0.1:{port}
	stick-table type string len 64 size 10k expire 2m store gpc0,gpc0_rate(60s)
	http-request track-sc0 req.hdr({KEY_HEADER})
	http-request return status 429 content-type application/json string '{answer}' hdr Retry-After 60 if {{ sc0_gpc0_rate ge {requests_per_minute} }}
	http-request sc-inc-gpc0(0)
	http-request return status 204
"""  # noqa: E501 - one line of HAProxy's
