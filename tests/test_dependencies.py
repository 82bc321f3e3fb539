"""What the package imports and what setup.cfg declares are the same."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import napari_medseg

SOURCE = Path(napari_medseg.__file__).parent
ROOT = Path(__file__).parents[1]
UNUSED = {"magicgui"}  # README says why
CHECKER = {"_typeshed"}  # a module of type checkers, for annotations only


def normal(requirement: str) -> str:
    """Name of a distribution without its version and extras, spelt as on the package index."""
    name = re.match(r"[\w.-]+", requirement).group()
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(section: str, key: str) -> set[str]:
    """Names of the distributions that a list in setup.cfg holds."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config[section][key].splitlines()
    return {normal(line) for line in lines if line and not line.startswith("#")}


def top_names(path: Path) -> set[str]:
    """First parts of the absolute names that a module imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def imported() -> set[str]:
    """Names of the distributions that the package imports from."""
    names = set()
    for path in SOURCE.rglob("*.py"):
        names |= top_names(path)
    owners = packages_distributions()
    distributions = set()
    for name in names - sys.stdlib_module_names - CHECKER - {"napari_medseg"}:
        distributions |= {normal(owner) for owner in owners.get(name, [name])}
    return distributions


def test_everything_imported_is_declared():
    optional = set().union(*(declared("options.extras_require", name) for name in ("baseline", "cluster", "fetch")))
    assert imported() <= declared("options", "install_requires") | optional


def test_everything_declared_is_imported():
    assert declared("options", "install_requires") - imported() == UNUSED


def test_readme_says_why_what_is_not_imported_is_declared():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in UNUSED:
        assert name in readme
