"""A notebook's kernel, which answers input() over its own protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from jupyter_client.manager import KernelManager

WITHIN = 60
MODELS = """
from pydantic import BaseModel
from awaithumans import await_human, await_human_sync, TaskTimeoutError, TaskCancelledError
class Refund(BaseModel):
    order: str
class Decision(BaseModel):
    approved: bool
    amount: int
def ask(call, timeout_seconds=60, order="A-1"):
    return call(task="Approve?", payload_schema=Refund, payload=Refund(order=order), response_schema=Decision,
                timeout_seconds=timeout_seconds)
"""
CALLS = {"sync": "ask(await_human_sync{})", "async": "await ask(await_human{})"}
ANSWERS = [("> ", "yes"), ("> ", "seven"), ("> ", "7"), ("[c]ancel > ", "y")]


class Notebook:
    """A person in front of a notebook."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WITHIN)

    def run(self, cell: str, *, allow_stdin: bool = True) -> str:
        self.cell = str(self.client.execute(cell, allow_stdin=allow_stdin))
        return self.cell

    def prompt(self) -> str:
        """Wait until the latest cell asks for a line; return its prompt."""
        while True:
            request = self.client.get_stdin_msg(timeout=WITHIN)
            if request["parent_header"]["msg_id"] == self.cell:  # others were given up
                return str(request["content"]["prompt"])

    def answer(self, prompt: str, typed: str) -> None:
        assert self.prompt().endswith(prompt)
        self.client.input(typed)

    def output(self, cell: str) -> str:
        """Return what a cell wrote, its error included, once it is done."""
        said: list[str] = []
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            message = self.client.get_iopub_msg(timeout=WITHIN)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if content.get("execution_state") == "idle":
                return "".join(said)
            said.append(content.get("text") or content.get("evalue") or content.get("data", {}).get("text/plain") or "")
            said.append(content.get("ename") or "")
        raise TimeoutError(said)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    notebook = Notebook()
    try:
        notebook.output(notebook.run(MODELS))
        yield notebook
    finally:
        notebook.close()


@pytest.fixture(params=CALLS)
def call(request) -> str:
    return CALLS[request.param]


def test_a_cell_asks_and_goes_on(notebook, call):
    cell = notebook.run(call.format(""))
    for prompt, typed in ANSWERS:
        notebook.answer(prompt, typed)
    output = notebook.output(cell)
    assert "Approve?" in output
    assert "! must be a number" in output
    assert output.rstrip().endswith("Decision(approved=True, amount=7)")


def test_a_cell_is_cancelled_by_a_word(notebook, call):
    cell = notebook.run(call.format(""))
    notebook.answer("> ", ":q")
    assert "TaskCancelledError" in notebook.output(cell)


def test_a_cell_goes_on_when_the_time_is_up(notebook, call):
    started = time.monotonic()
    cell = notebook.run(call.format(", 1"))
    assert "TaskTimeoutError" in notebook.output(cell)
    assert time.monotonic() - started < 10


def test_a_cell_can_be_interrupted(notebook, call):
    cell = notebook.run(call.format(""))
    notebook.prompt()
    notebook.manager.interrupt_kernel()
    output = notebook.output(cell)
    assert "KeyboardInterrupt" in output or "CancelledError" in output
    assert "2" in notebook.output(notebook.run("1 + 1"))


def test_two_questions_at_once_are_asked_one_after_the_other(notebook):
    notebook.run("import asyncio")
    cell = notebook.run("await asyncio.gather(*(ask(await_human, order=order) for order in ['A-1', 'A-2']))")
    for prompt, typed in (*ANSWERS, *ANSWERS):
        notebook.answer(prompt, typed)
    output = notebook.output(cell)
    assert output.index("A-1") < output.index("Sent.") < output.index("A-2")
    assert output.count("Decision(approved=True, amount=7)") == 2


def test_a_notebook_run_without_anybody_hears_what_to_do(notebook, call):
    cell = notebook.run(call.format(""), allow_stdin=False)
    assert "ConfigurationError" in notebook.output(cell)
