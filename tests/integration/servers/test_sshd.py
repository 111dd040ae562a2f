"""The tests' own sshd and ssh-agent really do what the tests of tunnels take for granted."""

from __future__ import annotations

from typing import Any

import asyncssh
import pytest
import redis.asyncio

from tests.sshd import SshAgent, SshKey, SshServer
from tests.valkey import ValkeyServer


def _connect(server: SshServer, **options: Any) -> Any:
    return asyncssh.connect(
        server.host,
        server.port,
        config=None,
        known_hosts=str(server.known_hosts),
        username=server.user,
        **({"agent_path": None} | options),
    )


def _keys(key: SshKey) -> dict[str, Any]:
    return {"client_keys": [str(key.file)], "passphrase": key.passphrase or None}


async def test_a_tunnel_reaches_a_server(sshd: SshServer, broker: ValkeyServer) -> None:
    async with _connect(sshd, **_keys(sshd.key)) as connection:
        listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", broker.port)
        async with redis.asyncio.Redis(
            host="127.0.0.1", port=listener.get_port(), password=broker.password
        ) as client:
            assert await client.ping()
        listener.close()
        await listener.wait_closed()


async def test_who_may_log_in(sshd: SshServer) -> None:
    async with _connect(sshd, **_keys(sshd.locked_key)):
        pass
    with pytest.raises(asyncssh.KeyEncryptionError):
        await _connect(sshd, client_keys=[str(sshd.locked_key.file)], passphrase="wrong")
    with pytest.raises(asyncssh.PermissionDenied):
        await _connect(sshd, **_keys(sshd.stranger_key))


async def test_an_agent_holds_a_locked_key(sshd: SshServer, ssh_agent: SshAgent) -> None:
    ssh_agent.add(sshd.locked_key)
    async with _connect(sshd, agent_path=str(ssh_agent.socket)):
        pass


async def test_cut_restart_and_another_host_key(sshd: SshServer) -> None:
    async with _connect(sshd, **_keys(sshd.key)) as connection:
        sshd.cut()
        await connection.wait_closed()
    sshd.restart()
    async with _connect(sshd, **_keys(sshd.key)):
        pass
    sshd.restart(new_host_key=True)
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await _connect(sshd, **_keys(sshd.key))
