"""What redis-py, kombu, py-amqp and TLS raise, in words: one place, as every gateway to a broker needs it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.stream import dial_error, not_redis, unreachable
from console.broker.tls import tls_error
from console.core.errors import Cause, ConsoleError


class LoginRefused(ConsoleError):  # noqa: N818
    """The broker does not accept this user and password: typing the password again may help."""


@contextmanager
def broker_errors(address: BrokerAddress) -> Iterator[None]:
    """Inside it, whatever the line to a broker raises becomes a `ConsoleError`; bugs stay what they are."""
    try:
        yield
    except ConsoleError:
        raise
    except Exception as error:
        said = broker_error(error, address)
        if said is None:
            raise
        raise said from error


def broker_error(error: BaseException, address: BrokerAddress) -> ConsoleError | None:
    """The `ConsoleError` for `error`, which may be wrapped by a library; None when it is not a broker's.

    The innermost known cause is the one that says most: kombu wraps redis-py's, redis-py wraps the socket's.
    """
    found: ConsoleError | None = None
    seen: BaseException | None = error
    depth = 0
    while seen is not None and depth < 10:
        if isinstance(seen, ConsoleError):
            return seen
        said = _said(seen, address)
        found = said if said is not None and (found is None or not _vague(said)) else found
        seen, depth = seen.__cause__ or seen.__context__, depth + 1
    return found


def _vague(said: ConsoleError) -> bool:
    return said.cause is Cause.UNREACHABLE


def _said(error: BaseException, address: BrokerAddress) -> ConsoleError | None:
    if isinstance(error, redis.RedisError):
        return redis_error(error, address)
    if isinstance(error, ssl.SSLError):
        return tls_error(error, shown=address.place, expected=address.host)
    if isinstance(error, UnicodeError):
        return ConsoleError(
            "The broker's host is not valid", detail=f"{address.place}: {error}.", cause=Cause.INVALID
        )
    if (said := _amqp_error(error, address)) is not None:
        return said
    if isinstance(error, OSError):
        return dial_error(error, address.place)
    if type(error).__module__.startswith("kombu.exceptions"):
        return unreachable(address.place, _first_line(error) or type(error).__name__)
    return None


def redis_error(error: redis.RedisError, address: BrokerAddress) -> ConsoleError:
    """The `ConsoleError` for one of redis-py's exceptions."""
    text = str(error)
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return refused_login(address)
    if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in text:
        return ConsoleError(
            "The broker user may not do this",
            detail=_sentence(text.removeprefix("NOPERM")),
            remedy="Ask for the right, or use another user.",
            cause=Cause.NOT_PERMITTED,
        )
    if isinstance(error, redis.TimeoutError):
        return _too_slow(address)
    if isinstance(error, redis.BusyLoadingError) or text.startswith("LOADING"):
        return ConsoleError(
            "Broker is still loading its data",
            detail=f"{address.place} answers, but not yet to commands.",
            cause=Cause.BUSY,
            retryable=True,
        )
    if isinstance(error, redis.exceptions.ReadOnlyError) or text.startswith("READONLY"):
        return ConsoleError(
            "The server is a replica and takes no changes",
            detail=f"{address.place} follows another server.",
            remedy="Connect to the primary, or through Sentinel, which knows it.",
            cause=Cause.NOT_PERMITTED,
            retryable=address.kind is BrokerKind.SENTINEL,
        )
    if "DB index is out of range" in text:
        return ConsoleError(
            "The broker has no such database",
            detail=f"{address.place} has no database {address.database}.",
            remedy="Choose a lower number: a Redis has 16 (0 to 15) unless set otherwise.",
            cause=Cause.INVALID,
        )
    if isinstance(error, redis.InvalidResponse):
        return not_redis(address.place)
    if isinstance(error, redis.ConnectionError):
        return unreachable(address.place, text)
    return ConsoleError("The broker refused a command", detail=_sentence(text), cause=Cause.OTHER)


def refused_login(address: BrokerAddress) -> ConsoleError:
    return LoginRefused(
        "Broker refused the login",
        detail=f"{address.shown} does not accept this user and password.",
        remedy="Check the user and the password of the connection.",
        cause=Cause.REFUSED_LOGIN,
    )


def not_amqp(shown: str) -> ConsoleError:
    return ConsoleError(
        "The server does not speak AMQP",
        detail=f"{shown} answers with something else.",
        remedy="Check host, port and TLS of the connection.",
        cause=Cause.PROTOCOL,
    )


def _amqp_error(error: BaseException, address: BrokerAddress) -> ConsoleError | None:
    """py-amqp's exceptions, by their module so that Redis alone never loads it; codes of AMQP 0-9-1, 1.2."""
    if not type(error).__module__.startswith("amqp"):
        return None
    # Of a class of its own for each code that py-amqp knows; of those it does not know only an attribute.
    code = getattr(error, "reply_code", None) or getattr(error, "code", None)
    text = str(getattr(error, "reply_text", "") or "").strip()
    if code == 403 and "ACCESS_REFUSED" in text and "Login was refused" in text:
        return refused_login(address)
    if code == 403:
        return ConsoleError(
            "The broker user may not do this",
            detail=_sentence(text or "Access was refused"),
            remedy="Ask for the permission, or use another user.",
            cause=Cause.NOT_PERMITTED,
        )
    if code == 530:
        # RabbitMQ closes with it both for a vhost that is missing and for one without permission.
        return ConsoleError(
            "The vhost cannot be used",
            detail=f"{address.vhost}: {text or 'not found, or no permission'}.",
            remedy="Check the vhost's name, and whether this user has permissions in it.",
            cause=Cause.REFUSED_LOGIN,
        )
    if code == 404:
        return ConsoleError("The broker has no such thing", detail=_sentence(text), cause=Cause.NOT_FOUND)
    if code == 312:
        # basic.return of a message that was published as mandatory.
        return ConsoleError(
            "The broker has no queue for this message",
            detail="It was given back, and nothing was sent.",
            remedy="Check the queue's name. A worker that consumes the queue creates it.",
            cause=Cause.NOT_FOUND,
        )
    if type(error).__name__ == "MessageNacked":
        return ConsoleError(
            "The broker did not take the message",
            detail="A queue refused it; it may be full.",
            remedy="Look at the queue's length and its policy in RabbitMQ.",
            cause=Cause.CONFLICT,
        )
    if code in (405, 406, 540):
        return ConsoleError("The broker refused a command", detail=_sentence(text), cause=Cause.CONFLICT)
    if code in (320, 541) or isinstance(error, OSError):
        return unreachable(address.place, text or "The connection was closed")
    if code == 501 or "frame" in type(error).__name__.lower():
        return not_amqp(address.place)
    return ConsoleError(
        "The broker refused a command", detail=_sentence(text or type(error).__name__), cause=Cause.OTHER
    )


def _too_slow(address: BrokerAddress) -> ConsoleError:
    return ConsoleError(
        "Broker does not answer in time",
        detail=f"{address.place} took too long.",
        remedy="It may be overloaded, or the network drops packets.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _sentence(text: str) -> str:
    """A server's own words with what makes a sentence of them: another one comes after it."""
    text = text.strip()
    if not text:
        return ""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
