"""The parts of the benchmarks that measure nothing: what they read, collect, write and work out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from benchlib import bench, growth, machine, objects, on_host, runs, script  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]


def run_of(hosts: int, cpu: float, main: float = 1.0, wall: float = 10.0) -> runs.Run:
    return runs.Run("install", wall, main, cpu - main, 0.0, 0.0, hosts={f"h{n}": 3 for n in range(hosts)})


# ---- inventories ----


def test_an_inventory_has_as_many_workers_as_asked_for(tmp_path: Path) -> None:
    names = bench.write_inventory(REPOSITORY / "inventory" / "stacked", tmp_path / "made", 10)
    assert names == [f"worker{number}" for number in range(1, 11)]
    children = yaml.safe_load((tmp_path / "made" / "hosts.yml").read_text())["all"]["children"]
    assert children["worker"]["hosts"]["worker10"] == {"ansible_host": "192.168.60.30"}
    assert set(children["control_plane"]["hosts"]) == {"cp1", "cp2", "cp3"}
    assert set(children["kube_node"]["children"]) == {"control_plane", "worker"}
    sample = REPOSITORY / "inventory" / "stacked" / "group_vars" / "all.yml"
    assert (tmp_path / "made" / "group_vars" / "all.yml").read_text() == sample.read_text()


def test_an_inventory_without_workers_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {children: {etcd: {}}}\n")
    with pytest.raises(SystemExit, match="must hold a group worker"):
        bench.workers_of(tmp_path)


# ---- what the kernel tells ----


def test_idle_and_stolen_time_is_no_work() -> None:
    stat = "cpu  100 10 50 1000 500 3 7 999 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    assert machine.parse_busy(stat) == pytest.approx(170 / machine.TICK)


def test_a_processs_name_may_hold_spaces_and_brackets() -> None:
    fields = ["S"] + [str(number) for number in range(4, 53)]
    start, cpu = machine.parse_stat("12 (a) b (c) " + " ".join(fields))
    assert (start, cpu) == (22, pytest.approx((14 + 15) / machine.TICK))


def test_shared_connections_are_those_of_one_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = "1 (ssh) " + " ".join(["S"] + [str(number) for number in range(4, 53)])
    for pid, title in ((1, "ssh: /run/a/ssh/10.0.0.1-22-admin [mux]"), (2, "ssh: /run/b/ssh/x [mux]"), (3, "sshd: x")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_bytes(title.encode() + b"\0\0")
        (tmp_path / str(pid) / "stat").write_text(stat)
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert machine.shared_connections(Path("/run/a/ssh")) == {(1, 22): pytest.approx(29 / machine.TICK)}


def test_memory_of_a_process_and_its_child_is_seen() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        looks = machine.Memory(os.getpid())
        looks.look()
        assert looks.peak.together > 5
        assert looks.peak.forks >= 1
    finally:
        child.communicate()


# ---- lines ----


def test_a_line_goes_through_points_that_are_on_one() -> None:
    line = growth.line([(4, 11.0), (6, 14.0), (13, 24.5)])
    assert (line.fixed, line.each, line.off) == (pytest.approx(5.0), pytest.approx(1.5), pytest.approx(0.0))
    assert line.at(1000) == pytest.approx(1505.0)


def test_one_size_makes_no_line() -> None:
    with pytest.raises(ValueError, match="at least two"):
        growth.line([(4, 1.0), (4, 2.0)])


def test_no_number_of_cores_makes_the_own_process_shorter() -> None:
    assert growth.shortest(100.0, 10.0, 2) == 50.0
    assert growth.shortest(100.0, 10.0, 16) == 10.0


def test_each_batch_pays_what_a_run_costs_beside_its_hosts() -> None:
    # 10 s for everything that is there once, 0.5 s a host, and 1.5 s for each of ten runs.
    assert growth.batched(growth.Line(10.0, 0.5, 0.0), 2.0, 1000, 3) == pytest.approx(10.0 + 500.0 + 15.0)
    assert growth.batched(growth.Line(10.0, 0.5, 0.0), 0.4, 1000, 3) == pytest.approx(510.0)


def test_many_hosts_are_told_for_every_number_of_cores() -> None:
    found = growth.lines([run_of(4, 8.0), run_of(13, 26.0)], ("cpu", "main", "wall"))
    hundred, thousand = growth.projected("install", found)
    assert hundred[:4] == ["install", "100", "200", "1"]
    assert thousand[4:] == ["2000", "1000", "500", "250", "125"]
    assert [row[1] for row in growth.fitted("install", found)][0] == "controller's CPU"


def test_a_run_that_left_its_host_is_told_of() -> None:
    run = run_of(2, 4.0)
    runs.only_on(run, "h0")
    assert run.notes == ["WRONG: tasks ran on other hosts than h0: {'h1': 3}"]
    run = run_of(1, 4.0)
    runs.only_on(run, "h0")
    assert run.notes[0].startswith("asserted: all 3 tasks ran on h0")


def test_rounds_become_their_median_in_the_table() -> None:
    text = runs.summary([run_of(2, 4.0), run_of(2, 6.0), run_of(2, 20.0)])
    assert text.splitlines()[-1].startswith("| install | 2 | 10.0 | 6.0 | 1.0 | 3.00 |")


# ---- objects of the API ----

FOUND: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "kube-dns",
        "namespace": "kube-system",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"ours": "1", "theirs": "2"},
        "managedFields": [
            {"manager": "someone", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": {}}},
            {
                "manager": "hardway.kubernetes",
                "operation": "Apply",
                "apiVersion": "v1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:ours": {}}},
                    "f:spec": {
                        "f:clusterIP": {},
                        "f:selector": {},
                        "f:finalizers": {'v:"a"': {}},
                        "f:ports": {'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:name": {}, "f:port": {}}},
                    },
                },
            },
        ],
    },
    "spec": {
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10"],
        "selector": {"k8s-app": "kube-dns"},
        "finalizers": ["b", "a"],
        "ports": [
            {"name": "tcp", "port": 53, "protocol": "TCP", "nodePort": 1},
            {"name": "udp", "port": 53, "protocol": "UDP", "nodePort": 2},
        ],
    },
    "status": {},
}


def test_only_what_was_applied_is_taken_of_an_object() -> None:
    assert objects.applied(FOUND) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"ours": "1"}},
        "spec": {
            "clusterIP": "10.96.0.10",
            "selector": {"k8s-app": "kube-dns"},
            "finalizers": ["a"],
            "ports": [{"name": "udp", "port": 53}],
        },
    }


def test_accounts_of_workloads_are_found_by_their_name() -> None:
    """A ServiceAccount that is only a name has no field whose manager would tell that it is ours."""
    workload = {
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"template": {"spec": {"serviceAccountName": "b"}}},
    }
    (found,) = objects.accounts([workload, workload, {"metadata": {"name": "c"}}])
    assert (found["kind"], found["metadata"]) == ("ServiceAccount", {"name": "b", "namespace": "n"})


def test_objects_of_others_are_none_of_ours() -> None:
    assert objects.applied(FOUND, "nobody") is None
    assert objects.applied({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}) is None


def test_an_object_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="applied as v1 and came as v2"):
        objects.applied({**FOUND, "apiVersion": "v2"})


def test_a_nodes_own_labels_come_with_the_note_about_them() -> None:
    note = json.dumps({"labels": ["role"], "taints": [["role", "NoSchedule"]]})
    node = {
        "kind": "Node",
        "metadata": {"name": "cp1", "labels": {"role": "", "other": "x"}, "annotations": {objects.KEPT: note}},
    }
    wish = objects.of_node(node)
    assert wish and wish["metadata"] == {"name": "cp1", "labels": {"role": ""}, "annotations": {objects.KEPT: note}}
    assert objects.of_node({"kind": "Node", "metadata": {"name": "w", "annotations": {}}}) is None


# ---- the plain script ----


def a_release(tmp_path: Path) -> tuple[list[dict[str, Any]], str]:
    """An archive and a bare file in a mirror, as on_host.py tells of them after an install."""
    mirror, opt = tmp_path / "mirror", tmp_path / "opt"
    (mirror / "example.org").mkdir(parents=True)
    with tarfile.open(mirror / "example.org" / "tool.tar.gz", "w:gz") as tar:
        for name, text in (("tool-1/tool", b"tool"), ("tool-1/helper", b"helper"), ("tool-1/README", b"no")):
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.mode = len(text), 1234, 0o600
            tar.addfile(info, io.BytesIO(text))
    (mirror / "example.org" / "bare.amd64").write_bytes(b"bare")

    def release(path: str, directory: str, *names: str) -> dict[str, Any]:
        digest = subprocess.run(["sha256sum", str(mirror / path)], capture_output=True, text=True, check=True).stdout
        return {
            "url": f"https://{path}",
            "directory": str(opt / directory),
            "sha256": digest.split()[0],
            "files": [{"name": name, "mode": "0755", "time": "1700000000.123456789"} for name in names],
        }

    releases = [
        release("example.org/tool.tar.gz", "tool/1", "helper", "tool"),
        release("example.org/bare.amd64", "bare/1", "bare"),
    ]
    return releases, f"file://{mirror}"


def sh(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)


def test_the_script_brings_release_files_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "HEAD", 'set -eu\nquietly() { "$@"; }\n')
    releases, mirror = a_release(tmp_path)
    done = sh(script.HEAD + script._release_files(releases, mirror))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "opt").rglob("*") if path.is_file()) == ["bare", "helper", "tool"]
    tool = tmp_path / "opt" / "tool" / "1" / "tool"
    assert (tool.read_bytes(), tool.stat().st_mode & 0o7777, tool.stat().st_uid) == (b"tool", 0o755, os.getuid())
    assert sh(script.settle_times({"releases": releases})).returncode == 0
    assert tool.stat().st_mtime_ns == 1700000000123456789


def test_the_script_stops_at_a_wrong_checksum(tmp_path: Path) -> None:
    releases, mirror = a_release(tmp_path)
    releases[1]["sha256"] = "0" * 64
    done = sh('set -eu\nquietly() { "$@"; }\n' + script._release_files(releases, mirror) + "echo went on\n")
    assert done.returncode != 0
    assert "went on" not in done.stdout


def test_the_script_stops_at_a_missing_file(tmp_path: Path) -> None:
    releases, mirror = a_release(tmp_path)
    releases[0]["url"] = "https://example.org/nope.tar.gz"
    done = sh('set -eu\nquietly() { "$@"; }\n' + script._release_files(releases, mirror) + "echo went on\n")
    assert done.returncode != 0
    assert "went on" not in done.stdout


def test_the_scripts_parts_come_in_their_order() -> None:
    image = {
        "url": "http://images/pause-1.tar",
        "directory": "/opt/hardway/images/pause/1",
        "sha256": "0" * 64,
        "files": [{"name": "image.tar", "mode": "0644", "time": "1.0"}],
    }
    seen = {
        "packages": ["bash", "haproxy"],
        "masks": ["getty.target", "haproxy.service"],
        "units": ["containerd", "etcd", "kubelet"],
        "users": ["etcd"],
        "releases": [image],
    }
    text = script.install(seen, {"packages": ["bash"], "masks": ["getty.target"]}, "http://10.0.0.1:8080")
    order = [
        "mark begin",
        "ln -s /dev/null /etc/systemd/system/haproxy.service",
        "--no-install-recommends install haproxy\n",
        "mark packages",
        "-o /opt/hardway/images/pause/1/image.tar http://10.0.0.1:8080/images/pause-1.tar",
        "sha256sum",
        "--user-group etcd",
        "tar -xpf /root/floor/state.tar",
        "mark files",
        "enable containerd etcd kubelet",
        "start --no-block containerd etcd\n",
        "start containerd\n",
        "images import --no-unpack /opt/hardway/images/pause/1/image.tar",
        "start --no-block kubelet",
        "mark services",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "getty.target" not in text
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def test_a_host_without_services_is_no_floor() -> None:
    nothing = {"packages": [], "masks": [], "units": [], "users": [], "releases": []}
    with pytest.raises(ValueError, match="nothing to start"):
        script.install(nothing, nothing, "http://m")


def test_marks_are_read_among_other_words() -> None:
    assert script.marks("x\nFLOOR begin 1.5\nFLOOR files 20.25\nFLOOR\n") == {"begin": 1.5, "files": 20.25}


# ---- what is on a host ----


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's disk in small."""
    for name, text in (
        ("units/etcd.service", "[Service]\nUser=etcd\n"),
        ("units/flanneld.service", "[Service]\nUser=root\n"),
        ("units/ssh.service", "[Service]\nUser=sshd\n"),
        ("inputs/etcd.inputs", "x"),
        ("inputs/flanneld.inputs", "x"),
        ("etc/pki/ca.crt", "ca"),
        ("etc/net.d/10-pods.conflist", "{}"),
        ("opt/etcd/1/etcd", "binary"),
        ("opt/etcd/1/.release.json", json.dumps({"url": "https://e/e.tgz", "sha256": "0", "files": ["etcd"]})),
        ("sysctl.conf", "a = 1\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "units" / "rpcbind.socket").symlink_to("/dev/null")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "etcd").symlink_to(tmp_path / "opt/etcd/1/etcd")
    (tmp_path / "bin" / "other").symlink_to("/bin/sh")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "member").write_text("not ours to take")
    for name, value in (
        ("UNITS", "units"),
        ("RELEASES", "opt"),
        ("INPUTS", "inputs"),
        ("WRITTEN_BY_FLANNELD", "etc/net.d/10-pods.conflist"),
    ):
        monkeypatch.setattr(on_host, name, f"{tmp_path}/{value}")
    for name, values in (
        ("TREES", ["etc"]),
        ("FILES", ["sysctl.conf", "missing.conf"]),
        ("LINKS", ["bin"]),
        ("EMPTY", ["inputs", "data"]),
    ):
        monkeypatch.setattr(on_host, name, tuple(f"{tmp_path}/{value}" for value in values))
    return tmp_path


def test_what_the_install_made_is_found_and_nothing_else(disk: Path) -> None:
    assert on_host.units() == ["etcd", "flanneld"]
    assert on_host.users() == ["etcd"]
    assert on_host.masks() == ["rpcbind.socket"]
    [release] = on_host.releases()
    assert release["directory"] == f"{disk}/opt/etcd/1"
    assert [file["name"] for file in release["files"]] == ["etcd"]
    seconds, _, rest = release["files"][0]["time"].partition(".")
    assert int(seconds) * 10**9 + int(rest) == (disk / "opt/etcd/1/etcd").stat().st_mtime_ns
    assert {path.removeprefix(f"{disk}/") for path in on_host.paths()} == {
        "inputs",
        "inputs/etcd.inputs",
        "inputs/flanneld.inputs",
        "data",
        "etc",
        "etc/pki",
        "etc/pki/ca.crt",
        "etc/net.d",
        "sysctl.conf",
        "units/etcd.service",
        "units/flanneld.service",
        "opt/etcd/1/.release.json",
        "bin/etcd",
    }


@pytest.mark.skipif(os.getuid() != 0, reason="the files must be root's, as on a host")
def test_the_tar_holds_folders_empty_and_links_as_links(disk: Path) -> None:
    made = io.BytesIO()
    on_host.pack(made)
    with tarfile.open(fileobj=io.BytesIO(made.getvalue())) as tar:
        names = {"/" + member.name: member for member in tar}
    assert names[f"{disk}/data"].isdir() and names[f"{disk}/data"].mode == 0o700
    assert f"{disk}/data/member" not in names
    assert names[f"{disk}/bin/etcd"].issym()
    assert {member.uname for member in names.values()} == {"root"}
