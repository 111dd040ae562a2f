"""The acts on the local stack as operations, so that the activity log has them.

They are SAFE because the one question there is (what about running tasks?) has more than two answers and is
asked before, by the page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from console.core.operations import Danger, Operation, Subject
from console.stack.model import ServiceName
from console.stack.service import StackService


def start_stack(service: StackService) -> Operation:
    return _operation("Start local stack", "local stack", service.start)


def stop_stack(service: StackService, *, wait_for_tasks: bool) -> Operation:
    return _operation("Stop local stack", "local stack", lambda: service.stop(wait_for_tasks=wait_for_tasks))


def end_stack(service: StackService) -> Operation:
    """The stop that comes with the end of the program."""
    return _operation("Stop local stack", "local stack", service.end)


def change_service(
    service: StackService, verb: str, name: ServiceName, *, wait_for_tasks: bool = False
) -> Operation:
    """`verb` is "Start", "Stop" or "Restart"; running tasks only matter to the worker."""
    acts: dict[str, Callable[[], Awaitable[str]]] = {
        "Start": lambda: service.start_service(name),
        "Stop": lambda: service.stop_service(name, wait_for_tasks=wait_for_tasks),
        "Restart": lambda: service.restart_service(name, wait_for_tasks=wait_for_tasks),
    }
    return _operation(f"{verb} service", name.value, acts[verb])


def set_traffic(service: StackService, rate: str) -> Operation:
    return _operation("Set demo traffic", rate, lambda: service.set_demo_rate(rate))


def _operation(name: str, target: str, run: Callable[[], Awaitable[str]]) -> Operation:
    return Operation(
        name=name,
        target=target,
        danger=Danger.SAFE,
        run=run,
        changes=frozenset({Subject.STACK}),
        broker=False,
    )
