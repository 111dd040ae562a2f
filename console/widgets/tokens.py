"""The colours, type sizes and measures of the program, as data.

One frozen set for light and one for dark; everything that paints takes its values from here through the
theme, so that a colour exists in exactly one place. Colours are "#RRGGBB" or, with alpha, "#AARRGGBB".
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """All colours of one scheme. A field's name is the token that widgets are given, for instance
    `tone="muted"`.
    """

    is_dark: bool
    bg: str
    surface: str
    sunken: str
    raised: str
    log: str
    border: str
    hairline: str
    border_strong: str
    text: str
    text2: str
    muted: str
    faint: str
    accent: str
    accent_hover: str
    on_accent: str
    link: str
    focus: str
    selection: str
    hover: str
    own_code: str
    danger: str
    danger_hover: str
    production: str
    production_line: str
    ok_bg: str
    ok_border: str
    warning_bg: str
    warning_border: str
    error_bg: str
    error_border: str
    info_bg: str
    info_border: str
    lost_bg: str
    neutral_bg: str
    key_cap: str
    scrim: str
    clear: str
    # States: the colour of the icon and the word.
    st_sent: str
    st_received: str
    st_started: str
    st_succeeded: str
    st_failed: str
    st_retrying: str
    st_revoked: str
    st_rejected: str
    st_lost: str
    # Chart series.
    ch_succeeded: str
    ch_out: str
    ch_failed: str
    ch_retrying: str
    ch_other: str
    ch_p50: str
    ch_p95: str
    ch_p99: str
    ch_in: str
    ch_grid: str

    def value(self, token: str) -> str:
        """The colour of a token, of a tone ("ok", "warning", "error", "info", ...) or of a chart series
        ("failed").
        """
        name = _ALIASES.get(token, token)
        value = getattr(self, name, None)
        if isinstance(value, str):
            return value
        value = getattr(self, f"ch_{name}", None)
        if isinstance(value, str):
            return value
        raise KeyError(token)


_ALIASES = {
    "ok": "st_succeeded",
    "warning": "st_retrying",
    "error": "st_failed",
    "info": "st_started",
    "neutral": "text2",
    "lost": "st_lost",
}

LIGHT = Tokens(
    is_dark=False,
    bg="#F3F5F8",
    surface="#FFFFFF",
    sunken="#F8F9FB",
    raised="#FFFFFF",
    log="#FBFCFD",
    border="#DDE2E9",
    hairline="#E9EDF2",
    border_strong="#C3CBD6",
    text="#1B222C",
    text2="#3D4754",
    muted="#5A6675",
    faint="#8A95A3",
    accent="#2257C5",
    accent_hover="#1B4AAC",
    on_accent="#FFFFFF",
    link="#2257C5",
    focus="#2257C5",
    selection="#E2EBFC",
    hover="#F1F5FB",
    own_code="#EAF0FD",
    danger="#C0262D",
    danger_hover="#A11F26",
    production="#AD1F28",
    production_line="#8C161E",
    ok_bg="#E5F4EA",
    ok_border="#B9DFC6",
    warning_bg="#FCF1DA",
    warning_border="#EBD3A0",
    error_bg="#FCE8E8",
    error_border="#F0BFC0",
    info_bg="#E5F1F6",
    info_border="#B5D7E3",
    lost_bg="#F1EAFB",
    neutral_bg="#EDF0F4",
    key_cap="#EEF1F5",
    scrim="#61101620",
    clear="#00FFFFFF",
    st_sent="#566170",
    st_received="#3A6491",
    st_started="#04708C",
    st_succeeded="#18763E",
    st_failed="#C0262D",
    st_retrying="#8F5B00",
    st_revoked="#6A5F57",
    st_rejected="#A62A73",
    st_lost="#7440B5",
    ch_succeeded="#4A9B72",
    ch_out="#4A9B72",
    ch_failed="#CF3D43",
    ch_retrying="#C08010",
    ch_other="#8592A3",
    ch_p50="#5A8ECF",
    ch_p95="#2257C5",
    ch_p99="#7440B5",
    ch_in="#3C7FC4",
    ch_grid="#E6EAF0",
)

DARK = Tokens(
    is_dark=True,
    bg="#13171C",
    surface="#191E25",
    sunken="#161A20",
    raised="#212832",
    log="#14181E",
    border="#2B333E",
    hairline="#232A33",
    border_strong="#3E4957",
    text="#E5E9EF",
    text2="#C3CBD6",
    muted="#98A3B2",
    faint="#6B7685",
    accent="#3567D4",
    accent_hover="#2B59BE",
    on_accent="#FFFFFF",
    link="#8DB1FF",
    focus="#7EA6FF",
    selection="#1F3358",
    hover="#1F2630",
    own_code="#1B2942",
    danger="#C23339",
    danger_hover="#A62A30",
    production="#8F1C24",
    production_line="#B3323A",
    ok_bg="#17301F",
    ok_border="#28543A",
    warning_bg="#352A12",
    warning_border="#5C4A1E",
    error_bg="#3A1C1F",
    error_border="#653034",
    info_bg="#123039",
    info_border="#1F5161",
    lost_bg="#2A2140",
    neutral_bg="#262E38",
    key_cap="#2A323D",
    scrim="#80000000",
    clear="#00000000",
    st_sent="#A3AEBC",
    st_received="#86B3E3",
    st_started="#4FC3DE",
    st_succeeded="#63C98A",
    st_failed="#FF7F80",
    st_retrying="#EBB454",
    st_revoked="#B8AB9F",
    st_rejected="#EE8CC3",
    st_lost="#BE9AF5",
    ch_succeeded="#458A64",
    ch_out="#63C98A",
    ch_failed="#E2605F",
    ch_retrying="#D9A441",
    ch_other="#66717F",
    ch_p50="#5C86BD",
    ch_p95="#7EA6FF",
    ch_p99="#BE9AF5",
    ch_in="#6AA5E8",
    ch_grid="#262D37",
)


@dataclass(frozen=True, slots=True)
class FontRole:
    """Size in pixels, weight on the OpenType scale and family of one kind of text."""

    size_px: float
    weight: int
    mono: bool = False
    letter_spacing_px: float = 0.0


FONT_ROLES: dict[str, FontRole] = {
    "body": FontRole(13, 400),
    "name": FontRole(13, 500),
    "strong": FontRole(13, 600),
    "label": FontRole(12, 400),
    "label-name": FontRole(12, 500),
    "header": FontRole(12, 600),
    "caption": FontRole(11, 600),
    "badge": FontRole(11.5, 600),
    "key": FontRole(11, 500),
    "axis": FontRole(11, 400),
    "axis-name": FontRole(11, 600),
    "panel": FontRole(13, 600),
    "body-big": FontRole(14, 400),
    "big-button": FontRole(14, 600),
    "dialog": FontRole(14, 600),
    "page": FontRole(18, 600, letter_spacing_px=-0.2),
    "hero": FontRole(20, 600),
    "card": FontRole(26, 600, letter_spacing_px=-0.3),
    "mono": FontRole(12, 400, mono=True),
    "mono-medium": FontRole(12, 500, mono=True),
    "mono-strong": FontRole(12, 600, mono=True),
    "mono-small": FontRole(11.5, 400, mono=True),
}

# Measures in device-independent pixels.
RADIUS = 6
RADIUS_SMALL = 4
BUTTON_HEIGHT = 28
BUTTON_HEIGHT_SMALL = 24
BUTTON_HEIGHT_BIG = 40
CHIP_HEIGHT = 26
BADGE_HEIGHT = 20
TAB_HEIGHT = 34
PANEL_HEAD_HEIGHT = 36
HEADER_HEIGHT = 28
ROW_HEIGHT = 28
ROW_HEIGHT_COMPACT = 24
CONNECTION_BAR_HEIGHT = 44
SIDEBAR_WIDTH = 192
STATUS_BAR_HEIGHT = 24
PAGE_PADDING = 12
GAP = 12
