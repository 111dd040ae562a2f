"""Certificates for tests: an authority made on the spot, and what it or a stranger signs.

Elliptic keys, so a certificate takes about a millisecond. They are made as strict verifiers want them
(key identifiers, key usage, names only as alternative names), so a refusal in a test is for the one reason
the test is about. The fixture `certificates` (conftest) is one authority for the whole run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)
EXPIRED_AGO = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, each a PEM file; the key is readable by its owner only."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody who signs certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass
class Certificates:
    """An authority of its own in `folder`, which it makes; every pair is written below it."""

    folder: Path
    _issued: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._authority = new_authority("Celery Console tests")
        _write_certificate(self.ca_file, self._authority.certificate)

    @property
    def ca_file(self) -> Path:
        """The authority's certificate: who trusts it trusts what `issue` makes."""
        return self.folder / "ca.crt"

    @cached_property
    def other_ca_file(self) -> Path:
        """An authority of the same name that signed nothing here: the wrong CA file."""
        path = self.folder / "other-ca.crt"
        _write_certificate(path, new_authority("Celery Console tests").certificate)
        return path

    def issue(
        self,
        name: str,
        *,
        names: tuple[str, ...] = ("localhost",),
        ips: tuple[str, ...] = ("127.0.0.1", "::1"),
        days: float = 30,
        expired: bool = False,
        client: bool = False,
        self_signed: bool = False,
        passphrase: str = "",
    ) -> Pair:
        """A new pair whose common name is `name`, good for `days` from now (fractions are allowed).

        `expired` ended a day ago. `client` is for showing to a server and carries no host names.
        `self_signed` is signed by its own key. With a `passphrase` the key file is encrypted.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        ends = datetime.now(UTC) + timedelta(days=days)
        if expired:
            ends = datetime.now(UTC) - EXPIRED_AGO
        hosts = [x509.DNSName(one) for one in names] + [x509.IPAddress(ip_address(one)) for one in ips]
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = _builder(name, key, ends).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts and not client:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = _sign(builder, name, key, None if self_signed else self._authority)
        self._issued += 1
        stem = f"{self._issued}-{name.replace('/', '-')}"
        pair = Pair(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        _write_certificate(pair.cert_file, certificate)
        _write_key(pair.key_file, key, passphrase)
        return pair


def new_authority(name: str) -> Authority:
    """An authority that signs itself, good for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = datetime.now(UTC) + timedelta(days=365)
    builder = _builder(name, key, ends, authority=True)
    return Authority(_sign(builder, name, key, None), key)


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, ends: datetime, *, authority: bool = False
) -> x509.CertificateBuilder:
    starts = min(datetime.now(UTC) - CLOCK_SKEW, ends - timedelta(days=1))
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _sign(
    builder: x509.CertificateBuilder, name: str, key: ec.EllipticCurvePrivateKey, by: Authority | None
) -> x509.Certificate:
    signer = key if by is None else by.key
    builder = builder.issuer_name(_name(name) if by is None else by.certificate.subject)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(identifier, critical=False).sign(signer, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: str) -> None:
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        locked = serialization.BestAvailableEncryption(passphrase.encode())
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
