"""Reading values that are written as text, ours, JSON's, Celery's and hostile ones."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from console.widgets.json_tree_text import Flavour, Node, TextReader, path_of, read_text, value_text

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)


def plain(node: Node, whole: str) -> Any:
    """The value of a tree that was read of JSON."""
    children = node.children or []
    if node.kind == "list":
        return [plain(child, whole) for child in children]
    if node.kind == "dict":
        return {child.key: plain(child, whole) for child in children}
    return node.text if node.kind == "string" else json.loads(whole[node.start : node.end])


def outline(text: str) -> Any:
    """Kinds and texts, nested."""

    def of(node: Node) -> Any:
        if node.is_container:
            return (node.kind, [(child.key, of(child)) for child in node.children or []])
        return (node.kind, node.text)

    root = read_text(text).root
    return None if root is None else of(root)


@given(JSON)
def test_json_reads_as_the_same_value(value: Any) -> None:
    text = json.dumps(value)
    reader = read_text(text, Flavour.JSON)

    assert reader.root is not None
    assert plain(reader.root, text) == value


@given(st.text(max_size=200), st.sampled_from(list(Flavour)))
def test_no_text_raises(text: str, flavour: Flavour) -> None:
    read_text(text, flavour)


@given(st.text(alphabet="[](){},:'\"\\ab.1 \n<>", max_size=60))
def test_no_text_of_marks_raises(text: str) -> None:
    root = read_text(text).root
    if root is not None:
        assert value_text(root, text).strip() in (text.strip(), root.text.strip())


def test_arguments_as_celery_writes_them() -> None:
    assert outline("(7, 'a@example.org', -2.5, None)") == (
        "tuple",
        [
            ("0", ("number", "7")),
            ("1", ("string", "a@example.org")),
            ("2", ("number", "-2.5")),
            ("3", ("word", "None")),
        ],
    )
    assert outline("{'copy': True, 3: [...]}") == (
        "dict",
        [("copy", ("word", "True")), ("3", ("list", [("", ("more", "…"))]))],
    )


def test_objects_are_taken_as_they_stand() -> None:
    assert outline("[datetime.datetime(2026, 1, 2, 0, 0), <Order: 7, 'x'>, Decimal('1.1'), b'ff']") == (
        "list",
        [
            ("0", ("object", "datetime.datetime(2026, 1, 2, 0, 0)")),
            ("1", ("object", "<Order: 7, 'x'>")),
            ("2", ("object", "Decimal('1.1')")),
            ("3", ("bytes", "ff")),
        ],
    )
    assert outline("{1, 2}") == ("set", [("0", ("number", "1")), ("1", ("number", "2"))])


@pytest.mark.parametrize(
    "value", [["x" * 900, "y" * 900], {"a": [[[[1]]]]}, list(range(900)), ["it's", "a\\b"]]
)
def test_what_celery_cuts_is_still_a_tree(value: Any) -> None:
    assert read_text(saferepr(value, 1024)).root is not None


@pytest.mark.parametrize("text", ["[1,,2]", "1 2", "{1: 2, 3}", "{'a' 'b'}", "]", "", "[1}", "{:1}"])
def test_what_is_no_value_is_none(text: str) -> None:
    assert read_text(text).root is None


def test_a_text_that_ends_early_is_said() -> None:
    reader = read_text("{'order': 7, 'lines': [1, 2")

    assert reader.cut
    assert outline("[1, 2") == ("list", [("0", ("number", "1")), ("1", ("number", "2"))])


def test_paths_and_copies() -> None:
    text = "{'lines': [{'name': 'x', 'two words': 1}], 3: 4}"
    root = read_text(text).root
    assert root is not None
    line = (root.children or [])[0].children or []
    name, words = line[0].children or []

    assert [path_of(one) for one in (root, line[0], name, words)] == [
        *("$", "$.lines[0]", "$.lines[0].name", "$.lines[0]['two words']"),
    ]
    assert (value_text(name, text), value_text(line[0], text)) == ("x", "{'name': 'x', 'two words': 1}")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000 + "]" * 10_000,
        "[" * 500_000,
        "{'a':" * 10_000 + "1" + "}" * 10_000,
        "[" + "0," * 240_000 + "0]",
        "[" + "[]," * 160_000 + "1]",
        "'" + "\\'" * 240_000,
        "x(" * 240_000,
        "<" * 500_000,
        "'\"" * 240_000,
        "['\\" + "', '\\" * 80_000,
        "x" * 1_000_000,
    ],
    ids=[
        "nested",
        "open",
        "objects",
        "many",
        "empty",
        "quotes",
        "calls",
        "angles",
        "mixed",
        "escapes",
        "long",
    ],
)
def test_hostile_texts_are_read_in_short_steps(text: str) -> None:
    # Of processor time, and the best of three, so that a busy machine does not fail it.
    slowest_s, whole_s = min(steps_of(text) for _ in range(3))

    assert slowest_s < 0.02
    assert whole_s < 3.0


def steps_of(text: str) -> tuple[float, float]:
    """How long the slowest step and all of them take."""
    reader = TextReader(text)
    steps_s = []
    over = False
    while not over:
        began_s = time.thread_time()
        over = reader.step()
        steps_s.append(time.thread_time() - began_s)
    return max(steps_s), sum(steps_s)
