"""What comes before the first service: folders, what an earlier run left, the broker's binary, a free port.

Stands apart from the service because it happens once per session of the stack and knows nothing of steps that
follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from console.core.clock import Clock
from console.core.lanes import Lane
from console.stack.gateway import LocalMachine
from console.stack.logs import LogBook
from console.stack.model import RestartPolicy, WorkerOptions
from console.stack.orders import Orders, StackFiles
from console.stack.services import Services


@dataclass(frozen=True, slots=True)
class Opening:
    """Makes the services of a session, at a new address."""

    files: StackFiles
    machine: LocalMachine
    lane: Lane
    clock: Clock
    book: LogBook
    policy: RestartPolicy
    environ: Mapping[str, str]
    options: Callable[[], WorkerOptions]

    async def end_leftovers(self, say: Callable[[str], None]) -> str:
        """Make the folders and end what an earlier run left; returns what was found, in words."""
        await self.lane.run(self.machine.prepare_folders)
        if await self.lane.run(self.machine.has_leftovers):
            say("Ending what an earlier run left")
        return await self.lane.run(self.machine.end_leftovers)

    async def services(self, zone: str) -> Services:
        """Services that nothing has started yet. Raises `ConsoleError` where there is no broker."""
        binary = await self.lane.run(self.machine.broker_binary)
        orders = Orders(
            files=self.files,
            address=await self.lane.run(self.machine.new_address),
            zone=zone or await self.lane.run(self.machine.zone),
            node=self.machine.node(),
            environ=self.environ,
        )
        return Services(
            orders=orders,
            binary=binary,
            options=self.options,
            machine=self.machine,
            lane=self.lane,
            clock=self.clock,
            book=self.book,
            policy=self.policy,
        )
