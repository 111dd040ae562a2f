"""The panel in which a connection is made or changed: head, tabs, footer with Cancel and Save."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from console.connections.draft_check import TABS, tab_of
from console.connections.draft_fields import SECRET_FIELDS
from console.connections.form_panel import Form
from console.connections.rights_panel import RightsTab
from console.connections.tabs_panel import BrokerTab, MoreTab, SchedulesTab, TlsTab, TunnelTab
from console.connections.view_model import NEW_NAME, ConnectionsViewModel
from console.widgets.badge import Badge
from console.widgets.button import Button
from console.widgets.empty_state import EmptyState
from console.widgets.label import Glyph, Text
from console.widgets.paint import text_width
from console.widgets.panel import KeyValueGrid, Panel
from console.widgets.tabs import TabBar
from console.widgets.theme import repaint_on_change, theme

_Tab = BrokerTab | TlsTab | TunnelTab | SchedulesTab | MoreTab | RightsTab
_KEPT = "kept in the keyring"
_KEPT_IN_MEMORY = "kept for this run"


class EditorPanel(Panel):
    """Shows what is on the desk. `new_wanted`, `import_wanted`: from the words for an empty list."""

    new_wanted = Signal()
    import_wanted = Signal()

    def __init__(self, view_model: ConnectionsViewModel) -> None:
        super().__init__("Connection")
        self._view_model = view_model
        self._shown_id = ""
        self._badge = Badge("Changed", tone="warning")
        self.add_head(self._badge)
        self._form = Form(self)
        self._form.edited.connect(view_model.edit)
        self._form.left.connect(view_model.leave)
        self._tabs = TabBar(TABS, name="Connection settings", gap=20, indent=16)
        # Each takes some tens of milliseconds and is made when it is first looked at.
        self._make: dict[str, Callable[[], _Tab]] = {
            "Broker": lambda: BrokerTab(self._form, lambda: self._tabs.set_current("Schedules")),
            "TLS": lambda: TlsTab(self._form),
            "SSH tunnel": lambda: TunnelTab(self._form),
            "Schedules": lambda: SchedulesTab(self._form),
            "More": lambda: MoreTab(self._form),
            "Rights": RightsTab,
        }
        self._pages: dict[str, _Tab] = {}
        self._stack = QStackedWidget()
        self._tabs.changed.connect(lambda _tab: self.show_editing())
        self._body = QStackedWidget()
        self._body.addWidget(self._assembled())
        self._body.addWidget(self._local())
        self.set_content(self._body)
        view_model.editing_changed.connect(self.show_editing)
        view_model.focus_wanted.connect(self.focus_field)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)

    def _assembled(self) -> QWidget:
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._tabs)
        column.addWidget(self._stack, 1)
        self._footer = _Footer()
        self._pencil = Glyph("pencil", "muted")
        self._state = Text(role="label", tone="muted")
        self._cancel = Button("Cancel")
        self._save = Button("Save", kind="primary")
        for button in (self._cancel, self._save):
            button.setMinimumWidth(80)
        self._cancel.clicked.connect(self._view_model.cancel)
        self._save.clicked.connect(self._view_model.save)
        line = QHBoxLayout(self._footer)
        line.setContentsMargins(16, 1, 16, 0)
        line.setSpacing(6)
        line.addWidget(self._pencil)
        line.addWidget(self._state, 1)
        line.addWidget(self._cancel)
        line.addSpacing(2)
        line.addWidget(self._save)
        column.addWidget(self._footer)
        return whole

    def _local(self) -> QWidget:
        """What stands there for the local stack, or for nothing chosen."""
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(12)
        self._local_words = Text(
            "The console starts it on this computer and sets it up by itself: there is nothing to fill in.",
            tone="text2",
            wrap=True,
        )
        self._local_facts = KeyValueGrid(key_width=130)
        self._hint = EmptyState("plug", "")
        self._hint.action_clicked.connect(self.new_wanted)
        self._import = Button("Import…")
        self._import.clicked.connect(self.import_wanted)
        column.addWidget(self._local_words)
        column.addWidget(self._local_facts)
        column.addWidget(self._hint)
        column.addWidget(self._import, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return whole

    def show_editing(self) -> None:
        """Show what the view model has on the desk."""
        editing = self._view_model.editing
        if editing is None:
            self._show_local()
            return
        self._body.setCurrentIndex(0)
        if editing.base.id != self._shown_id:
            self._shown_id = editing.base.id
            self._tabs.set_current(TABS[0])
        draft, errors = editing.draft, self._view_model.errors
        changes = len(editing.changes)
        # The kept name: the head says which connection this is while its name is being typed.
        self._show_title(editing.start.name or draft.name.strip() or NEW_NAME)
        self._badge.setVisible(editing.is_new or changes > 0)
        self._badge.set("Not saved" if editing.is_new else "Changed", tone="warning")
        self._show_tab()
        for page in self._pages.values():
            page.arrange(draft)
        self._form.show_draft(draft, errors)
        self._tabs.set_marked({tab_of(name) for name in errors})
        self._show_secrets()
        can_save = editing.is_new or changes > 0
        self._pencil.setVisible(can_save)
        fields = "1 field" if changes == 1 else f"{changes} fields"
        self._state.set_text(
            "Not saved yet" if editing.is_new else f"{fields} changed, not saved" if changes else ""
        )
        for button in (self._cancel, self._save):
            button.setEnabled(can_save)
            button.setToolTip("" if can_save else "Nothing is changed")

    def _show_tab(self) -> None:
        tab = self._tabs.current()
        page = self._pages.get(tab)
        if page is None:
            page = self._pages[tab] = self._make[tab]()
            self._stack.addWidget(page)
        self._stack.setCurrentWidget(page)

    def _show_secrets(self) -> None:
        view_model = self._view_model
        editing = view_model.editing
        if editing is None:
            return
        refusal = view_model.keyring_refusal
        where = _KEPT_IN_MEMORY if refusal else _KEPT
        for name, purpose in SECRET_FIELDS.items():
            forgotten = getattr(editing.draft, name) is not None
            self._form.show_kept(name, kept=purpose in view_model.kept and not forgotten, where=where)
        named = f" ({view_model.keyring_name})" if view_model.keyring_name else ""
        broker = self._pages.get("Broker")
        if isinstance(broker, BrokerTab):
            broker.keyring.set_text(
                f"For this run only: {refusal}"
                if refusal
                else f"Kept in the keyring of this computer{named}, never in a file"
            )

    def _show_local(self) -> None:
        self._body.setCurrentIndex(1)
        self._shown_id = ""
        selected = self._view_model.selected
        self._show_title(selected.name if selected is not None else "Connection")
        self._badge.hide()
        self._local_words.setVisible(selected is not None)
        self._local_facts.setVisible(selected is not None)
        address = self._view_model.local_address()
        self._local_facts.set_pairs(
            [
                ("Broker", address.shown, "mono") if address is not None else ("Broker", "not running"),
                ("Schedules database", "SQLite, bundled project"),
                ("What may be done", "Everything"),
            ]
        )
        alone = len(self._view_model.rows) <= 1
        if alone:
            self._hint.set(
                "plug",
                "Only the local stack is here",
                "Add the deployments that you look after: type them in, or read them from a project, "
                "a URL or a file.",
                action="New…",
            )
        self._hint.setVisible(alone)
        self._import.setVisible(alone)

    def _show_title(self, title: str) -> None:
        room = max(120, self.width() - 130)
        shown = theme().metrics("panel").elidedText(title, Qt.TextElideMode.ElideMiddle, room)
        self.set_title(shown)
        self.setAccessibleName(title)
        self.setToolTip(title if text_width("panel", title) > room else "")

    def focus_field(self, name: str) -> None:
        """The keyboard into a field, its tab brought to the front."""
        if self._view_model.editing is None:
            return
        self._tabs.set_current(tab_of(name))
        self._form.focus(name)


class _Footer(QWidget):
    """The sunken band at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(48)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("sunken"))
        painter.fillRect(0, 0, self.width(), 1, theme().color("hairline"))
        painter.end()
