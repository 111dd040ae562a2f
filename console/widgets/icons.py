"""Line icons in the colours of the theme.

The files are Lucide's, unchanged; stroke width and colour are put into the SVG text while drawing, so that
every size has the same line. Pictures are kept per name, colour, size and pixel ratio.
"""

from functools import cache
from typing import Protocol

from PySide6.QtCore import QByteArray, QObject, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from console.widgets.resources import resource_path
from console.widgets.theme import theme

_pixmaps: dict[tuple[str, int, int, float], QPixmap] = {}


class _TakesIcon(Protocol):
    def setIcon(self, icon: QIcon, /) -> None: ...


@cache
def _source(name: str) -> str:
    return resource_path("third_party", "lucide", "icons", f"{name}.svg").read_text(encoding="utf-8")


def stroke_px(size_px: float) -> float:
    """The width of the line in pixels for an icon of this size."""
    return 1.25 if size_px <= 12 else 1.4


def _render(svg: str, *, size_px: int, ratio: float) -> QPixmap:
    pixmap = QPixmap(round(size_px * ratio), round(size_px * ratio))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg.encode())).render(painter)
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def pixmap(name: str, color: str | QColor, *, size: int = 14, ratio: float = 1.0) -> QPixmap:
    """The picture of an icon. `color` is a token or a colour; `size` is in device-independent pixels.

    Raises FileNotFoundError for a name without a file in `resources/third_party/lucide/icons`.
    """
    ink = color if isinstance(color, QColor) else theme().color(color)
    key = (name, ink.rgba(), size, ratio)
    found = _pixmaps.get(key)
    if found is None:
        width = stroke_px(size) * 24 / size
        svg = (
            _source(name)
            .replace("currentColor", ink.name())
            .replace('stroke-width="2"', f'stroke-width="{width:.3f}"')
        )
        found = _pixmaps[key] = _render(svg, size_px=size, ratio=ratio)
    return found


def draw_icon(
    painter: QPainter, name: str, color: str | QColor, *, x: float, y: float, size: int = 14
) -> None:
    """Paint an icon with its top left corner at x, y."""
    device = painter.device()
    ratio = device.devicePixelRatioF() if device is not None else 1.0
    painter.drawPixmap(QPointF(x, y), pixmap(name, color, size=size, ratio=ratio))


def icon(name: str, color: str = "text2", *, size: int = 14) -> QIcon:
    """A QIcon in the present colours, with a disabled form. For one that follows the theme use `set_icon`."""
    result = QIcon()
    for ratio in (1.0, 2.0):
        result.addPixmap(pixmap(name, color, size=size, ratio=ratio), QIcon.Mode.Normal)
        result.addPixmap(pixmap(name, "faint", size=size, ratio=ratio), QIcon.Mode.Disabled)
    return result


class _IconKeeper(QObject):
    """Gives its parent the icon anew after each change of the theme; lives and dies with the parent."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.wanted = ("", "", 0)
        theme().changed.connect(self.refresh)

    def refresh(self) -> None:
        name, color, size = self.wanted
        target: _TakesIcon = self.parent()  # type: ignore[assignment]  # QAction and every button have setIcon
        target.setIcon(icon(name, color, size=size))


def set_icon(target: QObject, name: str, color: str = "text2", *, size: int = 14) -> None:
    """Give an action or button an icon that follows the theme. A second call replaces the first."""
    direct = Qt.FindChildOption.FindDirectChildrenOnly
    keepers = target.findChildren(_IconKeeper, options=direct)
    keeper = keepers[0] if keepers else _IconKeeper(target)
    keeper.wanted = (name, color, size)
    keeper.refresh()


def logo_pixmap(*, size: int = 20, ratio: float = 1.0, white: bool = False) -> QPixmap:
    """The logo; white where it stands on the red bar."""
    svg = resource_path("logo.svg").read_text(encoding="utf-8")
    if white:
        svg = svg.replace("#2E8B57", "#FFFFFF").replace("#5DB37F", "#FFFFFF")
    return _render(svg, size_px=size, ratio=ratio)


def app_icon() -> QIcon:
    """The icon of the program's windows."""
    result = QIcon()
    renderer = QSvgRenderer(str(resource_path("app-icon.svg")))
    for size in (16, 32, 48, 128):
        picture = QPixmap(QSize(size, size))
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        renderer.render(painter, QRectF(0, 0, size, size))
        painter.end()
        result.addPixmap(picture)
    return result
