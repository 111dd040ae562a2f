"""What a person sets of an SSH tunnel. Apart from the tunnel itself, which is heavy to import."""

from __future__ import annotations

from dataclasses import dataclass

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """A jump host. `key_file` empty means the ssh-agent; nothing else is tried."""

    host: str
    port: int = SSH_PORT
    user: str = ""
    key_file: str = ""
