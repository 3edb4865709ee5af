"""What tests on real hosts share: connections, kubectl, playbooks, and a namespace of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_asker import ASKS_BEFORE, Asker
from lab_cluster import ANSWERED_WITHIN, BALANCED_API, INVENTORY, REPOSITORY, ask, connect, group, make_namespace
from lab_elsewhere import Elsewhere
from lab_theirs import Theirs


def pytest_configure(config: pytest.Config) -> None:
    """Marks that these tests know."""
    config.addinivalue_line("markers", "first: wants hosts without a cluster, and leaves one to other tests")
    config.addinivalue_line("markers", "late: leaves the cluster as it was and more packages, which others would find")
    config.addinivalue_line("markers", "last: leaves no cluster to other tests")
    config.addinivalue_line("markers", "long: not in `make test`; another scenario has it")
    config.addinivalue_line(
        "markers", "bare: wants hosts without a cluster, such as those just reset, and leaves them so"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What makes the cluster comes before everything else, what takes it away after it, and then what wants bare hosts."""
    turns = {"first": -1, "late": 1, "last": 2, "bare": 3}
    items.sort(key=lambda item: sum(turn for name, turn in turns.items() if item.get_closest_marker(name)))


SUMMED_UP = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """How long clients waited when something was lost, whatever came of the tests; once, whoever imports this."""
    if config.stash.get(SUMMED_UP, False):
        return
    config.stash[SUMMED_UP] = True
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = [(name, value) for report in reports if report.when == "call" for name, value in report.user_properties]
    if figures:
        terminalreporter.section("how long it took, or a client waited for an answer at the most")
    for what, (seconds, failed) in figures:
        asked = "" if failed is None else f", {failed} requests failed"
        terminalreporter.write_line(f"{seconds:5.1f} s{asked}: {what}")
    if wanted := os.environ.get("HARDWAY_LAB_FAILURES"):
        with Path(wanted).open("a") as out:
            out.writelines(f"{line}\n" for line in said_of_failures(terminalreporter))


def said_of_failures(terminalreporter: Any) -> list[str]:
    """A line for each test that failed, with the beginning and the end of what it said: tests/run says them last."""
    lines = []
    for report in terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
        crash = getattr(report.longrepr, "reprcrash", None)
        said = " ".join(str(crash.message if crash else report.longrepr).split())
        if len(said) > 1000:
            said = f"{said[:300]} ... {said[-700:]}"
        lines.append(f"{report.nodeid} ({report.when}): {said}")
    return lines


@pytest.fixture(scope="session")
def inventory() -> dict[str, Any]:
    """The lab's inventory, as ansible-inventory lists it; never an empty one."""
    assert group("kube_node"), "the inventory holds no nodes: these tests would check nothing"
    return INVENTORY


@pytest.fixture(scope="session")
def on() -> Callable[[str], Any]:
    """Connects to a host by name."""
    hosts: dict[str, Any] = {}

    def _on(name: str) -> Any:
        return hosts.setdefault(name, connect(name))

    return _on


@pytest.fixture(scope="session")
def kubectl() -> Callable[..., str]:
    """Runs the cluster's kubectl as its administrator."""

    def _kubectl(*arguments: str, stdin: str | None = None) -> str:
        command = ["kubectl", f"--request-timeout={ANSWERED_WITHIN}s", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin)
        assert result.returncode == 0, f"kubectl {' '.join(arguments)}: {result.stderr}"
        return result.stdout

    return _kubectl


@pytest.fixture
def namespace(kubectl: Callable[..., str], request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = "test-" + request.node.name.split("[")[0].replace("_", "-").removeprefix("test-")[:40].strip("-")
    make_namespace(kubectl, name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def healed(playbook: Callable[..., subprocess.CompletedProcess[str]]) -> Iterator[None]:
    """Whatever a test leaves, the next one has the cluster of the inventory."""
    yield
    result = playbook("site.yml")
    assert result.returncode == 0, result.stdout[-4000:]


@pytest.fixture
def tell(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """A figure for the end of the run: what took how many seconds and, where a client asked, how many of its requests failed."""

    def _tell(what: str, seconds: float, failed: int | None = None) -> None:
        record_property(what, (seconds, failed))

    return _tell


@pytest.fixture
def asking(tell: Callable[..., None]) -> Iterator[Callable[..., Asker]]:
    """Starts clients on hosts, which have asked for a while when it returns; they end with the test."""
    askers: list[Asker] = []

    def _asking(name: str, url: str = BALANCED_API, *, reads: bool = False, ready: bool = False) -> Asker:
        """reads: for what is in etcd, the node itself; ready: whether the server says that it is ready."""
        question, good = ask(url), "403"
        if reads or ready:
            question, good = ask(url, f"/api/v1/nodes/{name}" if reads else "/readyz"), "200"
        askers.append(Asker(name, question, good, tell))
        askers[-1].start()
        time.sleep(ASKS_BEFORE)
        return askers[-1]

    yield _asking
    for asker in askers:
        asker.end()


@pytest.fixture(scope="session")
def playbook() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a playbook of the checkout against the lab and gives its result as JSON in stdout."""

    def _playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
        return subprocess.run(
            ["ansible-playbook", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
            env=environment,
        )

    return _playbook


@pytest.fixture
def theirs(on: Callable[[str], Any]) -> Iterator[Theirs]:
    """Somebody else's balancer, once a test starts it; it ends with the test."""
    found = Theirs(on)
    yield found
    found.end()


KILLED = "HARDWAY_STORY_OF_KILLED_RUNS"  # marks processes of such a run


@pytest.fixture
def kill_after() -> Iterator[Callable[..., bool]]:
    """Starts a playbook and kills its whole process group after some seconds; tells whether it still ran."""

    def _kill_after(seconds: float, *arguments: str) -> bool:
        run = subprocess.Popen(
            ["ansible-playbook", *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, KILLED: "yes"},
            start_new_session=True,
        )
        try:
            run.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            return True

    yield _kill_after
    # Ansible's workers have sessions of their own: they finish what they do, and then wait for their dead parent forever.
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if KILLED.encode() in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """Somebody else's repository, with the built collection installed."""
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))
