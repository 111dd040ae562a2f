"""Whether the server is the one it should be: every kind of known-hosts entry, against a real sshd."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from console.broker.tunnel import SshTunnel, TunnelSettings
from console.broker.tunnel_errors import UnknownHostKey
from console.broker.tunnel_hosts import known_keys, trust
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from tests.contract.tunnel.conftest import MakeTunnel, tunnel_threads
from tests.contract.tunnel.sshd import Sshd, key_pair, public_half


def refusal(one: SshTunnel) -> ConsoleError:
    with pytest.raises(ConsoleError) as caught:
        one.open()
    assert tunnel_threads() == []
    return caught.value


def fingerprint(key: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def test_an_unknown_server_can_be_trusted(sshd: Sshd, tunnel: MakeTunnel, known_hosts: Path) -> None:
    one = tunnel(sshd, known="# nobody yet")
    error = refusal(one)
    assert isinstance(error, UnknownHostKey)
    assert error.title == "The SSH server is not known to this computer"
    assert error.cause is Cause.INVALID
    assert (error.host, error.port) == ("127.0.0.1", sshd.port)
    assert error.fingerprint == fingerprint(sshd.host_key)
    assert f"ssh-ed25519 with the fingerprint {error.fingerprint}" in error.detail
    assert error.known_hosts_line == sshd.known_hosts_line
    trust(known_hosts, error.known_hosts_line)
    one.open()


def test_without_any_file_the_server_is_unknown(sshd: Sshd, tunnel: MakeTunnel, known_hosts: Path) -> None:
    one = tunnel(sshd)
    known_hosts.unlink()
    assert isinstance(refusal(one), UnknownHostKey)


def entries(sshd: Sshd) -> dict[str, str]:
    """Entries by which the server is known."""
    key = " ".join(public_half(sshd.host_key).split()[:2])
    return {
        "host and port": f"[127.0.0.1]:{sshd.port} {key}",
        "among others": f"example.org,[127.0.0.1]:{sshd.port},10.0.0.1 {key} a comment",
        "without a port": f"127.0.0.1 {key}",
        "wildcard": f"[127.0.0.*]:* {key}",
        "everything": f"* {key}",
        "everything but": f"!example.org,* {key}",
        "after lines that cannot be read": f"what is this\n|1|broken|x {key}\n@odd x y z\n127.0.0.1 {key}",
        "beside another kind": f"[127.0.0.1]:{sshd.port} ssh-rsa AAAAB3NzaC1yc2E=\n127.0.0.1 {key}",
    }


@pytest.mark.parametrize(
    "name",
    [
        "host and port",
        "among others",
        "without a port",
        "wildcard",
        "everything",
        "everything but",
        "after lines that cannot be read",
        "beside another kind",
    ],
)
def test_entries_that_name_the_server(sshd: Sshd, tunnel: MakeTunnel, name: str) -> None:
    tunnel(sshd, known=entries(sshd)[name]).open()


def test_hashed_entries(sshd: Sshd, tunnel: MakeTunnel, known_hosts: Path, keys: Path) -> None:
    one = tunnel(sshd)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
    assert known_hosts.read_text().startswith("|1|")
    assert "127.0.0.1" not in known_hosts.read_text()
    one.open()
    one.close()
    # A hashed entry with another key is a changed key, too.
    other = " ".join(public_half(keys / "other_host").split()[:2])
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
    assert refusal(one).title == "The SSH server's key has changed"


def test_a_host_name_in_any_case(sshd: Sshd, tunnel: MakeTunnel) -> None:
    key = " ".join(public_half(sshd.host_key).split()[:2])
    tunnel(sshd, known=f"[LocalHost]:{sshd.port} {key}", host="LOCALhost").open()


def test_a_changed_key_is_never_offered(sshd: Sshd, tunnel: MakeTunnel, keys: Path) -> None:
    other = " ".join(public_half(keys / "other_host").split()[:2])
    error = refusal(tunnel(sshd, known=f"[127.0.0.1]:{sshd.port} {other}"))
    assert not isinstance(error, UnknownHostKey)
    assert error.title == "The SSH server's key has changed"
    assert fingerprint(sshd.host_key) in error.detail


def test_a_key_of_another_kind_is_a_changed_key(
    start_sshd: Callable[..., Sshd], tunnel: MakeTunnel, keys: Path, tmp_path: Path
) -> None:
    """Else an attacker would only have to show a kind of key that was never seen."""
    server = start_sshd(host_key=key_pair(tmp_path / "host_ecdsa", kind="ecdsa"))
    ed25519 = " ".join(public_half(keys / "host").split()[:2])
    error = refusal(tunnel(server, known=f"[127.0.0.1]:{server.port} {ed25519}"))
    assert error.title == "The SSH server's key has changed"
    assert "ecdsa-sha2-nistp256" in error.detail


def test_a_server_with_several_keys_shows_the_known_kind(
    start_sshd: Callable[..., Sshd], tunnel: MakeTunnel, tmp_path: Path
) -> None:
    second = key_pair(tmp_path / "host_ecdsa", kind="ecdsa")
    server = start_sshd(f"HostKey {second}")
    key = " ".join(public_half(second).split()[:2])
    tunnel(server, known=f"[127.0.0.1]:{server.port} {key}").open()


def test_another_server_on_another_port_is_unknown_not_changed(
    sshd: Sshd, tunnel: MakeTunnel, keys: Path
) -> None:
    """As with ssh: the entry without a port speaks of port 22."""
    other = " ".join(public_half(keys / "other_host").split()[:2])
    assert isinstance(refusal(tunnel(sshd, known=f"127.0.0.1 {other}")), UnknownHostKey)


def test_the_address_does_not_speak_for_the_name(sshd: Sshd, tunnel: MakeTunnel) -> None:
    """Who controls the name's address could otherwise borrow the key of any known machine."""
    assert isinstance(refusal(tunnel(sshd, host="localhost")), UnknownHostKey)


