"""The watching of an open line: the ping that alone decides between Connected and Reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from console.broker.session import Session
from console.core.clock import boot_s
from console.core.connection import LinkState, Rights
from console.core.errors import Cause, ConsoleError
from console.core.notices import Level, NoticeBoard

log = logging.getLogger(__name__)

PING_S = 2.0
SUSPECT_S = 0.1
RETRY_S = (0.5, 1.0, 2.0, 4.0)  # then 4 s for good: Connected within 5 s of the broker's return
SLEPT_S = 5.0
GRACE_S = 0.5
PROBES = 3
NOTICE = "link"

_FINAL = frozenset({Cause.REFUSED_LOGIN, Cause.NOT_PERMITTED, Cause.INVALID, Cause.CERTIFICATE})


def is_final(error: ConsoleError, *, was_connected: bool = False) -> bool:
    """Whether trying again by itself is of no use.

    Another protocol is that too, unless this one was spoken before: then the answer was cut or mixed up.
    """
    if error.retryable:
        return False
    return error.cause in _FINAL or (error.cause is Cause.PROTOCOL and not was_connected)


def pause_s(failures: int) -> float:
    """How long to wait after this many failures in a row (0: the first)."""
    return RETRY_S[min(failures, len(RETRY_S) - 1)]


class LineWatch:
    """Pings one session until it is closed or its line cannot come back.

    - `gave_up(error)`: the end; the session's state is the caller's business then.
    - `connected()`: at the first answer.
    - `rerouted()`: after each failure; True when the caller opens the connection anew.
    - `probe(session)`: blocking, on the control lane: what the broker's user may not do.
    - `start(work, name)`: runs `work` beside the pings.
    """

    def __init__(
        self,
        session: Session,
        *,
        notices: NoticeBoard,
        probe: Callable[[Session], Rights],
        gave_up: Callable[[ConsoleError], None],
        connected: Callable[[], None],
        rerouted: Callable[[], Awaitable[bool]],
        start: Callable[[Awaitable[None], str], None],
        boot_s: Callable[[], float] = boot_s,
    ) -> None:
        self._session = session
        self._notices = notices
        self._probe = probe
        self._gave_up = gave_up
        self._connected = connected
        self._rerouted = rerouted
        self._start = start
        self._probing = False
        self._boot_s = boot_s
        self._awaited_s = 0.0
        self._now = asyncio.Event()
        self._suspected = asyncio.Event()
        self._failures = 0
        self._was_connected = False
        self._probes_left = PROBES
        self.ended = False

    def suspect(self) -> None:
        """Somebody else has seen the line break: ask the broker now instead of at the next ping."""
        self._suspected.set()

    def try_now(self) -> None:
        """Do not wait for the next attempt."""
        self._now.set()

    async def run(self) -> None:
        """Until `ended` is set or the line is given up."""
        session = self._session
        self._expect(session.address.timeout_s)
        if not session.address.kind.is_redis:
            # Importing celery takes longer than a short timeout, and is not the broker's fault.
            with contextlib.suppress(ConsoleError):
                await session.link.run(session.celery_app)
        while not self.ended:
            try:
                latency_ms = await self._ping()
            except ConsoleError as error:
                if self._is_over() or await self._failed(error):
                    return
            else:
                if self._is_over():
                    return
                await self._answered(latency_ms)

    def _is_over(self) -> bool:
        """`ended`, asked anew: while a ping runs the session may be closed."""
        return self.ended

    async def _ping(self) -> float:
        session = self._session
        limit_s = session.address.timeout_s + GRACE_S
        try:
            return await session.link.run(session.ping, timeout_s=limit_s)
        except ConsoleError as error:
            if session.link.stuck or error.cause is Cause.BUSY:
                raise _no_answer(session.address.place, session.address.timeout_s) from error
            raise
        except Exception as error:
            # A library's surprise at what a server said: the line is not up because nobody has words for it.
            log.exception("the broker could not be asked, in a way that is not known")
            raise _not_understood(session.address.place) from error

    async def _failed(self, error: ConsoleError) -> bool:
        """Whether that was the end; otherwise it is time for the next attempt when this returns."""
        session = self._session
        behind = next((one.failure for one in session.tunnels if one.failure is not None), None)
        error = behind or error
        if is_final(error, was_connected=self._was_connected):
            self._gave_up(error)
            return True
        wait_s = pause_s(self._failures)
        self._failures += 1
        session.set_status(
            LinkState.RECONNECTING,
            error=error,
            retry_at=session.clock.now() + timedelta(seconds=wait_s),
        )
        self._notices.post_error(error, key=NOTICE)
        self._now.clear()
        await self._drop_lines()
        if await self._rerouted():
            return True
        self._expect(wait_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._now.wait()
        if not self.ended:
            session.set_status(LinkState.RECONNECTING, error=error)
        self._expect(session.address.timeout_s)
        return False

    async def _answered(self, latency_ms: float) -> None:
        session = self._session
        if self._failures:
            self._notices.post(Level.OK, "Connected again", detail=session.info.name, key=NOTICE)
        self._failures = 0
        session.set_status(LinkState.CONNECTED, latency_ms=latency_ms)
        if not self._was_connected:
            self._was_connected = True
            self._connected()
        if self._probes_left and not self._probing:
            self._probing = True
            self._start(self._probe_rights(), "ask what is permitted")
        self._expect(PING_S)
        await self._until_next_ping()
        if self._slept():
            await self._drop_lines()
        self._expect(session.address.timeout_s)

    async def _probe_rights(self) -> None:
        """Once for this login, beside the pings; an attempt that fails is made again a few times."""
        self._probes_left -= 1
        try:
            rights = await self._session.control.run(self._probe, self._session)
        except ConsoleError as error:
            log.info("what the broker's user may do could not be asked: %s", error)
            return
        finally:
            self._probing = False
        self._probes_left = 0
        if not self.ended:
            self._session.set_rights(rights)

    async def _until_next_ping(self) -> None:
        try:
            async with asyncio.timeout(PING_S):
                await self._suspected.wait()
                await asyncio.sleep(SUSPECT_S)  # a stream of suspicions is one question a while
        except TimeoutError:
            pass
        self._suspected.clear()

    def _expect(self, within_s: float) -> None:
        self._awaited_s = self._boot_s() + within_s

    def _slept(self) -> bool:
        """Whether this comes so late that the computer slept, or the process was stopped, meanwhile."""
        return self._boot_s() - self._awaited_s > SLEPT_S

    async def _drop_lines(self) -> None:
        session = self._session
        if not session.link.stuck:
            with contextlib.suppress(ConsoleError):
                await session.link.run(session.drop_lines, timeout_s=1.0)


def _not_understood(place: str) -> ConsoleError:
    return ConsoleError(
        "The broker's answer is not understood",
        detail=f"{place} said something unexpected; the log has more.",
        remedy="The console tries again. Check that a broker of this kind listens there.",
        cause=Cause.OTHER,
        retryable=True,
    )


def _no_answer(place: str, timeout_s: float) -> ConsoleError:
    return ConsoleError(
        "Broker does not answer in time",
        detail=f"{place} took longer than {timeout_s:g} s.",
        remedy="A firewall may drop the packets, or the host is down or overloaded.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )
