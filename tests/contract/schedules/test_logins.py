"""Getting into PostgreSQL and MariaDB: TLS in every form, and each failure in words of its own.

Who is in finds an empty database: `Cause.NOT_MIGRATED` is the proof of a login.
"""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGHUP

import pytest
from psycopg import sql

from console.broker.database import DatabaseAddress, DatabaseKind, parse_database_url
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from console.schedules import django_setup
from console.schedules.gateway import open_tables
from tests.certificates import Certificates, Pair
from tests.mariadb import MariaServer, mariadb_server
from tests.postgres import PostgresServer, postgres_server
from tests.proxy import Proxy
from tests.valkey import ServerTls, ValkeyServer

PASSWORDS = ("pässwörd-ключ-鍵", "a b'c\"d\\e%f:g/h?i#j@k&l=m;n$o", " edge ", "%41%40", "{}[]|^`~<>,.!*()+")


@dataclass
class Server:
    """One of the two, speaking TLS only; `address` is right in everything."""

    address: DatabaseAddress
    own: PostgresServer | MariaServer

    @property
    def tls(self) -> TlsOptions:
        assert self.address.tls is not None
        return self.address.tls

    def checked_by(self, **options: str | bool) -> DatabaseAddress:
        """The address with other options of TLS."""
        return replace(self.address, tls=replace(self.tls, **options))  # type: ignore[arg-type]

    @contextmanager
    def showing(self, pair: Pair) -> Iterator[None]:
        """The server with another certificate."""
        usual = self.own.tls
        assert usual is not None
        self._show(replace(usual, pair=pair))
        try:
            yield
        finally:
            self._show(usual)

    def _show(self, tls: ServerTls) -> None:
        if isinstance(self.own, MariaServer):
            for name, file in (("server.crt", tls.pair.cert_file), ("server.key", tls.pair.key_file)):
                self.own._write(self.own.folder / name, file.read_text())
            self.execute("FLUSH SSL")
            return
        self.own._write_tls(tls)
        assert self.own.process is not None
        self.own.process.send_signal(SIGHUP)
        wanted = ssl.PEM_cert_to_DER_cert(tls.pair.cert_file.read_text())
        deadline = time.monotonic() + 5.0
        while self._shown() != wanted:
            assert time.monotonic() < deadline

    def _shown(self) -> bytes | None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.own.port)) as line:
            line.sendall(struct.pack("!ii", 8, 80877103))
            line.recv(1)
            with context.wrap_socket(line) as wrapped:
                return wrapped.getpeercert(binary_form=True)

    def execute(self, statement: str) -> None:
        if isinstance(self.own, MariaServer):
            with self.own.connect() as connection, connection.cursor() as cursor:
                cursor.execute(statement)
            return
        with self.own._connect() as pg:
            pg.execute(statement.encode())

    def make_user(self, name: str, password: str) -> None:
        if isinstance(self.own, MariaServer):
            with self.own.connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE OR REPLACE USER {name} IDENTIFIED BY %s", (password,))
                cursor.execute(f"GRANT ALL ON empty.* TO {name}")
            return
        with self.own._connect() as pg:
            user = sql.Identifier(name)
            pg.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(user))
            pg.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, sql.Literal(password)))


@pytest.fixture(scope="module")
def own_postgres(certificates: Certificates) -> Iterator[Server]:
    """It wants a certificate of its clients."""
    client = certificates.issue("console", client=True)
    tls = ServerTls(certificates.issue("postgres"), client_ca_file=certificates.ca_file, client=client)
    options = TlsOptions(
        ca_file=str(certificates.ca_file), cert_file=str(client.cert_file), key_file=str(client.key_file)
    )
    with postgres_server(tls=tls) as server:
        yield Server(replace(parse_database_url(server.make_database("empty")), tls=options), server)


