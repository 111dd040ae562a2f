"""The Connections page around the editor: table, test, import, export, delete, and the sheets."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from console.app.checker import make_checker
from console.broker.address import BrokerAddress
from console.broker.tunnel_errors import UnknownHostKey
from console.connections.check_model import CheckStep, StepState
from console.connections.export_dialog import ExportDialog
from console.connections.model import Colour, Connection, KeyringState, Purpose, SecretQuestion
from console.connections.secret_dialog import AskForSecret, ask_unsaved
from console.core.connection import Environment
from console.core.errors import ConsoleError
from console.core.home import Home
from console.core.redaction import Secret
from console.widgets.badge import Badge
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.fields import CheckBox
from console.widgets.label import Text
from console.widgets.spinner import Spinner
from tests.gui.connections.world import PRODUCTION, STAGING, World
from tests.valkey import ValkeyServer

PASSED, RUNNING, FAILED, WAITING = (
    StepState.PASSED,
    StepState.RUNNING,
    StepState.FAILED,
    StepState.WAITING,
)
NAME = CheckStep("name", "Name resolution", PASSED, "redis is 10.20.4.17", 0.004)
IMPORTED = "Connections to import"
REFUSED = ConsoleError(
    "Some commands are refused", detail="lrange is refused.", remedy="Ask the administrator."
)


def focused() -> QWidget:
    widget = QApplication.focusWidget()
    assert widget is not None
    return widget


def badges(world: World) -> list[str]:
    return [one.text() for one in world.page.findChildren(Badge) if one.isVisible() and one.text()]


def table(world: World, name: str) -> DataTable:
    (found,) = [one for one in world._shown(DataTable) if one.accessibleName() == name]
    return found


async def test_the_table_and_its_buttons(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING, replace(PRODUCTION, colour=Colour.VIOLET)) as world:
        assert [column.title for column in world.table.columns] == [
            *("Name", "Environment", "Broker", "Schedules database", "Last used"),
        ]
        assert world.cells("name") == ["Local stack", "Shop production", "Shop staging"]
        assert world.cells("database")[1:] == ["PostgreSQL, shop", "PostgreSQL, shop_stg"]
        assert [row.cells["name"].dot for row in world.table.rows()] == [None, "st_lost", None]
        words = ["New…", "Edit…", "Duplicate…", "Test", "Import…", "Export…", "Delete…"]
        header = [world.page._new, world.page._edit, world.page._duplicate, world.page._test]
        header += [world.page._import_button, world.page._export, world.page._delete]
        assert [one.accessibleName() for one in header] == words
        assert [one.x() for one in header] == sorted(one.x() for one in header)
        assert world.says("there is nothing to fill in")
        assert world.page._edit.toolTip() == "The local stack sets itself up"
        assert world.page._test.toolTip() == "The local stack is not running"
        await world.choose_row("staging")
        assert all(one.isEnabled() for one in header)
        world.page._edit.click()
        await world.until(lambda: world.field("Name").hasFocus())


async def test_two_hundred_connections_and_long_names(qtbot: QtBot, tmp_path: Path) -> None:
    many = [replace(STAGING, id=f"c{n}", name=f"Shop {n:03} " + "x" * 120) for n in range(200)]
    async with World(tmp_path, *many) as world:
        assert len(world.table.rows()) == 201
        await world.choose_row("c150")
        assert world.table.height() < 200
        assert world.page._editor.accessibleName().startswith("Shop 150")
        assert world.page.minimumSizeHint().width() <= 744


async def test_the_first_tab_needs_no_scrolling(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING, PRODUCTION, replace(STAGING, id="b", name="Billing")) as world:
        await world.choose_row("staging")
        tab = world.page._editor._pages["Broker"]
        await world.until(lambda: tab.verticalScrollBar().maximum() == 0)


async def test_a_test_runs_step_by_step_and_says_what_to_do(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.secrets.kept["staging"] = "kept-secret"
        await world.choose_row("staging")
        world.type_into("User", "other")
        world.type_into("Password", "typed-secret")
        running = CheckStep("acl", "Permissions", RUNNING)
        failed = CheckStep(
            "acl", "Permissions", FAILED, "14 of 16 allowed", 1.2, REFUSED, "ACL SETUSER other +lrange"
        )
        world.checker.steps = [(NAME, running), (NAME, failed)]
        world.page._test.click()
        await world.until(lambda: world.says("redis is 10.20.4.17"))
        assert world.button("Stop").isVisible()
        assert any(one.isVisible() for one in world.page._check.findChildren(Spinner))
        connection, secrets = world.checker.asked[0]
        assert connection.broker is not None
        assert connection.broker.username == "other"
        assert secrets.get(Purpose.BROKER) == Secret("typed-secret")
        world.checker.go_on.set()
        await world.until(lambda: "1 of 2 passed" in badges(world))
        assert world.says("14 of 16 allowed")
        assert world.says("Some commands are refused. lrange is refused. Ask the administrator.")
        assert world.says("1.2 s in all")
        world.button("Copy the command").click()
        assert QApplication.clipboard().text() == "ACL SETUSER other +lrange"
        QApplication.clipboard().clear()
        assert not world.says("Changed since")
        assert world.notices.notices[-1].text == "Test of Shop staging: 1 of 2 passed"
        world.type_into("User", "another")
        assert world.says("Changed since")
        world.type_into("User", "other")
        assert not world.says("Changed since")
        assert world.file.read()[0].broker == STAGING.broker
        world.button("Save").click()
        await world.until(lambda: not world.states())
        assert not world.says("Changed since")


async def test_a_test_is_stopped_and_begun_anew(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        running = CheckStep("tcp", "TCP", RUNNING)
        done = CheckStep("tcp", "TCP", PASSED, "port 6380 answers", 0.02)
        world.checker.steps = [(NAME, running), (NAME, done)]
        world.page._test.click()
        await world.until(lambda: len(world.checker.asked) == 1 and world.says("redis is 10.20.4.17"))
        world.page._test.click()
        await world.until(lambda: len(world.checker.asked) == 2)
        assert world.checker.cancelled == 1
        await world.until(lambda: world.button("Stop").isVisible())
        world.button("Stop").click()
        await world.until(lambda: "Stopped" in badges(world))
        assert world.checker.cancelled == 2
        world.checker.go_on.set()
        world.page._test.click()
        await world.until(lambda: "2 of 2 passed" in badges(world))


async def test_what_cannot_be_tested_yet_is_said_at_its_field(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.view_model.new_blank()
        world.page._test.click()
        await world.until(lambda: world.says("A host is needed"))
        assert not world.says("A name is needed") or world.checker.asked == []
        assert world.checker.asked == []


async def test_an_unknown_ssh_key_is_trusted_by_a_click(qtbot: QtBot, tmp_path: Path) -> None:
    line = "jump ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample"
    error = UnknownHostKey(
        host="jump", port=22, key_type="ssh-ed25519", fingerprint="SHA256:abc", known_hosts_line=line
    )
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        world.checker.steps = [(CheckStep("ssh", "SSH tunnel", FAILED, "", 0.1, error),)]
        world.checker.go_on.set()
        world.page._test.click()
        await world.until(lambda: world.says("SHA256:abc"))
        world.button("Trust this key").click()
        await world.until(lambda: len(world.checker.asked) == 2)
        assert world.home.known_hosts_file.read_text() == f"{line}\n"


async def test_delete_asks_and_production_wants_its_name(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING, PRODUCTION) as world:
        world.secrets.kept |= {"staging": "a", "production": "b", "production:schedules": "c"}
        await world.choose_row("production")
        world.page._delete.click()
        dialog = world.dialog()
        assert dialog.windowTitle() == "Delete Shop production?"
        assert "The history on this computer stays" in dialog.accessibleDescription()
        delete = next(one for one in dialog.findChildren(QAbstractButton) if one.text() == "Delete")
        assert not delete.isEnabled()
        QTest.keyClicks(focused(), "Shop production")
        delete.click()
        await world.until(lambda: world.cells("name") == ["Local stack", "Shop staging"])
        await world.until(lambda: world.secrets.kept == {"staging": "a"})
        assert [entry.operation for entry in world.log.entries] == ["Delete connection"]


async def test_an_export_holds_no_secret_and_is_imported_elsewhere(qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "out" / "connections.json"
    file.parent.mkdir()
    async with World(tmp_path / "one", STAGING, PRODUCTION) as world:
        world.secrets.kept |= {"staging": "marker-one", "production:schedules": "marker-two"}
        await world.choose_row("staging")
        world.page._export.click()
        dialog = world.dialog()
        assert isinstance(dialog, ExportDialog)
        assert world.says("No password and no passphrase is in the file")
        chosen = [row.cells["chosen"].checked for row in table(world, "Connections to export").rows()]
        assert chosen == [True, False]
        world.button("Choose all").click()
        dialog.accept()
        (files,) = dialog.findChildren(QFileDialog)
        files.reject()
        dialog.export_to(str(file))
        await world.until(lambda: f"Exported to {file}" in [one.text for one in world.notices.notices])
    text = file.read_text()
    assert "marker" not in text
    assert [one["name"] for one in json.loads(text)["connections"]] == ["Shop staging", "Shop production"]
    mine = replace(STAGING, id="other")
    async with World(tmp_path / "two", mine, replace(PRODUCTION, environment=Environment.STAGING)) as world:
        world.page._import_button.click()
        world.type_into("File of connections", str(file))
        QTest.keyClick(world.field("File of connections"), Qt.Key.Key_Tab)
        await world.until(lambda: any(one.accessibleName() == IMPORTED for one in world._shown(DataTable)))
        plan = table(world, IMPORTED)
        await world.until(lambda: len(plan.rows()) == 2)
        told = [(row.cells["kind"].text, row.cells["details"].text) for row in plan.rows()]
        assert told == [("Name taken", "as Shop staging 2"), ("Changed", "Environment")]
        plan.check_toggled.emit("production", False)
        assert [row.cells["chosen"].checked for row in plan.rows()] == [True, False]
        world.button("Import").click()
        await world.until(lambda: "Shop staging 2" in world.cells("name"))
        assert world.cells("environment").count("Production") == 0


async def test_a_file_that_is_none_is_said_at_its_field(qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"version": 99, "connections": []}')
    async with World(tmp_path, STAGING) as world:
        world.page._import_button.click()
        for path, words in ((str(file), "newer console"), ("/nowhere.json", "No such file")):
            world.type_into("File of connections", path)
            QTest.keyClick(world.field("File of connections"), Qt.Key.Key_Tab)
            await world.until(lambda words=words: world.says(words))  # type: ignore[misc]
        assert not world.button("Import").isEnabled()


async def test_a_url_on_the_clipboard_fills_a_new_connection(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        QApplication.clipboard().setText("rediss://me:clip-secret@redis.example:7000/2")
        world.page._import_button.click()
        world.button("From the clipboard").click()
        assert world.says("Redis: rediss://me:••••@redis.example:7000/2")
        world.button("Fill in").click()
        await world.until(lambda: world.field("Host").text() == "redis.example")
        assert world.field("Password").text() == "clip-secret"
        assert world.box("Use TLS").isChecked()
        assert world.field("Broker URL").text() == "rediss://me@redis.example:7000/2"
        assert "clip-secret" not in " ".join(world.texts() + world.cells("broker"))
        world.button("Cancel").click()
        QApplication.clipboard().setText("something else")
        world.page._import_button.click()
        world.button("From the clipboard").click()
        assert world.says("holds neither a broker URL nor exported connections")
        assert not world.button("Import").isEnabled()
        QApplication.clipboard().clear()


async def test_a_project_is_read_and_reviewed(qtbot: QtBot, tmp_path: Path) -> None:
    project = tmp_path / "web_shop"
    project.mkdir()
    (project / "tasks.py").write_text(
        "from celery import Celery\n"
        "app = Celery('shop', broker='redis://me:project-secret@redis.example:7001/4')\n"
        "app.conf.task_routes = {'a': {'queue': 'mail'}}\n"
    )
    async with World(tmp_path, STAGING) as world:
        world.page._import_button.click()
        world.button("From a project").click()
        assert world.says("runs the project's settings code")
        assert not world.button("Read").isEnabled()
        world.type_into("Project folder", str(project))
        QTest.keyClick(world.field("Project folder"), Qt.Key.Key_Tab)
        await world.until(lambda: world.button("Read").isEnabled())
        assert world.select("What is read").currentText() == "Celery app tasks"
        assert [world.select("Interpreter").itemText(n) for n in range(world.select("Interpreter").count())]
        interpreter = world.select("Interpreter")
        interpreter.set_items([(sys.executable, "ours")])
        interpreter.set_current(sys.executable)
        world.button("Read").click()
        await world.until(lambda: world.offers("Fill in"))
        assert world.says("Found redis://me@redis.example:7001/4")
        world.button("Fill in").click()
        await world.until(lambda: world.field("Name").text() == "Web shop")
        assert world.field("Password").text() == "project-secret"
        assert world.view_model.editing is not None
        assert "mail" in world.view_model.editing.draft.queues


async def test_reading_a_project_is_stopped(qtbot: QtBot, tmp_path: Path) -> None:
    project = tmp_path / "slow"
    project.mkdir()
    (project / "tasks.py").write_text(
        "import time\nfrom celery import Celery\ntime.sleep(60)\napp = Celery('shop')\n"
    )
    async with World(tmp_path, STAGING) as world:
        world.page._import_button.click()
        world.button("From a project").click()
        world.type_into("Project folder", str(tmp_path / "nowhere"))
        QTest.keyClick(world.field("Project folder"), Qt.Key.Key_Tab)
        await world.until(lambda: world.says("There is no folder"))
        world.type_into("Project folder", str(project))
        QTest.keyClick(world.field("Project folder"), Qt.Key.Key_Tab)
        await world.until(lambda: world.button("Read").isEnabled())
        world.select("Interpreter").set_items([(sys.executable, "ours")])
        world.button("Read").click()
        await world.until(lambda: world.says("Reading tasks…"))
        stop = world.dialog().cancel_button
        assert stop is not None
        assert stop.text() == "Stop"
        stop.click()
        await world.until(lambda: world.says("Stopped."))
        stop.click()
        await world.until(lambda: not world.offers("Stop") and not world.offers("Read"))


async def test_an_unreadable_file_is_told_and_the_last_good_one_used(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        pass
    world = World(tmp_path, file_text="{ not json")
    async with world:
        banner = world.page.findChild(Banner)
        assert banner is not None
        await world.until(banner.isVisible)
        assert banner.fact() == "The connections file cannot be read"
        world.button("Use the last good file").click()
        await world.until(lambda: not banner.isVisible())
        assert world.cells("name") == ["Local stack", "Shop staging"]
        assert world.file.read()[0].name == "Shop staging"


async def test_a_secret_is_asked_for(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, PRODUCTION) as world:
        ask = AskForSecret(world.page, lambda: world.service.keyring_state)
        question = SecretQuestion(PRODUCTION.info, Purpose.BROKER, REFUSED)
        asking = asyncio.ensure_future(ask(question))
        await world.until(lambda: any(world._shown(CheckBox)) and world.says("lrange is refused."))
        assert world.dialog().windowTitle() == "Password for Shop production"
        QTest.keyClicks(focused(), "typed-secret")
        QTest.keyClick(focused(), Qt.Key.Key_Return)
        answer = await asking
        assert answer is not None
        assert answer.secret == Secret("typed-secret")
        assert answer.keep
        asking = asyncio.ensure_future(ask(replace(question, purpose=Purpose.SCHEDULES_TUNNEL)))
        await world.until(lambda: world.says("Passphrase of the SSH key for Shop production"))
        world.dialog().reject()
        assert await asking is None


async def test_a_question_goes_when_its_answer_has_come_otherwise(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, PRODUCTION) as world:
        problem = ConsoleError("No keyring", detail="This computer has none.")
        ask = AskForSecret(world.page, lambda: KeyringState(problem=problem))
        asking = asyncio.ensure_future(ask(SecretQuestion(PRODUCTION.info, Purpose.BROKER, waiting=True)))
        await world.until(lambda: world.says("The keyring has not answered yet"))
        box = next(one for one in world._shown(CheckBox) if one.text() == "Keep it in the keyring")
        assert not box.isEnabled()
        assert not box.isChecked()
        assert world.says("For this run only: This computer has none.")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await world.until(lambda: not world.says("The keyring has not answered yet"))


async def test_closing_asks_about_what_is_not_saved(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, PRODUCTION) as world:
        asking = asyncio.ensure_future(ask_unsaved(world.page, ("Shop <b>", "Other")))
        await world.until(lambda: world.offers("Close without saving"))
        assert "Shop <b>" in world.dialog().accessibleDescription()
        world.dialog().reject()
        assert await asking is False


async def test_a_real_broker_is_tested_from_the_page(
    qtbot: QtBot, tmp_path: Path, broker: ValkeyServer
) -> None:
    home = Home(tmp_path / "home")
    address = BrokerAddress("127.0.0.1", broker.port)
    mine = Connection("mine", "Mine", Environment.DEVELOPMENT, address)
    async with World(tmp_path, mine, checker=make_checker(home)) as world:
        await world.choose_row("mine")
        world.page._test.click()
        await world.until(lambda: any("passed" in words for words in badges(world)))
        assert world.says("The test only reads")
        assert any(one.text() == "Login" for one in world._shown(Text))
        world.type_into("Port", "1")
        world.page._test.click()
        await world.until(lambda: bool(world.view_model.check) and not world.view_model.check_is_old)
        await world.until(lambda: any("passed" in words for words in badges(world)))
        assert any("0 of" in words or "1 of" in words for words in badges(world))
