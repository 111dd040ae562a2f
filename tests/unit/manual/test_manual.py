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
from console.history.query import Sort, parse_query
from console.overview.model import AttentionKind
from console.tasks.export import ALL_COLUMNS
from console.tasks.operations import KillSignal
from console.workers.actions import Action
from console.workers.model import Tab

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "packaging").rglob("*.md"))]
MANUAL = sorted((ROOT / "packaging" / "manual").glob("*.md"))
CONNECTIONS = ROOT / "packaging" / "manual" / "connections.md"
HISTORY = ROOT / "packaging" / "manual" / "history.md"
QUERIES = ROOT / "packaging" / "manual" / "tasks-query.md"
BROKERS = "redis|rediss|redis\\+socket|sentinel|amqp|amqps"
EXAMPLES = ("Shop production", "Shop staging", "Local stack")
VARIES = re.compile(r"…|\b\d[\d,]*\b|\b(?:nam|faild|web-1|runtime)\b")
"""What stands in a quoted answer for a word that the program puts in."""


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


def _found(pages: list[Path], pattern: str) -> list[tuple[str, str]]:
    """What `pattern` finds in the prose of each page, with the page's name."""
    return sorted({(page.name, one) for page in pages for one in re.findall(pattern, _prose(page))})


def _commands() -> list[str]:
    """Each command line of the program, without what a shell makes of its neighbours."""
    pages = [ROOT / "README.md", *MANUAL]
    quoted = [command for _, command in _found(pages, r"`(celery-console [^`\[…]+)`")]
    whole = [
        part
        for page in pages
        for line in _code(page)
        if "[--" not in line and "|list|" not in line
        for part in re.split(r" \| |'", line)
    ]
    return [
        line.split(" < ")[0].split(" > ")[0]
        for line in (*quoted, *whole)
        if line.startswith("celery-console ") and not line.endswith("--help")
    ]


def test_there_are_commands_to_look_at() -> None:
    assert len(_commands()) > 30


@pytest.mark.parametrize("command", _commands())
def test_a_command_line_is_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    if words in (["record"], ["tasks"]):
        words += ["--connection", "Shop"]
    arguments = parse(words)
    wanted = arguments.without_window
    if wanted is not None and wanted.command == "tasks":
        parse_query(" ".join(wanted.query))
    elif wanted is not None and wanted.command == "connections" and wanted.action == "add":
        assert connection_of(wanted).name == wanted.name


@pytest.mark.parametrize(("page", "option"), _found(MANUAL, r"`(--[a-z-]+)`"))
def test_each_option_that_is_named_is_one(page: str, option: str) -> None:
    celerys = ("--statedb", "--autoscale", "--without-heartbeat")
    assert option in celerys or any(option in text for text in words_of_the_program()), page


def test_each_purpose_of_a_secret_is_one() -> None:
    for line in _code(CONNECTIONS):
        if line.startswith('{"broker"'):
            for purpose in re.findall(r'"([a-z-]+)":', line):
                assert purpose in words_of_the_program(), purpose


@pytest.mark.parametrize(("page", "word"), _found(MANUAL, r"\*\*([^*]+)\*\*"))
def test_a_word_in_bold_is_on_the_screen(page: str, word: str) -> None:
    if word.endswith((".", ":")) or word in ("all", "since", "before", "The password"):
        return  # the manual's own: how paragraphs begin, and what is stressed
    assert word in words_of_the_program(), f"{page}: {word} is nowhere on the screen"


@pytest.mark.parametrize(("page", "said"), _found(MANUAL, r'"([A-Z][^"]{8,})"'))
def test_an_answer_that_is_quoted_is_given(page: str, said: str) -> None:
    if said in EXAMPLES:
        return
    begins = said.rsplit(" ask or tell", 1)[0]  # the words of a right come after it
    parts = [part.strip() for part in VARIES.split(begins) if len(part.strip()) > 3]
    texts = words_of_the_program()
    assert any(
        begins in text or (text and said.startswith(text) and len(text) > 12) for text in texts
    ) or all(any(part in text for text in texts) for part in parts), f"{page}: {said}"


@pytest.mark.parametrize(("page", "url"), _found(MANUAL, rf"`((?:{BROKERS})://[^`]+)`"))
def test_a_url_can_be_read(page: str, url: str) -> None:
    assert parse_broker_url(url).url, page


def _queries() -> list[str]:
    """The examples of the query language: those that stand alone, and the first columns of tables."""
    text = QUERIES.read_text(encoding="utf-8").partition("## When a query is wrong")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    in_tables = [query for cell in cells for query in re.findall(r"`([^`]+)`", cell)]
    elsewhere = re.findall(r"`((?:state|name|args|since|id)[.\w]*:[^` ]+(?: [^`]*)?)`", _all_prose())
    return [*_code(QUERIES), *in_tables, *elsewhere]


def _all_prose() -> str:
    return " ".join(_prose(page) for page in (*MANUAL, ROOT / "README.md") if page != QUERIES)


@pytest.mark.parametrize("query", _queries())
def test_an_example_of_a_query_is_understood(query: str) -> None:
    assert parse_query(query).text == query


def test_there_are_queries_to_look_at() -> None:
    assert len(_queries()) > 25


def test_nothing_is_left_out() -> None:
    """What there is of each kind, each with a row of its own."""
    told = {page.name: _prose(page) for page in MANUAL}
    for kind in AttentionKind:
        assert f"| {kind.value} |" in told["overview.md"], kind
    for action in Action:
        assert f"**{action.value}**" in told["workers.md"], action
    for tab in Tab:
        assert f"| **{tab.value}** |" in told["workers.md"], tab
    for signal in KillSignal:
        assert f"| {signal.value} |" in told["tasks.md"], signal
    for sort in Sort:
        assert f"`{sort.value}`" in told["history.md"], sort
    for page in ("tasks.md", "history.md"):
        assert f"all {len(ALL_COLUMNS)}" in told[page], page
    index = (ROOT / "packaging" / "manual" / "index.md").read_text(encoding="utf-8")
    for page_file in MANUAL:
        assert page_file.name == "index.md" or f"({page_file.name})" in index, page_file


def test_each_bench_is_named() -> None:
    benches = (ROOT / "tests" / "bench" / "__main__.py").read_text(encoding="utf-8").partition("BENCHES")[2]
    names = re.findall(r'^    "([\w-]+)":', benches, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("`make bench ARGS=`")[2]
    assert re.findall(r"^\| `([\w-]+)` \|", readme, re.MULTILINE) == names


def test_the_files_of_the_home_are_called_so() -> None:
    home = Home(Path("/home"))
    text = _prose(CONNECTIONS)
    for file in (home.connections_file, home.known_hosts_file):
        assert f"`{file.name}`" in text
    history = home.history_file("<id>").relative_to(home.root)
    assert f"`{history}`" in _prose(HISTORY)
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
    for path in re.findall(r"packaging/[\w./@-]+\.(?:acl|sh|service|lock)", text):
        assert (ROOT / path).exists(), path


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_each_picture_is_used() -> None:
    used = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (ROOT / "packaging" / "pictures").iterdir():
        assert f"pictures/{picture.name}" in used, picture.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_quiet(page: Path) -> None:
    assert "!" not in re.sub(r"!\[", "[", _prose(page))
