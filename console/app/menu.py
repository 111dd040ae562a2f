"""The program's menu, and the same acts as commands of the palette."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from console.app.commands import version
from console.app.settings import Scheme
from console.core.commands import Command
from console.widgets.theme import theme
from console.window.sidebar import SCHEMES

NEW_WINDOW = "Ctrl+Shift+N"


@dataclass(frozen=True, slots=True)
class MenuActs:
    """What the menu does; the two `can_` are asked each time it opens."""

    start_stack: Callable[[], None]
    stop_stack: Callable[[], None]
    can_start: Callable[[], bool]
    can_stop: Callable[[], bool]
    choose_scheme: Callable[[Scheme], None]
    scheme: Callable[[], Scheme]
    keyboard: Callable[[], None]
    notifications: Callable[[], None]
    history: Callable[[], None]
    new_window: Callable[[], None]
    quit: Callable[[], None]


def fill_menu(menu: QMenu, acts: MenuActs) -> None:
    """Give `menu` its entries."""
    another = menu.addAction("New window")
    another.setShortcut(QKeySequence(NEW_WINDOW))
    another.triggered.connect(acts.new_window)
    menu.addSeparator()
    start = menu.addAction("Start local stack")
    start.triggered.connect(acts.start_stack)
    stop = menu.addAction("Stop local stack")
    stop.triggered.connect(acts.stop_stack)
    menu.addSeparator()
    themes = menu.addMenu("Theme")
    choices: dict[str, QAction] = {}
    for key, word in SCHEMES.items():
        choice = themes.addAction(word)
        choice.setCheckable(True)
        choice.triggered.connect(lambda _checked=False, key=key: acts.choose_scheme(key))
        choices[key] = choice
    compact = menu.addAction("Compact density")
    compact.setCheckable(True)
    compact.toggled.connect(theme().set_compact)
    menu.addAction("Notifications…").triggered.connect(acts.notifications)
    menu.addAction("History…").triggered.connect(acts.history)
    keyboard = menu.addAction("Keyboard")
    keyboard.setShortcut(QKeySequence("F1"))
    keyboard.triggered.connect(acts.keyboard)
    menu.addSeparator()
    about = menu.addAction("Celery Console")
    about.setEnabled(False)
    end = menu.addAction("Quit")
    end.setShortcut(QKeySequence("Ctrl+Q"))
    end.triggered.connect(acts.quit)
    for shown in (another, keyboard, end):
        # The window has these keys itself; here they are only named.
        shown.setShortcutContext(shown.shortcutContext().WidgetShortcut)

    def opening() -> None:
        about.setText(f"Celery Console {version()}")  # looked up on disk: not while the window starts
        start.setEnabled(acts.can_start())
        stop.setEnabled(acts.can_stop())
        for key, choice in choices.items():
            choice.setChecked(key == acts.scheme())
        compact.setChecked(theme().compact)

    menu.aboutToShow.connect(opening)


def stack_commands(acts: MenuActs) -> list[Command]:
    """The palette's share of the menu."""
    themes = [
        Command(f"Theme: {word}", lambda key=key: acts.choose_scheme(key))  # type: ignore[misc]
        for key, word in SCHEMES.items()
    ]
    return [
        Command("Start local stack", acts.start_stack, enabled=acts.can_start),
        Command("Stop local stack", acts.stop_stack, enabled=acts.can_stop),
        Command("New window", acts.new_window, NEW_WINDOW),
        *themes,
        Command("Compact density", lambda: theme().set_compact(not theme().compact)),
        Command("Notifications…", acts.notifications),
        Command("History…", acts.history),
        Command("Quit", acts.quit, "Ctrl+Q"),
    ]
