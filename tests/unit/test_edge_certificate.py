"""A certificate of one's own is looked at before it is used, and refused with what is wrong."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge.certificate import read_certificate
from stack.errors import InputError


def write(folder: Path, *names: str, days: int = 10) -> tuple[Path, Path]:
    """Write a self-signed certificate for the names, which ends in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "own")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(1)
        .public_key(key.public_key()).not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )  # fmt: skip
    if names:
        dns = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(dns, critical=False)
    files = folder / "own.crt", folder / "own.key"
    files[0].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_a_certificate_for_all_the_names_is_taken_with_its_key(tmp_path: Path) -> None:
    files = write(tmp_path, "llm.example.org", "*.lan")
    own = read_certificate(*files, ["llm.example.org", "chat.lan"])
    assert own.certificate == files[0].read_text()
    assert own.key == files[1].read_text()
    assert own.key not in repr(own)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, "llm.lan")
    key.unlink()
    with pytest.raises(InputError, match=r"edge\.tls\.key_file = .*own\.key, but it can't be read"):
        read_certificate(certificate, key, ["llm.lan"])


def test_files_in_the_place_of_each_other_are_refused(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, "llm.lan")
    with pytest.raises(InputError, match=r"certificate_file = .*, but that holds no certificate"):
        read_certificate(key, certificate, ["llm.lan"])
    with pytest.raises(InputError, match=r"key_file = .*, but that holds no private key"):
        read_certificate(certificate, certificate, ["llm.lan"])


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write(tmp_path, "llm.lan")
    _, key = write(tmp_path / "other", "llm.lan")
    with pytest.raises(InputError, match=r"but it is not the key of .*own\.crt"):
        read_certificate(certificate, key, ["llm.lan"])


def test_a_certificate_that_has_ended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"but it holds from .*: give one that holds now"):
        read_certificate(*write(tmp_path, "llm.lan", days=-1), ["llm.lan"])


@pytest.mark.parametrize("names", [(), ("llm.lan",), ("*.org",), ("*.sub.example.org",)])
def test_a_certificate_that_does_not_hold_for_a_name_is_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=r"and not for chat\.example\.org: get one"):
        read_certificate(*write(tmp_path, *names), ["chat.example.org"])
