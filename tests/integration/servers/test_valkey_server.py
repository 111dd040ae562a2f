"""The tests' own Valkey really does what the tests of connections take for granted."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.certificates import Certificates, Pair
from tests.valkey import ServerTls, ValkeyServer, valkey_server


def _client(server: ValkeyServer, ca_file: Path, *, host: str = "localhost") -> redis.Redis:
    return redis.Redis(
        host,
        server.port,
        password=server.password,
        ssl=True,
        ssl_ca_certs=str(ca_file),
        socket_timeout=5,
        retry=Retry(NoBackoff(), 0),
    )


@pytest.fixture
def issued(certificates: Certificates) -> Pair:
    return certificates.issue("server")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_is_spoken_and_checked(
    tmp_path: Path, certificates: Certificates, issued: Pair, host: str
) -> None:
    with valkey_server(tmp_path / "valkey", tls=ServerTls(issued)) as server:
        with _client(server, certificates.ca_file, host=host) as client:
            assert client.ping()
        with (
            _client(server, certificates.other_ca_file) as stranger,
            pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            stranger.ping()


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"names": ("elsewhere.test",), "ips": ()}, "Hostname mismatch"),
        ({"expired": True}, "certificate has expired"),
        ({"self_signed": True}, "self.signed certificate"),
    ],
    ids=["name", "expired", "self-signed"],
)
def test_a_certificate_is_refused_for_its_one_reason(
    tmp_path: Path, certificates: Certificates, pair: dict[str, object], said: str
) -> None:
    made = certificates.issue("server", **pair)  # type: ignore[arg-type]
    with (
        valkey_server(tmp_path / "valkey", tls=ServerTls(made)) as server,
        _client(server, certificates.ca_file) as client,
        pytest.raises(redis.ConnectionError, match=said),
    ):
        client.ping()


def test_a_client_certificate_is_asked_for(tmp_path: Path, certificates: Certificates, issued: Pair) -> None:
    client_pair = certificates.issue("client", client=True)
    tls = ServerTls(issued, client_ca_file=certificates.ca_file, client=client_pair)
    with (
        valkey_server(tmp_path / "valkey", tls=tls) as server,
        _client(server, certificates.ca_file) as nobody,
        pytest.raises(redis.ConnectionError),
    ):
        nobody.ping()


def test_a_certificate_is_renewed_under_way(tmp_path: Path, certificates: Certificates, issued: Pair) -> None:
    with valkey_server(tmp_path / "valkey", tls=ServerTls(issued)) as server:
        server.renew_certificate(certificates.issue("server", expired=True))
        with (
            _client(server, certificates.ca_file) as client,
            pytest.raises(redis.ConnectionError, match="expired"),
        ):
            client.ping()
        assert server.client().ping()


def test_users_the_socket_and_a_new_password(tmp_path: Path) -> None:
    users = ("reader on >marker ~* resetchannels +@read",)
    with valkey_server(tmp_path / "valkey", users=users, unix_socket=True) as server:
        with redis.Redis("127.0.0.1", server.port, username="reader", password="marker") as reader:
            assert reader.get("nothing") is None
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.set("one", "1")
        assert server.socket_file is not None
        with redis.Redis(unix_socket_path=str(server.socket_file), password=server.password) as local:
            assert local.ping()
        old = server.password
        server.change_password("another")
        with (
            redis.Redis("127.0.0.1", server.port, password=old, retry=Retry(NoBackoff(), 0)) as late,
            pytest.raises(redis.AuthenticationError),
        ):
            late.ping()
    assert not server.socket_file.exists()
