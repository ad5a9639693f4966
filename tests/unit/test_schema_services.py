"""Rules across the settings of services: ports, names, certificates, keys and alerts."""

import pytest

from stack.load import load_site
from tests.unit.site_examples import errors_of, example, only_error

WEBUI = {"frontends.open_webui.node": "head"}
MONITORING = {"monitoring.node": "head"}


def test_two_services_on_one_port_are_refused() -> None:
    assert only_error(example({"registry.port": 443})) == (
        "edge.port = 443, but registry.port has that port on the same node: choose another"
    )
    assert load_site(example({"registry.port": 443, "registry.node": "w1"}))
    assert "but ray.redis_port has that port" in only_error(example({"ray.serve_port": 6390}))
    for port in ("ray.redis_port", "registry.port", "edge.port"):
        assert "but Ray's own parts listen there" in only_error(example({port: 8265}))
    assert "but ssh.port has that port" in only_error(example({"edge.port": 22}))


def test_a_port_that_an_outgoing_connection_may_have_is_refused() -> None:
    for path in ("edge.port", "registry.port", "ray.serve_port", "edge.operations_port"):
        assert only_error(example({path: 32768})) == (
            f"{path} = 32768, but from 32768 on outgoing connections may have it: choose one below"
        )
    assert load_site(example({"edge.port": 32767, "ssh.port": 50022}))


def test_a_port_of_rays_own_is_refused_for_sshd_too() -> None:
    assert only_error(example({"ssh.port": 8080})) == (
        "ssh.port = 8080, but Ray's own parts listen there: choose one such as 8001"
    )


def test_two_doors_of_the_edge_on_one_port_are_refused() -> None:
    assert only_error(example({**WEBUI, "frontends.open_webui.port": 443})) == (
        "frontends.open_webui.port = 443, but edge.port has that port on the same node: choose"
        " another"
    )
    both = {**WEBUI, "frontends.anythingllm.node": "w1", "frontends.anythingllm.port": 8443}
    assert "but frontends.open_webui.port has that port" in only_error(example(both))
    assert only_error(example({"edge.operations_port": 443})).startswith("edge.operations_port")


def test_a_door_where_a_service_listens_on_the_same_node_is_refused() -> None:
    assert only_error(example({**MONITORING, "edge.port": 9090})) == (
        "edge.port = 9090, but Prometheus listens there on the same node: choose another"
    )
    assert "but Open WebUI listens there" in only_error(example({**WEBUI, "registry.port": 3000}))
    assert load_site(example({**WEBUI, "registry.port": 3000, "registry.node": "w1"}))
    assert "but the node exporter listens" in only_error(
        example({**MONITORING, "registry.port": 9100, "registry.node": "w2"})
    )
    assert load_site(example({"registry.port": 9090}))


def test_a_port_that_nothing_takes_on_that_node_is_free() -> None:
    assert load_site(example({**MONITORING, "edge.node": "w1", "edge.port": 9090}))


def test_a_front_end_on_a_node_that_is_not_there_is_refused() -> None:
    assert only_error(example({"frontends.anythingllm.node": "w3"})) == (
        "frontends.anythingllm.node = w3, but there is no such node: did you mean w2?"
    )
    assert only_error(example({"monitoring.node": "hed"})) == (
        "monitoring.node = hed, but there is no such node: did you mean head?"
    )


def test_two_api_keys_of_one_name_are_refused() -> None:
    assert only_error(example({"edge.api_keys": ["a", "a"]})) == (
        'edge.api_keys = ["a", "a"], but a name means one key: remove the second of each'
    )


def test_a_host_name_that_leads_to_two_things_is_refused() -> None:
    names = {"edge.host_names": ["llm.lan", "llm.lan"]}
    assert only_error(example(names)) == (
        "edge.host_names[1] = llm.lan, but edge.host_names[0] is the same, and a name leads to one"
        " thing: change one"
    )
    same = {**WEBUI, "frontends.open_webui.host_name": "x.lan", "edge.host_names": ["x.lan"]}
    assert only_error(example(same)).startswith(
        "frontends.open_webui.host_name = x.lan, but edge.host_names[0] is the same"
    )


def test_a_limit_of_requests_is_a_whole_number_above_zero() -> None:
    path = "edge.requests_per_minute"
    assert load_site(example({path: "60"})).edge.requests_per_minute == 60
    assert only_error(example({path: 0})).endswith("but at least 1 is allowed: raise it")


def test_acme_needs_names_an_email_and_port_443() -> None:
    acme = {"edge.tls.kind": "acme", "edge.tls.email": "ops@example.org"}
    named = {**acme, "edge.host_names": ["llm.example.org"]}
    assert load_site(example(named)).edge.tls.kind == "acme"
    assert "list some in edge.host_names" in only_error(example(acme))
    assert "edge.tls.email is missing" in only_error(
        example({"edge.tls.kind": "acme", "edge.host_names": ["llm.example.org"]})
    )
    assert only_error(example({**named, "edge.port": 4443})) == (
        "edge.tls.kind = acme, but edge.port is 4443, and the authority asks back on 443: set that"
    )
    for name in ("*.example.org", "llm"):
        assert "gets no certificate for it" in only_error(
            example({**named, "edge.host_names": [name]})
        )


