"""RabbitMQ's management API: what AMQP itself does not tell (all queues, unacknowledged messages, rates).

It is a plugin with a port and a permission of its own (a user tag), so it may well be missing: every failure
is a `ConsoleError` whose title and detail make the line that the page shows instead of the numbers.
Source: the page /api/index.html of the plugin, and rabbitmq.com/docs/management.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from console.broker.address import BrokerAddress, Endpoint, endpoint_text
from console.broker.stream import dial
from console.broker.tls import TlsOptions, wrap
from console.core.errors import Cause, ConsoleError

PORT = 15672
TLS_PORT = 15671
MOST_BYTES = 8 * 1024 * 1024
"""Of one answer; 500 queues are 80 KB."""
PAGE_QUEUES = 500
MOST_PAGES = 10
PAGES_WITHIN_S = 5.0
"""A slow server with many pages must not hold the lane of the queues for longer than it waits."""
COLUMNS = (
    "name,messages_ready,messages_unacknowledged,consumers,head_message_timestamp,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate"
)
NAME = "RabbitMQ's management API"


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue; None is unknown. Rates are messages per second into it and out to consumers.

    `oldest` is the time its publisher wrote on the message served next, which Celery itself does not.
    """

    name: str
    ready: int | None
    unacked: int | None
    consumers: int | None
    in_per_s: float | None
    out_per_s: float | None
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class VhostFigures:
    """The queues of one vhost; `complete` is False when there are more than were read."""

    queues: tuple[QueueFigures, ...]
    complete: bool


def management_url(address: BrokerAddress) -> str:
    """Where the API is: as the connection says, else on the broker's host at the usual port."""
    if address.management_url:
        return address.management_url
    scheme, port = ("https", TLS_PORT) if address.tls else ("http", PORT)
    return f"{scheme}://{endpoint_text((address.host, port))}"


def management_endpoint(address: BrokerAddress) -> Endpoint:
    """What is connected to for the API; a tunnel leads there too. Raises `ConsoleError`: not a URL.

    A URL that a person gave without a port means the web's own, as everywhere.
    """
    if not address.management_url:
        return address.host, TLS_PORT if address.tls else PORT
    parts = _parts(address)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class ManagementApi:
    """The API for one address, over one connection that is kept. Blocking, on one thread; `ConsoleError`."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._line: HTTPConnection | None = None
        self._with_rates: bool | None = None

    def queues(self) -> VhostFigures:
        """All queues of the connection's vhost, at most 5,000, and what came within a few seconds."""
        deadline_s = time.monotonic() + PAGES_WITHIN_S
        if self._with_rates is None:
            self._with_rates = _counts_rates(self.get("/api/overview?columns=rates_mode,disable_stats"))
        path = f"/api/queues/{quote(self._address.vhost, safe='')}?page_size={PAGE_QUEUES}&columns={COLUMNS}"
        found: dict[str, QueueFigures] = {}  # the list moves between two pages: a queue may come twice
        for page in range(1, MOST_PAGES + 1):
            answer = self.get(f"{path}&page={page}")
            items, pages = _items(answer)
            for item in items:
                figures = _figures(item, with_rates=self._with_rates)
                if figures is not None:
                    found[figures.name] = figures
            if page >= pages:
                return VhostFigures(tuple(found.values()), complete=True)
            if time.monotonic() > deadline_s:
                break
        return VhostFigures(tuple(found.values()), complete=False)

    def get(self, path: str) -> Any:
        """The JSON at `path`; a kept connection that the server has closed meanwhile is replaced once."""
        reused = self._line is not None
        try:
            return self._get(path)
        except ConsoleError as error:
            if not reused or error.cause is not Cause.UNREACHABLE:
                raise
        return self._get(path)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _get(self, path: str) -> Any:
        parts = _parts(self._address)
        shown = endpoint_text(management_endpoint(self._address))
        try:
            if self._line is None:
                self._line = self._open(parts, shown)
            # A path of the URL is the API's own `path_prefix`.
            self._line.request("GET", parts.path.rstrip("/") + path, headers=self._headers(parts))
            answer = self._line.getresponse()
            body = answer.read(MOST_BYTES + 1)
        except ConsoleError as error:
            self.close()
            raise _said(_reason(error, shown), error.cause) from error
        except TimeoutError as error:
            self.close()
            raise _said(f"{shown}: no answer in time", Cause.TIMEOUT) from error
        except (OSError, HTTPException) as error:
            self.close()
            raise _said(f"{shown}: {_words(error)}", Cause.UNREACHABLE) from error
        if answer.will_close or len(body) > MOST_BYTES:
            self.close()
        return _content(answer, body, shown)

    def _open(self, parts: SplitResult, shown: str) -> HTTPConnection:
        address = self._address
        host, port = endpoint = management_endpoint(address)
        line = dial(address.near(endpoint), shown=shown, timeout_s=address.timeout_s)
        if parts.scheme == "https":
            try:
                line = wrap(line, self._tls(host), host, shown=shown)
            except BaseException:
                line.close()
                raise
        connection = HTTPConnection(host, port, timeout=address.timeout_s)
        connection.sock = line
        # Otherwise http.client would dial by itself, around the tunnel and TLS, when the server closes.
        connection.auto_open = 0
        return connection

    def _tls(self, host: str) -> TlsOptions:
        """The broker's own options; the name in its certificate is only that of its host."""
        options = self._address.tls or TlsOptions()
        return options if host == self._address.host else replace(options, server_name="")

    def _headers(self, parts: SplitResult) -> dict[str, str]:
        user = self._address.username or "guest"
        password = self._address.password.reveal() or ("guest" if not self._address.username else "")
        login = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {login}", "Accept": "application/json", "Host": _host(parts)}


