"""A certificate of one's own for the edge: read from the controller, and looked at before use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from stack.errors import InputError

_CERTIFICATE, _KEY = "edge.tls.certificate_file", "edge.tls.key_file"


@dataclass(frozen=True)
class OwnCertificate:
    certificate: str
    """PEM, its chain after it."""
    key: str = field(repr=False)
    """PEM."""


def read_certificate(
    certificate_file: Path, key_file: Path, host_names: Sequence[str]
) -> OwnCertificate:
    """Return what the two files hold.

    Raises:
        InputError: a file can't be read, they don't belong together, the certificate is not valid
            now, or not for one of the names.

    """
    text, key_text = _read(_CERTIFICATE, certificate_file), _read(_KEY, key_file)
    try:
        certificate = x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise InputError(
            f"{_CERTIFICATE} = {certificate_file}, but that holds no certificate: give a PEM file,"
            " the server's certificate first and its chain after it"
        ) from None
    _matches(certificate, _key(key_file, key_text), certificate_file, key_file)
    _valid(certificate, certificate_file)
    names = _names(certificate)
    for name in host_names:
        if not _covered(name, names):
            raise InputError(
                f"{_CERTIFICATE} = {certificate_file}, but it is for {', '.join(sorted(names))} and"
                f" not for {name}: get one that holds for it, too, or drop that host name"
            )
    return OwnCertificate(text, key_text)


def _read(path: str, file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(
            f"{path} = {file}, but it can't be read ({reason}): name a PEM file on this machine"
        ) from None


def _key(key_file: Path, text: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        raise InputError(
            f"{_KEY} = {key_file}, but that holds no private key without a passphrase: give its PEM"
            " file, as 'openssl pkey -in FILE' writes it"
        ) from None


def _matches(
    certificate: x509.Certificate, key: PrivateKeyTypes, certificate_file: Path, key_file: Path
) -> None:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise InputError(
            f"{_KEY} = {key_file}, but it is not the key of {certificate_file}: give the two that"
            " were made together"
        )


def _valid(certificate: x509.Certificate, file: Path) -> None:
    now = datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise InputError(
            f"{_CERTIFICATE} = {file}, but it holds from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}: give"
            " one that holds now"
        )


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {name.lower() for name in found.value.get_values_for_type(x509.DNSName)}


def _covered(name: str, names: set[str]) -> bool:
    """Return whether a certificate's names hold for `name`; a wildcard stands for one label."""
    return name in names or f"*.{name.partition('.')[2]}" in names
