"""The one style sheet, for the standard controls that a palette alone cannot dress.

Our own widgets paint themselves; what is left are fields, menus, tooltips, scroll bars and the popups of
choosers. Fonts are never set here: a style sheet cannot ask for font features.
"""

from string import Template

from console.widgets.tokens import RADIUS, RADIUS_SMALL, Tokens

_SHEET = Template("""
QToolTip { background: $raised; color: $text; border: 1px solid $border_strong; padding: 4px 8px; }
QMenu { background: $raised; color: $text; border: 1px solid $border_strong; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 10px; border-radius: ${small}px; background: transparent; }
QMenu::icon { padding-left: 8px; }
QMenu::item:selected { background: $selection; color: $text; }
QMenu::item:disabled { color: $faint; background: transparent; }
QMenu::separator { height: 1px; background: $border; margin: 4px 6px; }
QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox {
  background: $surface; color: $text; border: 1px solid $border_strong; border-radius: ${radius}px;
  selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit { padding: 0 6px; }
QLineEdit:disabled, QPlainTextEdit:disabled, QTextEdit:disabled, QAbstractSpinBox:disabled {
  background: $sunken; color: $faint; border-color: $border;
}
QLineEdit[bare="true"], QPlainTextEdit[bare="true"], QTextEdit[bare="true"] {
  border: none; background: transparent; padding: 0;
}
QComboBox QAbstractItemView {
  background: $raised; color: $text; border: 1px solid $border_strong; padding: 4px; outline: none;
  selection-background-color: $selection; selection-color: $text;
}
QComboBox QAbstractItemView::item {
  min-height: 26px; padding: 0 6px; border: none; border-radius: ${small}px;
}
QComboBox QAbstractItemView::item:selected { background: $selection; color: $text; }
QAbstractSpinBox { min-height: 26px; }
QAbstractSpinBox QLineEdit { border: none; background: transparent; padding: 0 6px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; border: none; }
QTableView, QTreeView {
  background: $surface; border: none; outline: none; selection-background-color: $selection;
}
QTableView[framed="true"], QTreeView[framed="true"] { border: 1px solid $border; border-radius: ${radius}px; }
QTableView[log="true"] { background: $log; }
QPlainTextEdit[code="true"] { background: $sunken; border-color: $border; }
QHeaderView { background: $sunken; border: none; }
QHeaderView[log="true"] { background: $log; }
QScrollArea { background: transparent; border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; border: none; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; border: none; }
QScrollBar::handle { background: $border_strong; border-radius: 3px; }
QScrollBar::handle:vertical { min-height: 28px; margin: 2px; }
QScrollBar::handle:horizontal { min-width: 28px; margin: 2px; }
QScrollBar::handle:hover { background: $faint; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QSplitter::handle { background: transparent; }
""")


def style_sheet(tokens: Tokens) -> str:
    """The application's style sheet in the colours of `tokens`."""
    names = (
        *("raised", "text", "border_strong", "selection", "faint", "hairline", "surface"),
        *("accent", "on_accent", "sunken", "border", "log"),
    )
    values = {name: tokens.value(name) for name in names}
    return _SHEET.substitute(values, radius=RADIUS, small=RADIUS_SMALL)
