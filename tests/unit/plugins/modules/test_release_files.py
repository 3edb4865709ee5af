"""Release files over real HTTP: verified, whole or not at all, and never fetched twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

OTHER = "0" * 64
ARCHIVE = "/github.com/etcd-io/etcd/releases/download/v1/etcd-v1-linux-amd64.tar.gz"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_gz(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


ETCD = tar_gz({"etcd-v1/etcd": b"#!etcd", "etcd-v1/etcdctl": b"#!etcdctl", "etcd-v1/README.md": b"read me"})


class Mirror:
    """A mirror on loopback, and the directory that files go to."""

    def __init__(self, server: Any, host: SimpleNamespace, tmp_path: Path) -> None:
        self.server = server
        self.host = host
        self.directory = tmp_path / "opt" / "etcd" / "1"
        self.files: dict[str, Any] = {ARCHIVE: ETCD}
        server.respond = self.respond

    def respond(self, handler: Any) -> None:
        found = self.files.get(handler.path)
        if found is None:
            handler.answer(404, "no such file")
        elif callable(found):
            found(handler)
        else:
            handler.answer(200, found)

    @property
    def asked(self) -> list[str]:
        return [line.removeprefix("GET ") for line in self.server.asked]

    def wish(self, **more: Any) -> dict[str, Any]:
        return {
            "name": "etcd",
            "version": "1",
            "url": "https:/" + ARCHIVE.replace("amd64", "{arch}"),
            "directory": str(self.directory),
            "members": {"etcd-v1/etcd": "etcd", "etcd-v1/etcdctl": "etcdctl"},
            "checksums": {"amd64": sha256(ETCD)},
            **more,
        }

    def run(self, *wishes: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        args = {"files": list(wishes) or [self.wish()], "mirror_url": self.server.url, **more}
        return self.host.run_module("release_files", args, check)

    def left(self) -> list[str]:
        """Whatever lies beside or in place of the directory."""
        parent = self.directory.parent
        return sorted(os.listdir(parent)) if parent.exists() else []


@pytest.fixture
def mirror(serve: Callable[..., Any], host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    monkeypatch.setattr(host.load("module_utils", "release").platform, "machine", lambda: "x86_64")
    return Mirror(serve(), host, tmp_path)


# ---- what goes well ----


def test_a_pinned_archive_is_unpacked(mirror: Mirror) -> None:
    result = mirror.run()
    assert result["changed"]
    assert result["fetched"] == [str(mirror.directory)]
    assert sorted(os.listdir(mirror.directory)) == [".release.json", "etcd", "etcdctl"]
    assert (mirror.directory / "etcd").read_bytes() == b"#!etcd"
    assert stat.S_IMODE((mirror.directory / "etcd").stat().st_mode) == 0o755
    assert stat.S_IMODE(mirror.directory.stat().st_mode) == 0o755
    assert mirror.asked == [ARCHIVE]
    assert mirror.left() == ["1"]
    assert result["diff"][0]["after"].startswith("https://github.com/")


def test_what_is_there_is_not_fetched_again(mirror: Mirror) -> None:
    mirror.run()
    mirror.server.stop()
    result = mirror.run()
    assert not result["changed"]
    assert (result["fetched"], result["diff"]) == ([], [])


def test_only_what_lacks_is_fetched(mirror: Mirror, tmp_path: Path) -> None:
    mirror.run()
    runc = {
        "name": "runc",
        "version": "2",
        "url": "https://github.com/runc.{arch}",
        "directory": str(tmp_path / "opt/runc/2"),
        "file_name": "runc",
        "checksums": {"amd64": "sha256:" + sha256(b"runc").upper()},
        "mode": "0700",
    }
    mirror.files["/github.com/runc.amd64"] = b"runc"
    result = mirror.run(mirror.wish(), runc)
    assert result["fetched"] == [runc["directory"]]
    assert (tmp_path / "opt/runc/2/runc").read_bytes() == b"runc"
    assert stat.S_IMODE((tmp_path / "opt/runc/2/runc").stat().st_mode) == 0o700
    assert mirror.asked == [ARCHIVE, "/github.com/runc.amd64"]


def test_a_bare_file_keeps_its_name(mirror: Mirror) -> None:
    mirror.files["/dl.k8s.io/kubelet"] = b"kubelet"
    mirror.run(mirror.wish(url="https://dl.k8s.io/kubelet", members={}, checksums={"amd64": sha256(b"kubelet")}))
    assert sorted(os.listdir(mirror.directory)) == [".release.json", "kubelet"]


def test_unpack_all_takes_plain_files_only(mirror: Mirror) -> None:
    archive = tar_gz({"./bridge": b"b", "./ptp": b"p", "../../escaped": b"e"}, {"./link": "/etc/passwd"})
    mirror.files[ARCHIVE] = archive
    mirror.run(mirror.wish(members={}, unpack_all=True, checksums={"amd64": sha256(archive)}))
    assert sorted(os.listdir(mirror.directory)) == [".release.json", "bridge", "escaped", "ptp"]


def test_members_may_begin_with_a_dot(mirror: Mirror) -> None:
    archive = tar_gz({"./bin/ctr": b"ctr"})
    mirror.files[ARCHIVE] = archive
    mirror.run(mirror.wish(members={"bin/ctr": "ctr"}, checksums={"amd64": sha256(archive)}))
    assert (mirror.directory / "ctr").read_bytes() == b"ctr"


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_the_hosts_architecture_chooses(
    mirror: Mirror, host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(host.load("module_utils", "release").platform, "machine", lambda: machine)
    archive = tar_gz({"etcd-v1-arm64/etcd": b"arm"})
    mirror.files[ARCHIVE.replace("amd64", "arm64")] = archive
    checksums = {"amd64": OTHER, "arm64": sha256(archive)}
    mirror.run(mirror.wish(members={"etcd-v1-{arch}/etcd": "etcd"}, checksums=checksums))
    assert (mirror.directory / "etcd").read_bytes() == b"arm"


def test_an_unknown_architecture_is_told(
    mirror: Mirror, host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.load("module_utils", "release").platform, "machine", lambda: "riscv64")
    assert "riscv64" in mirror.run()["msg"]


def test_a_mirror_may_be_a_folder_of_the_host(mirror: Mirror, tmp_path: Path) -> None:
    path = tmp_path / "mirror" / ARCHIVE.strip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(ETCD)
    assert mirror.run(mirror_url=f"file://{tmp_path}/mirror/")["changed"]
    assert (mirror.directory / "etcd").exists()
    assert mirror.asked == []


def test_without_a_mirror_upstream_itself_is_asked(mirror: Mirror) -> None:
    wish = mirror.wish(url=mirror.server.url + ARCHIVE)
    assert mirror.run(wish, mirror_url="")["changed"]
    assert mirror.asked == [ARCHIVE]


@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_components_can_reach_their_files_on_a_hardened_host(mirror: Mirror, umask: int) -> None:
    real = mirror.host.load("module_utils", "download")
    original = real.Download.fetch

    def fetch(release: Any) -> None:
        before = os.umask(umask)
        try:
            original(release)
        finally:
            os.umask(before)

    real.Download.fetch = fetch
    try:
        mirror.run()
    finally:
        real.Download.fetch = original
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (mirror.directory.parent, mirror.directory)]
    assert modes == [0o755, 0o755]


# ---- published checksums ----


@pytest.mark.parametrize(
    "listing",
    [
        "{sum}",
        "{sum}\n",
        "{SUM}\n",
        "{sum}  {name}\n",
        "{sum}  ./{name}\n",
        "{sum} *{name}\n",
        "{other}  other.tar.gz\n{sum}  {name}\n{other}  {name}.asc\n",
        "# SHA256SUMS\r\n{sum}  {name}\r\n",
    ],
)
def test_published_formats(mirror: Mirror, listing: str) -> None:
    text = listing.format(sum=sha256(ETCD), SUM=sha256(ETCD).upper(), other=OTHER, name=os.path.basename(ARCHIVE))
    mirror.files["/github.com/SHA256SUMS"] = text
    result = mirror.run(mirror.wish(checksums={}, checksum_url="https://github.com/SHA256SUMS"))
    assert result["fetched"] == [str(mirror.directory)]
    assert (mirror.directory / "etcd").exists()


@pytest.mark.parametrize("listing", ["", "<html>login</html>", f"{OTHER}  another.tar.gz\n", "abc  {name}\n"])
def test_a_list_without_the_file_is_refused(mirror: Mirror, listing: str) -> None:
    mirror.files["/github.com/SHA256SUMS"] = listing.replace("{name}", os.path.basename(ARCHIVE))
    result = mirror.run(mirror.wish(checksums={}, checksum_url="https://github.com/SHA256SUMS"))
    assert result["failed"]
    assert "holds no SHA-256 for etcd-v1-linux-amd64.tar.gz" in result["msg"]
    assert mirror.left() == []
    assert ARCHIVE not in mirror.asked


def test_a_pin_wins_over_what_is_published_and_published_can_be_asked_for(mirror: Mirror) -> None:
    mirror.files["/github.com/SHA256SUMS"] = OTHER
    wish = mirror.wish(checksum_url="https://github.com/SHA256SUMS")
    result = mirror.run(wish, checksums="published")
    assert result["failed"]
    assert OTHER in result["msg"]
    assert mirror.run(wish, checksums="pinned")["changed"]


def test_without_any_checksum_nothing_is_fetched_and_the_mend_is_told(mirror: Mirror) -> None:
    result = mirror.run(mirror.wish(checksums={}))
    assert result["failed"]
    assert "release__pins" in result["msg"]
    assert "etcd/1" in result["msg"]
    assert mirror.asked == []
    assert mirror.left() == []


# ---- what is refused ----


def refused(mirror: Mirror, *words: str, **more: Any) -> dict[str, Any]:
    result = mirror.run(mirror.wish(**more))
    assert result.get("failed"), result
    assert not result.get("exception"), result["exception"]
    assert all(word in result["msg"] for word in ("etcd 1", *words)), result["msg"]
    assert mirror.left() == []
    assert result["fetched"] == []
    return result


def test_a_wrong_checksum_is_refused_and_nothing_is_left(mirror: Mirror) -> None:
    refused(mirror, OTHER, sha256(ETCD), checksums={"amd64": OTHER})


def test_half_a_download_is_refused(mirror: Mirror) -> None:
    def half(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(ETCD)))
        handler.end_headers()
        handler.wfile.write(ETCD[: len(ETCD) // 2])
        handler.close_connection = True

    mirror.files[ARCHIVE] = half
    refused(mirror)


def test_half_a_download_in_chunks_is_refused(mirror: Mirror) -> None:
    def half(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s" % (len(ETCD), ETCD[:20]))
        handler.close_connection = True

    mirror.files[ARCHIVE] = half
    refused(mirror, "broke off")


def test_a_checksum_file_that_breaks_off_is_refused(mirror: Mirror) -> None:
    def half(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"40\r\n" + sha256(ETCD)[:20].encode())
        handler.close_connection = True

    mirror.files["/github.com/SHA256SUMS"] = half
    refused(mirror, checksums={}, checksum_url="https://github.com/SHA256SUMS")


def test_a_server_that_speaks_no_http_is_refused(mirror: Mirror) -> None:
    mirror.files[ARCHIVE] = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    refused(mirror)


def test_a_missing_file_names_address_and_status(mirror: Mirror) -> None:
    del mirror.files[ARCHIVE]
    refused(mirror, "HTTP 404", mirror.server.url + ARCHIVE, "Check the version")


def test_a_server_out_of_reach_tells_of_mirrors(mirror: Mirror, closed_port: int) -> None:
    result = mirror.run(mirror_url=f"http://127.0.0.1:{closed_port}")
    assert result["failed"]
    assert "refused" in result["msg"]
    assert "release__mirror_url" in result["msg"]
    assert mirror.left() == []


def test_an_archive_without_a_wished_member_is_refused(mirror: Mirror) -> None:
    refused(mirror, "lacks etcdutl", members={"etcd-v1/etcd": "etcd", "etcd-v1/etcdutl": "etcdutl"})


def test_a_file_that_is_no_archive_is_refused(mirror: Mirror) -> None:
    mirror.files[ARCHIVE] = b"<html>please log in</html>"
    refused(mirror, "can't be unpacked", checksums={"amd64": sha256(mirror.files[ARCHIVE])})


def test_an_archive_cut_off_before_it_was_published_is_refused(mirror: Mirror) -> None:
    mirror.files[ARCHIVE] = ETCD[: len(ETCD) // 2]
    refused(mirror, checksums={"amd64": sha256(mirror.files[ARCHIVE])})


# ---- what lies there ----


def test_a_new_pin_replaces_what_was_made_from_another_file(mirror: Mirror) -> None:
    mirror.run()
    archive = tar_gz({"etcd-v1/etcd": b"rebuilt", "etcd-v1/etcdctl": b"x"})
    mirror.files[ARCHIVE] = archive
    assert mirror.run(mirror.wish(checksums={"amd64": sha256(archive)}))["changed"]
    assert (mirror.directory / "etcd").read_bytes() == b"rebuilt"
    assert mirror.left() == ["1"]
    assert not (mirror.directory / ".replaced").exists()


def test_a_new_pin_that_does_not_fit_leaves_the_present_files(mirror: Mirror) -> None:
    mirror.run()
    assert mirror.run(mirror.wish(checksums={"amd64": OTHER}))["failed"]
    assert (mirror.directory / "etcd").read_bytes() == b"#!etcd"
    assert mirror.left() == ["1"]


@pytest.mark.parametrize("damage", ["etcd", ".release.json"])
def test_a_directory_that_lost_a_file_is_made_anew(mirror: Mirror, damage: str) -> None:
    mirror.run()
    (mirror.directory / damage).unlink()
    assert mirror.run()["changed"]
    assert (mirror.directory / "etcd").exists()
    assert not mirror.run()["changed"]


def test_an_older_version_stays(mirror: Mirror) -> None:
    mirror.run()
    newer = mirror.directory.parent / "2"
    mirror.run(mirror.wish(directory=str(newer), version="2"))
    assert mirror.left() == ["1", "2"]


def test_what_a_killed_run_left_is_cleared(mirror: Mirror) -> None:
    partial = mirror.directory.parent / ".partial-x"
    partial.mkdir(parents=True)
    (partial / ".download").write_bytes(b"half")
    mirror.run()
    assert mirror.left() == ["1"]


def test_a_killed_run_leaves_no_directory(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_args: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(mirror.host.load("module_utils", "download").Download, "_unpack", killed)
    with pytest.raises(json.JSONDecodeError):
        mirror.run()
    assert not mirror.directory.exists()


def test_check_mode_fetches_nothing(mirror: Mirror) -> None:
    result = mirror.run(check=True)
    assert result["changed"]
    assert result["fetched"] == [str(mirror.directory)]
    assert mirror.asked == []
    assert mirror.left() == []


# ---- from the controller ----


def test_local_dir_tells_what_the_host_lacks_and_fetches_nothing(mirror: Mirror) -> None:
    wish = mirror.wish(checksum_url="https://github.com/SHA256SUMS")
    result = mirror.run(wish, local_dir="/srv/mirror")
    assert result["missing"] == [ARCHIVE.strip("/")]
    assert mirror.run(dict(wish, checksums={}), local_dir="/srv/mirror")["missing"] == [
        ARCHIVE.strip("/"),
        "github.com/SHA256SUMS",
    ]
    both = mirror.run(wish, local_dir="/srv/mirror", checksums="published")
    assert "github.com/SHA256SUMS" in both["missing"]
    assert mirror.asked == []
    assert mirror.left() == []


def test_staged_files_are_verified_like_any_other(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(ETCD)
    (tmp_path / "sum").write_text(sha256(ETCD))
    staged = {ARCHIVE.strip("/"): str(tmp_path / "file"), "github.com/SHA256SUMS": str(tmp_path / "sum")}
    wish = mirror.wish(checksums={}, checksum_url="https://github.com/SHA256SUMS")
    (tmp_path / "file").write_bytes(ETCD[:-1])
    assert mirror.run(wish, local_dir="/srv/mirror", staged=staged)["failed"]
    assert mirror.left() == []
    (tmp_path / "file").write_bytes(ETCD)
    assert mirror.run(wish, local_dir="/srv/mirror", staged=staged)["changed"]
    assert (mirror.directory / "etcd").exists()
    assert mirror.asked == []
