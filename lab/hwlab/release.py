"""The lab's release files: downloaded from upstream, or built from Go modules, and laid out like upstream's own paths.

The mirror is a folder of the cache that serves every lab of this machine. An artefact in it is complete when its file
and its checksum are there; it is then never fetched or built again.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hwlab import packages, paths
from hwlab.ui import LabError


@dataclass(frozen=True)
class Versions:
    """The versions a lab runs. The roles' defaults hold the same ones, and a unit test compares them."""

    kubernetes: str = "1.36.3"
    etcd: str = "3.6.14"
    containerd: str = "2.2.7"
    runc: str = "1.4.3"
    cni_plugins: str = "1.9.1"
    flannel: str = "0.28.4"
    coredns: str = "1.14.7"
    pause: str = "3.10.1"
    agnhost: str = "2.63.0"


SOURCES = ("auto", "download", "build")
KUBERNETES_BINARIES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
# Folder of the plugins' source -> the plugins in it, as upstream's archive holds them.
CNI_PLUGINS = {
    "main": ("bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"),
    "ipam": ("dhcp", "host-local", "static"),
    "meta": ("bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"),
}
PROBES = ("https://dl.k8s.io", "https://github.com")
PROBE_SECONDS = 3.0
HEARTBEAT_SECONDS = 15.0
KUBERNETES_TAGS = "selinux,notest,grpcnotrace"  # the tags of upstream's own release build
# flannel 0.28.4 asks for a version of a cloud vendor's library that not every Go module proxy hands out; only the
# backend for that cloud uses it.
FLANNEL_NEWER = {"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common": "v1.3.103"}

Progress = Callable[[str], None]


class ReleaseError(LabError):
    """Release files could not be made; the message says what to do."""


# ---- what a mirror holds ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artefact:
    """What is made in one step: files of the mirror, each with the file that holds its checksum."""

    component: str
    version: str
    files: Mapping[str, str]
    bare: bool = False  # a checksum file with nothing but the digest in it

    @property
    def title(self) -> str:
        """Name it for a person."""
        return f"{self.component} {self.version}"

    @property
    def is_image(self) -> bool:
        """Tell whether it is an image archive, which upstream only publishes in its registry."""
        return all(path.startswith("images/") for path in self.files)

    def complete(self, mirror: Path) -> bool:
        """Tell whether every file is there together with its checksum, which is always written last."""
        for path, sums in self.files.items():
            if not (mirror / path).is_file():
                return False
            try:
                read_digest((mirror / sums).read_text(), Path(path).name)
            except (OSError, ReleaseError):
                return False
        return True


def artefacts(versions: Versions, arch: str) -> list[Artefact]:
    """List everything a lab needs, small things first."""
    v = versions
    etcd = f"github.com/etcd-io/etcd/releases/download/v{v.etcd}"
    containerd = f"github.com/containerd/containerd/releases/download/v{v.containerd}"
    runc = f"github.com/opencontainers/runc/releases/download/v{v.runc}"
    cni = f"github.com/containernetworking/plugins/releases/download/v{v.cni_plugins}"
    flannel = f"github.com/flannel-io/flannel/releases/download/v{v.flannel}"
    kubernetes = f"dl.k8s.io/release/v{v.kubernetes}/bin/linux/{arch}"

    def beside(path: str, ending: str) -> dict[str, str]:
        return {path: path + ending}

    def image(name: str, version: str) -> dict[str, str]:
        # Images of amd64 have the short name, as nearly all labs are of one architecture.
        suffix = "" if arch == "amd64" else f"-{arch}"
        return beside(f"images/{name}-{version}{suffix}.tar", ".sha256")

    return [
        Artefact("etcd", v.etcd, {f"{etcd}/etcd-v{v.etcd}-linux-{arch}.tar.gz": f"{etcd}/SHA256SUMS"}),
        Artefact(
            "containerd",
            v.containerd,
            beside(f"{containerd}/containerd-{v.containerd}-linux-{arch}.tar.gz", ".sha256sum"),
        ),
        Artefact("runc", v.runc, {f"{runc}/runc.{arch}": f"{runc}/runc.sha256sum"}),
        Artefact(
            "cni-plugins", v.cni_plugins, beside(f"{cni}/cni-plugins-linux-{arch}-v{v.cni_plugins}.tgz", ".sha256")
        ),
        # Upstream publishes no checksum for flannel: this one is the mirror's own, so that roles verify it alike.
        Artefact("flannel", v.flannel, beside(f"{flannel}/flannel-v{v.flannel}-linux-{arch}.tar.gz", ".sha256")),
        Artefact("pause", v.pause, image("pause", v.pause)),
        Artefact("coredns", v.coredns, image("coredns", v.coredns)),
        Artefact(
            "kubernetes",
            v.kubernetes,
            {f"{kubernetes}/{name}": f"{kubernetes}/{name}.sha256" for name in KUBERNETES_BINARIES},
            bare=True,
        ),
        Artefact("agnhost", v.agnhost, image("agnhost", v.agnhost)),
    ]


