"""Print measures of the code under src/: density of lines, longest file and function, rooms and import arrows.

Usage: ``python tools/measure_code.py [FOLDER]``; FOLDER is the package, by default ``src/napari_medseg``.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path


def code_lines(tree: ast.Module) -> int:
    """Lines that hold code: blank lines, comments and docstrings do not count."""
    lines: set[int] = set()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and id(node) not in docstrings:
            end = node.body[0].lineno - 1 if getattr(node, "body", None) else node.end_lineno
            lines.update(range(node.lineno, max(node.lineno, end or node.lineno) + 1))
    return len(lines)


def expressions(tree: ast.Module) -> int:
    """Nodes that compute something, literals and names included, annotations too."""
    return sum(isinstance(node, ast.expr) for node in ast.walk(tree))


def functions(tree: ast.Module) -> list[tuple[int, str]]:
    """Length in lines, docstring left out, and name of every function."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1 if ast.get_docstring(node) is not None and len(node.body) > 1 else 0]
            header = node.body[0].lineno - node.lineno
            found.append((header + (node.end_lineno or 0) - first.lineno + 1, node.name))
    return found


def arrows(folder: Path, path: Path, tree: ast.Module) -> set[tuple[str, str]]:
    """Pairs of modules of which the first imports the second, inside the package."""
    parts = path.relative_to(folder).with_suffix("").parts
    package = parts[:-1]
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1] + tuple((node.module or "").split(".") if node.module else ())
        for alias in node.names:
            inner = folder.joinpath(*base, alias.name)
            is_module = inner.with_suffix(".py").exists() or inner.is_dir()
            found.add((".".join(parts), ".".join((*base, alias.name) if is_module else base)))
    return found


def main(folder: Path) -> None:
    """Print the measures."""
    lines: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    longest: list[tuple[int, str]] = []
    files: list[tuple[int, str]] = []
    imports: set[tuple[str, str]] = set()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = str(path.relative_to(folder))
        lines[name] = code_lines(tree)
        nodes[name] = expressions(tree)
        files.append((text.count("\n"), name))
        longest += [(length, f"{name}:{function}") for length, function in functions(tree)]
        imports |= arrows(folder, path, tree)
    rooms = {path.parent for path in folder.rglob("*.py")}
    sys.stdout.write(
        f"files {len(files)}, lines {sum(n for n, _ in files)}, lines of code {lines.total()}\n"
        f"expressions per line of code {nodes.total() / lines.total():.2f}\n"
        f"longest file {max(files)}, longest function {max(longest)}\n"
        f"functions over 40 lines {sum(n > 40 for n, _ in longest)}\n"
        f"folders {len(rooms)}, import arrows between modules {len(imports)}\n"
    )
    dense = sorted((nodes[name] / lines[name], name) for name in lines if lines[name] > 30)[-8:]
    sys.stdout.write("densest: " + ", ".join(f"{name} {value:.1f}" for value, name in reversed(dense)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("src/napari_medseg"))
