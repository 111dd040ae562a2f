"""A TCP proxy that fails on demand: what stands between the console and a server in tests of bad networks.

It listens on 127.0.0.1, runs in a thread of its own and takes orders from any thread. An order has been
carried out when its call returns; all of them may be given at any time, in any order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from types import TracebackType
from typing import Any, TypeVar

ORDER_S = 10.0
LOOPBACK = "127.0.0.1"
Given = TypeVar("Given")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""`struct linger` with a time of 0: closing sends RST (socket(7), SO_LINGER)."""


class _Arrival(Enum):
    """What becomes of a new connection."""

    FORWARDED = auto()
    HELD = auto()


class Proxy:
    """`with Proxy("127.0.0.1", server.port) as proxy:` and connect to `proxy.port`.

    `target` may be changed under way and holds for the connections to come.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.accepted = 0
        self._arrival = _Arrival.FORWARDED
        self._delay_s = 0.0
        self._links: set[_Link] = set()
        self._listening = False
        # Bound for the proxy's whole life: the port stays ours while nobody listens on it.
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._order(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._order(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(ORDER_S)
            self._socket.close()

    @property
    def connections(self) -> int:
        """How many connections of clients it holds now, forwarded or not."""
        return self._order(self._count())

    def cut(self) -> None:
        """Close all connections now (FIN to both ends). New ones are treated as before."""
        self._order(self._drop(lambda _link: True))

    def reset(self) -> None:
        """Close all connections now with RST, as a firewall that forgot them does."""
        self._order(self._drop(lambda _link: True, reset=True))

    def half_open(self) -> None:
        """The connections that stand stay open and forward nothing more, not even that an end closed."""
        self._order(self._hold())

    def delay(self, seconds: float) -> None:
        """From now on every piece of data takes this much longer, each way."""
        self._order(self._set_delay(seconds))

    def refuse(self) -> None:
        """Nobody listens: a connection is refused. Those that stand go on."""
        self._order(self._refuse())

    def accept_silently(self) -> None:
        """A new connection is accepted and never answered. Those that stand go on."""
        self._order(self._set_arrival(_Arrival.HELD))

    def heal(self) -> None:
        """Listen and forward without delay again; the connections that were held are closed."""
        self._order(self._heal())

    def _order(self, work: Coroutine[Any, Any, Given]) -> Given:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ORDER_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _count(self) -> int:
        return len(self._links)

    async def _listen(self) -> None:
        self._arrival = _Arrival.FORWARDED
        if not self._listening:
            self._listening = True
            self._socket.listen(128)
            # Not asyncio's server: one that is closed while it accepts loses that connection (3.11).
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except OSError:
            # The client has thought better of it.
            return
        accepted.setblocking(False)
        self.accepted += 1
        link = _Link(self._loop, self._links)
        link.delay_s = self._delay_s
        link.held = self._arrival is _Arrival.HELD
        self._links.add(link)
        link.open(accepted, *self.target)

    async def _drop(self, which: Callable[[_Link], bool], *, reset: bool = False) -> None:
        links = [link for link in self._links if which(link)]
        for link in links:
            link.drop(reset=reset)
        await asyncio.gather(*(link.gone.wait() for link in links))

    async def _hold(self) -> None:
        for link in self._links:
            link.hold()

    async def _set_delay(self, seconds: float) -> None:
        self._delay_s = seconds
        for link in self._links:
            link.delay_s = seconds

    async def _set_arrival(self, arrival: _Arrival) -> None:
        await self._listen()
        self._arrival = arrival

    async def _refuse(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = _bound(self.port)

    async def _heal(self) -> None:
        await self._set_delay(0)
        await self._listen()
        await self._drop(lambda link: link.held)

    async def _end(self) -> None:
        await self._refuse()
        await self._drop(lambda _link: True)


class _Link:
    """One client's connection and the one to the server; it is gone when both are."""

    def __init__(self, loop: asyncio.AbstractEventLoop, links: set[_Link]) -> None:
        self._loop = loop
        self._links = links
        self.gone = asyncio.Event()
        self.near = _End(self, loop)
        self.far = _End(self, loop)
        self.near.other, self.far.other = self.far, self.near
        self.delay_s = 0.0
        self.held = False
        self.dropped = False
        self._opening: asyncio.Task[None] | None = None

    def open(self, accepted: socket.socket, host: str, port: int) -> None:
        self._opening = self._loop.create_task(self._open(accepted, host, port))
        self._opening.add_done_callback(self._opened)

    async def _open(self, accepted: socket.socket, host: str, port: int) -> None:
        await self._loop.connect_accepted_socket(lambda: self.near, accepted)
        if self.held or self.dropped:
            return
        try:
            await self._loop.create_connection(lambda: self.far, host, port)
        except OSError:
            self.drop()

    def _opened(self, _task: asyncio.Task[None]) -> None:
        self._opening = None
        self.settle()

    def hold(self) -> None:
        """Read nothing more: what the ends send stays in the buffers of the kernel."""
        self.held = True
        for end in (self.near, self.far):
            end.forget()

    def drop(self, *, reset: bool = False) -> None:
        self.dropped = True
        # Before the near end is made it is not cancelled: the accepted socket would belong to nobody.
        if self._opening is not None and self.near.made:
            self._opening.cancel()
        for end in (self.near, self.far):
            end.drop(reset=reset)
        self.settle()

    def settle(self) -> None:
        """Gone when nothing of it is open and nothing is being opened."""
        ends = (self.near, self.far)
        if self._opening is None and not any(end.transport for end in ends):
            self._links.discard(self)
            self.gone.set()


