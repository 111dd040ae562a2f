"""Secrets over time: kept, asked for, copied, removed, and a keyring that refuses, hangs or changes."""

from __future__ import annotations

from dataclasses import replace

from console.broker.database import parse_database_url
from console.connections.model import Purpose, SecretAnswer, Secrets
from console.core.connection import LinkState
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from tests.integration.connections.world import Keyring, Person, Setup, broker_secret, shop, typed
from tests.valkey import ValkeyServer

REFUSAL = ConsoleError("The keyring is locked", detail="It was not unlocked.")


async def test_a_keyring_that_refuses_has_the_person_asked(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.refuses = REFUSAL
    person = Person({Purpose.BROKER: typed(broker.password)})
    setup.service.ask_secret = person.ask
    await setup.service.save(shop(broker), Secrets())
    await setup.service.connect("shop")
    await setup.connected()
    [question] = person.asked
    assert question.why is REFUSAL
    assert not question.waiting
    assert setup.service.keyring_state.problem is REFUSAL
    await setup.service.disconnect()
    await setup.service.connect("shop")
    await setup.connected()
    assert len(person.asked) == 1, "for this run it is known"
    assert setup.service.kept_for_this_run("shop") == {Purpose.BROKER}
    assert not any((await setup.service.kept("shop")).values())


async def test_who_cancels_the_question_is_not_connected_and_sees_no_error(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.refuses = REFUSAL
    setup.service.ask_secret = Person({Purpose.BROKER: None}).ask
    await setup.service.save(shop(broker), Secrets())
    await setup.service.connect("shop")
    assert setup.state is LinkState.DISCONNECTED
    assert setup.service.refused is None
    assert not setup.service.resolving
    assert setup.service.status.error is None


async def test_a_question_is_withdrawn_when_the_keyring_answers_after_all(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), Secrets())
    keyring.kept["shop"] = broker.password
    keyring.answering.clear()
    person = Person()
    setup.service.ask_secret = person.ask
    connecting = setup.service._tasks.start(setup.service.connect("shop"))
    await setup.until(lambda: bool(person.asked))
    assert person.asked[0].waiting
    assert setup.service.resolving
    keyring.answering.set()
    await connecting
    await setup.connected()
    assert person.withdrawn == person.asked


async def test_a_keyring_that_hangs_holds_up_nothing(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.answering.clear()
    person = Person({Purpose.BROKER: typed(broker.password)})
    setup.service.ask_secret = person.ask
    for number in range(6):
        await setup.service.save(replace(shop(broker), id=f"shop-{number}", name=f"Shop {number}"), Secrets())
        await setup.service.connect(f"shop-{number}")
        await setup.connected(within_s=2.0)
    assert len([one for one in person.asked if one.waiting]) == 3, "then the keyring is given up"
    assert len(keyring.calls) == 3, "no more threads than that hang"
    assert (await setup.service.probe_keyring()).problem is not None
    keyring.answering.set()
    await setup.until(lambda: not setup.service._keeper._lanes.left_behind)
    assert (await setup.service.probe_keyring()).name == "Test keyring"


async def test_another_place_is_left_at_once_however_long_the_new_one_takes(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    """Pages must not show one place under the name of another."""
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    other = replace(shop(broker), id="other", name="Other")
    await setup.service.save(other, Secrets())
    keyring.kept["other"] = broker.password
    keyring.answering.clear()
    switching = setup.service._tasks.start(setup.service.connect("other"), name="switch")
    await setup.until(lambda: setup.service.session is None)
    assert setup.service.status.state is LinkState.CONNECTING
    keyring.answering.set()
    await switching
    await setup.connected()


async def test_saving_does_not_wait_for_a_keyring_that_hangs(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.answering.clear()
    await setup.service.save(shop(broker), broker_secret(broker.password))
    assert setup.notice("The password is kept for this run only")
    await setup.service.connect("shop")
    await setup.connected()
    assert setup.service.kept_for_this_run("shop") == {Purpose.BROKER}
    keyring.answering.set()
    await setup.until(lambda: keyring.kept.get("shop") == broker.password)
    await setup.until(lambda: not setup.service.kept_for_this_run("shop"))


async def test_what_a_late_prompt_keeps_is_not_older_than_the_last_wish(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.answering.clear()
    await setup.service.save(shop(broker), broker_secret("older"))
    await setup.service.save(shop(broker), broker_secret("newer"))
    keyring.answering.set()
    await setup.until(lambda: keyring.calls.count("set shop") >= 2)
    await setup.until(lambda: not setup.service.kept_for_this_run("shop"))
    assert keyring.kept["shop"] == "newer"


async def test_a_login_without_a_password_asks_when_it_is_refused(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    person = Person({Purpose.BROKER: typed(broker.password, keep=True)})
    setup.service.ask_secret = person.ask
    await setup.service.save(shop(broker), Secrets())
    await setup.service.connect("shop")
    await setup.connected()
    [question] = person.asked
    assert question.why is not None
    assert question.why.cause is Cause.REFUSED_LOGIN
    assert keyring.kept == {"shop": broker.password}
    assert (await setup.service.kept("shop"))[Purpose.BROKER]


async def test_a_broker_without_a_password_asks_nobody(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    own_broker.kill()
    own_broker.extra = ("protected-mode no", "user default on nopass ~* &* +@all")
    own_broker.start()
    person = Person()
    setup.service.ask_secret = person.ask
    await setup.service.save(shop(own_broker), Secrets())
    await setup.service.connect("shop")
    await setup.connected()
    assert person.asked == []


async def test_a_wrong_kept_password_ends_with_an_error_and_a_way_to_type_it(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    person = Person({Purpose.BROKER: typed(broker.password, keep=True)})
    setup.service.ask_secret = person.ask
    await setup.service.save(shop(broker), broker_secret("not-the-one-1"))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.service.refused is not None)
    assert setup.state is LinkState.DISCONNECTED
    assert person.asked == [], "nobody is interrupted for a password that was there"
    action = setup.notice("Broker refused the login").action
    assert action is not None
    assert action.text == "Type the password…"
    action.run()
    await setup.connected()
    assert keyring.kept["shop"] == broker.password


async def test_a_password_changed_under_way_is_final(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    own_broker.kill()
    own_broker.password = "another-one"
    own_broker.start()
    await setup.until(lambda: setup.service.refused is not None)
    assert setup.service.refused is not None
    assert setup.service.refused.cause is Cause.REFUSED_LOGIN
    assert setup.state is LinkState.DISCONNECTED


async def test_a_password_that_another_console_has_kept_meanwhile_is_used(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret("old one"))
    keyring.kept["shop"] = broker.password
    await setup.service.connect("shop")
    await setup.connected()


async def test_a_duplicate_has_copies_of_the_secrets_unless_typed_anew(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    database = parse_database_url("postgresql://c@pg.example/shop")
    first = replace(shop(broker), schedules=database)
    both = Secrets(((Purpose.BROKER, Secret("one")), (Purpose.SCHEDULES, Secret("two"))))
    await setup.service.save(first, both)
    second = replace(first, id="second", name="Second")
    await setup.service.save(second, broker_secret("three"), copy_from="shop")
    assert keyring.kept == {
        "shop": "one", "shop:schedules": "two", "second": "three", "second:schedules": "two",
    }  # fmt: skip
    known = await setup.service.secrets_for(second, broker_secret("typed"))
    assert known.get(Purpose.BROKER).reveal() == "typed"
    assert known.get(Purpose.SCHEDULES).reveal() == "two"
    await setup.service.save(replace(second, schedules=None, name="Renamed"), Secrets())
    assert "second:schedules" not in keyring.kept
    assert keyring.kept["second"] == "three"
    await setup.service.remove("second")
    await setup.service.remove("shop")
    assert keyring.kept == {}


async def test_a_keyring_that_refuses_never_loses_the_connection(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    keyring.refuses = REFUSAL
    await setup.service.save(shop(broker), broker_secret(broker.password))
    assert setup.notice("The password is kept for this run only")
    assert "Shop" in setup.home.connections_file.read_text()
    await setup.service.connect("shop")
    await setup.connected()
    await setup.service.remove("shop")
    assert setup.notice("The old password may still be kept")


async def test_a_question_is_gone_when_something_else_is_wanted(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    await setup.service.save(replace(shop(broker), id="other", name="Other"), broker_secret(broker.password))
    await setup.service.save(shop(broker), Secrets())
    keyring.refuses = REFUSAL
    person = Person()
    setup.service.ask_secret = person.ask
    connecting = setup.service._tasks.start(setup.service.connect("shop"))
    await setup.until(lambda: bool(person.asked))
    await setup.service.connect("other")
    await connecting
    await setup.connected()
    assert setup.session.info.id == "other"
    assert person.withdrawn == person.asked


def test_an_answer_shows_no_secret() -> None:
    assert "marker" not in repr(SecretAnswer(Secret("marker-9"), keep=True))
