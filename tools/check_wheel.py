"""List the data files in a wheel and fail if a kind that the program needs is missing or the wheel is too large."""

import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

NEEDED = (
    "napari_medseg/napari.yaml",
    "napari_medseg/py.typed",
    "napari_medseg/weights/*.safetensors",
    "napari_medseg/weights/*.json",
    "napari_medseg/weights/*.npz",
    "napari_medseg/training/recipes/*.json",
    "napari_medseg/samples/data/*",
)
MAX_MB = 90


def main(wheel: Path) -> int:
    """Check `wheel`; returns the exit code."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    size_mb = wheel.stat().st_size / 1e6
    sys.stdout.write(f"{wheel.name}: {size_mb:.1f} MB, {len(names)} files\n")
    missing = []
    for pattern in NEEDED:
        found = [name for name in names if fnmatch(name, pattern)]
        sys.stdout.writelines(f"  {name}\n" for name in found)
        if not found:
            missing.append(pattern)
    unpaired = [
        name
        for name in names
        if name.endswith(".safetensors") and name.removesuffix("safetensors") + "json" not in names
    ]
    for pattern in missing:
        sys.stderr.write(f"The wheel holds no {pattern}.\n")
    for name in unpaired:
        sys.stderr.write(f"{name} has no card next to it.\n")
    if size_mb > MAX_MB:
        sys.stderr.write(f"The wheel has {size_mb:.1f} MB; the limit is {MAX_MB} MB.\n")
    return 1 if missing or unpaired or size_mb > MAX_MB else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
