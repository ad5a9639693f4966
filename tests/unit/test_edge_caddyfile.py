"""What the rendered configuration of the edge holds; tests/lab runs it with the real programs."""

from dataclasses import replace

from edge.caddyfile import Door, Offer, caddyfile
from edge.limits import limits
from edge.parts import Secrets, edge, key_limits
from remote.container_spec import TRUSTED

DOOR = Door(
    address="10.77.0.11",
    port=443,
    host_names=["llm.lan"],
    api="10.78.0.11:8000",
    wait_s=60,
    readiness_port=9108,
)
CHAT = Offer(name="chat", upstream="10.78.0.12:3000", port=8443, host_name="chat.lan")
SECRETS = Secrets(
    keys={"me": "secret-key"},
    operator_hash="secret-hash",
    ray_token="secret-ray",  # noqa: S106 - of no Ray
    certificates={"tls": ("certificate", "secret-tls")},
)


def sites(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("https://")]


def test_one_certificate_serves_the_address_and_the_names() -> None:
    assert sites(caddyfile(DOOR)) == ["https://10.77.0.11:443, https://llm.lan:443 {"]


def test_a_front_end_has_its_port_and_its_name_on_the_edge_s_own() -> None:
    assert sites(caddyfile(replace(DOOR, offers=[CHAT])))[1:] == [
        "https://10.77.0.11:8443, https://llm.lan:8443, https://chat.lan:8443 {",
        "https://chat.lan:443 {",
    ]


def test_a_front_end_that_is_gone_leaves_no_route() -> None:
    gone = caddyfile(DOOR)
    assert "8443" not in gone
    assert "chat.lan" not in gone


def test_the_address_keeps_the_site_s_certificate_where_names_have_another() -> None:
    own = caddyfile(replace(DOOR, tls="own"))
    assert sites(own) == ["https://10.77.0.11:443 {", "https://llm.lan:443 {"]
    assert own.count("tls /etc/caddy/tls.crt") == own.count("tls /etc/caddy/own.crt") == 1


def test_an_authority_is_asked_without_opening_port_80() -> None:
    acme = caddyfile(replace(DOOR, tls="acme", email="ops@example.org"))
    assert "auto_https disable_redirects" in acme
    assert "disable_http_challenge" in acme
    assert "email ops@example.org" in acme


def test_every_site_is_bound_to_one_address() -> None:
    text = caddyfile(replace(DOOR, offers=[CHAT], tls="own"))
    assert text.count("import common") == len(sites(text))
    assert "(common) {\n\timport bound" in text
    assert "(bound) {\n\tbind 10.77.0.11\n}" in text


def test_secrets_are_in_files_of_their_own_that_only_the_edge_reads() -> None:
    parts = edge(DOOR, SECRETS)
    assert "secret" not in parts.files["/etc/caddy/Caddyfile"].content
    assert "secret" not in f"{parts.command} {parts.environment}"
    assert {file.mode for file in parts.files.values()} == {0o400}
    assert parts.files["/etc/caddy/keys"].content == '"Bearer secret-key" me\n'


def test_what_an_authority_gave_is_kept_and_nothing_else() -> None:
    assert edge(DOOR, SECRETS).mounts == []
    kept, trusted = edge(replace(DOOR, tls="acme"), SECRETS).mounts
    assert (kept.source, kept.target) == ("/var/lib/rackform/edge", "/data")
    assert trusted == TRUSTED, "the authority is asked over TLS"


def test_requests_are_counted_on_the_loopback_by_the_name_of_the_key() -> None:
    config = limits(30, 9107)
    assert "bind 127.0.0.1:9107\n" in config
    assert "track-sc0 req.hdr(X-Rackform-Key)" in config
    assert "if { sc0_gpc0_rate ge 30 }" in config
    assert key_limits(30, 9107).files["/etc/haproxy/haproxy.cfg"].content == config
