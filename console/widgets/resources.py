"""Where the fonts, icons and pictures lie.

They stand in `resources/` of a checkout and travel as `console/_resources` in a wheel; everything that
opens one of them asks here, so that the program runs the same from both.
"""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def _root() -> Path:
    installed = _PACKAGE / "_resources"
    return installed if installed.is_dir() else _PACKAGE.parent / "resources"


def resource_path(*parts: str) -> Path:
    """The path of a bundled file, for instance `resource_path("third_party", "inter",
    "Inter-Regular.otf")`.
    """
    return _root().joinpath(*parts)
