"""TLS towards brokers and databases: what a person may set, the context made of it, its failures in words.

Verification is on unless a person turns it off for one connection; then nothing at all is checked, which is
why the connection's test says so.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.core.errors import Cause, ConsoleError


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """`ca_file` empty means the system's store; `server_name` empty means the host's own name."""

    verify: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """A client's context. Blocking (files). Raises `ConsoleError` that names the file that is wrong."""
    context = ssl.create_default_context()
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.ca_file:
        _readable("certificate authority", options.ca_file)
        try:
            context.load_verify_locations(options.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise _wrong_file(
                "certificate authority", options.ca_file, "It holds no certificate in PEM form"
            ) from error
    if options.cert_file or options.key_file:
        _readable("client certificate", options.cert_file)
        if options.key_file:
            _readable("client key", options.key_file)
        try:
            # An encrypted key would ask on the terminal, which nobody sees.
            context.load_cert_chain(options.cert_file, options.key_file or None, password=_no_passphrase)
        except (ssl.SSLError, OSError, _EncryptedKeyError) as error:
            what = (
                "The key is encrypted"
                if isinstance(error, _EncryptedKeyError)
                else "Certificate and key do not belong together, or are not in PEM form"
            )
            raise _wrong_file("client certificate", options.cert_file, what) from error
    return context


class _NamedContext(ssl.SSLContext):
    """A context that checks one name, whatever its user thinks to connect to (the near end of a tunnel)."""

    name: str

    def wrap_socket(self, sock: socket.socket, *_flags: Any, **_named: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, server_hostname=self.name)


def named_context(options: TlsOptions, host: str) -> ssl.SSLContext:
    """`tls_context(options)` for a library that gives its own host as the name to check."""
    plain = tls_context(options)
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = options.server_name or host
    context.check_hostname, context.verify_mode = plain.check_hostname, plain.verify_mode
    if options.ca_file:
        context.load_verify_locations(options.ca_file)
    else:
        context.load_default_certs()
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file or None)
    return context


def wrap(line: socket.socket, options: TlsOptions, host: str, *, shown: str) -> ssl.SSLSocket:
    """`line` with TLS on it, the handshake done within the line's own timeout. Raises `ConsoleError`.

    `host` is the name the certificate must be for, when none is set; `shown` names the server in errors.
    """
    context = tls_context(options)
    try:
        return context.wrap_socket(line, server_hostname=options.server_name or host)
    except OSError as error:  # ssl.SSLError is one
        raise tls_error(error, shown=shown, expected=options.server_name or host) from error
    except (ValueError, UnicodeError) as error:
        raise ConsoleError(
            "The TLS server name is not valid",
            detail=f"{options.server_name or host}: {error}.",
            cause=Cause.INVALID,
        ) from error


def tls_error(error: OSError, *, shown: str, expected: str) -> ConsoleError:
    """A failed handshake in words."""
    if isinstance(error, TimeoutError):
        return ConsoleError(
            "The server does not answer the TLS handshake",
            detail=f"{shown} accepted the connection and said nothing.",
            remedy="Check the port: it may be one without TLS, or the server may be overloaded.",
            cause=Cause.TIMEOUT,
            retryable=True,
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_verified(error, shown, expected)
    # OpenSSL's word for a line that is cut: no reason of anybody's, and worth another try.
    cut = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    if isinstance(error, ssl.SSLError) and not cut:
        return _refused(error, shown)
    return ConsoleError(
        "The server ended the TLS handshake",
        detail=f"{shown}: {'the connection was closed' if cut else error.strerror or 'no reason given'}.",
        remedy="Check the port (it may be one without TLS), and whether a client certificate is wanted.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


# OpenSSL's X509_V_ERR_* numbers, from openssl/x509_vfy.h.
_EXPIRED, _NOT_YET_VALID = 10, 9
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER_LOCALLY, _NO_FIRST = 18, 19, 20, 21
_WRONG_HOST, _WRONG_IP = 62, 64


def _not_verified(error: ssl.SSLCertVerificationError, shown: str, expected: str) -> ConsoleError:
    code = error.verify_code
    title, remedy = "The server's certificate cannot be trusted", "Ask the server's administrator."
    if code == _EXPIRED:
        title = "The server's certificate has expired"
        remedy = "Its administrator must renew it. Nothing is sent to the server meanwhile."
    elif code == _NOT_YET_VALID:
        title = "The server's certificate is not valid yet"
        remedy = "Check the clock of this computer and of the server."
    elif code == _SELF_SIGNED:
        title = "The server's certificate is self-signed"
        remedy = "If it is the right one, name its file as Certificate authority."
    elif code in (_SELF_SIGNED_IN_CHAIN, _NO_ISSUER_LOCALLY, _NO_FIRST):
        title = "The server's certificate comes from an unknown authority"
        remedy = "Choose the file of its certificate authority under TLS."
    elif code in (_WRONG_HOST, _WRONG_IP):
        title = "The server's certificate is for another name"
        remedy = f"Connect by the name it is for, or set Server name; {expected} was expected."
    return ConsoleError(
        title, detail=f"{shown}: {error.verify_message.rstrip('.')}.", remedy=remedy, cause=Cause.CERTIFICATE
    )


def no_tls_here(detail: str) -> ConsoleError:
    return ConsoleError(
        "The server does not speak TLS on this port",
        detail=detail,
        remedy="Turn Use TLS off, or use the server's TLS port.",
        cause=Cause.PROTOCOL,
    )


def _refused(error: ssl.SSLError, shown: str) -> ConsoleError:
    reason = (error.reason or "").replace("_", " ").lower()
    if "CERTIFICATE_REQUIRED" in str(error) or "certificate required" in reason:
        return ConsoleError(
            "The server wants a client certificate",
            detail=f"{shown}: {reason}.",
            remedy="Choose Client certificate and Client key under TLS.",
            cause=Cause.CERTIFICATE,
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return no_tls_here(f"{shown} answered with something else.")
    if "alert" in reason and ("unknown ca" in reason or "bad certificate" in reason):
        return ConsoleError(
            "The server refused our client certificate",
            detail=f"{shown}: {reason}.",
            remedy="Use one that its authority has signed.",
            cause=Cause.CERTIFICATE,
        )
    return ConsoleError(
        "The TLS handshake failed",
        detail=f"{shown}: {reason or 'no reason given'}.",
        remedy="Check the port and the TLS settings of the connection.",
        cause=Cause.CERTIFICATE,
    )


def _readable(what: str, name: str) -> None:
    if not name:
        raise ConsoleError(
            f"The {what} is missing", remedy="Certificate and key go together.", cause=Cause.INVALID
        )
    try:
        with Path(name).open("rb"):
            pass
    except OSError as error:
        raise _wrong_file(what, name, error.strerror or str(error)) from error


def _wrong_file(what: str, name: str, detail: str) -> ConsoleError:
    return ConsoleError(
        f"The file of the {what} cannot be used",
        detail=f"{name}: {detail.rstrip('.')}.",
        remedy="Choose another file under TLS.",
        cause=Cause.INVALID,
    )


class _EncryptedKeyError(Exception):
    """The key asks for a passphrase, which has no place here."""


def _no_passphrase() -> str:
    raise _EncryptedKeyError
