"""The site's own CA, the certificates it signs and its random tokens."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from provider.inputs import CertificateRequest, CredentialsInputs
from provider.outputs import Certificate, CredentialsOutputs
from provider.resource import Context, Draft, Resource, State
from provider.values import UNKNOWN, Plain

CA_DAYS = 3650
LEAF_DAYS = 825  # the longest that common clients accept
RENEW_DAYS = 30
_TOKEN_BYTES = 32
_CLOCK_SKEW = timedelta(minutes=5)

CredentialsState = State[CredentialsInputs, CredentialsOutputs]


class Credentials(Resource[CredentialsInputs, CredentialsOutputs]):
    """Kept in Pulumi's state alone, encrypted; what exists stays when names are added."""

    inputs = CredentialsInputs
    outputs = CredentialsOutputs
    secret_outputs = frozenset({"ca_key", "certificates", "tokens"})
    replace_on = frozenset({"site"})

    def preview(
        self, old: CredentialsState | None, new: Draft[CredentialsInputs], ctx: Context
    ) -> Mapping[str, Plain]:
        if new.complete is None:
            return {}
        for line in _due(new.complete, old.outputs if old else None):
            ctx.info(f"would {line}")
        if old is None:
            return {"pending": []}
        return {
            **old.outputs.model_dump(mode="json"),
            "pending": [],
            "certificates": {
                name: UNKNOWN if reason else old.outputs.certificates[name].model_dump()
                for name, reason in _leaf_reasons(new.complete, old.outputs).items()
            },
            "tokens": {name: old.outputs.tokens.get(name, UNKNOWN) for name in new.complete.tokens},
        }

    def create(self, inputs: CredentialsInputs, ctx: Context) -> tuple[str, CredentialsOutputs]:
        _ = ctx
        ca_certificate, ca_key = make_ca(inputs.site)
        empty = CredentialsOutputs(
            ca_certificate=ca_certificate, ca_key=ca_key, certificates={}, tokens={}
        )
        return inputs.site, completed(inputs, empty)

    def read(self, state: CredentialsState, ctx: Context) -> CredentialsState:
        _ = ctx
        return state.with_pending(_due(state.inputs, state.outputs))

    def update(
        self, state: CredentialsState, inputs: CredentialsInputs, ctx: Context
    ) -> CredentialsOutputs:
        for line in _due(inputs, state.outputs):
            ctx.info(line)
        return completed(inputs, state.outputs)

    def delete(self, state: CredentialsState, ctx: Context) -> None:
        """Do nothing: the credentials were only in the state, and go with it."""


RESOURCE = Credentials


def completed(inputs: CredentialsInputs, old: CredentialsOutputs) -> CredentialsOutputs:
    """Return `old` with what is declared and missing made, and what is undeclared left out."""
    reasons = _leaf_reasons(inputs, old)
    certificates = {
        name: issue(name, request, old.ca_certificate, old.ca_key)
        if reasons[name]
        else old.certificates[name]
        for name, request in inputs.certificates.items()
    }
    tokens = {
        name: old.tokens.get(name) or secrets.token_urlsafe(_TOKEN_BYTES) for name in inputs.tokens
    }
    return CredentialsOutputs(
        ca_certificate=old.ca_certificate,
        ca_key=old.ca_key,
        certificates=certificates,
        tokens=tokens,
    )


def make_ca(site: str) -> tuple[str, str]:
    """Return a new CA's certificate and private key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(f"{site} CA")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(CA_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(builder.sign(key, hashes.SHA256())), _key_pem(key)


def issue(name: str, request: CertificateRequest, ca_certificate: str, ca_key: str) -> Certificate:
    """Return a server certificate for the request's names, signed by the CA."""
    ca = x509.load_pem_x509_certificate(ca_certificate.encode())
    signer = load_pem_private_key(ca_key.encode(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA's key is made here, by elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [
        *(x509.DNSName(dns_name) for dns_name in request.dns_names),
        *(x509.IPAddress(ip_address(address)) for address in request.addresses),
    ]
    builder = (
        _builder(LEAF_DAYS)
        .subject_name(_common_name(name))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Certificate(certificate=_pem(builder.sign(signer, hashes.SHA256())), key=_key_pem(key))


def _due(inputs: CredentialsInputs, old: CredentialsOutputs | None) -> list[str]:
    """Return what an `up` has to make, in words."""
    lines = [] if old else [f"make the CA of {inputs.site}"]
    have, tokens = (old.certificates, old.tokens) if old else ({}, {})
    for name, reason in _leaf_reasons(inputs, old).items():
        if reason:
            lines.append(f"issue the certificate of {name} ({reason})")
    lines += [f"make the token {name}" for name in inputs.tokens if name not in tokens]
    lines += [f"drop the certificate of {name}" for name in have if name not in inputs.certificates]
    lines += [f"drop the token {name}" for name in tokens if name not in inputs.tokens]
    return lines


def _leaf_reasons(
    inputs: CredentialsInputs, old: CredentialsOutputs | None
) -> dict[str, str | None]:
    have = old.certificates if old else {}
    return {
        name: _leaf_reason(request, have.get(name)) for name, request in inputs.certificates.items()
    }


def _leaf_reason(request: CertificateRequest, leaf: Certificate | None) -> str | None:
    """Return why the leaf has to be issued anew, None when it serves."""
    if leaf is None:
        return "new"
    certificate = x509.load_pem_x509_certificate(leaf.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    have = {
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    }
    if have != {*request.dns_names, *(str(ip_address(text)) for text in request.addresses)}:
        return "its names changed"
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return f"it expires in {left.days} days" if left < timedelta(days=RENEW_DAYS) else None


def _builder(days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
