"""The desktop's notification service over D-Bus (freedesktop Desktop Notifications 1.2).

By jeepney, which keyring brings along on Linux: QtDBus of PySide cannot send the unsigned number that
`Notify` begins with. Where there is no bus or nobody who shows notifications, `tell` says so.
"""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Callable
from typing import Any

from console.app.notifications import Notification
from console.core.spawn import Tasks

log = logging.getLogger(__name__)
NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
ANSWER_S = 3.0
LIMIT = 1_000
KEPT = 50


class BusNotifications:
    """Connects at the first notification. `clicked` is called with the key of one that was pressed."""

    def __init__(self, *, clicked: Callable[[str], None]) -> None:
        self._clicked = clicked
        self._tasks = Tasks("notification bus")
        self._opened: _Bus | None = None
        self._keys: dict[int, str] = {}

    async def tell(self, notification: Notification) -> bool:
        """Show it; False when this desktop has nobody who does."""
        try:
            async with asyncio.timeout(ANSWER_S):
                bus = self._opened or await self._open()
                number = await bus.notify(notification)
        except Exception as error:  # whatever a desktop answers, it is no reason to fail
            log.info("The desktop shows no notifications: %s", error)
            await self._let_go()
            return False
        self._keys[number] = notification.key
        while len(self._keys) > KEPT:
            del self._keys[next(iter(self._keys))]
        return True

    async def _open(self) -> _Bus:
        bus = _Bus()
        try:
            await bus.open()
        except BaseException:
            await bus.aclose()
            raise
        self._opened = bus
        self._tasks.start(self._listen(bus), name="listen")
        return bus

    async def _listen(self, bus: _Bus) -> None:
        """Presses until the bus goes away."""
        while self._opened is bus:
            number = await bus.pressed()
            key = self._keys.pop(number, None)
            if key is not None:
                self._clicked(key)

    async def _let_go(self) -> None:
        bus, self._opened = self._opened, None
        if bus is not None:
            await self._tasks.aclose()
            await bus.aclose()

    async def aclose(self) -> None:
        await self._let_go()
        await self._tasks.aclose()


class _Bus:
    """One connection to the session bus. Everything raises what jeepney and asyncio raise."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._router: Any = None
        self._presses: Any = None
        self._markup = False

    async def open(self) -> None:
        from jeepney import DBusAddress, MatchRule, message_bus
        from jeepney.io.asyncio import DBusRouter, open_dbus_connection

        self._address = DBusAddress(PATH, bus_name=NAME, interface=NAME)
        self._connection = await open_dbus_connection("SESSION")
        self._router = DBusRouter(self._connection)
        await self._router.__aenter__()
        rule = MatchRule(type="signal", interface=NAME, member="ActionInvoked", path=PATH)
        self._presses = self._router.filter(rule, bufsize=KEPT)
        self._presses.__enter__()
        await self._call(message_bus, "AddMatch", "s", (rule.serialise(),))
        (able,) = await self._call(self._address, "GetCapabilities")
        self._markup = "body-markup" in able

    async def notify(self, notification: Notification) -> int:
        """The number that the desktop gave it."""
        body = notification.body[:LIMIT]
        # 1.2: urgency 1 normal, 2 critical (which stays until it is seen); "default" is a press on it.
        hints = {"urgency": ("y", 2 if notification.urgent else 1), "desktop-entry": ("s", "celery-console")}
        values = (
            "Celery Console", 0, "celery-console", notification.title[:LIMIT],
            html.escape(body, quote=False) if self._markup else body, ["default", "Open"], hints, -1,
        )  # fmt: skip
        (number,) = await self._call(self._address, "Notify", "susssasa{sv}i", values)
        return int(number)

    async def pressed(self) -> int:
        """The number of the next notification that is pressed."""
        message = await self._presses.queue.get()
        number, _action = message.body
        return int(number)

    async def _call(
        self, address: Any, method: str, signature: str = "", values: tuple[Any, ...] = ()
    ) -> Any:
        from jeepney import new_method_call
        from jeepney.wrappers import unwrap_msg

        call = new_method_call(address, method, signature or None, values)
        return unwrap_msg(await self._router.send_and_get_reply(call))

    async def aclose(self) -> None:
        if self._router is not None:
            await self._router.__aexit__(None, None, None)
        if self._connection is not None:
            await self._connection.close()
