"""libpq's words for what a person has set of TLS; both ways into PostgreSQL need them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from console.broker.tls import TlsOptions, tls_context

# Where Debian, Red Hat, SUSE, Alpine and macOS keep the authorities that the system trusts.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_NOWHERE = f"{os.devnull}/none"
"""A file that cannot exist: libpq takes an empty name for the one in the person's home."""


def libpq_tls(tls: TlsOptions) -> dict[str, str]:
    """Parameters of a connection. Blocking (files). Raises `ConsoleError` that names the wrong file."""
    tls_context(tls)  # names the file that is wrong, which libpq does in its own words
    if tls.verify:
        options = {"sslmode": "verify-full", "sslrootcert": tls.ca_file or _system_ca_file()}
    else:
        # With a root certificate in the person's home "require" would check after all.
        options = {"sslmode": "require", "sslrootcert": _NOWHERE}
    if tls.cert_file:
        options |= {"sslcert": tls.cert_file, "sslkey": tls.key_file or tls.cert_file}
    return options


def _system_ca_file() -> str:
    """The file of the system's store. The wheel of psycopg brings an OpenSSL that looks elsewhere.

    (`OPENSSLDIR` of psycopg-binary 3.3 is /usr/lib/psycopg-openssl, which no system has.)
    """
    found = ssl.get_default_verify_paths().cafile
    return found or next((name for name in _SYSTEM_CA_FILES if Path(name).is_file()), "system")
