"""redis-py's exceptions as what happened, in words. One place, because every Redis gateway needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from console.broker.address import BrokerAddress
from console.core.errors import Cause, ConsoleError


@contextmanager
def redis_errors(address: BrokerAddress) -> Iterator[None]:
    """Inside it, whatever redis-py raises becomes a `ConsoleError`."""
    try:
        yield
    except redis.RedisError as error:
        raise redis_error(error, address) from error
    except UnicodeError as error:  # a host that no resolver takes
        raise ConsoleError(
            "The broker's host is not valid", detail=f"{address.host}: {error}.", cause=Cause.INVALID
        ) from error
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def redis_error(error: redis.RedisError, address: BrokerAddress) -> ConsoleError:
    """The `ConsoleError` for one of redis-py's exceptions."""
    text = str(error)
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return ConsoleError(
            "Broker refused the login",
            detail=f"{address.shown} does not accept this user and password.",
            remedy="Check the user and the password of the connection.",
            cause=Cause.REFUSED_LOGIN,
        )
    if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in text:
        return ConsoleError(
            "The broker user may not do this",
            detail=text.removeprefix("NOPERM").strip(),
            remedy="Ask for the right, or use another user.",
            cause=Cause.NOT_PERMITTED,
        )
    if isinstance(error, redis.TimeoutError):
        return ConsoleError(
            "Broker does not answer in time",
            detail=f"{address.host}:{address.port} took too long.",
            remedy="It may be overloaded, or the network drops packets.",
            cause=Cause.TIMEOUT,
            retryable=True,
        )
    if isinstance(error, redis.BusyLoadingError) or text.startswith("LOADING"):
        return ConsoleError(
            "Broker is still loading its data",
            detail=f"{address.host}:{address.port} answers, but not yet to commands.",
            cause=Cause.BUSY,
            retryable=True,
        )
    if isinstance(error, redis.InvalidResponse):
        return ConsoleError(
            "The server does not speak Redis's protocol",
            detail=f"{address.host}:{address.port} answers with something else.",
            remedy="Check host, port and TLS of the connection.",
            cause=Cause.UNREACHABLE,
            retryable=True,
        )
    if isinstance(error, redis.ConnectionError):
        return _unreachable(address, text)
    return ConsoleError("The broker refused a command", detail=text, cause=Cause.OTHER)


def _unreachable(address: BrokerAddress, detail: str) -> ConsoleError:
    return ConsoleError(
        "Broker cannot be reached",
        detail=f"{address.host}:{address.port}: {detail.rstrip('.')}.",
        remedy="Check that it runs and that this machine may reach it.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )
