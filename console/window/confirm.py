"""Asking a person before a dangerous operation, with the dialog of the design; never a nested loop."""

from __future__ import annotations

from html import escape

from PySide6.QtWidgets import QWidget

from console.core.connection import ConnectionInfo, Environment
from console.core.operations import Confirmation, Danger, Operation
from console.widgets.dialog import ConfirmDialog


class ConfirmWithDialog:
    """Implements `core.operations.Confirm` over a window."""

    def __init__(self, window: QWidget) -> None:
        self._window = window

    async def __call__(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation | None:
        dialog = dialog_of(operation, connection, self._window)
        if not await dialog.ask():
            return None
        return Confirmation(dialog.reason, dialog.choice)


def dialog_of(operation: Operation, connection: ConnectionInfo | None, parent: QWidget) -> ConfirmDialog:
    """The one sheet that asks everything: consequence, way, reason, and the word to type on Production."""
    destructive = operation.danger is Danger.DESTRUCTIVE
    production = (
        operation.broker and connection is not None and connection.environment is Environment.PRODUCTION
    )
    text = escape(operation.consequence)
    if operation.broker and connection is not None:
        name = escape(connection.name)
        place = f"<red>{name}</red>" if destructive or production else f"<b>{name}</b>"
        text = f"{text} Connection: {place}.".strip()
    return ConfirmDialog(
        parent,
        title=operation.question or f"{operation.name}?",
        text_html=text,
        verb=operation.verb or operation.name,
        danger=destructive,
        reason=destructive or production,
        type_to_confirm=_word(operation, connection) if destructive and production else None,
        production=production,
        choices=[(choice.name, choice.words) for choice in operation.choices],
    )


def _word(operation: Operation, connection: ConnectionInfo | None) -> str | None:
    """What must be typed: the name of what is lost when it has a short one, else that of the place."""
    return operation.type_name or (connection.name if connection is not None else None)
