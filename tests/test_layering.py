"""The house rules: imports point down only, and only `widgets` knows a window."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_medseg

SOURCE = Path(napari_medseg.__file__).parent
GUI = {"PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "napari", "qtpy", "superqt", "vispy"}

# From the bottom up; a room imports itself and lower floors, not its neighbours. A new room needs a place here.
FLOORS = (
    {"errors", "version"},
    {"codes", "grey_values", "image_values", "memory", "options", "progress"}
    | {"quantities", "record", "reference", "slice_states", "weights"},
    {"files", "kspace", "label_values", "volume"},
    {"directions", "labels", "metrics", "preprocess"},
    {"io"},
    {"models", "samples", "viewing"},
    {"recon", "segmentation"},
    {"review", "training"},
    {"runs"},
    {"replay"},
    {"cli", "widgets"},
)
FLOOR_OF = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def dotted(path: Path) -> str:
    """Import name of a module file given relative to the package."""
    parts = path.with_suffix("").parts
    return ".".join(("napari_medseg", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Everything in the module at `path`."""
    return list(ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))))


@cache
def imported(path: Path) -> frozenset[str]:
    """Absolute names of everything that the module at `path` imports, inside functions too."""
    package = ("napari_medseg", *path.parent.parts)
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def rooms(names: frozenset[str]) -> set[str]:
    """Rooms of this package among imported `names`."""
    return {name.split(".")[1] for name in names if name.startswith("napari_medseg.")}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_down(path):
    room = path.with_suffix("").parts[0]
    others = rooms(imported(path)) - {room}
    upward = sorted(other for other in others if FLOOR_OF[other] >= FLOOR_OF[room])
    assert not upward, f"{dotted(path)} must not import {upward}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] != "widgets"], ids=dotted)
def test_only_widgets_import_gui_packages(path):
    assert not GUI & {name.split(".")[0] for name in imported(path)}


def test_contributing_lists_every_room_on_its_floor():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = {}
    for floor, names in re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE):
        for room in re.findall(r"`(\w+)[/.`]", names):
            listed[room] = int(floor) - 1
    assert listed == FLOOR_OF


@cache
def modules_imported() -> dict[Path, set[Path]]:
    """The modules that each module imports; of a name that is not a module, the one that holds it."""
    paths = {dotted(path): path for path in (Path("__init__.py"), *MODULES)}
    found = {}
    for path in paths.values():
        sources = {name if name in paths else name.rpartition(".")[0] for name in imported(path)}
        found[path] = {paths[name] for name in sources if name in paths} - {path}
    return found


def circle(graph: dict[Path, set[Path]]) -> str:
    """What imports each other in a circle, if anything does."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " imports ".join(path.as_posix() for path in reversed(error.args[1]))
    return ""


def test_no_modules_import_each_other_in_a_circle():
    found = circle(modules_imported())
    assert not found, f"{found}: move what they share to a module below them; an import in a function is one, too."


def test_no_folders_import_each_other_in_a_circle():
    graph: dict[Path, set[Path]] = {}
    for path, sources in modules_imported().items():
        if path.parts[1:]:  # what lies at the top has floors of its own
            others = {source.parent for source in sources if source.parts[1:]} - {path.parent}
            graph.setdefault(path.parent, set()).update(others)
    found = circle(graph)
    assert not found, f"{found}: one of these folders lies below the other; move what does not fit."


def loaded_by(modules: list[str]) -> set[str]:
    """Top names of everything that is loaded once `modules` are imported in a fresh process."""
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "napari_medseg" in loaded
    return loaded


def test_headless_modules_load_no_gui_package():
    assert not GUI & loaded_by([dotted(path) for path in MODULES if path.parts[0] != "widgets"])


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "widgets" and len(p.parts) > 2], ids=dotted)
def test_docks_share_only_the_kit(path):
    dock = path.parts[1]
    others = {name.split(".")[2] for name in imported(path) if name.startswith("napari_medseg.widgets.")}
    allowed = {"kit"} if dock == "kit" else {"kit", dock}
    assert others <= allowed, f"{dotted(path)} must not import {sorted(others - allowed)}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "state.py"], ids=dotted)
def test_states_know_no_window(path):
    assert not GUI & {name.split(".")[0] for name in imported(path)}


def test_states_load_no_window_and_no_network():
    assert not (GUI | {"torch"}) & loaded_by([dotted(path) for path in MODULES if path.name == "state.py"])


# Who else may turn values into JSON text and back: none of them reads or replaces a JSON file.
JSON_TEXTS = {
    "record.py": "the text that a fingerprint is made of",
    "review/log.py": "records of a log that only grows",
    "io/notes.py": "texts inside image files, and that of the side file, which is saved together with its array",
    "io/kspace_out.py": "texts inside HDF5 files",
    "runs/child.py": "lines between a process and its child",
    "replay/lines.py": "lines of a session that only grows",
    "training/loop.py": "lines that are added to the log of a run",
    "widgets/kit/tuning.py": "lines of the log of a run, while it grows",
}
REPLACING = {"os.replace", "os.rename", "os.renames", "shutil.move"}


def calls(path: Path) -> list[ast.Call]:
    """Every call in a module."""
    return [node for node in nodes(path) if isinstance(node, ast.Call)]


def renames(call: ast.Call) -> bool:
    """Whether a call gives a file another name: that of a string or a dataclass has other arguments."""
    name = ast.unparse(call.func)
    method = isinstance(call.func, ast.Attribute) and call.func.attr in ("replace", "rename")
    path_method = method and len(call.args) == 1 and not call.keywords
    return name in REPLACING or (path_method and name != "dataclasses.replace")


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] != "files"], ids=dotted)
def test_only_files_replaces_files_takes_locks_and_reads_json(path):
    names = {ast.unparse(call.func) for call in calls(path)}
    assert not [ast.unparse(call) for call in calls(path) if renames(call)]
    assert not names & {"json.load", "json.dump"}
    assert path.as_posix() in JSON_TEXTS or not names & {"json.loads", "json.dumps"}
    assert not {"filelock", "fcntl", "tempfile"} & {name.split(".")[0] for name in imported(path)}
