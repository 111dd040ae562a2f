"""Pure parts of widgets: states, sorting, grid steps, gaps, JSON, log pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.widgets.charts import nice_step
from console.widgets.json_view import pretty, pretty_text
from console.widgets.log_view import parts_of
from console.widgets.resources import resource_path
from console.widgets.sparkline import runs
from console.widgets.states import state_look, state_words
from console.widgets.table_model import Cell, Row, sorted_rows, spoken
from console.widgets.tokens import DARK, LIGHT

CONTRACT = [
    "Sent",
    "Received",
    "Started",
    "Succeeded",
    "Failed",
    "Retrying",
    "Revoked",
    "Rejected",
    "Lost",
    "Online",
    "Late",
    "Offline",
    "Stopped",
    "Starting",
    "Ready",
    "Stopping",
    "Connected",
    "Connecting…",
    "Reconnecting…",
    "Disconnected",
]


def test_every_state_of_the_contract_has_its_own_icon_file_and_colour() -> None:
    assert set(CONTRACT) <= set(state_words())
    for word in state_words():
        look = state_look(word)
        assert resource_path("third_party", "lucide", "icons", f"{look.icon}.svg").is_file()
        assert LIGHT.value(look.color) != DARK.value(look.color)


def test_an_unknown_state_is_neutral() -> None:
    assert state_look("Odd").color == "muted"


def test_unknown_tokens_are_refused() -> None:
    with pytest.raises(KeyError):
        LIGHT.value("nonsense")


def _contrast(ink: str, ground: str) -> float:
    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    a, b = sorted((light(ink), light(ground)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("tokens", [LIGHT, DARK])
def test_text_and_states_can_be_read_also_on_the_selection(tokens: object) -> None:
    assert isinstance(tokens, type(LIGHT))
    for word in state_words():
        ink = tokens.value(state_look(word).color)
        assert _contrast(ink, tokens.surface) >= 4.5
        assert _contrast(ink, tokens.selection) >= 4.5
    for ink in (tokens.text, tokens.text2, tokens.muted, tokens.link):
        assert _contrast(ink, tokens.selection) >= 4.5


def test_sorting_puts_unknown_values_last_either_way() -> None:
    rows = [
        Row("a", {"n": Cell("2", sort=2)}),
        Row("b", {}),
        Row("c", {"n": Cell("10", sort=10)}),
        Row("d", {"n": Cell("zebra")}),
        Row("e", {"n": Cell("Apple")}),
    ]
    assert [r.key for r in sorted_rows(rows, "n", descending=False)] == ["a", "c", "e", "d", "b"]
    assert [r.key for r in sorted_rows(rows, "n", descending=True)] == ["d", "e", "c", "a", "b"]


def test_everything_in_a_cell_is_spoken() -> None:
    cell = Cell("mail", badge=("Growing 6.6/s", "error", None), subtitle="2 workers")
    assert spoken(cell) == "mail, Growing 6.6/s, 2 workers"
    assert spoken(Cell(checked=True)) == "On"


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_five_grid_lines_reach_the_highest_value(highest: float) -> None:
    step = nice_step(highest)
    assert step * 5 >= highest * 0.99999
    assert step * 2 <= highest * 1.0001 or step <= highest


def test_grid_steps_of_nothing() -> None:
    assert nice_step(0) == 1.0
    assert nice_step(float("inf")) == 1.0
    assert (nice_step(489), nice_step(7.2)) == (100.0, 2.0)


def test_a_gap_in_the_data_is_a_gap() -> None:
    assert runs([1.0, 2.0, None, 3.0]) == [(0, [1.0, 2.0]), (3, [3.0])]
    assert runs([None, None]) == []


def test_json_is_laid_out_without_changing_numbers() -> None:
    laid_out = pretty_text('{"a":[1,2.50,1e400,{}],"b":"x: {y},"}')
    assert "2.50" in laid_out
    assert "1e400" in laid_out
    assert '"x: {y},"' in laid_out
    assert pretty_text("[]") == "[]"
    assert pretty_text("{not json") == "{not json"
    assert pretty({"a": {1}}) == '{\n  "a": "{1}"\n}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_laid_out_json_means_the_same(value: object) -> None:
    assert json.loads(pretty_text(json.dumps(value))) == value


def test_ids_in_log_lines_are_cut_and_quiet() -> None:
    line = "Task a[6f463d8e-1111-2222-3333-44445555a05c] received"
    assert parts_of(line) == [("Task a[", False), ("6f463d8e…a05c", True), ("] received", False)]
    assert parts_of("") == []
