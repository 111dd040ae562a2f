"""The look of each state word: its icon and its colour.

The words are Celery Console's contract with the person (task, worker, service, connection and severity);
colour never stands alone, so each word has an icon as well.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StateLook:
    """Icon name, colour token and badge tone of a state word."""

    word: str
    icon: str
    color: str
    tone: str


_LOOKS = {
    look.word: look
    for look in (
        # Tasks.
        StateLook("Sent", "send", "st_sent", "neutral"),
        StateLook("Received", "inbox", "st_received", "info"),
        StateLook("Started", "circle-play", "st_started", "info"),
        StateLook("Succeeded", "circle-check", "st_succeeded", "ok"),
        StateLook("Failed", "circle-x", "st_failed", "error"),
        StateLook("Retrying", "rotate-cw", "st_retrying", "warning"),
        StateLook("Revoked", "ban", "st_revoked", "neutral"),
        StateLook("Rejected", "octagon-minus", "st_rejected", "error"),
        StateLook("Lost", "circle-question-mark", "st_lost", "lost"),
        # Workers.
        StateLook("Online", "circle-check", "st_succeeded", "ok"),
        StateLook("Late", "clock-alert", "st_retrying", "warning"),
        StateLook("Offline", "circle-off", "st_failed", "error"),
        # Services.
        StateLook("Stopped", "circle-stop", "st_sent", "neutral"),
        StateLook("Starting", "loader", "st_started", "info"),
        StateLook("Ready", "circle-check", "st_succeeded", "ok"),
        StateLook("Stopping", "circle-pause", "st_retrying", "warning"),
        StateLook("Waiting", "circle-dashed", "muted", "neutral"),
        StateLook("Running", "circle-play", "st_started", "info"),
        # Connections.
        StateLook("Connected", "circle-check", "st_succeeded", "ok"),
        StateLook("Connecting…", "loader", "st_started", "info"),
        StateLook("Reconnecting…", "clock-alert", "st_retrying", "warning"),
        StateLook("Disconnected", "circle-off", "muted", "neutral"),
        # Severities.
        StateLook("Error", "circle-alert", "st_failed", "error"),
        StateLook("Warning", "triangle-alert", "st_retrying", "warning"),
        StateLook("Notice", "info", "st_started", "info"),
    )
}


def state_look(word: str) -> StateLook:
    """The look of a state word; an unknown word gets a neutral question mark rather than an error."""
    found = _LOOKS.get(word)
    return found if found is not None else StateLook(word, "circle-question-mark", "muted", "neutral")


def state_words() -> tuple[str, ...]:
    """Every word that has a look of its own."""
    return tuple(_LOOKS)
