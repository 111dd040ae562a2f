"""How wide the columns of a table are: fixed, as wide as their words, or what is left."""

from collections.abc import Sequence

from console.widgets.badge import badge_width
from console.widgets.paint import text_width
from console.widgets.table_model import Column, Row

# Enough rows to know how wide a column's words are; the rest of a long table is cut with an ellipsis.
_MEASURED_ROWS = 300
ROLES = {"name": "name", "mono": "mono", "id": "mono", "state": "name", "link": "name"}
DOT_STEP = 14
"""What a dot before the text takes, with its gap."""


def natural_width(column: Column, rows: Sequence[Row], *, around_px: int) -> int:
    """The width in pixels in which the column's words are whole, `around_px` of padding included."""
    role = ROLES.get(column.kind, "body")
    parts = {
        (cell.text, cell.badge, cell.dot)
        for row in rows[:_MEASURED_ROWS]
        if (cell := row.cells.get(column.key)) is not None
    }
    widest = max(
        (
            text_width(role, text)
            + (badge_width(badge[0], icon=badge[2]) + 8 if badge is not None else 0)
            + (DOT_STEP if dot is not None else 0)
            for text, badge, dot in parts
        ),
        default=0.0,
    )
    return round(widest + 0.49) + around_px


def shared_out(columns: Sequence[Column], natural: dict[str, int], room_px: int) -> list[int]:
    """The width of each column in a table of `room_px`.

    A column with `fit` takes its natural width between `width` and `fit`; where that leaves the stretching
    ones less than their own `width`, columns give back what they have above their least, the roomiest first.
    Then the stretching columns share the rest; when even that is less than they need, the table is wider than
    its room and scrolls.
    """
    least = [column.width if column.least is None else column.least for column in columns]
    widths = [
        column.width
        if column.fit is None or column.stretch
        else min(column.fit, max(column.width, natural.get(column.key, 0)))
        for column in columns
    ]
    stretching = [number for number, column in enumerate(columns) if column.stretch]
    if not stretching:
        return widths
    fixed = [number for number in range(len(columns)) if number not in stretching]
    missing = sum(widths) - room_px
    for number in sorted(fixed, key=lambda number: least[number] - widths[number]):
        if missing <= 0:
            break
        given = min(missing, widths[number] - least[number])
        widths[number] -= given
        missing -= given
    free = max(0, room_px - sum(widths))
    parts = sum(columns[number].stretch for number in stretching)
    for number in stretching:
        widths[number] += free * columns[number].stretch // parts
    widths[stretching[-1]] += max(0, room_px - sum(widths))
    return widths