@pytest.fixture(scope="module")
def own_mariadb(certificates: Certificates) -> Iterator[Server]:
    tls = ServerTls(certificates.issue("mariadb"))
    options = TlsOptions(ca_file=str(certificates.ca_file))
    with mariadb_server(tls, require_tls=True) as server:
        yield Server(replace(parse_database_url(server.make_database("empty")), tls=options), server)


@pytest.fixture(params=["own_postgres", "own_mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def failure_of(address: DatabaseAddress) -> ConsoleError:
    with pytest.raises(ConsoleError) as caught:
        read(address)
    password = address.password.reveal()
    assert not password or password not in str(caught.value)
    return caught.value


def read(address: DatabaseAddress) -> None:
    tables = open_tables(address)
    try:
        tables.read()
    finally:
        tables.close()


def gets_in(address: DatabaseAddress) -> bool:
    error = failure_of(address)
    assert error.cause is Cause.NOT_MIGRATED, str(error)
    return True


def refused(address: DatabaseAddress) -> tuple[Cause, str]:
    error = failure_of(address)
    assert error.remedy
    assert error.detail
    return error.cause, error.title


# --- Certificates -----------------------------------------------------------------------------------------


def test_a_checked_certificate(server: Server) -> None:
    assert gets_in(server.address)


def test_the_system_s_store(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = (Cause.CERTIFICATE, "The server's certificate comes from an unknown authority")
    assert refused(server.checked_by(ca_file="")) == unknown
    # What OpenSSL calls the system's store: the same for PostgreSQL's library, which brings its own OpenSSL.
    monkeypatch.setenv("SSL_CERT_FILE", server.tls.ca_file)
    assert gets_in(server.checked_by(ca_file=""))


def test_a_wrong_authority(server: Server, certificates: Certificates) -> None:
    other = str(certificates.other_ca_file)
    cause, title = refused(server.checked_by(ca_file=other))
    assert cause is Cause.CERTIFICATE
    assert title in (
        "The server's certificate comes from an unknown authority",
        "The server's certificate cannot be trusted",
    )
    assert gets_in(server.checked_by(ca_file=other, verify=False))


def test_another_name(server: Server) -> None:
    other = (Cause.CERTIFICATE, "The server's certificate is for another name")
    assert refused(server.checked_by(server_name="other.example")) == other
    assert gets_in(server.checked_by(server_name="other.example", verify=False))


def test_a_server_name_that_is_not_the_host(server: Server, certificates: Certificates) -> None:
    with server.showing(certificates.issue("db", names=("db.internal",), ips=())):
        other = (Cause.CERTIFICATE, "The server's certificate is for another name")
        assert refused(server.address) == other
        assert gets_in(server.checked_by(server_name="db.internal"))
        assert gets_in(replace(server.checked_by(server_name="db.internal"), host="localhost"))


def test_through_a_tunnel_the_real_name_is_checked(server: Server, certificates: Certificates) -> None:
    with (
        server.showing(certificates.issue("db", names=("db.internal",), ips=("127.0.0.1",))),
        Proxy("127.0.0.1", server.own.port) as proxy,
    ):
        near = ("127.0.0.1", proxy.port)
        assert gets_in(replace(server.address, host="db.internal", near=near))
        # The near end's address stands in the certificate, and does not count.
        error = failure_of(replace(server.address, host="db.other", near=near))
        assert (error.cause, error.title) == (
            Cause.CERTIFICATE,
            "The server's certificate is for another name",
        )
        assert "db.other" in str(error)
        assert str(proxy.port) not in str(error)
        assert proxy.accepted >= 2


def test_an_expired_certificate(server: Server, certificates: Certificates) -> None:
    with server.showing(certificates.issue("late", expired=True)):
        assert refused(server.address) == (Cause.CERTIFICATE, "The server's certificate has expired")
        assert gets_in(server.checked_by(verify=False))


def test_a_self_signed_certificate(server: Server, certificates: Certificates) -> None:
    pair = certificates.issue("alone", self_signed=True)
    with server.showing(pair):
        assert refused(server.address) == (Cause.CERTIFICATE, "The server's certificate is self-signed")


def test_files_that_cannot_be_used(server: Server, certificates: Certificates, tmp_path: Path) -> None:
    missing = server.checked_by(ca_file=str(tmp_path / "none.crt"))
    assert refused(missing) == (Cause.INVALID, "The file of the certificate authority cannot be used")
    text = tmp_path / "text.crt"
    text.write_text("no certificate")
    assert failure_of(server.checked_by(ca_file=str(text))).cause is Cause.INVALID
    pair = certificates.issue("locked", client=True, passphrase="a-passphrase")
    locked = server.checked_by(cert_file=str(pair.cert_file), key_file=str(pair.key_file))
    error = failure_of(locked)
    assert (error.cause, "encrypted" in error.detail) == (Cause.INVALID, True)


def test_a_client_certificate_that_is_missing(own_postgres: Server) -> None:
    error = failure_of(own_postgres.checked_by(cert_file="", key_file=""))
    assert (error.cause, error.title) == (Cause.CERTIFICATE, "The server wants a client certificate")


def test_a_client_key_that_others_may_read(own_postgres: Server, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_text(Path(own_postgres.tls.key_file).read_text())
    key.chmod(0o644)
    error = failure_of(own_postgres.checked_by(key_file=str(key)))
    assert error.cause is Cause.INVALID
    assert "chmod 600" in error.remedy


def test_a_user_of_mariadb_who_must_show_a_certificate(
    own_mariadb: Server, certificates: Certificates
) -> None:
    own_mariadb.make_user("badge", "a-password")
    own_mariadb.execute("ALTER USER badge REQUIRE X509")
    address = replace(own_mariadb.address, username="badge", password=Secret("a-password"))
    assert refused(address)[0] is Cause.REFUSED_LOGIN


def test_no_tls_where_it_is_wanted(own_postgres: Server, own_mariadb: Server) -> None:
    wanted = (Cause.PROTOCOL, "The server lets nobody in without TLS")
    assert refused(replace(own_postgres.address, tls=None)) == wanted
    # MariaDB says the same to a wrong password: both are named.
    error = failure_of(replace(own_mariadb.address, tls=None))
    assert error.cause is Cause.REFUSED_LOGIN
    assert "turn Use TLS on" in error.remedy


def test_tls_where_there_is_none(postgres: PostgresServer) -> None:
    address = parse_database_url(postgres.url())
    for verify in (True, False):
        found = refused(replace(address, tls=TlsOptions(verify=verify)))
        assert found == (Cause.PROTOCOL, "The server does not speak TLS")


def test_tls_where_a_mysql_offers_none(own_mariadb: Server) -> None:
    with answering(greeting_without_tls(own_mariadb.own.port)) as port:
        address = replace(own_mariadb.address, host="127.0.0.1", port=port)
        assert refused(address) == (Cause.PROTOCOL, "The server does not speak TLS")


# --- Logins -----------------------------------------------------------------------------------------------


def test_a_wrong_login(server: Server) -> None:
    login = (Cause.REFUSED_LOGIN, "The schedules database refused the login")
    assert refused(server.address.with_password(Secret("not-the-password"))) == login
    assert refused(server.address.with_password(Secret(""))) == login
    assert refused(replace(server.address, username="nobody-here")) == login


def test_an_unknown_database(server: Server) -> None:
    assert refused(replace(server.address, name="nothing"))[0] is Cause.NOT_FOUND


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_character_in_a_password(server: Server, password: str) -> None:
    server.make_user("speaker", password)
    address = replace(server.address, username="speaker")
    assert gets_in(address.with_password(Secret(password)))
    assert refused(address.with_password(Secret(password + "x")))[0] is Cause.REFUSED_LOGIN


def test_settings_no_driver_can_send(server: Server) -> None:
    assert failure_of(server.address.with_password(Secret("nul\0nul"))).cause is Cause.INVALID
    assert failure_of(replace(server.address, username="us\0er")).cause is Cause.INVALID
    assert failure_of(server.checked_by(server_name="..")).cause in (Cause.INVALID, Cause.CERTIFICATE)


# --- The way ----------------------------------------------------------------------------------------------


def test_a_host_that_nobody_knows(server: Server) -> None:
    address = replace(server.address, host="no-such-host.invalid")
    assert refused(address) == (Cause.UNREACHABLE, "The host's name cannot be resolved")
    named = replace(address, tls=replace(server.tls, server_name="db.internal"))
    assert refused(named) == (Cause.UNREACHABLE, "The host's name cannot be resolved")


def test_nobody_listens(server: Server) -> None:
    error = failure_of(replace(server.address, port=1))
    assert (error.cause, error.retryable) == (Cause.UNREACHABLE, True)


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_accepts_and_says_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(django_setup, "CONNECT_TIMEOUT_S", 1)
    monkeypatch.setattr(django_setup, "STATEMENT_TIMEOUT_S", 1)
    with Proxy("127.0.0.1", server.own.port) as proxy:
        proxy.accept_silently()
        started = time.monotonic()
        address = replace(server.address, port=proxy.port, tls=server.tls if tls else None)
        error = failure_of(address)
        assert (error.cause, error.retryable) == (Cause.TIMEOUT, True)
        assert time.monotonic() - started < 3.5


def test_a_black_hole(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "CONNECT_TIMEOUT_S", 1)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):  # the queue is full: whoever comes next is not answered
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        started = time.monotonic()
        error = failure_of(replace(server.address, port=full.getsockname()[1]))
        assert (error.cause, error.retryable) == (Cause.TIMEOUT, True)
        assert time.monotonic() - started < 3.5


def test_a_port_of_another_protocol(
    own_postgres: Server, own_mariadb: Server, monkeypatch: pytest.MonkeyPatch, broker: ValkeyServer
) -> None:
    monkeypatch.setattr(django_setup, "CONNECT_TIMEOUT_S", 1)
    monkeypatch.setattr(django_setup, "STATEMENT_TIMEOUT_S", 1)
    for tls in (own_postgres.tls, None):
        address = replace(own_postgres.address, port=own_mariadb.own.port, tls=tls)
        assert refused(address) == (Cause.PROTOCOL, "No PostgreSQL answers on this port")
    with answering(b"220 mail.example ESMTP\r\n") as port:
        for server in (own_postgres, own_mariadb):
            address = replace(server.address, port=port)
            title = f"No {server.address.kind} answers on this port"
            assert refused(address) == (Cause.PROTOCOL, title)
    # Redis waits for the end of a line that never comes.
    for server in (own_postgres, own_mariadb):
        assert failure_of(replace(server.address, port=broker.port)).cause is Cause.TIMEOUT
    gc.collect()  # psycopg leaves the socket of an attempt that took too long to the garbage collector


def greeting_without_tls(port: int) -> bytes:
    """A real server's first packet, with the flag for TLS taken out of its capabilities."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        greeting = bytearray(line.recv(1024))
    # 4 bytes of header, the protocol, the version up to its NUL, a thread's number, 8 bytes of salt, a NUL.
    capabilities = greeting.index(0, 5) + 1 + 4 + 8 + 1
    (flags,) = struct.unpack_from("<H", greeting, capabilities)
    struct.pack_into("<H", greeting, capabilities, flags & ~0x0800)  # CLIENT_SSL
    return bytes(greeting)


@contextmanager
def answering(text: bytes) -> Iterator[int]:
    """A port where everybody is told `text` and nothing else."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ended = threading.Event()

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    if ended.is_set():
                        return
                    line.sendall(text)
                    line.settimeout(5)
                    try:
                        line.recv(1024)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(5)


def test_the_kinds_are_what_they_say(own_postgres: Server, own_mariadb: Server) -> None:
    assert own_postgres.address.kind is DatabaseKind.POSTGRESQL
    assert own_mariadb.address.kind is DatabaseKind.MYSQL
