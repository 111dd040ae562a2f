"""The run-time proof of what the import contracts say: the Qt-free floors load no Qt."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("service.py", "gateway.py", "model.py")
PARTS = ("core", "broker", "history", "collector")


def qt_free_modules() -> list[str]:
    """Every module that may load no Qt, as dotted names."""
    files = [file for part in PARTS for file in (ROOT / "console" / part).glob("*.py")]
    files += [file for name in FLOORS for file in (ROOT / "console").glob(f"*/{name}")]
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return sorted(name for name in names if not name.endswith(("__init__", "__main__")))


def loaded_qt(code: str) -> list[str]:
    """The Qt modules that are loaded after `code` ran in a fresh interpreter."""
    program = (
        f"{code}\nimport sys\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'PySide6', 'shiboken6', 'qasync'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def test_the_qt_free_floors_load_no_qt() -> None:
    modules = qt_free_modules()
    assert len(modules) > 20
    assert loaded_qt("\n".join(f"import {name}" for name in modules)) == []


def test_view_models_import_nothing_of_qt_but_qtcore() -> None:
    files = sorted((ROOT / "console").glob("*/view_model.py"))
    assert len(files) > 5
    for file in files:
        imported = {
            node.module
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("PySide6")
        }
        assert imported <= {"PySide6.QtCore"}, file


def test_nobody_walks_qts_focus_chain_from_python() -> None:
    """PySide counts the widgets it gives back as ended: the window dies later (see widgets/tab_stops.py)."""
    for file in (ROOT / "console").rglob("*.py"):
        calls = [
            node.func.attr
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        assert not {"nextInFocusChain", "previousInFocusChain"} & set(calls), file


def test_the_proof_can_fail() -> None:
    assert "PySide6" in loaded_qt("import console.widgets.page")


@pytest.mark.parametrize("module", ["console.collector.__main__", "console.stack.shim"])
def test_a_helper_process_loads_no_qt(module: str) -> None:
    assert loaded_qt(f"import runpy; runpy.run_module({module!r}, run_name='not_main')") == []


def test_pyside_is_sound_on_this_python() -> None:
    """PySide6 6.12.0 loses a reference to None per call on Python 3.11 and aborts after some thousands."""
    code = (
        "import sys\nfrom PySide6.QtCore import QObject\n"
        "thing = QObject()\nbefore = sys.getrefcount(None)\n"
        "for _ in range(50_000): thing.setObjectName('x')\n"
        "assert before - sys.getrefcount(None) < 1_000, 'references to None are lost'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
