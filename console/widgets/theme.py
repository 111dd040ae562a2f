"""The current look of the program: tokens, fonts, palette and the one style sheet.

There is one `Theme` per process because Qt's palette and style sheet belong to the application. Widgets
that paint themselves read it while painting, so that a switch at run time only has to repaint; the rest is
told by `changed`.
"""

from functools import cache
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontMetricsF, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory, QWidget

from console.widgets.qss import style_sheet
from console.widgets.resources import resource_path
from console.widgets.tokens import DARK, FONT_ROLES, LIGHT, Tokens

Scheme = Literal["system", "light", "dark"]

_FONT_FILES = {
    400: ("inter", "Inter-Regular.otf"),
    500: ("inter", "Inter-Medium.otf"),
    600: ("inter", "Inter-SemiBold.otf"),
}
_MONO_FILES = {
    400: ("jetbrains-mono", "JetBrainsMono-Regular.ttf"),
    500: ("jetbrains-mono", "JetBrainsMono-Medium.ttf"),
    600: ("jetbrains-mono", "JetBrainsMono-SemiBold.ttf"),
}
_INTER = "Inter"
_MONO = "JetBrains Mono"


class Theme(QObject):
    """Tokens, fonts and density in force. `changed` comes after palette and style sheet were replaced."""

    changed = Signal()
    density_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._tokens = LIGHT
        self._scheme: Scheme = "system"
        self._compact = False
        self._app: QApplication | None = None
        self._colors: dict[str, QColor] = {}
        self._fonts: dict[str, QFont] = {}
        self._metrics: dict[str, QFontMetricsF] = {}
        self._loaded: set[tuple[str, str]] = set()

    @property
    def tokens(self) -> Tokens:
        """The colours in force."""
        return self._tokens

    @property
    def scheme(self) -> Scheme:
        """What was asked for; "system" follows the desktop."""
        return self._scheme

    @property
    def compact(self) -> bool:
        """Whether tables have the low rows of the compact density."""
        return self._compact

    def set_compact(self, compact: bool) -> None:
        """Choose the density of all tables."""
        if compact != self._compact:
            self._compact = compact
            self.density_changed.emit()

    def apply(self, app: QApplication, *, scheme: Scheme) -> None:
        """Give the application this look, now and again whenever the desktop changes its scheme."""
        first = self._app is not app
        self._scheme = scheme
        if first:
            self._app = app
            app.setStyle(QStyleFactory.create("Fusion"))
            app.styleHints().colorSchemeChanged.connect(self._follow_system)
            self._follow_focus(app)
        tokens = self._wanted_tokens()
        if not first and tokens is self._tokens:
            return
        self._tokens = tokens
        self._colors.clear()
        app.setFont(self.font("body"))
        app.setPalette(self._palette())
        app.setStyleSheet(style_sheet(tokens))
        self.changed.emit()

    def color(self, token: str) -> QColor:
        """The colour of a token, tone or chart series. Shared: do not change the returned object.

        Raises KeyError for an unknown token.
        """
        color = self._colors.get(token)
        if color is None:
            color = self._colors[token] = QColor(self._tokens.value(token))
        return color

    def font(self, role: str) -> QFont:
        """The font of a role of `tokens.FONT_ROLES`. Shared: copy it before changing it."""
        font = self._fonts.get(role)
        if font is None:
            font = self._fonts[role] = self._make_font(role)
        return font

    def metrics(self, role: str) -> QFontMetricsF:
        """The measures of a role's font."""
        metrics = self._metrics.get(role)
        if metrics is None:
            metrics = self._metrics[role] = QFontMetricsF(self.font(role))
        return metrics

    def _follow_focus(self, app: QApplication) -> None:
        # Imported here because the ring reads the theme while painting.
        from console.widgets.style import FocusRingFollower

        FocusRingFollower(app)

    def _wanted_tokens(self) -> Tokens:
        if self._scheme == "system":
            dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
            return DARK if dark else LIGHT
        return DARK if self._scheme == "dark" else LIGHT

    def _follow_system(self) -> None:
        if self._scheme == "system" and self._app is not None:
            self.apply(self._app, scheme="system")

    def _make_font(self, role: str) -> QFont:
        wanted = FONT_ROLES[role]
        files = _MONO_FILES if wanted.mono else _FONT_FILES
        self._load(files[wanted.weight])
        font = QFont(_MONO if wanted.mono else _INTER)
        # Qt rounds every size to whole pixels; a half one is reached by stretching the smaller.
        whole = int(wanted.size_px)
        font.setPixelSize(whole)
        if whole != wanted.size_px:
            font.setStretch(round(100 * wanted.size_px / whole))
        font.setWeight(QFont.Weight(wanted.weight))
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        if wanted.letter_spacing_px:
            font.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, wanted.letter_spacing_px)
        if wanted.mono:
            font.setStyleHint(QFont.StyleHint.Monospace)
            font.setFeature(QFont.Tag("liga"), 0)
            font.setFeature(QFont.Tag("calt"), 0)
        else:
            font.setStyleHint(QFont.StyleHint.SansSerif)
            font.setFeature(QFont.Tag("tnum"), 1)
            font.setFeature(QFont.Tag("cv05"), 1)
        return font

    def _load(self, file: tuple[str, str]) -> None:
        """Load a font file when the first text needs it: each costs time before the first paint."""
        if file not in self._loaded:
            self._loaded.add(file)
            QFontDatabase.addApplicationFont(str(resource_path("third_party", *file)))

    def _palette(self) -> QPalette:
        palette = QPalette()
        role = QPalette.ColorRole
        pairs = {
            role.Window: "bg",
            role.WindowText: "text",
            role.Base: "surface",
            role.AlternateBase: "sunken",
            role.Text: "text",
            role.Button: "raised",
            role.ButtonText: "text",
            role.BrightText: "on_accent",
            role.ToolTipBase: "raised",
            role.ToolTipText: "text",
            role.PlaceholderText: "muted",
            role.Highlight: "accent",
            role.HighlightedText: "on_accent",
            role.Accent: "accent",
            role.Link: "link",
            role.LinkVisited: "link",
            role.Light: "surface",
            role.Midlight: "hairline",
            role.Mid: "border",
            role.Dark: "border_strong",
            role.Shadow: "border_strong",
        }
        for which, token in pairs.items():
            palette.setColor(which, self.color(token))
        for which in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
            palette.setColor(QPalette.ColorGroup.Disabled, which, self.color("faint"))
        return palette


@cache
def theme() -> Theme:
    """The theme of this process."""
    return Theme()


def repaint_on_change(widget: QWidget) -> None:
    """Repaint a widget that paints itself after a switch. Qt drops the connection with the widget."""
    theme().changed.connect(widget.update)
