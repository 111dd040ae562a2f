"""The tester of connections with all it takes: shared by the window and the command line. No Qt."""

from __future__ import annotations

from collections.abc import Callable

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.connections.check_model import TablesFound
from console.connections.checking import ConnectionChecker
from console.connections.tunnels import known_hosts_files
from console.core.home import Home
from console.schedules.tables_level import read_tables_level


def make_checker(
    home: Home, *, local: Callable[[], tuple[BrokerAddress, DatabaseAddress] | None] = lambda: None
) -> ConnectionChecker:
    """`local` gives the local stack's broker and database while it runs."""
    return ConnectionChecker(known_hosts=known_hosts_files(home), tables=_tables, local=local)


def _tables(database: DatabaseAddress) -> TablesFound:
    level = read_tables_level(database)
    return TablesFound(level.beat, level.schedules, level.results, level.problem)
