"""A desktop that shows notifications: the freedesktop service on the session bus of the test."""

from __future__ import annotations

import asyncio
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import open_dbus_connection
from jeepney.wrappers import unwrap_msg

NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"


class Desktop:
    """`shown` are the values of each Notify. Notifications are numbered from 1."""

    def __init__(self, *, abilities: tuple[str, ...] = ("body", "actions", "body-markup")) -> None:
        self.shown: list[tuple[Any, ...]] = []
        self._abilities = abilities
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Desktop:
        self._bus = await open_dbus_connection("SESSION")
        await self._bus.send(message_bus.RequestName(NAME))
        while (await self._bus.receive()).header.message_type is not MessageType.method_return:
            pass
        self._task = asyncio.ensure_future(self._serve())
        return self

    async def _serve(self) -> None:
        while True:
            message = await self._bus.receive()
            if message.header.message_type is not MessageType.method_call:
                continue
            match message.header.fields[HeaderFields.member]:
                case "GetCapabilities":
                    await self._bus.send(new_method_return(message, "as", (list(self._abilities),)))
                case "Notify":
                    self.shown.append(message.body)
                    await self._bus.send(new_method_return(message, "u", (len(self.shown),)))

    async def press(self, number: int) -> None:
        """What a person does with the notification of that number."""
        emitter = DBusAddress(PATH, interface=NAME)
        await self._bus.send(new_signal(emitter, "ActionInvoked", "us", (number, "default")))

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._bus.close()


async def has_desktop() -> bool:
    """Whether anybody shows notifications on this bus."""
    from jeepney.io.asyncio import open_dbus_router

    async with open_dbus_router("SESSION") as router:
        (owned,) = unwrap_msg(await router.send_and_get_reply(message_bus.NameHasOwner(NAME)))
    return bool(owned)
