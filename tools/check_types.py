"""Count the faults that the type checker finds in src/ and compare with type_baseline.txt, which may only fall."""

import json
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parent
BASELINE = TOOLS / "type_baseline.txt"


def diagnostics() -> list[str]:
    """Run ty with the packages of this Python; one line for each fault."""
    command = [sys.executable, "-m", "ty", "check", "--exit-zero", "--output-format", "gitlab"]
    command += ["--python", sys.prefix, "src"]
    checked = subprocess.run(command, cwd=TOOLS.parent, stdout=subprocess.PIPE, check=True)
    lines = []
    for fault in json.loads(checked.stdout):
        place = fault["location"]
        line = place["positions"]["begin"]["line"]
        lines.append(f"{place['path']}:{line}: {fault['description']}\n")
    return sorted(lines)


def verdict(found: int, allowed: int) -> str:
    """What is wrong with the number `found`, empty if nothing."""
    name = f"tools/{BASELINE.name}"
    if found > allowed:
        return f"The type checker finds {found} faults; at most {allowed} are expected ({name}). Mend the new ones.\n"
    if found < allowed:
        return f"The type checker finds {found} faults, fewer than the {allowed} in {name}. Write {found} there.\n"
    return ""


def main() -> int:
    """Check the package; returns the exit code."""
    allowed = int(BASELINE.read_text(encoding="utf-8"))
    lines = diagnostics()
    wrong = verdict(len(lines), allowed)
    if len(lines) > allowed:
        sys.stderr.writelines(lines)
    sys.stderr.write(wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