def image_names(versions: Versions) -> dict[str, str]:
    """Give each image's name as upstream's registry has it."""
    return {
        "pause": f"registry.k8s.io/pause:{versions.pause}",
        "coredns": f"registry.k8s.io/coredns/coredns:v{versions.coredns}",
        "agnhost": f"registry.k8s.io/e2e-test-images/agnhost:{versions.agnhost}",
    }


def image_archives(mirror: Path, versions: Versions, arch: str = "amd64") -> dict[str, Path]:
    """Give the image archives that the mirror holds; none when its files were downloaded."""
    return {
        artefact.component: mirror / path
        for artefact in artefacts(versions, arch)
        if artefact.is_image and artefact.complete(mirror)
        for path in artefact.files
    }


# ---- checksums and publishing -----------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_digest(text: str, name: str) -> str:
    """Read the digest of a file from a checksum file, a bare one or one with "<hex>  <name>" lines."""
    for line in text.splitlines():
        words = line.split()
        if words and re.fullmatch("[0-9a-fA-F]{64}", words[0]):
            named = Path(words[-1].lstrip("*")).name if len(words) > 1 else None
            if named == name or (named is None and text.split() == words):
                return words[0].lower()
    raise ReleaseError(f"no SHA-256 of {name} in its checksum file")


def write_checksum(sums: Path, name: str, digest: str | None, bare: bool = False) -> None:
    """Put a file's digest into its checksum file, or take it out (None), and keep the lines of other files."""
    kept = []
    if not bare and sums.exists():
        kept = [line for line in sums.read_text().splitlines() if line.split()[1:] != [name]]
    if digest is None and not kept:
        sums.unlink(missing_ok=True)
        return
    if digest is not None:
        kept.append(digest if bare else f"{digest}  {name}")
    new = sums.with_name(f".{sums.name}.new")
    new.write_text("\n".join(kept) + ("" if bare else "\n"))
    new.replace(sums)


def publish(artefact: Artefact, staged: Path, mirror: Path) -> None:
    """Move an artefact's finished files from a folder of the cache into the mirror."""
    for path, sums in artefact.files.items():
        made, target = staged / Path(path).name, mirror / path
        digest = sha256(made)
        with made.open("rb+") as stream:
            os.fsync(stream.fileno())  # a power cut must not leave a checksum without its file's content
        target.parent.mkdir(parents=True, exist_ok=True)
        # The checksum goes first and comes last, so that whatever is killed here is incomplete, never wrong.
        write_checksum(mirror / sums, target.name, None, artefact.bare)
        made.replace(target)
        write_checksum(mirror / sums, target.name, digest, artefact.bare)


# ---- archives ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A file, a link (target) or a folder (neither) of an archive."""

    path: str
    source: Path | None = None
    target: str | None = None
    content: bytes | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    capabilities: tuple[int, ...] = ()  # of the file, effective when it is started


CAP_NET_BIND_SERVICE = 10


