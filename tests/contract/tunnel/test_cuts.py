"""The line to the SSH server breaks in every way while clients work: always back, never a wrong answer."""

from __future__ import annotations

import gc
import random
import threading
import time

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.contract.tunnel.conftest import MakeTunnel
from tests.contract.tunnel.sshd import Sshd
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

CUTS = 30
BACK_S = 10.0
ONCE = Retry(NoBackoff(), 0)


class Load:
    """A client that writes and reads back through the tunnel, making a new connection after every failure."""

    def __init__(self, local: tuple[str, int], broker: ValkeyServer, number: int) -> None:
        self._local, self._broker, self._number = local, broker, number
        self.done = 0
        self.wrong = 0
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self.ended.is_set():
            with redis.Redis(
                *self._local, password=self._broker.password, socket_timeout=2, retry=ONCE
            ) as client:
                try:
                    while not self.ended.is_set():
                        value = random.randbytes(random.choice((10, 1_000, 200_000)))
                        client.set(f"key-{self._number}", value)
                        self.wrong += client.get(f"key-{self._number}") != value
                        self.done += 1
                except redis.RedisError:
                    self.ended.wait(0.01)

    def end(self) -> None:
        self.ended.set()
        self._thread.join(10)


def test_random_cuts_under_load(broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    with Proxy("127.0.0.1", sshd.port) as proxy:
        known = sshd.known_hosts_line.replace(f":{sshd.port}", f":{proxy.port}")
        one = tunnel(sshd, port=proxy.port, known=known, keepalive_s=0.1, timeout_s=1.0)
        one.open()
        away = (proxy.refuse, proxy.accept_silently)
        local = one.forward(("127.0.0.1", broker.port))
        loads = [Load(local, broker, number) for number in range(4)]
        try:
            threads, files = 0, 0
            for cut in range(CUTS):
                trouble = chance.choice((proxy.cut, proxy.reset, proxy.half_open, *away))
                trouble()
                if trouble in away:  # the line that stands goes on until it is cut
                    proxy.cut()
                    while one.alive:
                        time.sleep(0.001)
                    proxy.heal()
                before = [load.done for load in loads]
                deadline_s = time.monotonic() + BACK_S
                while any(load.done < done + 2 for load, done in zip(loads, before, strict=True)):
                    assert time.monotonic() < deadline_s, (
                        f"not back after cut {cut} (seed {seed}): {one.failure}"
                    )
                    time.sleep(0.005)
                if cut == CUTS // 4:
                    gc.collect()
                    threads, files = threading.active_count(), psutil.Process().num_fds()
            gc.collect()
            assert threading.active_count() <= threads + 2
            assert psutil.Process().num_fds() <= files + 8
        finally:
            for load in loads:
                load.end()
        assert [load.wrong for load in loads] == [0] * 4
