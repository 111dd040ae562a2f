"""What a connection's test says of a broker beside what every line to one may raise."""

from __future__ import annotations

from collections.abc import Sequence

from console.broker.address import BrokerAddress
from console.core.errors import Cause, ConsoleError


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def no_password_wanted(address: BrokerAddress, said: str) -> ConsoleError | None:
    if "without any password" not in said and "Client sent AUTH, but no password is set" not in said:
        return None
    return ConsoleError(
        "The broker has no password",
        detail=f"{address.place} refuses a login with one.",
        remedy="Empty the password of the connection.",
        cause=Cause.REFUSED_LOGIN,
    )


def not_verified(shown: str) -> ConsoleError:
    return ConsoleError(
        "Anybody could answer in the server's place",
        detail=f"The certificate of {shown} is not verified.",
        remedy="Turn verification on, with the file of its certificate authority if need be.",
        cause=Cause.CERTIFICATE,
    )


def ends_soon(shown: str, days: int) -> ConsoleError:
    return ConsoleError(
        "The server's certificate ends soon",
        detail=f"{shown}: {days} {'day' if days == 1 else 'days'} left.",
        remedy="Its administrator must renew it.",
        cause=Cause.CERTIFICATE,
    )


def no_workers() -> ConsoleError:
    return ConsoleError(
        "No worker answered within a second",
        detail="None runs on this broker, or all of them are too busy, or remote control is off.",
        remedy="Check the database or vhost, and that workers run.",
    )


def replica(address: BrokerAddress) -> ConsoleError:
    return ConsoleError(
        "The server is a replica",
        detail=f"{address.place} follows another server and takes no changes.",
        remedy="Connect to the primary, or through Sentinel, which knows it.",
        cause=Cause.NOT_PERMITTED,
    )
