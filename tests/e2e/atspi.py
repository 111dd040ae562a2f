"""Drives a window through its accessibility tree, as assistive technology does: another process, no Qt.

A small AT-SPI client over D-Bus (jeepney comes with keyring's Secret Service backend). Roles are the names
that AT-SPI gives, such as "push button" or "table".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

ACCESSIBLE = "org.a11y.atspi.Accessible"
ACTION = "org.a11y.atspi.Action"
EDITABLE = "org.a11y.atspi.EditableText"
TEXT = "org.a11y.atspi.Text"
PROPERTIES = "org.freedesktop.DBus.Properties"
NULL = "/org/a11y/atspi/null"
REPLY_S = 10.0
LONG = 1000
# Bits of AT-SPI's state set (AtspiStateType).
STATE_ENABLED = 8
STATE_SHOWING = 25
STATE_CHECKED = 4


class NotThereError(AssertionError):
    """What was looked for is not in the tree."""


class Bus:
    """The accessibility bus of the session."""

    def __init__(self) -> None:
        with open_dbus_connection(bus="SESSION") as session:
            ask = new_method_call(DBusAddress("/org/a11y/bus", "org.a11y.Bus", "org.a11y.Bus"), "GetAddress")
            address = session.send_and_get_reply(ask, timeout=REPLY_S).body[0]
        self._connection: DBusConnection = open_dbus_connection(bus=address)

    def call(self, name: str, path: str, interface: str, method: str, signature: str = "", *body: Any) -> Any:
        target = DBusAddress(path, bus_name=name, interface=interface)
        message = new_method_call(target, method, signature or None, body)
        reply = self._connection.send_and_get_reply(message, timeout=REPLY_S)
        if reply.header.message_type is MessageType.error:
            raise NotThereError(f"{method} on {path}: {reply.body}")
        return reply.body[0] if reply.body else None

    def close(self) -> None:
        self._connection.close()

    def application(self, pid: int, within_s: float = 20.0) -> Node:
        """The root of the program with this process id, once it has registered."""
        registry = Node(self, "org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root")
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for child in registry.children():
                try:
                    owner = self.call(
                        "org.freedesktop.DBus",
                        "/org/freedesktop/DBus",
                        "org.freedesktop.DBus",
                        "GetConnectionUnixProcessID",
                        "s",
                        child.bus_name,
                    )
                except NotThereError:
                    continue
                if owner == pid:
                    return child
            time.sleep(0.05)
        raise NotThereError(f"process {pid} has no accessibility tree")


@dataclass(frozen=True)
class Node:
    """One accessible object. Values are asked anew at each use."""

    bus: Bus
    bus_name: str
    path: str

    def _get(self, name: str) -> Any:
        answer = self.bus.call(self.bus_name, self.path, PROPERTIES, "Get", "ss", ACCESSIBLE, name)
        return answer[1]

    @property
    def name(self) -> str:
        return str(self._get("Name"))

    @property
    def role(self) -> str:
        return str(self.bus.call(self.bus_name, self.path, ACCESSIBLE, "GetRoleName"))

    def children(self) -> list[Node]:
        found = self.bus.call(self.bus_name, self.path, ACCESSIBLE, "GetChildren")
        return [Node(self.bus, name, path) for name, path in found if path != NULL]

    def has_state(self, bit: int) -> bool:
        low, high = self.bus.call(self.bus_name, self.path, ACCESSIBLE, "GetState")
        return bool(((high << 32) | low) >> bit & 1)

    @property
    def showing(self) -> bool:
        return self.has_state(STATE_SHOWING)

    @property
    def enabled(self) -> bool:
        return self.has_state(STATE_ENABLED)

    def walk(self, *, showing: bool = False) -> Iterator[Node]:
        """Everything below, breadth first; objects that vanish meanwhile are passed over.

        With `showing` nothing below what is hidden: most of a window are pages that are not looked at. The
        cells of a long table (a log has thousands) are left to `cells`.
        """
        waiting = [self]
        while waiting:
            node = waiting.pop(0)
            yield node
            try:
                if not showing or node is self or node.showing:
                    children = node.children()
                    waiting += children if len(children) <= LONG else []
            except NotThereError:
                continue

    def find_all(self, name: str, role: str | None = None, *, showing: bool = False) -> list[Node]:
        found = []
        for node in self.walk(showing=showing):
            try:
                if node.name == name and (role is None or node.role == role):
                    found.append(node)
            except NotThereError:
                continue
        return found

    def find(
        self, name: str, role: str | None = None, *, within_s: float = 5.0, showing: bool = True
    ) -> Node:
        """The first object of that name (and role) that is showing; waits for it."""
        deadline = time.monotonic() + within_s
        while True:
            for node in self.find_all(name, role, showing=showing):
                if not showing or node.showing:
                    return node
            if time.monotonic() > deadline:
                raise NotThereError(f"no {role or 'object'} named {name!r} shows within {within_s} s")
            time.sleep(0.05)

    def press(self) -> None:
        """Do the object's first action: press a button, toggle a box, choose an item."""
        self.bus.call(self.bus_name, self.path, ACTION, "DoAction", "i", 0)

    def set_text(self, text: str) -> None:
        self.bus.call(self.bus_name, self.path, EDITABLE, "SetTextContents", "s", text)

    def choose(self, words: str) -> None:
        """Choose an item of a combo box, as its list is offered without being opened."""
        self.children()[0].find(words, "list item").press()

    @property
    def checked(self) -> bool:
        return self.has_state(STATE_CHECKED)

    @property
    def description(self) -> str:
        return str(self._get("Description"))

    @property
    def text(self) -> str:
        """What is written in a field; a password is dots."""
        return str(self.bus.call(self.bus_name, self.path, TEXT, "GetText", "ii", 0, -1))

    def cells(self) -> list[str]:
        """The words of a table's cells and headers, row by row."""
        return [child.name for child in self.children()]


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Seconds until `condition` holds. Fails with `what` otherwise."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > within_s:
            raise AssertionError(f"{what} did not happen within {within_s} s")
        time.sleep(0.02)
    return time.monotonic() - started_s