class _End(asyncio.Protocol):
    """One of a link's two connections: what it receives, the other one sends."""

    def __init__(self, link: _Link, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._loop = loop
        self.other: _End
        self.transport: asyncio.Transport | None = None
        self.made = False
        self._full = False
        self._ended = False
        # Received here and not yet given to the other end: when it is due, and None for the end of it all.
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.made = True
        if self._link.dropped or (self.other.made and self.other.transport is None):
            transport.abort()
            return
        # Nothing is read before both ends are there to take it.
        transport.pause_reading()
        if self.other.transport is not None:
            self.read_on()
            self.other.read_on()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        self._take(None)
        # The other direction may go on.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.forget()
        other = self.other
        # A held link keeps what an end did from the other.
        if other.transport is not None and not self._link.held:
            if exc is None:
                other.transport.close()
            else:
                other.transport.abort()
        self._link.settle()

    def pause_writing(self) -> None:
        self._full = True
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self.other.read_on()

    def read_on(self) -> None:
        if self.transport is not None and not self._link.held and not self.other._full:
            self.transport.resume_reading()

    def forget(self) -> None:
        """Drop what waits; read nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None:
            self.transport.pause_reading()

    def drop(self, *, reset: bool) -> None:
        if self.transport is not None:
            if reset:
                own = self.transport.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()

    def _take(self, piece: bytes | None) -> None:
        if self._link.held:
            return
        self._waiting.append((self._loop.time() + self._link.delay_s, piece))
        if self._timer is None:
            self._give()

    def _give(self) -> None:
        self._timer = None
        while self._waiting:
            due, piece = self._waiting[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._give)
                return
            self._waiting.popleft()
            self._send(piece)

    def _send(self, piece: bytes | None) -> None:
        target = self.other.transport
        if target is None or target.is_closing():
            return
        if piece is not None:
            target.write(piece)
            return
        self._ended = True
        if target.can_write_eof():
            try:
                target.write_eof()
            except OSError:
                # It was reset meanwhile, and its transport has not noticed yet.
                target.abort()
                return
        if self.other._ended:
            # Both ends have said all: each is closed when what it was given is written.
            target.close()
            if self.transport is not None:
                self.transport.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound
