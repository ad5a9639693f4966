import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from remote.container_spec import (
    ContainerSpec,
    HostFile,
    Mount,
    Registry,
    changed_fields,
    changed_files,
    fields,
    label,
)

SPEC = ContainerSpec(
    name="ray",
    image="registry/vllm@sha256:" + "1" * 64,
    image_id="sha256:" + "a" * 64,
    command=["ray", "start"],
    environment={"TOKEN": "s3cret-token", "MODE": "token"},
    mounts=[Mount(source="/srv/models", target="/models")],
    files={"/run/secrets/token": HostFile(content="s3cret-file")},
)


def altered(**changes: object) -> ContainerSpec:
    return SPEC.model_copy(update=changes)


def test_a_container_as_declared_has_no_changed_fields() -> None:
    assert changed_fields(SPEC, label(SPEC)) == []


def test_each_changed_field_is_named_and_no_other() -> None:
    now = altered(
        command=["ray", "stop"],
        environment={"TOKEN": "other", "NEW": "1"},
        mounts=[Mount(source="/srv/models", target="/models", read_only=False)],
        files={"/run/secrets/token": HostFile(content="other")},
    )
    assert changed_fields(now, label(SPEC)) == [
        "command: changed",
        "environment MODE: gone",
        "environment NEW: new",
        "environment TOKEN: changed",
        "file /run/secrets/token: changed",
        "mount /models: changed",
    ]


def test_the_label_holds_no_secret_and_no_plain_hash_of_one() -> None:
    text = label(SPEC)
    for secret in ("s3cret-token", "s3cret-file"):
        assert secret not in text
        assert hashlib.sha256(secret.encode()).hexdigest()[:32] not in text


def test_equal_secrets_do_not_show_as_equal_between_containers() -> None:
    first, second = (json.loads(label(SPEC))["fields"] for _ in range(2))
    assert first.keys() == second.keys()
    assert first["environment TOKEN"] != second["environment TOKEN"]


def test_the_image_and_the_way_to_it_are_not_in_the_label() -> None:
    login = Registry(address="r:5000", ca_certificate="", user="u", password="p")  # noqa: S106
    other = altered(image="elsewhere/vllm@sha256:" + "2" * 64, registry=login)
    assert changed_fields(other, label(SPEC)) == []


def test_a_container_without_our_label_was_made_by_another_hand() -> None:
    for text in (None, "", "{}", "[]", "nonsense", "null"):
        (sentence,) = changed_fields(SPEC, text)
        assert "another hand" in sentence


def test_a_file_that_was_altered_or_removed_on_the_host_is_named() -> None:
    path = SPEC.host_path("/run/secrets/token")
    digest = hashlib.sha256(b"s3cret-file").hexdigest()
    assert path == "/etc/rackform/containers/ray/files/run/secrets/token"
    assert changed_files(SPEC, {path: (digest, 0o400)}) == []
    assert changed_files(SPEC, {path: (digest, 0o444)}) == [
        "file /run/secrets/token: altered on the host"
    ]
    assert changed_files(SPEC, {}) == ["file /run/secrets/token: missing on the host"]


@given(st.dictionaries(st.text(min_size=1), st.text()), st.text(min_size=1))
def test_the_order_of_what_has_no_order_changes_nothing(
    environment: dict[str, str], salt: str
) -> None:
    turned = dict(reversed(environment.items()))
    assert fields(altered(environment=environment), salt) == fields(
        altered(environment=turned), salt
    )
