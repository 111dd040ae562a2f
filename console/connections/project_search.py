"""Looks through a project's folder for interpreters and for what may hold settings; executes nothing.

Gateway floor: it walks files, so it runs on a lane. The walk has bounds, because a person may choose a home
folder by mistake.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from console.connections.project import Candidate, CandidateKind

DEPTH = 3
FILES_AT_MOST = 4000
FILE_BYTES_AT_MOST = 256 * 1024
PARENTS_AT_MOST = 6
SKIPPED = frozenset(
    (
        *("node_modules", "bower_components", "site-packages", "__pycache__", "venv", "env"),
        *("build", "dist", "migrations", "static", "media"),
    )
)
VENV_NAMES = (".venv", "venv", "env", ".env")
COMMAND_FILES = re.compile(
    r"^(Procfile.*|(docker-)?compose.*\.ya?ml|.*\.service|supervisord.*\.conf|.*supervisor.*\.(conf|ini)|Makefile)$"
)

_SETTINGS_NAME = re.compile(
    r"""(?:(?:setdefault|getenv|get|putenv)\(\s*["']DJANGO_SETTINGS_MODULE["']\s*,"""
    r"""|\[["']DJANGO_SETTINGS_MODULE["']\]\s*=)\s*["']([A-Za-z_][\w.]*)["']"""
)
_SETTINGS_VARIABLE = re.compile(r"DJANGO_SETTINGS_MODULE\s*[=:]\s*([A-Za-z_][\w.]*)")
_APP = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?Celery\s*\(", re.MULTILINE)
_FACTORY_APP = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(?:(?:make|create|init)_celery\w*|celery_init_app)\s*\(",
    re.MULTILINE,
)
_EXTENSION_APP = re.compile(r"""^(\w+)\s*=\s*\w+\.extensions\[["']celery["']\]""", re.MULTILINE)
_USES_CELERY = re.compile(r"^\s*(?:from|import)\s+\S*celery", re.MULTILINE | re.IGNORECASE)
_APP_OPTION = re.compile(r"(?:^|\s)(?:-A\s*|--app(?:=|\s+))(?:-\s+)?([A-Za-z_][\w.]*(?::[\w.]+)?)(?=\s|$)")
_DJANGO_SETTING = re.compile(
    r"^\s*(?:INSTALLED_APPS|DATABASES|SECRET_KEY|ROOT_URLCONF)\b|^from\s+\.\S*\s+import\s+\*", re.MULTILINE
)
_PUNCTUATION = str.maketrans(dict.fromkeys("\"',[]", " "))


def find_interpreters(folder: Path, *, environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The Pythons that may run the project in `folder`, the likeliest first.

    The environments in the folder and above it up to the root of its repository, then the one that is
    active (`environment` is ours unless given), then `python3` on the PATH. The interpreter that runs the
    console comes last, unless it is the folder's own. Paths are absolute and links are kept: an
    environment's Python is a link to one that knows nothing of the environment.
    """
    environment = os.environ if environment is None else environment
    own: list[Path] = []
    for place in _up_to_repository(folder.absolute()):
        own += _in_environments(place)
    active = [
        python
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX")
        if environment.get(name)
        for python in _python_of(Path(environment[name]))
    ]
    for name in ("python3", "python"):
        if on_path := shutil.which(name, path=environment.get("PATH", os.defpath)):
            active.append(Path(on_path).absolute())
            break
    frozen = bool(getattr(sys, "frozen", False))
    ours = (
        [] if frozen else [python for python in _python_of(Path(sys.prefix)) if sys.prefix != sys.base_prefix]
    )
    ours = ours or ([] if frozen else [Path(sys.executable)])
    others = [python for python in active if not (_is_ours(python))]
    return tuple(dict.fromkeys([*own, *others, *ours]))


def find_candidates(folder: Path, *, files_at_most: int = FILES_AT_MOST) -> tuple[Candidate, ...]:
    """What in `folder` may hold Celery's or Django's settings, the likeliest first; () for nothing.

    First the apps that a command file names with `-A`, then other apps, then the settings that manage.py,
    wsgi.py or asgi.py names, then other settings.
    """
    folder = folder.absolute()
    found = _Found(folder)
    for file in _files(folder, files_at_most):
        found.look_at(file)
    return found.in_order()


def find_env_files(folder: Path) -> tuple[Path, ...]:
    """Files of variables in `folder`: offered to the person, never read without being asked."""
    try:
        files = [file for file in folder.glob(".env*") if file.is_file() and not _is_example(file.name)]
    except OSError:
        return ()
    return tuple(sorted(files, key=lambda file: (file.name != ".env", file.name)))


def _is_example(name: str) -> bool:
    return name.endswith((".example", ".sample", ".template", ".dist", "rc"))


@dataclass(slots=True)
class _Sight:
    """A candidate and how sure it is: the lower the better."""

    candidate: Candidate
    rank: int


class _Found:
    """Collects the candidates of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apps: dict[str, _Sight] = {}
        self._settings: dict[str, _Sight] = {}
        self._named_apps: dict[str, Path] = {}
        self._named_settings: dict[str, Path] = {}

    def look_at(self, file: Path) -> None:
        if COMMAND_FILES.match(file.name):
            self._look_at_commands(file)
        elif file.suffix == ".py":
            self._look_at_module(file)

    def _look_at_commands(self, file: Path) -> None:
        text = _text(file)
        for name in _SETTINGS_VARIABLE.findall(text):
            self._named_settings.setdefault(name, file)
        if "celery" in text:
            for name in _APP_OPTION.findall(text.translate(_PUNCTUATION)):
                self._named_apps.setdefault(name, file)

    def _look_at_module(self, file: Path) -> None:
        text = _text(file)
        for name in _SETTINGS_NAME.findall(text):
            self._named_settings.setdefault(name, file)
        if _USES_CELERY.search(text):
            names = [*_APP.findall(text), *_FACTORY_APP.findall(text), *_EXTENSION_APP.findall(text)]
            for name in dict.fromkeys(names):
                self._add(self._apps, CandidateKind.CELERY, file, "" if name in ("app", "celery") else name)
        in_settings = "settings" in (file.stem, file.parent.name)
        if in_settings and _DJANGO_SETTING.search(text):
            self._add(self._settings, CandidateKind.DJANGO, file, "")

    def _add(self, sights: dict[str, _Sight], kind: CandidateKind, file: Path, attribute: str) -> None:
        name, root = _module_of(file, self._folder)
        name = f"{name}:{attribute}" if attribute else name
        is_test = "tests" in file.relative_to(self._folder).parts
        sights.setdefault(name, _Sight(Candidate(kind, name, file, root), 2 if is_test else 1))

    def in_order(self) -> tuple[Candidate, ...]:
        for name, file in self._named_apps.items():
            self._prefer(self._apps, CandidateKind.CELERY, name, file)
        for name, file in self._named_settings.items():
            self._prefer(self._settings, CandidateKind.DJANGO, name, file)
        sights = [*sorted(self._apps.values(), key=_rank), *sorted(self._settings.values(), key=_rank)]
        return tuple(sight.candidate for sight in sights)

    def _prefer(self, sights: dict[str, _Sight], kind: CandidateKind, name: str, file: Path) -> None:
        """Put what a file names first; where its module was not seen, take the file's word for it."""
        module, _colon, attribute = name.partition(":")
        plain = module if attribute in ("", "app", "celery") else name
        for known in (name, plain, f"{plain}.celery"):
            if known in sights:
                sights[known].rank = 0
                return
        root = self._folder if kind is CandidateKind.CELERY else _module_of(file, self._folder)[1]
        is_there = any(
            (place / module.partition(".")[0]).exists() or (place / f"{module.partition('.')[0]}.py").exists()
            for place in (root, root / "src")
        )
        sights[name] = _Sight(Candidate(kind, name, file, root), 0 if is_there else 2)


def _rank(sight: _Sight) -> tuple[int, int, str]:
    return sight.rank, sight.candidate.name.count("."), sight.candidate.name


def _module_of(file: Path, folder: Path) -> tuple[str, Path]:
    """The dotted name of a file, and the folder from which it is imported (above a `src`)."""
    root = file.parent
    while (root / "__init__.py").exists() and root.parent != root:
        root = root.parent
    if root == file.parent and file.stem == "celery" and root != folder:
        root = root.parent  # a package without __init__.py: nobody imports a project's app as `celery`
    parts = list(file.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts), root.parent if root.name == "src" else root


def _files(folder: Path, files_at_most: int) -> Iterator[Path]:
    """The files of interest, breadth first, links not followed."""
    seen, level = 0, [folder]
    for _depth in range(DEPTH + 1):
        below: list[Path] = []
        for place in level:
            for entry in _entries(place):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in SKIPPED and not entry.name.startswith("."):
                        below.append(Path(entry.path))
                    continue
                seen += 1
                if seen > files_at_most:
                    return
                if _is_wanted(entry):
                    yield Path(entry.path)
        level = below


def _entries(place: Path) -> list[os.DirEntry[str]]:
    try:
        if (place / "pyvenv.cfg").exists():
            return []
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    if not (entry.name.endswith(".py") or COMMAND_FILES.match(entry.name)):
        return False
    try:
        return entry.is_file() and entry.stat().st_size <= FILE_BYTES_AT_MOST
    except OSError:
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _up_to_repository(folder: Path) -> Iterable[Path]:
    """`folder` and what is above it up to its repository's root; only itself where there is no repository."""
    places: list[Path] = []
    for place in [folder, *folder.parents][:PARENTS_AT_MOST]:
        places.append(place)
        if (place / ".git").exists() or (place / ".hg").exists():
            return places
    return [folder]


def _in_environments(place: Path) -> list[Path]:
    found: list[Path] = []
    for name in VENV_NAMES:
        environment = place / name
        if environment.is_file() and name == ".venv":  # pipenv and virtualenvwrapper write a path there
            found += _python_of(Path(_text(environment).strip() or "."))
        else:
            found += _python_of(environment)
    pdm = place / ".pdm-python"
    if pdm.is_file():
        python = Path(_text(pdm).strip() or ".")
        found += [python] if python.is_absolute() and _runs(python) else []
    return found


def _python_of(environment: Path) -> list[Path]:
    names = ("Scripts/python.exe", "python.exe") if os.name == "nt" else ("bin/python", "bin/python3")
    for name in names:
        python = (environment / name).absolute()
        if _runs(python):
            return [python]
    return []


def _runs(python: Path) -> bool:
    try:
        return python.is_file() and os.access(python, os.X_OK)
    except OSError:
        return False


def _is_ours(python: Path) -> bool:
    """Whether it is the interpreter that runs the console, or is of its environment."""
    return python in (Path(sys.executable), *_python_of(Path(sys.prefix))) or python.parent == Path(
        sys.prefix, "bin"
    )
