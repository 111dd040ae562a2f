"""The test's step about permissions: what a probe found, held to what the connection's mode needs."""

from __future__ import annotations

from dataclasses import replace

from console.broker.acl import mend
from console.broker.address import BrokerAddress
from console.broker.needs import REDIS_NEEDS, Need
from console.broker.rights import Probed
from console.connections.check_model import Found, StepState
from console.connections.check_words import listed, replica
from console.core.connection import Mode, Right, Rights
from console.core.errors import Cause, ConsoleError


def redis_permissions(probed: Probed, address: BrokerAddress, mode: Mode) -> Found:
    """How many commands are allowed, what suffers from the others, and what an administrator runs.

    Only what the connection's mode lets a person do counts: reading must be allowed, changing may not be.
    """
    wanted = [need for need in REDIS_NEEDS if _counts(need, mode)]
    refused = [one for one in probed.refused if one.need in wanted]
    names = list(dict.fromkeys(need.command for need in wanted))
    missing = list(dict.fromkeys(one.need.command for one in refused))
    unknown = {need.command for need in wanted if need not in probed.known} - set(missing)
    says = f"{len(names) - len(missing) - len(unknown)} of {len(names)} commands allowed"
    if unknown:
        says += f", {len(unknown)} cannot be asked about"
    if not refused:
        return Found(says)
    if probed.replica and all(one.replica for one in refused):
        return Found("reading only, the server is a replica", StepState.WARNING, replica(address))
    suffers = list(dict.fromkeys(what for one in refused for what in one.need.shows))
    reading = any(not one.need.changes for one in refused)
    error = ConsoleError(
        f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} refused",
        detail=f"This does not work: {listed(suffers)}. Everything else works.",
        remedy="To allow it, an administrator runs:",
        cause=Cause.NOT_PERMITTED,
    )
    command = mend(replace(probed, refused=tuple(refused)), address)
    return Found(says, StepState.FAILED if reading else StepState.WARNING, error, command)


def _counts(need: Need, mode: Mode) -> bool:
    if need.rights == (Right.CHANGE_QUEUES,):
        return False
    return mode is not Mode.READ_ONLY or not need.changes


# What of RabbitMQ is asked about; the words of sentences that begin with them.
_RABBITMQ = {
    Right.READ_EVENTS: "events",
    Right.ASK_WORKERS: "asking workers",
    Right.SEND_TASKS: "sending tasks",
}


def rabbitmq_permissions(rights: Rights, mode: Mode) -> Found:
    """As for Redis: of what `rights` leave out, only what the connection's mode needs counts."""
    wanted = [right for right in _RABBITMQ if mode is not Mode.READ_ONLY or right is Right.READ_EVENTS]
    missing = [right for right in wanted if right in rights]
    if not missing:
        return Found(f"{listed([_RABBITMQ[right] for right in wanted])} are allowed")
    words = listed([_RABBITMQ[right] for right in missing])
    one = len(missing) == 1 and missing[0] is not Right.READ_EVENTS
    error = ConsoleError(
        f"{words[0].upper()}{words[1:]} {'is' if one else 'are'} not allowed",
        detail=" ".join(f"{rights[right]}." for right in missing),
        remedy="The rules that ship for RabbitMQ allow it: see Rights in the editor.",
        cause=Cause.NOT_PERMITTED,
    )
    failed = Right.READ_EVENTS in missing
    says = f"{len(missing)} of {len(wanted)} {'right' if len(wanted) == 1 else 'rights'} missing"
    return Found(says, StepState.FAILED if failed else StepState.WARNING, error)