def capability_xattr(capabilities: Iterable[int]) -> bytes:
    """Encode file capabilities (permitted and effective) like the kernel's vfs_cap_data, revision 2."""
    permitted = sum(1 << number for number in capabilities)
    return struct.pack("<5I", 0x02000001, permitted & 0xFFFFFFFF, 0, permitted >> 32, 0)


def write_tar(stream: io.BufferedIOBase, entries: Sequence[Entry]) -> None:
    """Write a tar that is the same, byte for byte, whenever and wherever it is made."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if entry.capabilities:
                # tarfile takes text only, and every byte of the capabilities used here is ASCII.
                value = capability_xattr(entry.capabilities).decode("ascii")
                info.pax_headers = {"SCHILY.xattr.security.capability": value}
            if entry.source is not None:
                info.size = entry.source.stat().st_size
                with entry.source.open("rb") as content:
                    archive.addfile(info, content)
            elif entry.content is not None:
                info.size = len(entry.content)
                archive.addfile(info, io.BytesIO(entry.content))
            else:
                info.type = tarfile.SYMTYPE if entry.target else tarfile.DIRTYPE
                info.linkname = entry.target or ""
                archive.addfile(info)


def write_tar_gz(target: Path, entries: Sequence[Entry]) -> None:
    """Write a compressed tar; lightly, as it only travels within one machine."""
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as stream:
        write_tar(stream, entries)


def write_image(target: Path, name: str, arch: str, entries: Sequence[Entry], config: Mapping[str, object]) -> None:
    """Write an image of one layer in docker-archive format, as `ctr images import` takes it."""
    layer = target.with_name(f"{target.name}.layer")
    with layer.open("wb") as stream:
        write_tar(stream, entries)
    diff_id = sha256(layer)
    description = {
        "architecture": arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hardway.kubernetes lab"}],
    }
    encoded = json.dumps(description, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{diff_id}.tar"]}]
    with target.open("wb") as stream:
        write_tar(
            stream,
            [
                Entry("manifest.json", content=json.dumps(manifest).encode(), mode=0o644),
                Entry(config_name, content=encoded, mode=0o644),
                Entry(f"{diff_id}.tar", source=layer, mode=0o644),
            ],
        )
    layer.unlink()


# ---- building from Go modules -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """A published Go module in the local module cache."""

    path: str
    version: str
    go_mod: str
    directory: Path
    commit: str
    date: str


def workspace_go_mod(modules: Sequence[Module], newer: Mapping[str, str] | None = None) -> str:
    """Write the go.mod of a module that builds programs of others, with the dependencies that they were made with.

    Kubernetes' own go.mod is taken over whole, as it pins all of them; only its staging folders become the modules
    that are published from them (v0.X.Y of Kubernetes v1.X.Y). Newer names dependencies to raise: path -> version.
    """
    first = modules[0]
    wanted = {**{module.path: module.version for module in modules}, **(newer or {})}
    requires = "".join(f"require {path} {version}\n" for path, version in wanted.items())
    if first.path == "k8s.io/kubernetes":
        staging = "v0." + first.version.removeprefix("v1.")
        text = re.sub(r"(?m)^module .*$", "module hardway.invalid/build", first.go_mod)
        return re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 {staging}", text) + "\n" + requires
    # The go line also decides the programs' GODEBUG defaults, so it is upstream's.
    go_lines = re.findall(r"(?m)^go (\S+)$", "\n".join(module.go_mod for module in modules))
    newest = max(go_lines, key=lambda line: [int(part) for part in re.findall(r"\d+", line)])
    return f"module hardway.invalid/build\n\ngo {newest}\n\n{requires}"


@dataclass
class Builder:
    """Makes artefacts out of Go modules, one at a time, in a work folder of its own."""

    versions: Versions
    arch: str
    cache: Path
    work: Path
    progress: Progress
    _modules: dict[str, Module] = field(default_factory=dict)

    def make(self, artefact: Artefact, out: Path) -> None:
        """Make the files of an artefact in the folder out."""
        getattr(self, "_make_" + artefact.component.replace("-", "_"))(out)

    # -- tools --

    def _run(self, what: str, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
        """Run a long command with a sign of life; return its standard output."""
        log, started = self.work / "stderr", time.monotonic()
        if tool := shutil.which("setpriv"):  # a killed lab leaves no build behind
            space = ["unshare", "--pid", "--fork", "--kill-child"] if os.geteuid() == 0 else []
            argv = [tool, "--pdeathsig", "KILL", *space, *argv]
        with log.open("wb") as errors, tempfile.TemporaryFile(dir=self.work) as output:
            process = subprocess.Popen(
                argv, cwd=cwd, env={**os.environ, **env}, stdout=output, stderr=errors, start_new_session=True
            )
            try:
                while True:
                    try:
                        code = process.wait(HEARTBEAT_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        self.progress(f"{what}: {time.monotonic() - started:.0f} s{_count_compiled(log)}")
            finally:
                if process.poll() is None:  # interrupted: compilers must not run on
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if code:
                lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
                raise ReleaseError(f"{what} failed (exit {code}):\n" + "\n".join(lines[-15:]))
            output.seek(0)
            return output.read().decode()

    def _go(self, what: str, arguments: Sequence[str], cwd: Path, cgo: bool = False) -> str:
        env = {
            "CGO_ENABLED": "1" if cgo else "0",
            "GOARCH": self.arch,
            "GOCACHE": os.environ.get("GOCACHE", str(self.cache / "go-build")),
            "GOFLAGS": "-mod=mod -buildvcs=false",
            "GOOS": "linux",
            "GOTMPDIR": str(self.work),  # what a killed go leaves goes with the work folder
            "GOWORK": "off",
        }
        return self._run(what, ["go", *arguments], cwd, env)

    def _module(self, path: str, version: str) -> Module:
        """Fetch a module into the module cache."""
        if path not in self._modules:
            tag = f"v{version}"
            answer = self._go(f"fetching {path} {tag}", ["mod", "download", "-json", f"{path}@{tag}"], self.work)
            found = json.loads(answer)
            info = json.loads(Path(found["Info"]).read_text())
            self._modules[path] = Module(
                path,
                tag,
                Path(found["GoMod"]).read_text(),
                Path(found["Dir"]),
                # Not every module says which commit it was made from.
                (found.get("Origin") or {}).get("Hash") or "unknown",
                info["Time"],
            )
        return self._modules[path]

    def _build(
        self,
        title: str,
        modules: Sequence[Module],
        programs: Mapping[str, str],
        out: Path,
        stamps: Mapping[str, str],
        tags: str = "",
        cgo: bool = False,
        linker: str = "",
        options: Sequence[str] = (),
        newer: Mapping[str, str] | None = None,
    ) -> None:
        """Build programs (name -> package) of the modules into the folder out."""
        workspace = Path(tempfile.mkdtemp(prefix="go-", dir=self.work))
        (workspace / "go.mod").write_text(workspace_go_mod(modules, newer))
        stamped = " ".join(f"-X {name}={value}" for name, value in stamps.items())
        command = ["build", "-v", "-trimpath", "-tags", tags, "-ldflags", f"-s -w {stamped} {linker}".strip(), *options]
        if all(name == Path(package).name for name, package in programs.items()):
            # One command for all: go shares the work between them.
            self._go(f"building {title}", [*command, "-o", f"{out}/", *programs.values()], workspace, cgo)
        else:
            for name, package in programs.items():
                self._go(f"building {title}: {name}", [*command, "-o", str(out / name), package], workspace, cgo)

    # -- components --

    def _make_etcd(self, out: Path) -> None:
        version = self.versions.etcd
        root = "go.etcd.io/etcd"
        modules = [self._module(f"{root}/{part}/v3", version) for part in ("server", "etcdctl", "etcdutl")]
        programs = {"etcd": f"{root}/server/v3", "etcdctl": f"{root}/etcdctl/v3", "etcdutl": f"{root}/etcdutl/v3"}
        stamps = {f"{root}/api/v3/version.GitSHA": modules[0].commit[:9]}
        bin_ = _folder(self.work, "etcd")
        self._build(f"etcd {version}", modules, programs, bin_, stamps)
        top = f"etcd-v{version}-linux-{self.arch}"
        write_tar_gz(out / f"{top}.tar.gz", [Entry(top), *(Entry(f"{top}/{name}", bin_ / name) for name in programs)])

    def _make_containerd(self, out: Path) -> None:
        version = self.versions.containerd
        root = "github.com/containerd/containerd/v2"
        module = self._module(root, version)
        programs = {name: f"{root}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")}
        stamps = {f"{root}/version.Version": f"v{version}", f"{root}/version.Revision": module.commit}
        bin_ = _folder(self.work, "containerd")
        # No cgo: the programs run on every host, whatever its C library. The snapshotters left out need it.
        self._build(f"containerd {version}", [module], programs, bin_, stamps, tags="no_btrfs,no_zfs,no_devmapper")
        entries = [Entry("bin"), *(Entry(f"bin/{name}", bin_ / name) for name in programs)]
        write_tar_gz(out / f"containerd-{version}-linux-{self.arch}.tar.gz", entries)

    def _make_runc(self, out: Path) -> None:
        version = self.versions.runc
        module = self._module("github.com/opencontainers/runc", version)
        # Upstream's own options for a static program: without seccomp no sandbox would start.
        self._build(
            f"runc {version}",
            [module],
            {f"runc.{self.arch}": module.path},
            out,
            {"main.gitCommit": module.commit},
            tags="seccomp,urfave_cli_no_docs,netgo,osusergo",
            cgo=True,
            linker="-linkmode external -extldflags -static-pie",
            options=["-buildmode=pie"],
        )

    def _make_cni_plugins(self, out: Path) -> None:
        version = self.versions.cni_plugins
        module = self._module("github.com/containernetworking/plugins", version)
        programs = {
            name: f"{module.path}/plugins/{folder}/{name}" for folder, names in CNI_PLUGINS.items() for name in names
        }
        stamps = {f"{module.path}/pkg/utils/buildversion.BuildVersion": f"v{version}"}
        bin_ = _folder(self.work, "cni")
        self._build(f"cni-plugins {version}", [module], programs, bin_, stamps)
        entries = [Entry("./"), *(Entry(f"./{name}", bin_ / name) for name in sorted(programs))]
        write_tar_gz(out / f"cni-plugins-linux-{self.arch}-v{version}.tgz", entries)

    def _make_flannel(self, out: Path) -> None:
        version = self.versions.flannel
        module = self._module("github.com/flannel-io/flannel", version)
        bin_ = _folder(self.work, "flannel")
        # cgo only for the UDP backend, which the program does not build without.
        self._build(
            f"flannel {version}",
            [module],
            {"flanneld": module.path},
            bin_,
            {f"{module.path}/pkg/version.Version": f"v{version}"},
            tags="netgo,osusergo",
            cgo=True,
            linker="-linkmode external -extldflags -static",
            newer=FLANNEL_NEWER,
        )
        script = module.directory / "dist" / "mk-docker-opts.sh"
        entries = [Entry("flanneld", bin_ / "flanneld"), Entry("mk-docker-opts.sh", script)]
        write_tar_gz(out / f"flannel-v{version}-linux-{self.arch}.tar.gz", entries)

    def _make_pause(self, out: Path) -> None:
        version = self.versions.pause
        kubernetes = self._module("k8s.io/kubernetes", self.versions.kubernetes)
        program = _folder(self.work, "pause") / "pause"
        source = kubernetes.directory / "build" / "pause" / "linux" / "pause.c"
        options = ["-Os", "-Wall", "-static", "-s", f"-DVERSION=v{version}"]
        self._run(f"building pause {version}", ["gcc", *options, "-o", str(program), str(source)], self.work, {})
        write_image(
            _only(out, "pause", version, self.arch),
            image_names(self.versions)["pause"],
            self.arch,
            [Entry("pause", program)],
            {"Entrypoint": ["/pause"], "User": "65535:65535", "WorkingDir": "/"},
        )

    def _make_coredns(self, out: Path) -> None:
        version = self.versions.coredns
        module = self._module("github.com/coredns/coredns", version)
        bin_ = _folder(self.work, "coredns")
        stamps = {f"{module.path}/coremain.GitCommit": module.commit[:7]}
        self._build(f"coredns {version}", [module], {"coredns": module.path}, bin_, stamps)
        write_image(
            _only(out, "coredns", version, self.arch),
            image_names(self.versions)["coredns"],
            self.arch,
            [
                *_base_entries(),
                # Like upstream's: an unprivileged user that may still take port 53.
                Entry("coredns", bin_ / "coredns", capabilities=(CAP_NET_BIND_SERVICE,)),
            ],
            {
                "Entrypoint": ["/coredns"],
                "User": "65532:65532",
                "WorkingDir": "/",
                "ExposedPorts": {"53/tcp": {}, "53/udp": {}},
            },
        )

    def _make_kubernetes(self, out: Path) -> None:
        programs = {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_BINARIES}
        self._build_kubernetes(f"kubernetes {self.versions.kubernetes}", programs, out)

    def _make_agnhost(self, out: Path) -> None:
        version = self.versions.agnhost
        bin_ = _folder(self.work, "agnhost")
        package = {"agnhost": "k8s.io/kubernetes/test/images/agnhost"}
        self._build_kubernetes(f"agnhost {version}", package, bin_)
        busybox = Path(shutil.which("busybox") or "/bin/busybox").resolve()
        listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
        write_image(
            _only(out, "agnhost", version, self.arch),
            image_names(self.versions)["agnhost"],
            self.arch,
            [
                *_base_entries(),
                Entry("uploads"),
                # Upstream's image has a shell and network tools; here busybox stands for them.
                Entry("bin"),
                Entry("bin/busybox", busybox),
                *(Entry(f"bin/{name}", target="busybox") for name in sorted(listed) if name != "busybox"),
                Entry("agnhost", bin_ / "agnhost"),
                Entry("agnhost-2", target="agnhost"),
            ],
            {"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "WorkingDir": "/"},
        )

    def _build_kubernetes(self, title: str, programs: Mapping[str, str], out: Path) -> None:
        version = self.versions.kubernetes
        module = self._module("k8s.io/kubernetes", version)
        major, minor, _ = version.split(".", 2)
        stamp = {
            "gitVersion": f"v{version}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "gitCommit": module.commit,
            "buildDate": module.date,
        }
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        stamps = {f"{package}.{name}": value for package in packages for name, value in stamp.items()}
        self._build(title, [module], programs, out, stamps, tags=KUBERNETES_TAGS)


def _count_compiled(log: Path) -> str:
    """Say how far `go build -v` has come, or what go is fetching."""
    lines = log.read_text(errors="replace").splitlines()
    packages = sum(1 for line in lines if not line.startswith("go: "))
    if packages:
        return f", {packages} packages compiled"
    return f", {len(lines)} modules fetched" if lines else ""


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _only(out: Path, component: str, version: str, arch: str) -> Path:
    """Give the path of an image archive that is being made."""
    found = next(a for a in artefacts(replace(Versions(), **{component: version}), arch) if a.component == component)
    return out / Path(next(iter(found.files))).name


def _base_entries() -> list[Entry]:
    """Give what programs expect in any image."""
    users = (
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        b"nonroot:x:65532:65532:nonroot:/:/bin/false\n"
    )
    groups = b"root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    entries = [
        Entry("etc"),
        Entry("etc/passwd", content=users, mode=0o644),
        Entry("etc/group", content=groups, mode=0o644),
        Entry("etc/nsswitch.conf", content=b"hosts: files dns\n", mode=0o644),
        Entry("tmp", mode=0o1777),
    ]
    if certificates.is_file():
        entries += [
            Entry("etc/ssl"),
            Entry("etc/ssl/certs"),
            Entry("etc/ssl/certs/ca-certificates.crt", certificates, mode=0o644),
        ]
    return entries


def _has_static_busybox() -> bool:
    found = shutil.which("busybox")
    return found is not None and b"/ld-linux" not in Path(found).read_bytes()


def _has_static_seccomp() -> bool:
    wanted = ["pkg-config", "--variable=libdir", "libseccomp"]
    if shutil.which(wanted[0]) is None:
        return False
    found = subprocess.run(wanted, capture_output=True, text=True, check=False)
    return found.returncode == 0 and Path(found.stdout.strip(), "libseccomp.a").is_file()


def missing_packages() -> list[str]:
    """Name the Debian packages that a build still needs."""
    present = {
        "gcc": shutil.which("gcc") is not None,
        "libc6-dev": Path("/usr/include/stdio.h").is_file(),
        "pkg-config": shutil.which("pkg-config") is not None,
        "libseccomp-dev": _has_static_seccomp(),
        "busybox-static": _has_static_busybox(),
    }
    return [package for package, found in present.items() if not found]


# ---- downloading ------------------------------------------------------------------------------------------------


def download(artefact: Artefact, out: Path, work: Path, progress: Progress) -> None:
    """Fetch an artefact's files from upstream and verify them."""
    for path, sums in artefact.files.items():
        name = Path(path).name
        digest = _fetch(f"https://{path}", out / name, progress, f"downloading {name}")
        if artefact.component == "flannel":
            continue  # upstream publishes no checksum; what came over HTTPS gets the mirror's own
        _fetch(f"https://{sums}", work / "sums", progress, f"downloading {Path(sums).name}")
        wanted = read_digest((work / "sums").read_text(errors="replace"), name)
        if digest != wanted:
            raise ReleaseError(f"https://{path}: its SHA-256 is {digest}, but upstream says {wanted}; try again")


