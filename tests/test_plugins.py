"""What other packages bring, by name: a real one, built and installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from awaithumans import plugins
from awaithumans.errors import ConfigurationError
from tests.running import ROOT

PACKAGE = ROOT / "tests" / "programs" / "acme_package"
PROGRAM = """
import json, pathlib, sys, anyio
from awaithumans import Engine, VerifierConfig, plugins
from awaithumans.testing.engines import ANA, a_question

async def main(folder):
    told = folder / "told.txt"
    engine = Engine(
        plugins.load("stores", "acme")(f"acme://{folder}/tasks"),
        channels=[plugins.load("channels", "acme")(told)],
        verifiers={"acme": plugins.load("verifiers", "acme")()},
        background=False,
    )
    checked = VerifierConfig(provider="acme", instructions="Be kind.")
    task = await engine.create(a_question(notify=("acme:night",), verifier=checked))
    await engine.tick()
    await engine.submit(task.id, {"approved": True}, by=ANA)
    await engine.tick()
    said = {kind: plugins.names(kind) for kind in ("channels", "stores", "verifiers")}
    print(json.dumps({**said, "status": (await engine.get(task.id)).status, "told": told.read_text().split()}))
    await engine.aclose()

anyio.run(main, pathlib.Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Give the environment of processes in which the package is installed."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    shutil.copytree(PACKAGE, source, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=120)
    return {"PYTHONPATH": f"{target}:{ROOT}"}


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_installed_package_brings_channel_store_and_verifier(environment: Mapping[str, str], tmp_path: Path) -> None:
    done = run(environment, "-c", PROGRAM, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "channels": ["acme", "broken", "number"],
        "stores": ["acme"],
        "verifiers": ["acme"],
        "status": "completed",
        "told": ["opened", "night", "submitted", "night", "closed", "night"],
    }


class TestTheCommandLine:
    def test_opens_an_installed_store_by_its_scheme(self, environment: Mapping[str, str], tmp_path: Path) -> None:
        run(environment, "-c", PROGRAM, str(tmp_path))
        done = run(environment, "-m", "awaithumans", "list", "--json", "--database", f"acme://{tmp_path}/tasks")
        assert done.returncode == 0, done.stderr
        assert [task["status"] for task in json.loads(done.stdout)] == ["completed"]

    @pytest.mark.parametrize("command", ["migrate", "reencrypt"])
    def test_leaves_what_is_of_sql_alone(self, environment: Mapping[str, str], tmp_path: Path, command: str) -> None:
        done = run(environment, "-m", "awaithumans", command, "--database", f"acme://{tmp_path}/tasks")
        assert done.returncode == 2
        assert f"{command} is for SQL databases" in done.stderr

    def test_says_which_schemes_there_are(self, tmp_path: Path) -> None:
        done = run({"PYTHONPATH": str(ROOT)}, "-m", "awaithumans", "list", "--database", "acme://x/tasks")
        assert done.returncode == 3
        assert "acme" in done.stderr


@pytest.mark.parametrize(("name", "why"), [("broken", "cannot be imported"), ("number", "nothing that can be called")])
def test_what_cannot_be_used_is_refused(environment: Mapping[str, str], name: str, why: str) -> None:
    code = f"from awaithumans import plugins; plugins.load('channels', {name!r})"
    done = run(environment, "-c", code)
    assert "ConfigurationError" in done.stderr
    assert why in done.stderr


def test_a_name_that_nobody_registers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no installed package has a channel 'teams'"):
        plugins.load("channels", "teams")


def test_a_name_that_two_packages_register_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one it is must not follow from the order on disk."""
    points = [EntryPoint("teams", value, "awaithumans.channels") for value in ("acme:Teams", "other:Teams")]
    monkeypatch.setattr(plugins, "entry_points", lambda **_: points)
    with pytest.raises(ConfigurationError, match="acme:Teams, other:Teams"):
        plugins.load("channels", "teams")


def test_what_is_loaded_is_what_the_package_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point: Any = EntryPoint("memory", "awaithumans.stores.memory:MemoryStore", "awaithumans.stores")
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [point, point])
    assert plugins.load("stores", "memory").__name__ == "MemoryStore"
    assert plugins.names("stores") == ["memory"]
