"""The manual says what the program says: commands that parse, files that exist, words on the screen."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from console.app.commands import parse
from console.app.connections_arguments import connection_of  # what `add` makes of its arguments
from console.broker.url import parse_broker_url
from console.core.home import Home

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "packaging").rglob("*.md"))]
CONNECTIONS = ROOT / "packaging" / "manual" / "connections.md"
BROKERS = "redis|rediss|redis\\+socket|sentinel|amqp|amqps"


@cache
def words_of_the_program() -> tuple[str, ...]:
    """Every text that stands in the program's code, spaces and lines as one space."""
    found: list[str] = []
    for file in sorted((ROOT / "console").rglob("*.py")):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        constants = (node.value for node in nodes if isinstance(node, ast.Constant))
        found += [_plain(value) for value in constants if isinstance(value, str)]
    return tuple(found)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _code(page: Path) -> list[str]:
    """The indented lines: commands and examples."""
    return [line[4:] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]


def _prose(page: Path) -> str:
    lines = page.read_text(encoding="utf-8").splitlines()
    return _plain("\n".join(line for line in lines if not line.startswith("    ")))


def _commands() -> list[str]:
    """Each command line of the program, without what a shell makes of its neighbours."""
    quoted = re.findall(r"`(celery-console [^`\[]+)`", _prose(CONNECTIONS))
    whole = [part for line in _code(CONNECTIONS) for part in re.split(r" \| |'", line)]
    return [
        line.split(" < ")[0].split(" > ")[0]
        for line in (*quoted, *whole)
        if line.startswith("celery-console ") and not line.endswith("--help")
    ]


def test_there_are_commands_to_look_at() -> None:
    assert len(_commands()) > 20


@pytest.mark.parametrize("command", _commands())
def test_a_command_line_is_understood(command: str) -> None:
    arguments = parse(shlex.split(command)[1:])
    wanted = arguments.without_window
    if wanted is not None and wanted.action == "add":
        assert connection_of(wanted).name == wanted.name


def test_each_option_and_purpose_that_is_named_is_one() -> None:
    texts = "\n".join(words_of_the_program())
    for option in set(re.findall(r"`(--[a-z-]+)`", _prose(CONNECTIONS))):
        assert f"{option}" in texts, option
    for line in _code(CONNECTIONS):
        if line.startswith('{"broker"'):
            for purpose in re.findall(r'"([a-z-]+)":', line):
                assert purpose in words_of_the_program(), purpose


@pytest.mark.parametrize("word", sorted(set(re.findall(r"\*\*([^*]+)\*\*", _prose(CONNECTIONS)))))
def test_a_word_in_bold_is_on_the_screen(word: str) -> None:
    if word.endswith((".", ":")) or word == "all":
        return  # the manual's own: how paragraphs begin, and what is stressed
    assert word in words_of_the_program(), f"{word} is nowhere on the screen"


@pytest.mark.parametrize("said", sorted(set(re.findall(r'"([A-Z][^"]{8,})"', _prose(CONNECTIONS)))))
def test_an_answer_that_is_quoted_is_given(said: str) -> None:
    if said in ("Shop production", "Shop staging"):
        return
    begins = said.rsplit(" ask or tell", 1)[0]  # the words of a right come after it
    assert any(
        begins in text or (text and said.startswith(text) and len(text) > 12)
        for text in words_of_the_program()
    ), said


@pytest.mark.parametrize("url", sorted(set(re.findall(rf"`((?:{BROKERS})://[^`]+)`", _prose(CONNECTIONS)))))
def test_a_url_can_be_read(url: str) -> None:
    assert parse_broker_url(url).url


def test_the_files_of_the_home_are_called_so() -> None:
    home = Home(Path("/home"))
    text = _prose(CONNECTIONS)
    for file in (home.connections_file, home.known_hosts_file):
        assert f"`{file.name}`" in text
    for name in re.findall(r"`(connections\.[a-z.-]+)`", text):
        ending = name.removeprefix("connections")
        assert any(ending.removesuffix(".json") in one for one in words_of_the_program()), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.name}: {target}"
    for path in re.findall(r"packaging/[\w./-]+\.(?:acl|sh|service|lock)", text):
        assert (ROOT / path).exists(), path


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_quiet(page: Path) -> None:
    assert "!" not in re.sub(r"!\[", "[", _prose(page))
