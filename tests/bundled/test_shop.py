"""Runs the shop's Django test cases in a process of their own."""

from pathlib import Path

from tests.bundled.support import Project

CASES = (
    "DeliveryTest",
    "MailTaskTest",
    "ChargeTest",
    "ViewTest",
    "DemoTest",
    "MailFolderTest",
    "SettingsTest",
)


def test_the_shop(tmp_path: Path) -> None:
    """Every case passes, and all are named here."""
    project = Project("redis://127.0.0.1:1/0", tmp_path)
    found = project.run("test", *(f"tests.bundled.cases.{case}" for case in CASES), check=False)
    assert found.returncode == 0, found.stderr
    assert "skipped" not in found.stderr


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    """No change of a model lacks its migration; the system checks are content."""
    project = Project("redis://127.0.0.1:1/0", tmp_path)
    project.run("makemigrations", "--check", "--dry-run")
    assert "no issues" in project.run("check", "--fail-level", "WARNING").stdout
