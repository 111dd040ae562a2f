"""The Resend page: recipes at the left, the form of the chosen one at the right."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.navigation import Navigate
from console.resend.model import Recipe
from console.resend.recipe_panel import RecipePanel
from console.resend.view_model import ResendViewModel
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.page import Page
from console.widgets.panel import PageHeader, Panel
from console.widgets.table_model import Cell, Column, Row
from console.widgets.table_page import TableStack
from console.widgets.text import short_task_name

COLUMNS = [
    Column("name", "Name", width=150, fit=190, kind="name"),
    Column("task", "Task", width=90, fit=190),
    Column("what", "What it does", stretch=1),
]


class ResendPage(Page):
    noun = "resend"
    title = "Resend"
    icon_name = "redo-2"

    def __init__(
        self, view_model: ResendViewModel, navigate: Navigate, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._navigate = navigate
        self._table = DataTable("Recipes", COLUMNS, local_sort=True, framed=False)
        self._table.set_sort("name")
        self._table.selection_changed.connect(lambda keys: view_model.select(keys[0]) if keys else None)
        self._stack = TableStack(self._table, framed=False)
        self._empty = EmptyState("plug", "")
        self._empty.action_clicked.connect(self.connect_wanted)
        self._form = RecipePanel(view_model)
        self._table.activated_row.connect(lambda _key: self._form.focus_form())
        self._form.task_wanted.connect(lambda task_id: navigate("tasks", f"id:{task_id}"))
        self._shown: tuple[str | None, tuple[Recipe, ...]] | None = None
        panel = Panel()
        panel.set_content(self._stack)
        body = QHBoxLayout()
        body.setSpacing(12)
        body.addWidget(panel, 10)
        body.addWidget(self._form, 12)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(PageHeader("Resend"))
        layout.addLayout(body, 1)
        view_model.changed.connect(self._show)
        self._show()

    def open_query(self, query: str) -> None:
        """`query` is a recipe's id."""
        if any(recipe.id == query for recipe in self._view_model.snapshot.recipes):
            self._table.select_keys([query])
            self._form.focus_form()

    def focus_content(self) -> None:
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._form

    def commands(self) -> list[Command]:
        return [
            Command(recipe.title, partial(self._navigate, "resend", recipe.id))
            for recipe in self._view_model.snapshot.recipes
        ]

    def _show(self) -> None:
        snapshot = self._view_model.snapshot
        shown = (snapshot.connection, snapshot.recipes)
        if shown != self._shown:
            self._shown = shown
            self._show_recipes(snapshot.connection, snapshot.recipes)
        self._form.setVisible(self._view_model.recipe is not None)
        self._form.show_recipe()

    def _show_recipes(self, connection: str | None, recipes: tuple[Recipe, ...]) -> None:
        self._table.set_rows([_row(recipe) for recipe in recipes])
        if recipes:
            self._stack.show_rows()
            # One is always chosen: fewer steps for a person, and the form shows what a recipe is.
            self._table.select_keys([self._table.rows()[0].key])
        elif connection is None:
            reason = "Recipes belong to a connection. Connect to see what may be resent there."
            self._empty.set("plug", "Not connected", reason, action="Connect")
            self._stack.show_empty(self._empty)
        else:
            reason = f"Recipes for {connection} come from its developers, and none are set up."
            self._empty.set("redo-2", "No recipes", reason)
            self._stack.show_empty(self._empty)


def _row(recipe: Recipe) -> Row:
    return Row(
        recipe.id,
        {
            "name": Cell(recipe.title),
            "task": Cell(short_task_name(recipe.task), tooltip=recipe.task, copy=recipe.task),
            "what": Cell(recipe.summary, tooltip=recipe.explanation),
        },
    )
