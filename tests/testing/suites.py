"""Running conformance suites as others do, to read what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def said_of(suites: str, folder: Path) -> Mapping[str, str]:
    """Run the classes `Test…` of a module, without our plugin; return what was said of each, "" if it passed."""
    (folder / "test_suites.py").write_text(suites)
    plugins = ("-p", "no:cacheprovider", "-p", "anyio.pytest_plugin")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--tb=line", "--junitxml=said.xml", "test_suites.py"]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False, timeout=200)
    said: dict[str, str] = {}
    for case in ET.parse(folder / "said.xml").iter("testcase"):
        name = case.attrib["classname"].rpartition(".Test")[2]
        said[name] = said.get(name, "") + "".join(failure.text or "" for failure in case)
    return said