@pytest.mark.parametrize("revoked", ["*", "[127.0.0.1]:{port}", "127.0.0.1"])
def test_a_revoked_key(sshd: Sshd, tunnel: MakeTunnel, revoked: str) -> None:
    key = " ".join(public_half(sshd.host_key).split()[:2])
    known = f"127.0.0.1 {key}\n@revoked {revoked.format(port=sshd.port)} {key}\n{sshd.known_hosts_line}"
    error = refusal(tunnel(sshd, known=known))
    assert error.title == "The SSH server's key was revoked"
    assert not isinstance(error, UnknownHostKey)
    alone = refusal(tunnel(sshd, known=f"@revoked {revoked.format(port=sshd.port)} {key}"))
    assert alone.title == "The SSH server's key was revoked"


def test_a_certificate_of_a_known_authority(
    start_sshd: Callable[..., Sshd], tunnel: MakeTunnel, tmp_path: Path
) -> None:
    authority, host = key_pair(tmp_path / "authority"), key_pair(tmp_path / "host")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-h", "-n", "127.0.0.1", f"{host}.pub"]
    subprocess.run(sign, check=True, capture_output=True)
    server = start_sshd(f"HostCertificate {host}-cert.pub", host_key=host)
    key = " ".join(public_half(authority).split()[:2])
    known = tunnel(server, known=f"@cert-authority * {key}")
    known.open()
    known.close()
    # Without the authority, the plain key is what a person can compare.
    assert isinstance(refusal(tunnel(server, known="")), UnknownHostKey)
    expired = [*sign[:-1], "-V", "20200101:20200102", sign[-1]]
    subprocess.run(expired, check=True, capture_output=True)
    server.kill()
    server.start()
    assert refusal(tunnel(server, known=f"@cert-authority * {key}")).title == (
        "The SSH server's certificate is not valid"
    )


def test_trust_adds_to_what_is_there(tmp_path: Path, keys: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    line = f"jump.example {' '.join(public_half(keys / 'host').split()[:2])}"
    second = f"[jump.example]:2222 {' '.join(public_half(keys / 'other_host').split()[:2])}"
    trust(file, line)
    trust(file, line)
    assert file.read_text() == f"{line}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(f"# mine\n{line}")
    file.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(file)
    trust(link, second)
    assert link.is_symlink()
    assert file.read_text() == f"# mine\n{line}\n{second}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["known_hosts"]
    assert len(known_keys([file], host="Jump.Example", port=22).keys) == 1
    for bad in ("", "jump.example ssh-ed25519", f"{line}\n{second}", f"{line} comment"):
        with pytest.raises(ValueError, match="one line"):
            trust(file, bad)


def test_trust_that_cannot_be_written(tmp_path: Path, keys: Path) -> None:
    line = f"jump.example {' '.join(public_half(keys / 'host').split()[:2])}"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConsoleError, match="could not be remembered"):
        trust(tmp_path / "file" / "known_hosts", line)
    with pytest.raises(ConsoleError, match="could not be remembered"):
        trust(tmp_path, line)


def test_a_known_hosts_file_that_cannot_be_read(sshd: Sshd, keys: Path, tmp_path: Path) -> None:
    settings = TunnelSettings("127.0.0.1", sshd.port, sshd.user, str(keys / "user"))
    error = refusal(SshTunnel(settings, passphrase=Secret(""), known_hosts=[tmp_path]))
    assert error.title == "The known-hosts file cannot be read"
    if os.geteuid() != 0:  # root reads everything
        locked = tmp_path / "known_hosts"
        locked.write_text("")
        locked.chmod(0)
        with pytest.raises(ConsoleError, match="cannot be read"):
            known_keys([locked], host="x", port=22)
