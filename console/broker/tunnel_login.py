"""One login at an SSH server with asyncssh: only the identity that was asked for, the host always checked.

Nothing of the person's ssh configuration takes part: no config file, no default keys or certificates, no
password, no keyboard-interactive, no GSSAPI, no agent or X11 forwarding. Every argument below that looks
idle turns one of asyncssh's own look-ups off (its defaults read ~/.ssh and the environment).
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.broker import tunnel_errors as errors
from console.broker.tunnel_hosts import KnownKeys, known_hosts_line, known_keys
from console.broker.tunnel_settings import TunnelSettings
from console.core.errors import ConsoleError
from console.core.redaction import Secret

if TYPE_CHECKING:
    import asyncssh

MOST_KEY_BYTES = 128 * 1024


class Login:
    """Logs in, any number of times. Lives on the loop of the tunnel; the settings never change.

    A user "" is the local user's name, as with ssh. A key file "" means the SSH agent (`SSH_AUTH_SOCK`).
    """

    def __init__(
        self,
        settings: TunnelSettings,
        *,
        passphrase: Secret,
        known_hosts: Sequence[Path],
        timeout_s: float,
        keepalive_s: float,
        keepalives_missed: int,
    ) -> None:
        self._settings = settings
        self._where = errors.server(settings.host, settings.port)
        self._passphrase = passphrase
        self._known_hosts = tuple(known_hosts)
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._keepalives_missed = keepalives_missed

    async def log_in(self, lost: Callable[[], None]) -> asyncssh.SSHClientConnection:
        """A connection that is logged in; `lost` is called when it ends. Raises `ConsoleError`.

        The network part takes at most `timeout_s`, and so does the agent.
        """
        _check(self._settings)
        known = known_keys(self._known_hosts, host=self._settings.host, port=self._settings.port)
        step = "finding the name's address"
        async with _Identity(self._settings.key_file, self._passphrase, self._timeout_s) as identity:
            try:
                async with asyncio.timeout(self._timeout_s):
                    addresses = await _addresses(self._settings.host, self._settings.port)
                    step = "the connection"
                    line = await _connect(addresses, self._where, self._timeout_s)
                    step = "the SSH login"
                    return await self._speak(line, identity, known, lost)
            except TimeoutError as error:
                raise errors.no_answer(self._where, step, self._timeout_s) from error

    async def _speak(
        self, line: socket.socket, identity: _Identity, known: KnownKeys, lost: Callable[[], None]
    ) -> asyncssh.SSHClientConnection:
        import asyncssh

        judge = _Judge(self._settings, known, lost)
        try:
            return await asyncssh.connect(
                self._settings.host,
                self._settings.port,
                sock=line,
                client_factory=judge.client,
                config=None,
                known_hosts=(known.keys, known.authorities, known.revoked),
                server_host_key_algs=_host_key_algorithms(known),
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                username=self._settings.user or (),
                client_keys=identity.keys,
                agent_path=None,
                agent_identities=None,
                agent_forwarding=False,
                preferred_auth=["publickey"],
                host_based_auth=False,
                kbdint_auth=False,
                password_auth=False,
                gss_host=None,
                gss_kex=False,
                gss_auth=False,
                x11_forwarding=False,
                proxy_command=None,
                compression_algs=["none"],
                connect_timeout=None,
                login_timeout=0,
                keepalive_interval=self._keepalive_s,
                keepalive_count_max=self._keepalives_missed,
            )
        except (asyncssh.Error, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise self._words(error, judge, identity) from error
        except BaseException:
            line.close()
            raise

    def _words(self, error: Exception, judge: _Judge, identity: _Identity) -> ConsoleError:
        import asyncssh

        where = self._where
        reason = str(error).rstrip(".")
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return judge.sentence(reason)
        too_many = isinstance(error, asyncssh.Error) and "Too many authentication failures" in reason
        if too_many or isinstance(error, asyncssh.PermissionDenied):
            user = judge.user or self._settings.user
            return errors.login_refused(user, where, identity.shown, reason if too_many else "")
        if isinstance(error, asyncssh.KeyExchangeFailed):
            return errors.no_common_method(where, reason)
        if isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported):
            return errors.not_ssh(where)
        if isinstance(error, asyncssh.Error | OSError):
            return errors.hung_up(where, getattr(error, "strerror", None) or reason or "it said no reason")
        return errors.not_valid(f"{reason}.")


class _Judge:
    """Remembers the key that the server showed, to say afterwards what was wrong with it."""

    def __init__(self, settings: TunnelSettings, known: KnownKeys, lost: Callable[[], None]) -> None:
        self._settings = settings
        self._known = known
        self._lost = lost
        self._shown: asyncssh.SSHKey | None = None
        self.user = ""

    def client(self) -> asyncssh.SSHClient:
        import asyncssh

        judge = self

        class Client(asyncssh.SSHClient):
            def connection_lost(self, _exc: Exception | None) -> None:
                judge._lost()

            def begin_auth(self, username: str) -> None:
                judge.user = username

            def validate_host_public_key(
                self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey
            ) -> bool:
                judge._shown = key
                return False

        return Client()

    def sentence(self, reason: str) -> ConsoleError:
        """The error for a host key that asyncssh did not accept."""
        where = errors.server(self._settings.host, self._settings.port)
        if "revoked" in reason:
            return errors.key_revoked(where)
        if self._shown is None:
            return errors.certificate_not_valid(where, reason)
        key_type = self._shown.get_algorithm()
        if self._known.keys and self._known.changed_matters:
            return errors.key_changed(where, key_type, self._shown.get_fingerprint())
        return errors.UnknownHostKey(
            host=self._settings.host,
            port=self._settings.port,
            key_type=key_type,
            fingerprint=self._shown.get_fingerprint(),
            known_hosts_line=known_hosts_line(self._settings.host, self._settings.port, self._shown),
        )


class _Identity:
    """The key of the file, or those of the agent, for the time of one login.

    `shown` names them for people. The agent must stay connected until the login is over: it signs.
    """

    def __init__(self, key_file: str, passphrase: Secret, timeout_s: float) -> None:
        self._key_file = key_file
        self._passphrase = passphrase
        self._timeout_s = timeout_s
        self._agent: asyncssh.SSHAgentClient | None = None
        self.keys: Sequence[Any] = ()
        self.shown = ""

    async def __aenter__(self) -> _Identity:
        if self._key_file:
            key = _read_key(self._key_file, self._passphrase)
            self.keys = [key]
            self.shown = f"the key {self._key_file} ({key.get_fingerprint()})"
            return self
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._ask_agent()
        except TimeoutError as error:
            await self._close_agent()
            raise errors.agent_silent(self._timeout_s) from error
        except BaseException:
            await self._close_agent()
            raise
        return self

    async def _ask_agent(self) -> None:
        import asyncssh

        path = os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise errors.agent_missing("The console was started without one (SSH_AUTH_SOCK is not set).")
        self._agent = asyncssh.SSHAgentClient(path)
        try:
            self.keys = list(await self._agent.get_keys())  # connects, and has a ValueError for everything
        except ValueError as error:
            raise errors.agent_missing(f"Nothing that can be used answers at {path}.") from error
        if not self.keys:
            raise errors.agent_empty()
        count = len(self.keys)
        self.shown = "the key of the SSH agent" if count == 1 else f"any of the {count} keys of the SSH agent"

    async def _close_agent(self) -> None:
        if self._agent is not None:
            self._agent.close()
            await self._agent.wait_closed()

    async def __aexit__(self, *_: object) -> None:
        await self._close_agent()


def _check(settings: TunnelSettings) -> None:
    if not settings.host or any(sign.isspace() or not sign.isprintable() for sign in settings.host):
        raise errors.not_valid("The SSH server's host is missing or holds a blank.")
    if not 0 < settings.port < 65536:
        raise errors.not_valid(f"The SSH port must be between 1 and 65535, not {settings.port}.")


def _host_key_algorithms(known: KnownKeys) -> list[str]:
    """What the server may prove itself with: first the kinds of the known keys, then every other.

    asyncssh by itself would ask only for the known kinds, and a server whose key is now of another kind
    would look like one without safe methods. Certificates only where an authority is known: without one
    a server would show a certificate that nobody can judge instead of its key.
    """
    from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

    wanted: list[bytes] = list(get_default_certificate_algs()) if known.authorities else []
    default = get_default_public_key_algs()
    wanted += [kind for key in known.keys for kind in key.sig_algorithms if kind in default]
    wanted += default
    return list(dict.fromkeys(kind.decode("ascii") for kind in wanted))


def _read_key(key_file: str, passphrase: Secret) -> asyncssh.SSHKey:
    import asyncssh

    try:
        with Path(key_file).expanduser().open("rb") as file:
            data = file.read(MOST_KEY_BYTES)
    except FileNotFoundError as error:
        raise errors.key_file_missing(key_file) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.key_file_unreadable(key_file, reason) from error
    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyImportError as error:
        if "Passphrase must be specified" not in str(error):
            raise errors.not_a_key(key_file) from error
    if not passphrase:
        raise errors.passphrase_needed(key_file)
    try:
        return asyncssh.import_private_key(data, passphrase.reveal())
    # A wrong passphrase may also decrypt to noise that is then no key.
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        if b"OPENSSH" in data and importlib.util.find_spec("bcrypt") is None:
            raise errors.key_format_needs_bcrypt(key_file) from error
        raise errors.passphrase_wrong(key_file) from error


async def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """`getaddrinfo` on a daemon thread of its own: a resolver that hangs must not hold up the end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[tuple[Any, ...]]] = loop.create_future()

    def deliver(found: list[tuple[Any, ...]], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def look_up() -> None:
        found: list[tuple[Any, ...]] = []
        failure: Exception | None = None
        try:
            found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failure = errors.name_not_found(host)
            failure.__cause__ = error
        try:
            loop.call_soon_threadsafe(deliver, found, failure)
        except RuntimeError:
            logging.getLogger(__name__).debug("the tunnel ended before the name %s was looked up", host)

    threading.Thread(target=look_up, name=f"tunnel-{host}-name", daemon=True).start()
    return await answer


async def _connect(addresses: list[tuple[Any, ...]], where: str, timeout_s: float) -> socket.socket:
    """A socket to the first address that takes it. A silent one leaves half of the time to the others."""
    loop = asyncio.get_running_loop()
    left = len(addresses)
    failure: ConsoleError = errors.unreachable(where, "it has no address")
    for family, kind, protocol, _name, address in addresses:
        left -= 1
        line = socket.socket(family, kind, protocol)
        try:
            line.setblocking(False)
            async with asyncio.timeout(timeout_s / 2 if left else None):
                await loop.sock_connect(line, address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
        except ConnectionRefusedError as error:
            failure = errors.refused(where)
            failure.__cause__ = error
        except TimeoutError:
            failure = errors.no_answer(where, "the connection", timeout_s)
        except OSError as error:
            failure = errors.unreachable(where, error.strerror or str(error))
            failure.__cause__ = error
        except BaseException:
            line.close()
            raise
        line.close()
    raise failure
