"""What can go wrong with an SSH tunnel, in words for a person.

Stands apart from the tunnel so that all its texts are read together.
"""

from __future__ import annotations

from console.core.errors import Cause, ConsoleError


class UnknownHostKey(ConsoleError):  # noqa: N818
    """The server showed a key that no known-hosts file has: a person may compare it and trust it.

    `known_hosts_line` is what `tunnel_hosts.trust` appends when they do; `fingerprint` is "SHA256:...".
    """

    def __init__(
        self, *, host: str, port: int, key_type: str, fingerprint: str, known_hosts_line: str
    ) -> None:
        super().__init__(
            "The SSH server is not known to this computer",
            detail=f"{server(host, port)} shows a key of type {key_type} with the fingerprint {fingerprint}.",
            remedy="Compare the fingerprint with the one that the server's administrator gives you, "
            "and trust the key only if they are the same.",
            cause=Cause.INVALID,
        )
        self.host = host
        self.port = port
        self.fingerprint = fingerprint
        self.known_hosts_line = known_hosts_line


class PassphraseNeeded(ConsoleError):  # noqa: N818
    """The key file is encrypted and the passphrase is missing or wrong: asking for it again helps."""


def server(host: str, port: int) -> str:
    """`host:port` as people write it, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def not_valid(detail: str) -> ConsoleError:
    return ConsoleError(
        "The SSH tunnel is not set up correctly",
        detail=detail,
        remedy="Correct it in the connection's SSH tunnel section.",
        cause=Cause.INVALID,
    )


def closed() -> ConsoleError:
    return ConsoleError(
        "The SSH tunnel is not open", remedy="Connect again.", cause=Cause.UNREACHABLE, retryable=True
    )


# Before the server is spoken to: the key and the agent.


def key_file_missing(path: str) -> ConsoleError:
    return ConsoleError(
        "The SSH key file does not exist",
        detail=f"{path} was not found.",
        remedy="Choose the file of the private key, or leave the field empty to use the SSH agent.",
        cause=Cause.NOT_FOUND,
    )


def key_file_unreadable(path: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH key file cannot be read",
        detail=f"{path}: {reason}.",
        remedy="Give yourself the right to read it, or choose another file.",
        cause=Cause.NOT_PERMITTED,
    )


def not_a_key(path: str) -> ConsoleError:
    return ConsoleError(
        "The file is not an SSH private key",
        detail=f"{path} holds no private key in a format that can be read.",
        remedy="Choose the private key, not the file that ends in .pub. A PuTTY key (.ppk) must be exported "
        "as an OpenSSH key first.",
        cause=Cause.INVALID,
    )


def key_format_needs_bcrypt(path: str) -> ConsoleError:
    return ConsoleError(
        "The SSH key file cannot be decrypted on this computer",
        detail=f"{path} has OpenSSH's own encryption, and the Python package bcrypt is not installed.",
        remedy="Install bcrypt for the console, or add the key to the SSH agent with ssh-add.",
        cause=Cause.NOT_FOUND,
    )


def passphrase_needed(path: str) -> PassphraseNeeded:
    return PassphraseNeeded(
        "The SSH key needs its passphrase",
        detail=f"{path} is encrypted.",
        remedy="Type the passphrase of the key.",
        cause=Cause.REFUSED_LOGIN,
    )


def passphrase_wrong(path: str) -> PassphraseNeeded:
    return PassphraseNeeded(
        "The passphrase of the SSH key is wrong",
        detail=f"{path} could not be decrypted with it.",
        remedy="Type the passphrase of the key again.",
        cause=Cause.REFUSED_LOGIN,
    )


def agent_missing(detail: str) -> ConsoleError:
    return ConsoleError(
        "The SSH agent is not running",
        detail=detail,
        remedy="Start the agent and add your key with ssh-add, or choose a key file.",
        cause=Cause.NOT_FOUND,
    )


def agent_empty() -> ConsoleError:
    return ConsoleError(
        "The SSH agent holds no key",
        remedy="Add your key with ssh-add, or choose a key file.",
        cause=Cause.NOT_FOUND,
    )


def agent_silent(limit_s: float) -> ConsoleError:
    return ConsoleError(
        "The SSH agent does not answer",
        detail=f"Nothing came within {limit_s:g} s.",
        remedy="Look whether the agent waits for you to confirm or to touch a device, or choose a key file.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


# On the way to the server.


def name_not_found(host: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server's name is not known",
        detail=f"No address was found for {host}.",
        remedy="Check the host name and that the network, or the VPN, is connected.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def refused(where: str) -> ConsoleError:
    return ConsoleError(
        "No SSH server listens there",
        detail=f"{where} refuses the connection.",
        remedy="Check the port, and that the SSH server is running.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def unreachable(where: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server cannot be reached",
        detail=f"{where}: {reason}.",
        remedy="Check the host and the port, and that the network, or the VPN, is connected.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def no_answer(where: str, step: str, limit_s: float) -> ConsoleError:
    return ConsoleError(
        "The SSH server does not answer",
        detail=f"{where}: {step} did not end within {limit_s:g} s.",
        remedy="Check the host and the port, and whether a firewall is in between.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


def hung_up(where: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server closed the connection",
        detail=f"{where}: {reason}.",
        remedy="Try again in a moment. If it stays so, the server may not admit this computer.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def not_ssh(where: str) -> ConsoleError:
    return ConsoleError(
        "There is no SSH server at this port",
        detail=f"{where} speaks another protocol.",
        remedy="Check the port. SSH servers mostly listen on 22.",
        cause=Cause.INVALID,
    )


def no_common_method(where: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server offers no encryption that is still safe",
        detail=f"{where}: {reason}.",
        remedy="The server's SSH software must be updated.",
        cause=Cause.INVALID,
    )


# Who the server is, and who we are.


def key_changed(where: str, key_type: str, fingerprint: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server's key has changed",
        detail=f"{where} shows a key of type {key_type} with the fingerprint {fingerprint}, "
        "which is not the key that this computer knows. Somebody may be listening in.",
        remedy="Ask the server's administrator. Only if the change was intended, "
        "remove the old key from the known-hosts file.",
        cause=Cause.INVALID,
    )


def key_revoked(where: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server's key was revoked",
        detail=f"The known-hosts file marks the key that {where} shows as no longer to be trusted.",
        remedy="Do not connect. Ask the server's administrator.",
        cause=Cause.INVALID,
    )


def certificate_not_valid(where: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server's certificate is not valid",
        detail=f"{where}: {reason}.",
        remedy="Ask the server's administrator.",
        cause=Cause.INVALID,
    )


def known_hosts_unreadable(path: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The known-hosts file cannot be read",
        detail=f"{path}: {reason}.",
        remedy="Without it the SSH server cannot be recognised. Give yourself the right to read it.",
        cause=Cause.NOT_PERMITTED,
    )


def login_refused(user: str, where: str, identity: str, reason: str = "") -> ConsoleError:
    return ConsoleError(
        "The SSH server refused the login",
        detail=f"{where} does not admit the user {user} with {identity}."
        + (f" It says: {reason}." * bool(reason)),
        remedy="Check the user, and that the key's public half is in the server's authorized_keys.",
        cause=Cause.REFUSED_LOGIN,
    )


# From the server to the broker or database.


def forwarding_forbidden(target: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server does not allow the tunnel",
        detail=f"You are logged in, but it forbids forwarding to {target}.",
        remedy="Ask its administrator to allow it (AllowTcpForwarding and PermitOpen in sshd_config).",
        cause=Cause.NOT_PERMITTED,
    )


def target_unreachable(target: str, reason: str) -> ConsoleError:
    return ConsoleError(
        "The SSH server cannot reach the target",
        detail=f"From there, {target} answers: {reason}.",
        remedy="Check host and port as they are seen from the SSH server.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def target_silent(target: str, limit_s: float) -> ConsoleError:
    return ConsoleError(
        "The SSH server gets no answer from the target",
        detail=f"{target} did not answer within {limit_s:g} s.",
        remedy="Check host and port as seen from the SSH server, and whether a firewall is in between.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )
