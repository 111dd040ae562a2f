"""The line against servers that misbehave: silent, too fast, encrypted, and not Redis at all."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hiredis
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from console.broker.address import BrokerAddress
from console.broker.tls import TlsOptions
from console.collector.event_line import OVERFLOW, Chunk, EventLine, Item, Lost, Subscribed
from console.collector.events import Event, EventDecoder, envelope
from console.collector.redis_line import RedisEventLine
from console.core.redaction import Secret

Script = Callable[[socket.socket], None]


@contextmanager
def server(script: Script, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answers the greeting of one client after the other and then does what `script` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                line, _ = listener.accept()
                if context is not None:
                    line = context.wrap_socket(line, server_side=True)
                with line:
                    line.settimeout(5)
                    greet(line)
                    script(line)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def greet(line: socket.socket) -> None:
    reader = hiredis.Reader()
    while True:
        data = line.recv(4096)
        if not data:
            raise OSError("gone")
        reader.feed(data)
        while (words := reader.gets()) is not False:
            if words[0] == b"PSUBSCRIBE":
                line.sendall(b"*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n")
                return
            line.sendall(b"+OK\r\n")


def collect(line: EventLine, enough: Callable[[list[Item]], bool]) -> list[Item]:
    items: list[Item] = []
    deadline = time.monotonic() + 10
    while not enough(items):
        assert time.monotonic() < deadline, items
        line.wait(0.05)
        items += line.take(1 << 30)
    return items


def test_a_line_that_went_dead_is_noticed_and_made_again() -> None:
    hold = threading.Event()

    def fall_silent(_line: socket.socket) -> None:
        hold.wait(5)

    with server(fall_silent) as port:
        line = RedisEventLine(BrokerAddress("127.0.0.1", port), ask_after_s=0.05, answer_within_s=0.05)
        line.start()
        items = collect(line, lambda items: any(isinstance(one, Lost) for one in items))
        hold.set()
        line.stop()
    assert isinstance(items[0], Subscribed)
    assert [one.reason for one in items if isinstance(one, Lost)][:1] == ["The broker did not answer"]


def test_more_than_can_be_held_ends_the_line_and_is_said() -> None:
    cut = threading.Event()

    def flood(line: socket.socket) -> None:
        try:
            while True:
                line.sendall(bytes(65536))
        finally:
            cut.set()

    with server(flood) as port:
        line = RedisEventLine(BrokerAddress("127.0.0.1", port), held_bytes=1_000_000)
        line.start()
        assert cut.wait(10)
        items = collect(line, lambda items: any(isinstance(one, Lost) for one in items))
        line.stop()
    assert next(one.reason for one in items if isinstance(one, Lost)) == OVERFLOW
    before_end = items[: next(number for number, one in enumerate(items) if isinstance(one, Lost))]
    assert sum(len(one.data) for one in before_end if isinstance(one, Chunk)) < 5_000_000


def test_what_is_no_redis_is_said_in_words() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    line = RedisEventLine(
        BrokerAddress("127.0.0.1", listener.getsockname()[1], password=Secret("secret-word"))
    )
    line.start()
    client, _ = listener.accept()
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    items = collect(line, bool)
    line.stop()
    client.close()
    listener.close()
    lost = items[0]
    assert isinstance(lost, Lost)
    assert lost.error is not None
    assert "secret-word" not in str(lost.error)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_is_checked_and_then_read(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    hold = threading.Event()

    def speak(line: socket.socket) -> None:
        message = envelope({"type": "task-started", "uuid": "a"})
        line.sendall(b"*4\r\n$8\r\npmessage\r\n$1\r\np\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(message), message))
        hold.wait(5)

    with server(speak, context) as port:
        address = BrokerAddress("localhost", port, tls=TlsOptions())
        line = RedisEventLine(address)
        line.start()
        refused = collect(line, bool)[0]
        line.stop()
        assert isinstance(refused, Lost)
        assert refused.error is not None
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        line = RedisEventLine(address)
        line.start()
        items = collect(line, lambda items: any(isinstance(one, Chunk) for one in items))
        hold.set()
        line.stop()
    assert isinstance(items[0], Subscribed)
    data = b"".join(one.data for one in items if isinstance(one, Chunk))
    assert b"task-started" not in data  # what is moved is still sealed
    events: list[Event] = []
    items[0].reader.read(data, EventDecoder(), events)
    assert [one.uuid for one in events] == ["a"]
