"""What keeps a tunnel from opening: told in words, within the timeout, with nothing left behind."""

from __future__ import annotations

import importlib.util
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.broker.tunnel import SshTunnel
from console.broker.tunnel_errors import PassphraseNeeded
from console.core.errors import Cause, ConsoleError
from tests.contract.tunnel.conftest import MakeTunnel, tunnel_threads
from tests.contract.tunnel.sshd import Sshd, key_pair, public_half, ssh_add, ssh_agent
from tests.valkey import ValkeyServer, free_port

PASSPHRASE = "correct horse battery"
HAS_BCRYPT = importlib.util.find_spec("bcrypt") is not None


def failure(one: SshTunnel) -> ConsoleError:
    """What `open` says; it leaves no thread."""
    with pytest.raises(ConsoleError) as caught:
        one.open()
    assert not one.alive
    assert tunnel_threads() == []
    return caught.value


@contextmanager
def server_that_says(words: bytes) -> Iterator[int]:
    """The port of a server that greets one client with `words` and then is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines: list[socket.socket] = []

        def serve() -> None:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            lines.append(line)
            line.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)
        for line in lines:
            line.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": ""}, "host is missing"),
        ({"host": "jump host"}, "blank"),
        ({"host": "jump\nhost"}, "blank"),
        ({"port": 0}, "not 0"),
        ({"port": 70000}, "not 70000"),
    ],
)
def test_settings_that_cannot_be(
    sshd: Sshd, tunnel: MakeTunnel, settings: dict[str, object], words: str
) -> None:
    error = failure(tunnel(sshd, **settings))
    assert error.cause is Cause.INVALID
    assert words in error.detail


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "..", "jümp..host"])
def test_a_name_that_is_not_known(sshd: Sshd, tunnel: MakeTunnel, host: str) -> None:
    error = failure(tunnel(sshd, host=host))
    assert error.title == "The SSH server's name is not known"
    assert host in error.detail


def test_nobody_listens(sshd: Sshd, tunnel: MakeTunnel) -> None:
    error = failure(tunnel(sshd, port=free_port()))
    assert error.title == "No SSH server listens there"
    assert error.retryable


def test_a_server_that_accepts_and_says_nothing(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started_s = time.monotonic()
        error = failure(tunnel(sshd, port=listener.getsockname()[1], timeout_s=0.5))
        assert time.monotonic() - started_s < 1.5
    assert error.cause is Cause.TIMEOUT
    assert "the SSH login did not end within 0.5 s" in error.detail


def test_a_server_that_takes_no_connection(sshd: Sshd, tunnel: MakeTunnel) -> None:
    """A full queue of a listener is silent like a firewall that drops."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        lines = [socket.socket() for _ in range(3)]
        for line in lines:
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
        error = failure(tunnel(sshd, port=port, timeout_s=0.5))
        for line in lines:
            line.close()
    assert error.cause is Cause.TIMEOUT
    assert "the connection did not end within 0.5 s" in error.detail


def test_a_server_with_nothing_but_outdated_methods(
    start_sshd: Callable[..., Sshd], tunnel: MakeTunnel
) -> None:
    server = start_sshd("KexAlgorithms diffie-hellman-group1-sha1")
    error = failure(tunnel(server))
    assert error.title == "The SSH server offers no encryption that is still safe"