def test_a_front_end_has_one_whole_name_and_by_acme_a_public_one() -> None:
    wild = {**WEBUI, "frontends.open_webui.host_name": "*.example.org"}
    assert only_error(example(wild)) == (
        "frontends.open_webui.host_name = *.example.org, but browsers are sent to that name:"
        " write one whole name, without '*'"
    )
    acme = {"edge.tls.kind": "acme", "edge.tls.email": "ops@example.org"}
    local = {**acme, **WEBUI, "frontends.open_webui.host_name": "chat"}
    assert only_error(example(local)).startswith(
        "frontends.open_webui.host_name = chat, but edge.tls.kind = acme gets no certificate for it"
    )
    assert load_site(example({**local, "frontends.open_webui.host_name": "chat.example.org"}))


def test_a_certificate_of_ones_own_needs_both_files() -> None:
    own = {"edge.tls.kind": "own", "edge.host_names": ["llm.lan"]}
    assert [error.partition(" ")[0] for error in errors_of(example(own))] == [
        "edge.tls.certificate_file", "edge.tls.key_file",
    ]  # fmt: skip
    files = {"edge.tls.certificate_file": "/etc/llm.crt", "edge.tls.key_file": "/etc/llm.key"}
    assert load_site(example({**own, **files}))


def test_what_a_kind_of_certificate_has_no_use_for_is_refused() -> None:
    assert only_error(example({"edge.tls.email": "ops@example.org"})) == (
        "edge.tls.email = ops@example.org, but it is not for edge.tls.kind = internal: remove it,"
        " or change the kind"
    )


def test_a_topic_needs_its_address() -> None:
    route = {"monitoring": {"node": "head", "routes": {"pager": {"kind": "ntfy"}}}}
    assert only_error(example(route)) == (
        "monitoring.routes.pager.url is missing, but kind = ntfy needs it to send anything: set it"
    )


def test_a_web_hook_may_have_its_address_as_its_secret() -> None:
    route = {"monitoring": {"node": "head", "routes": {"pager": {"kind": "webhook"}}}}
    assert load_site(example(route))


def test_a_route_by_mail_needs_whom_and_through_what() -> None:
    mail = {"kind": "email"}
    site = example({"monitoring": {"node": "head", "routes": {"ops": mail}}})
    assert [error.partition(" ")[0] for error in errors_of(site)] == [
        "monitoring.routes.ops.smarthost", "monitoring.routes.ops.to",
    ]  # fmt: skip
    whole = {**mail, "to": "ops@example.org", "smarthost": "mail.example.org:587"}
    assert load_site(example({"monitoring": {"node": "head", "routes": {"ops": whole}}}))
    assert "but a server is named as host:port" in only_error(
        example(
            {
                "monitoring": {
                    "node": "head",
                    "routes": {"ops": {**whole, "smarthost": "mail.example.org"}},
                }
            }
        )
    )


def test_a_route_of_an_unknown_kind_is_refused_with_the_nearest_one() -> None:
    route = {"kind": "web-hook", "url": "https://pager.example/x"}
    assert only_error(example({"monitoring": {"node": "head", "routes": {"p": route}}})) == (
        "monitoring.routes.p.kind = web-hook, but only webhook, ntfy, email is known here: did you"
        " mean webhook?"
    )


def test_what_a_kind_of_route_has_no_use_for_is_refused() -> None:
    route = {"kind": "ntfy", "url": "https://ntfy.example/x", "to": "ops@example.org"}
    error = only_error(example({"monitoring": {"node": "head", "routes": {"p": route}}}))
    assert error.startswith("monitoring.routes.p.to = ops@example.org, but kind = ntfy has no use")


@pytest.mark.parametrize("setting", ["sender", "user"])
@pytest.mark.parametrize("kind", ["webhook", "ntfy"])
def test_a_route_that_is_no_mail_has_no_sender_and_no_login(kind: str, setting: str) -> None:
    route = {"kind": kind, "url": "https://ntfy.example/x", setting: "ops@example.org"}
    error = only_error(example({"monitoring": {"node": "head", "routes": {"p": route}}}))
    assert error.startswith(f"monitoring.routes.p.{setting} = ops@example.org, but kind = {kind}")


@pytest.mark.parametrize("address", ["https://ntfy.example", "https://ntfy.example/"])
def test_an_ntfy_route_without_a_topic_is_refused(address: str) -> None:
    route = {"kind": "ntfy", "url": address}
    assert only_error(example({"monitoring": {"node": "head", "routes": {"p": route}}})) == (
        f"monitoring.routes.p.url = {address}, but ntfy's topic is the path of its address: write"
        " one such as https://HOST/TOPIC"
    )


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_route_to_a_port_that_does_not_exist_is_refused(port: int) -> None:
    mail = {"kind": "email", "to": "a@example.org", "smarthost": f"mail.example.org:{port}"}
    hook = {"kind": "webhook", "url": f"https://pager.example:{port}/x"}
    for route, rule in ((mail, "a server is named as"), (hook, "an address of a web server")):
        assert rule in only_error(example({"monitoring": {"node": "head", "routes": {"p": route}}}))
    hook["url"] = "https://pager.example:65535/x"
    assert load_site(example({"monitoring": {"node": "head", "routes": {"p": hook}}}))
