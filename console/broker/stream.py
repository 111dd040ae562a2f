"""The one way to a broker's socket: through a tunnel or Sentinel where there is one, TLS where it is set.

redis-py, kombu and the collector's own reader all get their sockets here, so that a connection that works in
one place works in all, and a failure has the same words everywhere.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import hiredis

from console.broker.address import BrokerAddress, BrokerKind, Endpoint, endpoint_text
from console.broker.tls import wrap
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

ANSWER_BYTES = 65_536
SHORTEST_S = 0.05


class SentinelRefused(ConsoleError):  # noqa: N818
    """Sentinel, not the broker, has refused the login: it is its password that a person must type."""


def open_stream(address: BrokerAddress, *, timeout_s: float | None = None) -> socket.socket:
    """A connected socket (TLS done) to the broker, which for Sentinel is the present primary.

    Blocking, for at most `timeout_s` (the address's own by default) with all its steps but the look-up of a
    name, which nobody can hurry; it stays the socket's timeout. Raises `ConsoleError`.
    """
    limit_s = address.timeout_s if timeout_s is None else timeout_s
    if address.kind is BrokerKind.SOCKET:
        return _open_socket_file(address.socket_path, limit_s)
    deadline_s = time.monotonic() + limit_s
    endpoint = (address.host, address.port)
    if address.kind is BrokerKind.SENTINEL:
        endpoint = find_primary(address, timeout_s=limit_s)
    line = open_endpoint(address, endpoint, timeout_s=_left_s(deadline_s))
    line.settimeout(limit_s)
    return line


def _left_s(deadline_s: float) -> float:
    """What is left until `deadline_s`; never nothing, for a timeout of 0 means "do not wait" to a socket."""
    return max(deadline_s - time.monotonic(), SHORTEST_S)


def open_endpoint(address: BrokerAddress, endpoint: Endpoint, *, timeout_s: float) -> socket.socket:
    """A connected socket (TLS done) to one of the servers behind `address`. Raises `ConsoleError`."""
    deadline_s = time.monotonic() + timeout_s
    line = dial(address.near(endpoint), shown=endpoint_text(endpoint), timeout_s=timeout_s)
    if address.tls is None:
        return line
    try:
        line.settimeout(_left_s(deadline_s))
        return wrap(line, address.tls, endpoint[0], shown=endpoint_text(endpoint))
    except BaseException:
        line.close()
        raise


def dial(endpoint: Endpoint, *, shown: str, timeout_s: float) -> socket.socket:
    """A TCP connection. Blocking. Raises `ConsoleError` that says which step failed; `shown` names it."""
    try:
        line = _dial_any(endpoint, timeout_s)
    except OSError as error:
        raise dial_error(error, shown) from error
    except UnicodeError as error:
        raise ConsoleError(
            "The broker's host is not valid", detail=f"{shown}: {error}.", cause=Cause.INVALID
        ) from error
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _dial_any(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """A connection to the first address of the host that takes it.

    Not `socket.create_connection`, which waits the whole time for each address anew.
    """
    found = socket.getaddrinfo(*endpoint, type=socket.SOCK_STREAM)
    deadline_s = time.monotonic() + timeout_s
    failed: OSError = OSError("the name has no address")
    for number, (family, kind, protocol, _name, place) in enumerate(found):
        line = socket.socket(family, kind, protocol)
        line.settimeout(_left_s(deadline_s) / (len(found) - number))
        try:
            line.connect(place)
        except OSError as error:
            line.close()
            failed = error
        else:
            line.settimeout(timeout_s)
            return line
    raise failed


def dial_error(error: OSError, shown: str) -> ConsoleError:
    """Why no connection came about, in words."""
    if isinstance(error, socket.gaierror):
        return ConsoleError(
            "The host's name cannot be resolved",
            detail=f"{shown}: {error.strerror or error}.",
            remedy="Check the spelling, and whether this computer needs a VPN to know the name.",
            cause=Cause.UNREACHABLE,
            retryable=True,
        )
    if isinstance(error, TimeoutError):
        return ConsoleError(
            "Broker does not answer in time",
            detail=f"{shown} did not take the connection.",
            remedy="A firewall may drop the packets, or the host is down.",
            cause=Cause.TIMEOUT,
            retryable=True,
        )
    return unreachable(shown, error.strerror or str(error))


def unreachable(shown: str, detail: str) -> ConsoleError:
    return ConsoleError(
        "Broker cannot be reached",
        detail=f"{shown}: {detail.rstrip('.')}.",
        remedy="Check that it runs and that this machine may reach it.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def _open_socket_file(path: str, timeout_s: float) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(timeout_s)
    try:
        line.connect(path)
    except (OSError, ValueError) as error:
        line.close()
        if isinstance(error, FileNotFoundError):
            raise unreachable(path, "There is no such socket") from error
        if isinstance(error, PermissionError):
            raise ConsoleError(
                "The broker's socket may not be opened",
                detail=f"{path}: this user has no right to it.",
                remedy="Join the group that owns the socket, or ask its administrator.",
                cause=Cause.NOT_PERMITTED,
            ) from error
        raise unreachable(path, getattr(error, "strerror", None) or str(error)) from error
    return line


def find_primary(address: BrokerAddress, *, timeout_s: float) -> Endpoint:
    """Which server the sentinels name as primary now: the first sentinel that answers is believed.

    Raises `ConsoleError`: of the last sentinel when none can be asked, or that none knows the name.
    Source: SENTINEL GET-MASTER-ADDR-BY-NAME, redis.io/docs/latest/develop/reference/sentinel-clients.
    """
    if not address.master_name:
        raise ConsoleError(
            "The name of the Sentinel primary is missing",
            detail="Sentinel watches servers by a name, often mymaster.",
            remedy="Type it into Primary's name.",
            cause=Cause.INVALID,
        )
    failed: ConsoleError | None = None
    deadline_s = time.monotonic() + timeout_s
    sentinels = address.endpoints()
    for number, sentinel in enumerate(sentinels):
        # One share for each that is left and one for the primary: the first may be dead, the second not.
        share_s = _left_s(deadline_s) / (len(sentinels) - number + 1)
        try:
            answer = _ask_sentinel(address, sentinel, share_s, "GET-MASTER-ADDR-BY-NAME", address.master_name)
        except ConsoleError as error:
            failed = error
            continue
        if isinstance(answer, list) and len(answer) == 2:
            try:
                return _endpoint(*answer)
            except (AttributeError, TypeError, ValueError):
                failed = not_redis(f"Sentinel {endpoint_text(sentinel)}")
                continue
        failed = ConsoleError(
            "Sentinel does not know this primary",
            detail=f"{endpoint_text(sentinel)} watches nothing named {address.master_name}.",
            remedy="Check Primary's name.",
            cause=Cause.INVALID,
        )
    raise failed or unreachable(address.place, "No sentinel is set")


def find_replicas(address: BrokerAddress, *, timeout_s: float) -> tuple[Endpoint, ...]:
    """The servers that may become primary, as the first sentinel that answers knows them."""
    for sentinel in address.endpoints():
        try:
            answer = _ask_sentinel(address, sentinel, timeout_s, "REPLICAS", address.master_name)
        except ConsoleError:
            continue
        found: list[Endpoint] = []
        for replica in answer if isinstance(answer, list) else []:
            if not isinstance(replica, list):
                continue
            values = dict(zip(replica[::2], replica[1::2], strict=False))
            with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
                found.append(_endpoint(values[b"ip"], values[b"port"]))
        return tuple(found)
    return ()


def _endpoint(host: Any, port: Any) -> Endpoint:
    """As a sentinel writes it. Raises `AttributeError`, `TypeError` or `ValueError` for anything else."""
    return host.decode(), int(port)


def _ask_sentinel(address: BrokerAddress, sentinel: Endpoint, timeout_s: float, *words: str) -> Any:
    line = open_endpoint(address, sentinel, timeout_s=timeout_s)
    shown = f"Sentinel {endpoint_text(sentinel)}"
    try:
        reader = hiredis.Reader()
        if login := login_words(address.sentinel_username, address.sentinel_password):
            _told(ask(line, reader, *login, timeout_s=timeout_s), shown)
        answer = ask(line, reader, "SENTINEL", *words, timeout_s=timeout_s)
        if isinstance(answer, hiredis.ReplyError) and "No such master" in str(answer):
            return None
        return _told(answer, shown)
    except OSError as error:
        raise dial_error(error, shown) from error
    except hiredis.HiredisError as error:
        raise not_redis(shown) from error
    finally:
        line.close()


def _told(answer: Any, shown: str) -> Any:
    if not isinstance(answer, hiredis.ReplyError):
        return answer
    text = str(answer)
    if text.startswith(("NOAUTH", "WRONGPASS", "ERR AUTH", "ERR invalid password")):
        raise SentinelRefused(
            "Sentinel refused the login",
            detail=f"{shown} does not accept this user and password.",
            remedy="Check Sentinel user and Sentinel password: they are not those of the broker.",
            cause=Cause.REFUSED_LOGIN,
        )
    if "unknown command" in text.lower():
        raise ConsoleError(
            "This is not a Sentinel",
            detail=f"{shown} does not know the command SENTINEL.",
            remedy="Check the port (26379 as a rule), or choose Redis as Broker kind.",
            cause=Cause.PROTOCOL,
        )
    raise ConsoleError("Sentinel refused a command", detail=f"{shown}: {text}.", cause=Cause.OTHER)


def not_redis(shown: str) -> ConsoleError:
    return ConsoleError(
        "The server does not speak Redis's protocol",
        detail=f"{shown} answers with something else.",
        remedy="Check host, port and TLS of the connection.",
        cause=Cause.PROTOCOL,
    )


def login_words(username: str, password: Secret) -> tuple[str, ...]:
    """The AUTH command of a login, as redis-py sends it too; empty for the default user without a password.

    A user may have no password at all (`nopass`), and is then one who is not the default user all the same.
    """
    if not username and not password:
        return ()
    return ("AUTH", *((username,) if username else ()), password.reveal())


def command(*words: str) -> bytes:
    """A command in Redis's wire format."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def ask(line: socket.socket, reader: hiredis.Reader, *words: str, timeout_s: float) -> Any:
    """The answer to one command; a `hiredis.ReplyError` is returned, not raised.

    Raises OSError (`TimeoutError` after `timeout_s`) and `hiredis.HiredisError` for another protocol.
    """
    deadline_s = time.monotonic() + timeout_s
    usual_s = line.gettimeout()
    line.settimeout(timeout_s)
    line.sendall(command(*words))
    while (answer := reader.gets()) is False:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        line.settimeout(left_s)
        data = line.recv(ANSWER_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        reader.feed(data)
    line.settimeout(usual_s)
    return answer
