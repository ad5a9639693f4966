from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from provider import credentials
from provider.check import draft
from provider.credentials import Credentials
from provider.inputs import CertificateRequest, CredentialsInputs
from provider.outputs import CredentialsOutputs
from provider.resource import State
from provider.values import UNKNOWN
from tests.unit.provider_fakes import RecordingContext

EDGE = CertificateRequest(dns_names=["edge.lab"], addresses=["10.77.0.11"])
INPUTS = CredentialsInputs(site="lab", certificates={"edge": EDGE}, tokens=["redis"])


@pytest.fixture(scope="module")
def made() -> State[CredentialsInputs, CredentialsOutputs]:
    made_id, outputs = Credentials().create(INPUTS, RecordingContext())
    return State(made_id, INPUTS, outputs)


def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_the_ca_signs_the_leaf_and_lives_ten_years(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    ca = certificate(made.outputs.ca_certificate)
    leaf = certificate(made.outputs.certificates["edge"].certificate)
    leaf.verify_directly_issued_by(ca)
    assert isinstance(ca.public_key(), ec.EllipticCurvePublicKey)
    assert ca.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3649)
    assert timedelta(days=823) < leaf.not_valid_after_utc - datetime.now(UTC) < timedelta(days=826)


def test_a_leaf_has_every_name_and_its_own_key(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    leaf = made.outputs.certificates["edge"]
    names = certificate(leaf.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["edge.lab"]
    assert [str(a) for a in names.value.get_values_for_type(x509.IPAddress)] == ["10.77.0.11"]
    key = load_pem_private_key(leaf.key.encode(), password=None)
    assert key.public_key() == certificate(leaf.certificate).public_key()


def test_adding_names_keeps_what_is_there(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    more = INPUTS.model_copy(
        update={"certificates": {"edge": EDGE, "registry": EDGE}, "tokens": ["redis", "ray"]}
    )
    new = Credentials().update(made, more, RecordingContext())
    assert new.ca_key == made.outputs.ca_key
    assert new.certificates["edge"] == made.outputs.certificates["edge"]
    assert new.tokens["redis"] == made.outputs.tokens["redis"]
    assert set(new.certificates) == {"edge", "registry"}
    assert len(new.tokens["ray"]) >= 40


def test_changed_names_issue_that_leaf_again_and_no_other(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    moved = EDGE.model_copy(update={"addresses": ["10.77.0.12"]})
    ctx = RecordingContext()
    new = Credentials().update(
        made, INPUTS.model_copy(update={"certificates": {"edge": moved}}), ctx
    )
    assert ctx.messages == ["issue the certificate of edge (its names changed)"]
    assert new.certificates["edge"] != made.outputs.certificates["edge"]
    assert new.ca_certificate == made.outputs.ca_certificate


def test_a_leaf_close_to_its_end_is_due_at_the_next_refresh(
    made: State[CredentialsInputs, CredentialsOutputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "RENEW_DAYS", credentials.LEAF_DAYS)
    found = Credentials().read(made, RecordingContext())
    assert found.outputs.pending == ["issue the certificate of edge (it expires in 824 days)"]


def test_a_fresh_leaf_is_not_due(made: State[CredentialsInputs, CredentialsOutputs]) -> None:
    assert Credentials().read(made, RecordingContext()).outputs.pending == []


def test_a_preview_knows_all_but_what_is_new(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    fields = INPUTS.model_copy(update={"tokens": ["redis", "ray"]}).model_dump(mode="json")
    ctx = RecordingContext()
    known = Credentials().preview(made, draft(CredentialsInputs, fields), ctx)
    assert known["tokens"] == {"redis": made.outputs.tokens["redis"], "ray": UNKNOWN}
    assert known["ca_certificate"] == made.outputs.ca_certificate
    assert ctx.messages == ["would make the token ray"]


def test_what_is_no_longer_declared_is_dropped(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    none = INPUTS.model_copy(update={"tokens": []})
    assert Credentials().update(made, none, RecordingContext()).tokens == {}


def test_keys_and_tokens_are_secret_outputs() -> None:
    assert Credentials.secret_outputs == {"ca_key", "certificates", "tokens"}


def test_a_name_that_was_withdrawn_and_comes_back_gets_a_new_token(
    made: State[CredentialsInputs, CredentialsOutputs],
) -> None:
    none = INPUTS.model_copy(update={"tokens": []})
    without = State(made.id, none, Credentials().update(made, none, RecordingContext()))
    again = Credentials().update(without, INPUTS, RecordingContext())
    assert again.tokens["redis"] != made.outputs.tokens["redis"]
