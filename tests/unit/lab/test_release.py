"""The lab's release files: layout, checksums, archives, resuming and the choice of the source. No network."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "lab"))

from hwlab import mirror as hwmirror
from hwlab import release
from hwlab.release import Artefact, Entry, Module, ReleaseError, Versions

HEX = "0123456789abcdef" * 4
OTHER = "f" * 64


def hexdigest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ---- layout ----


def test_layout_is_upstreams_own() -> None:
    paths = {path: sums for artefact in release.artefacts(Versions(), "amd64") for path, sums in artefact.files.items()}
    v = Versions()
    base = f"dl.k8s.io/release/v{v.kubernetes}/bin/linux/amd64/kubelet"
    assert paths[base] == f"{base}.sha256"
    etcd = f"github.com/etcd-io/etcd/releases/download/v{v.etcd}"
    assert paths[f"{etcd}/etcd-v{v.etcd}-linux-amd64.tar.gz"] == f"{etcd}/SHA256SUMS"
    runc = f"github.com/opencontainers/runc/releases/download/v{v.runc}"
    assert paths[f"{runc}/runc.amd64"] == f"{runc}/runc.sha256sum"
    containerd = f"github.com/containerd/containerd/releases/download/v{v.containerd}/containerd-{v.containerd}"
    assert paths[f"{containerd}-linux-amd64.tar.gz"] == f"{containerd}-linux-amd64.tar.gz.sha256sum"
    cni = f"github.com/containernetworking/plugins/releases/download/v{v.cni_plugins}"
    assert f"{cni}/cni-plugins-linux-amd64-v{v.cni_plugins}.tgz" in paths
    assert f"images/pause-{v.pause}.tar" in paths


def test_layout_follows_version_and_architecture() -> None:
    found = release.artefacts(Versions(kubernetes="1.35.4"), "arm64")
    paths = [path for artefact in found for path in artefact.files]
    assert "dl.k8s.io/release/v1.35.4/bin/linux/arm64/kubectl" in paths
    assert not any("amd64" in path for path in paths)
    assert all("arm64" in path for path in paths)


# ---- checksum files ----


def test_read_digest_of_bare_and_named_files() -> None:
    assert release.read_digest(HEX.upper(), "kubelet") == HEX
    assert release.read_digest(f"{OTHER}  a.tgz\n{HEX} *b.tgz\n", "b.tgz") == HEX
    assert release.read_digest(f"{HEX}  ./b.tgz", "b.tgz") == HEX


@pytest.mark.parametrize("text", ["", "<html>not found</html>", f"{HEX}  b.tgz.asc", HEX[:-1], f"{HEX}\n{OTHER}"])
def test_read_digest_refuses_what_is_not_the_files(text: str) -> None:
    with pytest.raises(ReleaseError, match=r"b\.tgz"):
        release.read_digest(text, "b.tgz")


def test_write_checksum_formats(tmp_path: Path) -> None:
    release.write_checksum(tmp_path / "kubelet.sha256", "kubelet", HEX, bare=True)
    assert (tmp_path / "kubelet.sha256").read_text() == HEX
    release.write_checksum(tmp_path / "SHA256SUMS", "a", HEX)
    release.write_checksum(tmp_path / "SHA256SUMS", "b", OTHER)
    release.write_checksum(tmp_path / "SHA256SUMS", "a", OTHER)
    assert (tmp_path / "SHA256SUMS").read_text() == f"{OTHER}  b\n{OTHER}  a\n"
    release.write_checksum(tmp_path / "SHA256SUMS", "a", None)
    release.write_checksum(tmp_path / "SHA256SUMS", "b", None)
    assert not (tmp_path / "SHA256SUMS").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kubelet.sha256"]


# ---- publishing: whole or not at all ----


@pytest.fixture
def artefact() -> Artefact:
    return Artefact("thing", "1", {"x/a": "x/SUMS", "x/b": "x/SUMS"})


def stage(folder: Path, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_publish_makes_it_complete(tmp_path: Path, artefact: Artefact) -> None:
    mirror = tmp_path / "mirror"
    assert not artefact.complete(mirror)
    release.publish(artefact, stage(tmp_path / "out", a=b"1", b=b"2"), mirror)
    assert artefact.complete(mirror)
    assert release.read_digest((mirror / "x/SUMS").read_text(), "b") == hexdigest(b"2")
    (mirror / "x/a").unlink()
    assert not artefact.complete(mirror)


@pytest.mark.parametrize("killed_at", range(4))
def test_publish_killed_anywhere_leaves_nothing_wrong(
    tmp_path: Path, artefact: Artefact, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    mirror = tmp_path / "mirror"
    release.publish(artefact, stage(tmp_path / "old", a=b"old", b=b"old"), mirror)
    real, steps = Path.replace, iter(range(100))

    def dies(self: Path, target: Path) -> Path:
        if next(steps) == killed_at:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        release.publish(artefact, stage(tmp_path / "new", a=b"new", b=b"new"), mirror)
    monkeypatch.undo()
    sums = (mirror / "x/SUMS").read_text() if (mirror / "x/SUMS").exists() else ""
    for name in ("a", "b"):
        if f"  {name}\n" in sums:  # whatever has a checksum has the right one
            assert release.read_digest(sums, name) == hexdigest((mirror / "x" / name).read_bytes())


# ---- ensure ----


def fake_build(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Build in no time; return the list of what was built."""
    made: list[str] = []

    def make(self: release.Builder, artefact: Artefact, out: Path) -> None:
        made.append(artefact.title)
        for path in artefact.files:
            (out / Path(path).name).write_bytes(artefact.title.encode())

    monkeypatch.setattr(release.Builder, "make", make)
    monkeypatch.setattr(release, "missing_packages", list)
    monkeypatch.setattr(release, "host_arch", lambda: "amd64")
    monkeypatch.setattr(release.shutil, "which", lambda name: f"/usr/bin/{name}")
    return made


