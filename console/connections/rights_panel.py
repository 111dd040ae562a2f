"""The tab with the rules that give a broker's user just the rights the console needs, to be copied."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QHBoxLayout

from console.broker.acl import AclKind, rabbitmq_permissions, redis_acl
from console.broker.address import BrokerKind
from console.connections.draft_fields import Draft
from console.connections.form_panel import TabPage
from console.core.errors import ConsoleError
from console.widgets.button import Button
from console.widgets.fields import TextArea
from console.widgets.label import Text

_WORDS = {
    AclKind.READ_ONLY: ("A user who reads", "Sees what the pages show, changes nothing."),
    AclKind.OPERATE: (
        "A user who operates",
        "Asks and tells workers and sends tasks as well.",
    ),
}
_ROWS = {AclKind.READ_ONLY: 5, AclKind.OPERATE: 9}


class RightsTab(TabPage):
    """One text for reading and one for operating, in the words of the broker's own administration."""

    def __init__(self) -> None:
        super().__init__("Rights")
        self._intro = self.add_words("")
        self._texts: dict[AclKind, TextArea] = {}
        self._copy: dict[AclKind, Button] = {}
        for kind, (title, what) in _WORDS.items():
            head = QHBoxLayout()
            head.setSpacing(8)
            head.addWidget(Text(title, role="strong"))
            head.addWidget(Text(what, role="label", tone="muted", wrap=True), 1)
            button = Button("Copy", icon="copy", small=True)
            button.setAccessibleName(f"Copy the rules of {title[0].lower()}{title[1:]}")
            head.addWidget(button)
            self.rows.addSpacing(2)
            self.rows.addLayout(head)
            area = TextArea(name=f"Rules of {title[0].lower()}{title[1:]}", rows=_ROWS[kind])
            area.setReadOnly(True)
            self.rows.addWidget(area)
            button.clicked.connect(lambda _checked=False, area=area: _copy(area.toPlainText()))
            self._texts[kind] = area
            self._copy[kind] = button
        self.end()

    def arrange(self, draft: Draft) -> None:
        """Write the rules for the broker that is set up."""
        rabbit = draft.kind is BrokerKind.RABBITMQ
        self._intro.set_text(
            "For the administrator of the broker, in a shell on it. It asks for the user's password."
            if rabbit
            else "For the administrator of the broker: a line of its ACL file. No password is in it: add the "
            "user's at its end as >PASSWORD, there and not here."
        )
        for kind, area in self._texts.items():
            try:
                text = _rules(kind, draft)
            except ConsoleError as error:
                text = ""
                area.setPlaceholderText(f"{error.title}.")
            if text != area.toPlainText():
                area.setPlainText(text)
            self._copy[kind].setEnabled(bool(text))
            self._copy[kind].setToolTip("" if text else "There is nothing to copy")


def _rules(kind: AclKind, draft: Draft) -> str:
    user = draft.username.strip() or kind.user
    if draft.kind is BrokerKind.RABBITMQ:
        return rabbitmq_permissions(kind, user=user, vhost=draft.vhost or "/").strip()
    database = draft.database.strip()
    return redis_acl(
        kind,
        user=user,
        key_prefix=draft.key_prefix.strip(),
        database=int(database) if database.isascii() and database.isdecimal() else 0,
        sentinel=draft.kind is BrokerKind.SENTINEL,
    ).strip()


def _copy(text: str) -> None:
    QApplication.clipboard().setText(text)
