"""What is found in folders of many layouts, without executing any of it."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from console.connections import project_probe
from console.connections.project import CandidateKind
from console.connections.project_gateway import read_env_file, require_candidates
from console.connections.project_search import find_candidates, find_env_files, find_interpreters
from console.core.errors import ConsoleError

APP = "from celery import Celery\napp = Celery('x')\n"
SETTINGS = "INSTALLED_APPS = []\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def python_in(folder: Path) -> Path:
    python = write(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python", "#!/bin/sh\n")
    python.chmod(0o755)
    return python


def found(folder: Path) -> list[tuple[str, str, Path]]:
    return [
        (one.kind.value, one.name, one.root.relative_to(folder.parent)) for one in find_candidates(folder)
    ]


def test_a_django_project_with_its_app(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write(folder, "manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.dev')")
    write(folder, "shop/__init__.py", "")
    write(folder, "shop/celery.py", APP)
    write(folder, "shop/settings/__init__.py", "")
    write(folder, "shop/settings/base.py", SETTINGS)
    write(folder, "shop/settings/dev.py", "from .base import *\n")
    assert found(folder) == [
        ("Celery app", "shop.celery", Path("site")),
        ("Django settings", "shop.settings.dev", Path("site")),
        ("Django settings", "shop.settings.base", Path("site")),
    ]


def test_a_project_below_the_folder_runs_where_its_manage_py_is(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "backend/manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")')
    write(folder, "backend/shop/__init__.py", "")
    write(folder, "backend/shop/settings.py", SETTINGS)
    assert found(folder) == [("Django settings", "shop.settings", Path("repo/backend"))]


def test_src_layout(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "src/shop/__init__.py", "")
    write(folder, "src/shop/queue.py", APP)
    assert found(folder) == [("Celery app", "shop.queue", Path("repo"))]


def test_the_chosen_folder_is_itself_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    write(folder, "__init__.py", "")
    write(folder, "celery.py", APP)
    assert [(one.name, one.root) for one in find_candidates(folder)] == [("shop.celery", tmp_path)]


def test_a_package_without_init(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "shop/celery.py", APP)
    assert found(folder) == [("Celery app", "shop.celery", Path("repo"))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (APP, ["tasks"]),
        ("import celery\nqueue: celery.Celery = celery.Celery(\n", ["tasks:queue"]),
        ("from celery import Celery\ndef f():\n    app = Celery()\n", []),
        (
            "from util import make_celery  # celery\nimport celery\njobs = make_celery(flask)\n",
            ["tasks:jobs"],
        ),
        ("from celery import Celery\ncelery_app = flask_app.extensions['celery']\n", ["tasks:celery_app"]),
        ("app = Celery('a class of ours')\n", []),
    ],
)
def test_how_apps_are_made(tmp_path: Path, text: str, names: list[str]) -> None:
    write(tmp_path, "tasks.py", text)
    assert [one.name for one in find_candidates(tmp_path)] == names


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("Procfile", "worker: celery -A zeta worker -l info", "zeta"),
        ("docker-compose.yml", 'command: ["celery", "-A", "zeta:make", "worker"]', "zeta:make"),
        ("compose.prod.yaml", "command:\n  - celery\n  - -A\n  - zeta\n  - worker\n", "zeta"),
        ("w.service", "ExecStart=/srv/bin/celery --app=zeta worker", "zeta"),
        ("supervisord.conf", "command=celery worker -A zeta --loglevel=INFO", "zeta"),
    ],
)
def test_the_app_of_a_command_file_comes_first(tmp_path: Path, file: str, text: str, name: str) -> None:
    write(tmp_path, "alpha.py", APP)
    write(tmp_path, "zeta.py", APP)
    write(tmp_path, file, text)
    assert [one.name for one in find_candidates(tmp_path)][:2] in ([name, "alpha"], [name, "alpha", "zeta"])


def test_dash_a_package_is_its_celery_py(tmp_path: Path) -> None:
    write(tmp_path, "alpha.py", APP)
    write(tmp_path, "shop/__init__.py", "")
    write(tmp_path, "shop/celery.py", APP)
    write(
        tmp_path,
        "Procfile",
        "worker: celery -A shop worker\nweb: DJANGO_SETTINGS_MODULE=shop.live gunicorn\n",
    )
    write(tmp_path, "shop/live.py", "")
    assert [one.name for one in find_candidates(tmp_path)] == ["shop.celery", "alpha", "shop.live"]


def test_libraries_are_not_searched_and_the_walk_has_an_end(tmp_path: Path) -> None:
    write(tmp_path, "node_modules/a/tasks.py", APP)
    write(tmp_path, "special/pyvenv.cfg", "")
    write(tmp_path, "special/tasks.py", APP)
    write(tmp_path, "a/b/c/d/deep.py", APP)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_candidates(tmp_path) == ()
    for number in range(9):
        write(tmp_path, f"m{number}.py", APP)
    assert 1 < len(find_candidates(tmp_path, files_at_most=5)) <= 5


def test_nothing_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="No Celery app and no Django settings were found"):
        require_candidates(tmp_path)
    with pytest.raises(ConsoleError, match="There is no folder"):
        require_candidates(tmp_path / "none")


def test_the_folders_own_environment_comes_first_and_ours_last(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    (repository / ".git").mkdir(parents=True)
    folder = repository / "backend"
    mine, above = python_in(folder / ".venv"), python_in(repository / "venv")
    active, outside = python_in(tmp_path / "active"), python_in(tmp_path / ".venv")
    on_path = write(tmp_path, "bin/python3", "#!/bin/sh\n")
    on_path.chmod(0o755)
    environment = {"VIRTUAL_ENV": str(tmp_path / "active"), "PATH": str(tmp_path / "bin")}
    pythons = find_interpreters(folder, environment=environment)
    assert pythons[:4] == (mine, above, active, on_path)
    assert outside not in pythons
    ours = find_interpreters(folder, environment={"VIRTUAL_ENV": sys.prefix, "PATH": str(tmp_path / "bin")})
    assert ours[:3] == (mine, above, on_path)
    assert ours[-1].parent == Path(sys.executable).parent


def test_environments_by_reference(tmp_path: Path) -> None:
    python = python_in(tmp_path / "elsewhere")
    write(tmp_path, "pipenv/.venv", f"{tmp_path}/elsewhere\n")
    write(tmp_path, "pdm/.pdm-python", f"{python}\n")
    for name in ("pipenv", "pdm"):
        assert find_interpreters(tmp_path / name, environment={"PATH": ""})[0] == python


def test_env_files_are_offered_and_read_when_asked(tmp_path: Path) -> None:
    for name in (".env.production", ".env", ".env.example", ".envrc"):
        write(tmp_path, name, "")
    assert [file.name for file in find_env_files(tmp_path)] == [".env", ".env.production"]
    file = write(
        tmp_path, ".env", '\n# all\nexport A=1\nB = "x # y\\n" # z\nC=\'it"s\'\nD=a b # c\nE=\n=no\nF=a=b#c\n'
    )
    assert read_env_file(file) == {"A": "1", "B": "x # y\n", "C": 'it"s', "D": "a b", "E": "", "F": "a=b#c"}
    with pytest.raises(ConsoleError, match="cannot be read"):
        read_env_file(tmp_path / "none")


def test_the_probe_is_python_3_7_and_needs_nothing() -> None:
    """It runs in a foreign interpreter."""
    tree = ast.parse(Path(project_probe.__file__).read_text(), feature_version=(3, 7))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported - sys.stdlib_module_names == {"celery", "django"}


def test_kinds_are_the_words_of_the_page() -> None:
    assert [kind.value for kind in CandidateKind] == ["Celery app", "Django settings"]
