"""A vhost of the real RabbitMQ as the console and a worker see it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from console.broker.address import BrokerAddress, BrokerKind
from console.core.redaction import Secret
from tests.rabbitmq import ADMIN, RabbitServer


@dataclass(frozen=True)
class Place:
    """One vhost, entered as `user`; with `management` off the API's port is one where nobody listens."""

    server: RabbitServer
    vhost: str
    user: str = ADMIN
    management: bool = True

    @property
    def url(self) -> str:
        return self.server.url(self.vhost, user=self.user)

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress(
            "127.0.0.1",
            self.server.port,
            kind=BrokerKind.RABBITMQ,
            username=self.user,
            password=Secret(self.server.passwords[self.user]),
            vhost=self.vhost,
            management_url=self.server.management_url if self.management else "http://127.0.0.1:1",
        )

    @property
    def without_management(self) -> Place:
        return replace(self, management=False)

    def as_user(self, name: str, **permissions: str) -> Place:
        """The same vhost for a new user, whose `tags`, `configure`, `write` and `read` are `permissions`."""
        self.server.add_user(name, f"{name}'s p@ss:wörd/", vhost=self.vhost, **permissions)
        return replace(self, user=name)

    def queues(self) -> dict[str, dict[str, Any]]:
        """What RabbitMQ itself says of the vhost's queues."""
        found = self.server.manage("GET", f"/api/queues/{quote(self.vhost, safe='')}")
        return {queue["name"]: queue for queue in found}

    def connections(self) -> list[str]:
        """The names of the connections to this vhost, as soon as RabbitMQ lists them."""
        return [one["name"] for one in self.server.connections() if one.get("vhost") == self.vhost]

    def close_connections(self) -> None:
        """Close those to this vhost from the server's side; waits for one to be listed."""
        deadline = time.monotonic() + 15
        while not (names := self.connections()):
            assert time.monotonic() < deadline, "no connection is listed"
            time.sleep(0.02)
        for name in names:
            self.server.manage("DELETE", f"/api/connections/{quote(name, safe='')}", missing_ok=True)

    def declare(self, name: str, *messages: str, **arguments: object) -> None:
        """A durable queue with messages in it."""
        vhost = quote(self.vhost, safe="")
        body = {"durable": True, "arguments": arguments}
        self.server.manage("PUT", f"/api/queues/{vhost}/{quote(name, safe='')}", body)
        for message in messages:
            self.server.manage(
                "POST",
                f"/api/exchanges/{vhost}/amq.default/publish",
                {"routing_key": name, "payload": message, "payload_encoding": "string", "properties": {}},
            )

    def messages(self, name: str) -> list[dict[str, Any]]:
        """The messages of a queue, taken and given back."""
        body = {"count": 100, "ackmode": "ack_requeue_true", "encoding": "auto"}
        found: list[dict[str, Any]] = self.server.manage(
            "POST", f"/api/queues/{quote(self.vhost, safe='')}/{quote(name, safe='')}/get", body
        )
        return found
