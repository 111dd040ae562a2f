"""Asks for a secret that no keyring gave, and the question whether unsaved connections may be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from PySide6.QtWidgets import QWidget

from console.connections.model import KeyringState, Purpose, SecretAnswer, SecretQuestion
from console.core.connection import Environment
from console.core.redaction import Secret
from console.widgets.dialog import ConfirmDialog, ConsoleDialog
from console.widgets.entry_fields import SecretField
from console.widgets.fields import CheckBox, Field
from console.widgets.label import Text
from console.widgets.text import escaped


def purpose_words(purpose: Purpose) -> str:
    """What is asked for, as a title begins."""
    match purpose:
        case Purpose.BROKER:
            return "Password"
        case Purpose.SENTINEL:
            return "Sentinel password"
        case Purpose.RESULTS:
            return "Password of the result backend"
        case Purpose.SCHEDULES:
            return "Password of the schedules database"
        case Purpose.BROKER_TUNNEL | Purpose.RESULTS_TUNNEL | Purpose.SCHEDULES_TUNNEL:
            return "Passphrase of the SSH key"
        case _:
            assert_never(purpose)


class SecretDialog(ConsoleDialog):
    """One secret. `answer` holds what was typed once it was accepted."""

    def __init__(self, parent: QWidget, question: SecretQuestion, keyring: KeyringState) -> None:
        what = purpose_words(question.purpose)
        name = question.connection.name
        super().__init__(
            parent,
            f"{what} for {name}",
            width=460,
            icon="key-round",
            icon_color="muted",
            red_line=question.connection.environment is Environment.PRODUCTION,
        )
        self.answer: SecretAnswer | None = None
        self.body.addWidget(Text(_why(question), tone="text2", wrap=True))
        label = "Key passphrase" if "Passphrase" in what else "Password"
        self._field = SecretField(name=label)
        self._field.show_kept(False, "")
        self._field.setPlaceholderText("")
        self.body.addWidget(Field(label, self._field))
        self._keep = CheckBox("Keep it in the keyring")
        problem = keyring.problem
        self._keep.setChecked(problem is None)
        self._keep.setEnabled(problem is None)
        self.body.addWidget(self._keep)
        if problem is not None:
            self._keep.setToolTip(problem.title)
            self.body.addWidget(
                Text(
                    f"For this run only: {problem.detail or problem.title}",
                    role="label",
                    tone="muted",
                    wrap=True,
                )
            )
        self.add_button("Connect", kind="primary", role="accept")
        self.set_first_focus(self._field)

    def accept(self) -> None:
        self.answer = SecretAnswer(Secret(self._field.text()), self._keep.isChecked())
        self._field.clear()
        super().accept()

    def reject(self) -> None:
        self._field.clear()
        super().reject()


class AskForSecret:
    """Implements `secrets.Ask` over a window. A cancelled wait (the keyring answered) closes the dialog."""

    def __init__(self, window: QWidget, keyring: Callable[[], KeyringState]) -> None:
        self._window = window
        self._keyring = keyring

    async def __call__(self, question: SecretQuestion) -> SecretAnswer | None:
        dialog = SecretDialog(self._window, question, self._keyring())
        await dialog.ask()
        return dialog.answer


async def ask_unsaved(window: QWidget, names: tuple[str, ...]) -> bool:
    """Whether the unsaved changes of these connections may be lost."""
    listed = ", ".join(f"<b>{escaped(name)}</b>" for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    dialog = ConfirmDialog(
        window,
        title="Close without saving?",
        text_html=f"What was typed for {listed}{more} on Connections is not saved and will be lost.",
        verb="Close without saving",
        danger=True,
        footer_note="",
    )
    return await dialog.ask()


def _why(question: SecretQuestion) -> str:
    if question.waiting:
        return (
            "The keyring has not answered yet: it may show a prompt of its own. Answer that, or type it here."
        )
    if question.why is None:
        return "It is not in the keyring of this computer."
    error = question.why
    return " ".join(part for part in (f"{error.title.rstrip('.')}.", error.detail, error.remedy) if part)
