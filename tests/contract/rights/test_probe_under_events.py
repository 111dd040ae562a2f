"""What may be done is found out while events come thick and fast."""

from __future__ import annotations

from dataclasses import replace

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.rights import probe_rabbitmq
from tests.contract.rabbitmq.places import Place
from tests.integration.life.load import events_to_rabbitmq
from tests.proxy import Proxy
from tests.rabbitmq import RabbitServer

DELAY_S = 0.02
PROBES = 3


def test_rabbitmq(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    with Proxy("127.0.0.1", rabbitmq.port) as far, events_to_rabbitmq(rabbitmq, rabbitmq_vhost):
        far.delay(DELAY_S)  # a broker some way off: events are on their way while it is asked to stop
        address = replace(Place(rabbitmq, rabbitmq_vhost).address, port=far.port)
        app = make_celery_app(address)
        try:
            for _ in range(PROBES):
                assert probe_rabbitmq(app, address) == {}
        finally:
            close_celery_app(app)