def ensure(cache: Path, versions: Versions | None = None, source: str = "build", said: list[str] | None = None) -> Path:
    lines: list[str] = [] if said is None else said
    return release.ensure(versions or Versions(), cache, source, "amd64", lines.append)


def test_ensure_builds_each_version_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = fake_build(monkeypatch), []
    mirror = ensure(tmp_path, said=said)
    assert mirror == tmp_path / "mirror"
    assert len(made) == 9
    assert said[0] == "release files: build (asked for)"
    assert not (tmp_path / "work").exists()
    assert set(release.image_archives(mirror, Versions())) == {"pause", "coredns", "agnhost"}
    made.clear()
    ensure(tmp_path)
    assert made == []
    ensure(tmp_path, Versions(kubernetes="1.35.4"))
    assert made == ["kubernetes 1.35.4"]


def test_ensure_resumes_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake_build(monkeypatch)
    good = release.Builder.make

    def dies_at_runc(self: release.Builder, artefact: Artefact, out: Path) -> None:
        if artefact.component == "runc":
            (out / "runc.amd64").write_bytes(b"half")
            raise KeyboardInterrupt
        good(self, artefact, out)

    monkeypatch.setattr(release.Builder, "make", dies_at_runc)
    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path)
    assert [title.split()[0] for title in made] == ["etcd", "containerd"]
    assert not list(tmp_path.glob("mirror/**/runc*"))
    assert (tmp_path / "work").exists()
    monkeypatch.setattr(release.Builder, "make", good)
    made.clear()
    ensure(tmp_path)
    assert made[0].startswith("runc")
    assert len(made) == 7
    assert not (tmp_path / "work").exists()


def test_ensure_waits_for_another_and_takes_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said = fake_build(monkeypatch), []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=ensure, args=(tmp_path,), kwargs={"said": said})
        thread.start()
        while not said:
            thread.join(0.01)
        for artefact in release.artefacts(Versions(), "amd64"):
            out = stage(tmp_path / "out", **{Path(path).name: b"x" for path in artefact.files})
            release.publish(artefact, out, tmp_path / "mirror")
    thread.join(10)
    assert made == []
    assert len(said) == 1 and "waiting" in said[0]


def test_ensure_downloads_all_but_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(url: str, target: Path, progress: release.Progress, what: str, attempts: int = 3) -> str:
        fetched.append(url)
        content = url.encode()
        if "sha256" in target.name.lower() or target.name == "sums":
            of = [known for known in fetched if not known.lower().endswith(("sha256", "sha256sum", "sums"))][-1]
            content = f"{hexdigest(of.encode())}  {of.rsplit('/', 1)[1]}\n".encode()
        target.write_bytes(content)
        return hexdigest(content)

    monkeypatch.setattr(release, "_fetch", fetch)
    mirror = ensure(tmp_path, source="download")
    assert all(url.startswith(("https://dl.k8s.io/", "https://github.com/")) for url in fetched)
    assert not any("flannel" in url and url.endswith("sha256") for url in fetched)
    left = [artefact for artefact in release.artefacts(Versions(), "amd64") if not artefact.complete(mirror)]
    assert all(artefact.is_image for artefact in left) and len(left) == 3
    assert release.image_archives(mirror, Versions()) == {}
    fetched.clear()
    monkeypatch.setattr(release, "upstream_answers", lambda: pytest.fail("asked upstream again"))
    assert ensure(tmp_path, source="auto") == mirror
    assert fetched == []


def test_download_refuses_a_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, target: Path, progress: release.Progress, what: str, attempts: int = 3) -> str:
        target.write_text(OTHER)
        return HEX

    monkeypatch.setattr(release, "_fetch", fetch)
    artefact = Artefact("kubernetes", "1", {"dl.k8s.io/kubelet": "dl.k8s.io/kubelet.sha256"}, bare=True)
    with pytest.raises(ReleaseError, match=f"{HEX}.*{OTHER}"):
        release.download(artefact, stage(tmp_path / "out"), tmp_path, print)


