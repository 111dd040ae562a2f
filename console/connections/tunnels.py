"""The tunnels of one connection: opened before its session, and the near ends put into its addresses.

Blocking; on a lane, except `close`, which any thread may call to end an opening that waits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from console.broker.address import DEFAULT_TIMEOUT_S, BrokerAddress, BrokerKind, Endpoint
from console.broker.database import DatabaseAddress
from console.broker.management import management_endpoint
from console.broker.stream import find_primary, find_replicas
from console.broker.tunnel import SshTunnel
from console.broker.tunnel_settings import TunnelSettings
from console.connections.model import Connection, Purpose, Secrets
from console.core.errors import Cause, ConsoleError
from console.core.home import Home
from console.core.redaction import Secret

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


def known_hosts_files(home: Home) -> tuple[Path, ...]:
    """Where the keys of SSH servers are known: the user's, the computer's and the console's own."""
    return Path.home() / ".ssh" / "known_hosts", SYSTEM_KNOWN_HOSTS, home.known_hosts_file


@dataclass(frozen=True, slots=True)
class Ways:
    """Where the parts of a connection are to be connected to. A problem: why that part cannot be reached."""

    broker: BrokerAddress
    schedules: DatabaseAddress | None
    results: BrokerAddress | DatabaseAddress | None
    schedules_problem: ConsoleError | None = None
    results_problem: ConsoleError | None = None


class Tunnels:
    """At most one SSH connection for equal settings, whatever it is for."""

    def __init__(self, connection: Connection, secrets: Secrets, *, known_hosts: Sequence[Path]) -> None:
        self._connection = connection
        self._secrets = secrets
        self._known_hosts = tuple(known_hosts)
        self._open: dict[TunnelSettings, SshTunnel] = {}
        self._closed = False
        self._of_broker: frozenset[Endpoint] = frozenset()
        self._changing = threading.Lock()

    @property
    def failure(self) -> ConsoleError | None:
        """Why the last client on its way to the broker was turned away; None once one was served again.

        What else leads through the same tunnel (the database, the management API) may fail by itself.
        """
        found = (tunnel.failure_among(self._of_broker) for tunnel in list(self._open.values()))
        return next((failure for failure in found if failure is not None), None)

    def reach(self) -> Ways:
        """Open what is needed. Raises `ConsoleError` when the broker's does not open; then call `close`."""
        connection = self._connection
        if connection.broker is None:
            raise RuntimeError("the local stack needs no tunnel")
        broker = connection.broker
        if connection.broker_tunnel is not None:
            broker = self._broker(broker, connection.broker_tunnel)
            api = _management(broker)
            self._of_broker = frozenset(far for far, _near in broker.routes if far != api)
        schedules, schedules_problem = self.reach_schedules()
        results: BrokerAddress | DatabaseAddress | None = connection.results.redis
        results_problem: ConsoleError | None = None
        if connection.results.redis is not None and connection.results_tunnel is not None:
            try:
                results = self._broker(connection.results.redis, connection.results_tunnel)
            except ConsoleError as error:
                results, results_problem = None, error
        elif connection.results.django:
            results = schedules
        return Ways(broker, schedules, results, schedules_problem, results_problem)

    def reach_schedules(self) -> tuple[DatabaseAddress | None, ConsoleError | None]:
        """The schedules database with its near end, or as it was and why its tunnel does not open."""
        schedules, settings = self._connection.schedules, self._connection.schedules_tunnel
        if schedules is None or settings is None or not schedules.host:
            return schedules, None
        try:
            tunnel = self._tunnel(settings, DEFAULT_TIMEOUT_S)
            return replace(schedules, near=tunnel.forward((schedules.host, schedules.port))), None
        except ConsoleError as error:
            return schedules, error

    def _broker(self, address: BrokerAddress, settings: TunnelSettings) -> BrokerAddress:
        if address.kind is BrokerKind.SOCKET:
            return address  # a file of this computer
        tunnel = self._tunnel(settings, address.timeout_s)

        def through(known: BrokerAddress, *endpoints: Endpoint) -> BrokerAddress:
            routes = dict(known.routes) | {one: tunnel.forward(one) for one in endpoints}
            return replace(known, routes=tuple(routes.items()))

        address = through(address, *address.endpoints())
        if address.kind is BrokerKind.RABBITMQ:
            api = _management(address)
            return address if api is None else through(address, api)
        if address.kind is BrokerKind.SENTINEL:
            primary = find_primary(address, timeout_s=address.timeout_s)
            replicas = find_replicas(address, timeout_s=address.timeout_s)
            address = through(address, primary, *replicas)
        return address

    def _tunnel(self, settings: TunnelSettings, timeout_s: float) -> SshTunnel:
        with self._changing:
            if self._closed:
                raise ConsoleError("The SSH tunnel is not open", remedy="Connect again.", cause=Cause.BUSY)
            tunnel = self._open.get(settings)
            if tunnel is None:
                tunnel = self._open[settings] = SshTunnel(
                    settings,
                    passphrase=self._passphrase(settings),
                    known_hosts=self._known_hosts,
                    timeout_s=timeout_s,
                )
        try:
            tunnel.open()
        except BaseException:
            with self._changing:
                self._open.pop(settings, None)
            raise
        return tunnel

    def learn(self, purpose: Purpose, secret: Secret) -> None:
        """A passphrase that was typed meanwhile, for the tunnels that are not open yet."""
        self._secrets = self._secrets.with_secret(purpose, secret)

    def _passphrase(self, settings: TunnelSettings) -> Secret:
        """Of whichever purpose has one: who uses one key for two ways types it once."""
        connection = self._connection
        users = (
            (Purpose.BROKER_TUNNEL, connection.broker_tunnel),
            (Purpose.SCHEDULES_TUNNEL, connection.schedules_tunnel),
            (Purpose.RESULTS_TUNNEL, connection.results_tunnel),
        )
        typed = (self._secrets.get(purpose) for purpose, used in users if used == settings)
        return next((one for one in typed if one), Secret(""))

    def close(self) -> None:
        """End all of them, one that is being opened too. Bounded; twice does no harm."""
        with self._changing:
            self._closed = True
            tunnels = list(self._open.values())
        for tunnel in tunnels:
            tunnel.close()


def _management(address: BrokerAddress) -> Endpoint | None:
    """RabbitMQ's management API; an address of it that is not valid is said where it is used."""
    if address.kind is not BrokerKind.RABBITMQ:
        return None
    try:
        return management_endpoint(address)
    except ConsoleError:
        return None


def lacks_route(address: BrokerAddress) -> bool:
    """Whether the present primary is a server that the tunnel does not lead to. Blocking."""
    try:
        primary = find_primary(address, timeout_s=address.timeout_s)
    except ConsoleError:
        return False
    return primary not in dict(address.routes)