def test_a_server_that_stops_in_the_middle_of_the_greeting(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with server_that_says(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert failure(tunnel(sshd, port=port, timeout_s=0.5)).cause is Cause.TIMEOUT


@pytest.mark.parametrize(
    "words", [b"SSH-1.5-old\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 64, b"HTTP/1.1 400 Bad Request\r\n" * 2000]
)
def test_a_port_of_another_protocol(sshd: Sshd, tunnel: MakeTunnel, words: bytes) -> None:
    with server_that_says(words) as port:
        assert failure(tunnel(sshd, port=port)).title == "There is no SSH server at this port"


def test_a_server_that_hangs_up(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = failure(tunnel(sshd, port=listener.getsockname()[1]))
        thread.join(5)
    assert error.title == "The SSH server closed the connection"


def test_a_key_that_is_not_admitted(sshd: Sshd, tunnel: MakeTunnel, keys: Path) -> None:
    error = failure(tunnel(sshd, key_file=str(keys / "stranger")))
    assert error.title == "The SSH server refused the login"
    assert error.cause is Cause.REFUSED_LOGIN
    assert f"the user {sshd.user} with the key {keys / 'stranger'} (SHA256:" in error.detail


def test_a_user_who_does_not_exist(sshd: Sshd, tunnel: MakeTunnel) -> None:
    assert "the user nobody-here" in failure(tunnel(sshd, user="nobody-here")).detail


def test_without_a_user_it_is_the_local_one(sshd: Sshd, tunnel: MakeTunnel, keys: Path) -> None:
    tunnel(sshd, user="").open()
    assert f"the user {sshd.user} " in failure_text(tunnel(sshd, user="", key_file=str(keys / "stranger")))


def failure_text(one: SshTunnel) -> str:
    with pytest.raises(ConsoleError) as caught:
        one.open()
    return caught.value.detail


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (None, "The SSH key file does not exist"),
        (b"", "The file is not an SSH private key"),
        (b"\x00\xff" * 100_000, "The file is not an SSH private key"),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "The file is not an SSH private key",
        ),
    ],
)
def test_a_key_file_that_is_none(
    sshd: Sshd, tunnel: MakeTunnel, tmp_path: Path, content: bytes | None, title: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    assert failure(tunnel(sshd, key_file=str(file))).title == title


def test_the_public_half_or_a_folder_instead_of_the_key(
    sshd: Sshd, tunnel: MakeTunnel, keys: Path, tmp_path: Path
) -> None:
    assert (
        failure(tunnel(sshd, key_file=str(keys / "user.pub"))).title == "The file is not an SSH private key"
    )
    folder = failure(tunnel(sshd, key_file=str(tmp_path)))
    assert folder.title == "The SSH key file cannot be read"
    assert "Is a directory" in folder.detail


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        pytest.param(
            "ed25519", "", marks=pytest.mark.skipif(not HAS_BCRYPT, reason="bcrypt is not installed")
        ),
        ("ecdsa", "PEM"),
        ("ecdsa", "PKCS8"),
    ],
)
def test_a_key_with_a_passphrase(
    sshd: Sshd, tunnel: MakeTunnel, tmp_path: Path, kind: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncssh

    key = key_pair(tmp_path / "locked", kind=kind, passphrase=PASSPHRASE, form=form)
    with (sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write(public_half(key))
    needed = failure(tunnel(sshd, key_file=str(key)))
    assert isinstance(needed, PassphraseNeeded)
    assert needed.title == "The SSH key needs its passphrase"
    wrong = failure(tunnel(sshd, key_file=str(key), passphrase="something else"))
    assert isinstance(wrong, PassphraseNeeded)
    assert wrong.title == "The passphrase of the SSH key is wrong"

    one = tunnel(sshd, key_file=str(key), passphrase=PASSPHRASE)
    with caplog.at_level(logging.DEBUG):
        one.open()
        assert [record for record in caplog.records if record.name.startswith("asyncssh")] == []
    one.close()

    # Even somebody who turns asyncssh's own debugging up as far as it goes does not see the passphrase.
    logger = logging.getLogger("asyncssh")
    asyncssh.set_debug_level(3)
    try:
        one.open()
        logger.setLevel(logging.DEBUG)
        one.check(("127.0.0.1", sshd.port))
    finally:
        asyncssh.set_debug_level(1)
        logger.setLevel(logging.WARNING)
    assert PASSPHRASE not in caplog.text
    assert PASSPHRASE not in repr(vars(one))


@pytest.mark.skipif(HAS_BCRYPT, reason="bcrypt is installed")
def test_an_encrypted_openssh_key_without_bcrypt(sshd: Sshd, tunnel: MakeTunnel, tmp_path: Path) -> None:
    key = key_pair(tmp_path / "locked", passphrase=PASSPHRASE)
    assert isinstance(failure(tunnel(sshd, key_file=str(key))), PassphraseNeeded)
    error = failure(tunnel(sshd, key_file=str(key), passphrase=PASSPHRASE))
    assert error.title == "The SSH key file cannot be decrypted on this computer"


def test_a_passphrase_that_is_not_needed_does_no_harm(sshd: Sshd, tunnel: MakeTunnel) -> None:
    tunnel(sshd, passphrase=PASSPHRASE).open()


def test_the_agent(
    sshd: Sshd, tunnel: MakeTunnel, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tunnel(sshd, key_file="")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    error = failure(one)
    assert (error.title, error.cause) == ("The SSH agent is not running", Cause.NOT_FOUND)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
    assert failure(one).title == "The SSH agent is not running"
    with ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        assert failure(one).title == "The SSH agent holds no key"
        ssh_add(agent, keys / "stranger")
        assert "with the key of the SSH agent" in failure(one).detail
        ssh_add(agent, keys / "user")
        one.open()
        one.check(("127.0.0.1", sshd.port))


def test_an_agent_that_does_not_answer(
    sshd: Sshd, tunnel: MakeTunnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "silent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        assert failure(tunnel(sshd, key_file="", timeout_s=0.5)).title == "The SSH agent does not answer"


def test_an_agent_with_more_keys_than_the_server_looks_at(
    start_sshd: Callable[..., Sshd],
    tunnel: MakeTunnel,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = start_sshd("MaxAuthTries 1")
    with ssh_agent(tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        ssh_add(agent, keys / "stranger")
        ssh_add(agent, keys / "other_host")
        error = failure(tunnel(server, key_file=""))
    assert error.title == "The SSH server refused the login"
    assert "any of the 2 keys of the SSH agent" in error.detail
    assert "Too many authentication failures" in error.detail


def test_nothing_but_the_named_key_is_tried(
    sshd: Sshd, tunnel: MakeTunnel, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the agent, nor the default keys, nor the config of the home folder get anybody in."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "id_ed25519.pub"):
        (home / ".ssh" / name).write_bytes((keys / name.replace("id_ed25519", "user")).read_bytes())
        (home / ".ssh" / name).chmod(0o600)
    (home / ".ssh" / "config").write_text(f"Host *\n  IdentityFile {keys / 'user'}\n  Port {free_port()}\n")
    (home / ".ssh" / "known_hosts").write_text(f"{sshd.known_hosts_line}\n")
    monkeypatch.setenv("HOME", str(home))
    with ssh_agent(tmp_path) as agent:
        ssh_add(agent, keys / "user")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        assert failure(tunnel(sshd, key_file=str(keys / "stranger"))).cause is Cause.REFUSED_LOGIN
        # Nor is the home folder's known_hosts asked when ours knows nothing.
        assert "not known" in failure(tunnel(sshd, known="")).title


def test_the_server_forbids_the_tunnel(start_sshd: Callable[..., Sshd], tunnel: MakeTunnel) -> None:
    server = start_sshd("AllowTcpForwarding no")
    one = tunnel(server)
    one.open()
    with pytest.raises(ConsoleError) as caught:
        one.check(("127.0.0.1", server.port))
    assert caught.value.title == "The SSH server does not allow the tunnel"
    assert caught.value.cause is Cause.NOT_PERMITTED
    assert one.alive


def test_the_server_permits_other_targets_only(start_sshd: Callable[..., Sshd], tunnel: MakeTunnel) -> None:
    server = start_sshd("PermitOpen 127.0.0.1:1")
    one = tunnel(server)
    one.open()
    with pytest.raises(ConsoleError) as caught:
        one.check(("127.0.0.1", server.port))
    assert caught.value.cause is Cause.NOT_PERMITTED


def test_targets_that_cannot_be_reached_from_there(sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    one.open()
    with pytest.raises(ConsoleError, match="Connection refused") as refused:
        one.check(("127.0.0.1", free_port()))
    assert refused.value.title == "The SSH server cannot reach the target"
    with pytest.raises(ConsoleError, match=r"no-such-host\.invalid") as unknown:
        one.check(("no-such-host.invalid", 6379))
    assert unknown.value.cause is Cause.UNREACHABLE
    assert one.alive
    local = one.forward(("127.0.0.1", free_port()))
    with socket.create_connection(local, 5) as line:
        assert line.recv(1) == b""
    assert one.failure is not None
    assert one.failure.title == "The SSH server cannot reach the target"


def test_what_becomes_of_one_target_says_nothing_of_another(
    sshd: Sshd, tunnel: MakeTunnel, broker: ValkeyServer
) -> None:
    one = tunnel(sshd)
    one.open()
    good, bad = ("127.0.0.1", broker.port), ("127.0.0.1", free_port())
    with socket.create_connection(one.forward(good), 5) as line:
        line.sendall(b"PING\r\n")
        assert line.recv(100).startswith(b"-NOAUTH")
    with socket.create_connection(one.forward(bad), 5) as line:
        assert line.recv(1) == b""
    assert one.failure is not None
    assert one.failure_among({good}) is None
    assert one.failure_among({bad}) is one.failure
    with socket.create_connection(one.forward(good), 5) as line:
        line.sendall(b"PING\r\n")
        assert line.recv(100).startswith(b"-NOAUTH")
    assert one.failure_among({good, bad}) is None


def test_before_open_and_after_close(sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    for _ in range(2):
        with pytest.raises(ConsoleError, match="not open"):
            one.check(("127.0.0.1", 1))
        with pytest.raises(ConsoleError, match="not open"):
            one.forward(("127.0.0.1", 1))
        one.open()
        one.close()
        one.close()