def _fetch(url: str, target: Path, progress: Progress, what: str, attempts: int = 3) -> str:
    """Fetch a URL into a file; return the SHA-256."""
    for attempt in range(1, attempts + 1):
        try:
            return _fetch_once(url, target, progress, what)
        except (OSError, ValueError) as error:  # ValueError: shorter than announced
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if attempt == attempts or final:
                raise ReleaseError(f"{url}: {error}") from error
            progress(f"{what}: {error}; trying again")
            time.sleep(attempt)
    raise AssertionError


def _fetch_once(url: str, target: Path, progress: Progress, what: str) -> str:
    digest, done, told = hashlib.sha256(), 0, time.monotonic()
    with urllib.request.urlopen(url, timeout=30) as answer, target.open("wb") as stream:
        size = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(1 << 20):
            digest.update(block)
            stream.write(block)
            done += len(block)
            if time.monotonic() - told > HEARTBEAT_SECONDS / 3:
                told = time.monotonic()
                progress(f"{what}: {done >> 20} of {size >> 20} MB")
    if size and done != size:
        raise ValueError(f"{done} of {size} bytes came")
    return digest.hexdigest()


def upstream_answers(seconds: float = PROBE_SECONDS, urls: Sequence[str] = PROBES) -> bool:
    """Tell whether all of upstream's sites answer within the time."""
    answered: list[str] = []

    def probe(url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(request, timeout=seconds).close()
            except urllib.error.HTTPError as error:
                if error.code >= 400 and error.code != 405:
                    return
            answered.append(url)

    # Threads, because looking up a name has no timeout of its own.
    threads = [threading.Thread(target=probe, args=(url,), daemon=True) for url in urls]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return len(answered) == len(urls)


# ---- the whole --------------------------------------------------------------------------------------------------


def host_arch() -> str:
    """Give this machine's architecture by Go's name."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def choose_source(
    source: str, answers: Callable[[], bool] = upstream_answers, go: Callable[[], bool] | None = None
) -> tuple[str, str]:
    """Choose where release files come from; return the source and the reason, for a person."""
    has_go = go or (lambda: shutil.which("go") is not None)
    if source not in SOURCES:
        raise ReleaseError(f"release source {source!r} is unknown; it can be one of: {', '.join(SOURCES)}")
    if source == "download":
        return source, "asked for"
    if source == "build":
        if not has_go():
            raise ReleaseError("building the release files needs the Go toolchain, and no `go` is on PATH")
        return source, "asked for"
    if answers():
        return "download", "upstream answers"
    if has_go():
        return "build", f"upstream does not answer within {PROBE_SECONDS:.0f} s, and Go is here"
    raise ReleaseError(
        f"no release files: upstream ({' and '.join(PROBES)}) does not answer within {PROBE_SECONDS:.0f} s and no `go` "
        "is on PATH. Give this machine access to upstream, or install Go to build the files, or copy the cache folder "
        "of a machine that has them."
    )


def ensure(
    versions: Versions, cache: Path, source: str = "auto", arch: str = "amd64", progress: Progress = print
) -> Path:
    """Make whatever the mirror lacks of these versions, and return its folder."""
    mirror = cache / "mirror"
    if source not in SOURCES:
        choose_source(source)
    missing = [artefact for artefact in artefacts(versions, arch) if not artefact.complete(mirror)]
    if not missing:
        return mirror
    if all(artefact.is_image for artefact in missing) and source != "build" and _recorded(cache) == "download":
        return mirror  # nodes pull the images themselves
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", progress):
        # What another lab made while this one waited need not be made again.
        missing = [artefact for artefact in missing if not artefact.complete(mirror)]
        if missing:
            chosen, reason = choose_source(source, upstream_answers)
            progress(f"release files: {chosen} ({reason})")
            _make(missing, versions, cache, chosen, arch, progress)
            (cache / "source").write_text(f"{chosen}\n")
    return mirror


def _make(
    missing: Sequence[Artefact], versions: Versions, cache: Path, source: str, arch: str, progress: Progress
) -> None:
    """Make artefacts one after the other; each is in the mirror as soon as it is done."""
    if source == "build" and arch != host_arch():
        raise ReleaseError(f"release files for {arch} can be built on {arch} only; set the release source to download")
    work_root = cache / "work"
    shutil.rmtree(work_root, ignore_errors=True)  # of a run that was killed: the lock says that none is on
    work_root.mkdir()
    if source == "build" and (needed := missing_packages()):
        progress(f"installing {' '.join(needed)}")
        packages.install(needed)
    for number, artefact in enumerate(missing, 1):
        label = f"[{number}/{len(missing)}] {artefact.title}"
        if source == "download" and artefact.is_image:
            progress(f"{label}: left to the nodes, which pull it from its registry")
            continue
        started = time.monotonic()
        progress(label)
        work = _folder(work_root, artefact.component)
        out = _folder(work, "out")
        if source == "build":
            # Each gets a builder of its own, so that its work folder can go with it.
            Builder(versions, arch, cache, work, progress).make(artefact, out)
        else:
            download(artefact, out, work, progress)
        publish(artefact, out, cache / "mirror")
        shutil.rmtree(work)
        progress(f"{label}: done in {time.monotonic() - started:.0f} s")
    shutil.rmtree(work_root)


def _recorded(cache: Path) -> str:
    try:
        return (cache / "source").read_text().strip()
    except OSError:
        return ""


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache's lock; it goes with the process, so a killed one leaves none."""
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress(f"waiting for another lab that is making release files ({path})")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Make the release files alone."""
    parser = argparse.ArgumentParser(prog="hwlab.release", description="Make the lab's release files.")
    parser.add_argument("--cache", type=Path, default=paths.cache(), help="cache folder (default: %(default)s)")
    parser.add_argument("--kubernetes", default=Versions.kubernetes, metavar="VERSION", help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="auto", help="default: %(default)s")
    parser.add_argument("--arch", default=host_arch(), help="default: %(default)s")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that compilers end with this process
    started = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        versions = Versions(kubernetes=options.kubernetes.removeprefix("v"))
        print(ensure(versions, options.cache, options.source, options.arch, progress))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