def test_build_for_another_architecture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_build(monkeypatch)
    with pytest.raises(ReleaseError, match="arm64"):
        release.ensure(Versions(), tmp_path, "build", "arm64", print)


# ---- the source ----


@pytest.mark.parametrize(
    ("source", "answers", "go", "chosen"),
    [
        ("auto", True, True, "download"),
        ("auto", True, False, "download"),
        ("auto", False, True, "build"),
        ("download", False, True, "download"),
        ("build", True, True, "build"),
    ],
)
def test_choose_source(source: str, answers: bool, go: bool, chosen: str) -> None:
    assert release.choose_source(source, lambda: answers, lambda: go)[0] == chosen


@pytest.mark.parametrize(("source", "words"), [("auto", "install Go"), ("build", "Go toolchain"), ("ftp", "auto, ")])
def test_choose_source_says_what_to_do(source: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        release.choose_source(source, lambda: False, lambda: False)


# ---- go.mod ----


def module(path: str, version: str, go_mod: str) -> Module:
    return Module(path, version, go_mod, Path("/nowhere"), "unknown", "2026-01-01T00:00:00Z")


def test_workspace_of_kubernetes_takes_published_staging_modules() -> None:
    go_mod = (
        "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/api v0.0.0\n\n"
        "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n"
    )
    made = release.workspace_go_mod([module("k8s.io/kubernetes", "v1.35.4", go_mod)])
    assert "module hardway.invalid/build\n" in made
    assert "\tk8s.io/api => k8s.io/api v0.35.4\n" in made
    assert made.endswith("require k8s.io/kubernetes v1.35.4\n")
    assert "staging" not in made


def test_workspace_takes_the_newest_go_line() -> None:
    made = release.workspace_go_mod([module("a/x", "v1", "go 1.9\n"), module("a/y", "v1", "go 1.25.0\n")])
    assert made == "module hardway.invalid/build\n\ngo 1.25.0\n\nrequire a/x v1\nrequire a/y v1\n"


def test_workspace_can_raise_a_dependency() -> None:
    made = release.workspace_go_mod([module("a/x", "v1", "go 1.25.0\n")], {"b/y": "v2"})
    assert made.endswith("require a/x v1\nrequire b/y v2\n")


# ---- archives and images ----


def test_image_archive(tmp_path: Path) -> None:
    program = tmp_path / "coredns"
    program.write_bytes(b"program")
    entries = [
        Entry("bin"),
        Entry("bin/sh", target="busybox"),
        Entry("tmp", mode=0o1777),
        Entry("coredns", program, capabilities=(release.CAP_NET_BIND_SERVICE,)),
    ]
    target = tmp_path / "image.tar"
    release.write_image(target, "registry.k8s.io/coredns:v1", "amd64", entries, {"User": "65532:65532"})
    with tarfile.open(target) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None
            return member.read()

        (manifest,) = json.loads(read("manifest.json"))
        assert manifest["RepoTags"] == ["registry.k8s.io/coredns:v1"]
        config = json.loads(read(manifest["Config"]))
        assert manifest["Config"] == hexdigest(read(manifest["Config"])) + ".json"
        (layer_name,) = manifest["Layers"]
        layer = read(layer_name)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hexdigest(layer)}"]
    assert (config["os"], config["architecture"], config["config"]["User"]) == ("linux", "amd64", "65532:65532")
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.getmember("bin").isdir()
        assert files.getmember("bin/sh").linkname == "busybox"
        assert files.getmember("tmp").mode == 0o1777
        member = files.getmember("coredns")
        assert (member.uid, member.gid, member.mtime, member.mode) == (0, 0, 0, 0o755)
        # cap_net_bind_service=ep, as setcap writes it.
        value = member.pax_headers["SCHILY.xattr.security.capability"].encode()
        assert value.hex() == "0100000200040000000000000000000000000000"
    assert {path.name for path in tmp_path.iterdir()} == {"coredns", "image.tar"}


def test_archives_are_reproducible(tmp_path: Path) -> None:
    program = tmp_path / "etcd"
    program.write_bytes(b"program")
    for name in ("one", "two"):
        release.write_tar_gz(tmp_path / name, [Entry("top"), Entry("top/etcd", program)])
        program.touch()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "one").read_bytes()))) as archive:
        assert archive.getnames() == ["top", "top/etcd"]


# ---- the mirror's server ----


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    stage(tmp_path / "v1", kubelet=b"x" * 300_000)
    with hwmirror.Mirror(("127.0.0.1", 0), tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_mirror_serves_files(url: str) -> None:
    with urllib.request.urlopen(f"{url}/v1/kubelet") as answer:
        assert answer.version == 11
        assert answer.read() == b"x" * 300_000


@pytest.mark.parametrize("path", ["/v1/", "/", "/v1/kubectl", "/../../../../etc/passwd"])
def test_mirror_serves_nothing_else(url: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url + path)
    assert error.value.code == 404
