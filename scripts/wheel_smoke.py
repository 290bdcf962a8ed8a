"""Build the wheel, install it far from the sources, and use it.

Run it with `python -m scripts.wheel_smoke`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "awaithumans"

# What a wheel forgets first: files that are not Python, and what is found by folder.
EXPECTED = ("awaithumans/py.typed", "awaithumans/*/templates/*", "awaithumans/*/static/*", "awaithumans/*/migrations/*")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        check_contents(wheel)
        use(wheel, folder)
    print(f"{wheel.name}: built from the source distribution, installed, asked and answered")


def build(folder: Path) -> Path:
    """Build the source distribution, and the wheel from that."""
    run(sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT), quiet=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    contents = set(zipfile.ZipFile(wheel).namelist())
    missing = sources() - contents
    missing |= {pattern for pattern in EXPECTED if not any(Path(name).match(pattern) for name in contents)}
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")


def sources() -> set[str]:
    found = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def use(wheel: Path, folder: Path) -> None:
    """Install into a fresh environment and run there, isolated from the sources."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    run(python, "-m", "pip", "check", quiet=True)
    program = str(shutil.copy(ROOT / "tests" / "smoke" / "smoke.py", folder))
    run(python, "-I", "-W", "error", "-c", f"import {PACKAGE}", folder=folder)
    run(python, "-I", "-W", "error", program, folder=folder)


def run(*command: str, folder: Path = ROOT, quiet: bool = False) -> None:
    """Run a program; a failure ends this one, with what it printed."""
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=folder, stdout=output, stderr=output, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed\n{done.stdout or ''}{done.stderr or ''}")


if __name__ == "__main__":
    main()