def _parts(address: BrokerAddress) -> SplitResult:
    try:
        parts = urlsplit(management_url(address))
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConsoleError(
            f"The address of {NAME} is not valid",
            detail="It must look like http://host:15672.",
            remedy="Correct it in the connection, or leave it empty.",
            cause=Cause.INVALID,
        )
    return parts


def _host(parts: SplitResult) -> str:
    """The header Host, without a login that somebody may have written into the URL."""
    return parts.netloc.rpartition("@")[2]


def _content(answer: HTTPResponse, body: bytes, shown: str) -> Any:
    status = answer.status
    if status in (401, 403):
        raise _said(
            f"{shown}: this user is not let in; it needs the tag monitoring or management",
            Cause.NOT_PERMITTED,
        )
    if 300 <= status < 400:
        raise _said(f"{shown}: it sends us to another address, which is not followed", Cause.PROTOCOL)
    if status == 404:
        raise _said(
            f"{shown}: there is nothing at this address, or no such vhost for this user", Cause.NOT_FOUND
        )
    if status != 200:
        raise _said(f"{shown}: it answers with HTTP status {status}", Cause.OTHER)
    if len(body) > MOST_BYTES:
        raise _said(f"{shown}: its answer is too large", Cause.OTHER)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _said(f"{shown}: its answer is not JSON", Cause.PROTOCOL) from error


def _said(detail: str, cause: Cause) -> ConsoleError:
    return ConsoleError(
        f"{NAME} cannot be used" if cause is Cause.NOT_PERMITTED else f"{NAME} cannot be reached",
        detail=f"{detail.rstrip('.')}.",
        remedy="Enable the plugin rabbitmq_management, or name its address in the connection.",
        cause=cause,
        retryable=True,
    )


def _reason(error: ConsoleError, shown: str) -> str:
    """Why there is no line, short: what the steps before the API say begins with the broker."""
    if error.cause in (Cause.UNREACHABLE, Cause.TIMEOUT) and error.detail:
        return error.detail
    return f"{shown}: {error.title[:1].lower()}{error.title[1:]}"


def _words(error: OSError | HTTPException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the connection was closed" if isinstance(error, OSError) else "another protocol than HTTP answers"


def _counts_rates(overview: Any) -> bool:
    """Whether the server counts messages per second; where it does not, a rate is unknown and not 0."""
    if not isinstance(overview, dict):
        return False
    return overview.get("rates_mode") != "none" and overview.get("disable_stats") is not True


def _items(answer: Any) -> tuple[list[Any], int]:
    """The queues of a page and how many pages there are."""
    if isinstance(answer, dict) and isinstance(answer.get("items"), list):
        pages = answer.get("page_count")
        return answer["items"], pages if isinstance(pages, int) else 1
    raise _said("its list of queues has another form", Cause.PROTOCOL)


def _figures(item: Any, *, with_rates: bool) -> QueueFigures | None:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return None
    stats = item.get("message_stats")
    return QueueFigures(
        name=item["name"],
        ready=_number(item.get("messages_ready")),
        unacked=_number(item.get("messages_unacknowledged")),
        consumers=_number(item.get("consumers")),
        in_per_s=_rate(stats, "publish_details") if with_rates else None,
        out_per_s=_rate(stats, "deliver_get_details") if with_rates else None,
        oldest=_instant(item.get("head_message_timestamp")),
    )


def _number(value: Any) -> int | None:
    """A count; statistics of a queue that has just been made, or are switched off, are missing."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _rate(stats: Any, name: str) -> float:
    """Messages per second; what has never happened to a queue is left out of its statistics."""
    details = stats.get(name) if isinstance(stats, Mapping) else None
    value = details.get("rate") if isinstance(details, Mapping) else None
    return max(0.0, float(value)) if isinstance(value, int | float) else 0.0


def _instant(value: Any) -> datetime | None:
    """Seconds since 1970; some publishers write milliseconds."""
    if not isinstance(value, int) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
