"""Users, directories, files and links: atomic, only when different, and no secret in a diff."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hardway.kubernetes.plugins.module_utils import host_state
from ansible_collections.hardway.kubernetes.plugins.module_utils.host_state import HostState, identity, read_bytes

pytestmark = pytest.mark.usefixtures("users")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def state(host: SimpleNamespace) -> HostState:
    return HostState(host.FakeModule())


@pytest.fixture
def checking(host: SimpleNamespace) -> HostState:
    return HostState(host.FakeModule(check=True))


# ---- files ----


def test_a_new_file_has_content_and_mode(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.yaml"
    assert state.file(str(path), "a: 1\n", mode="0640")
    assert path.read_text() == "a: 1\n"
    assert mode(path) == 0o640
    assert os.listdir(path.parent) == ["config.yaml"]
    assert state.diff == [{"before_header": str(path), "after_header": str(path), "before": "", "after": "a: 1\n"}]


def test_folders_of_what_changed_are_written_to_the_disk(
    state: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that a power cut may bring back what a file was before it was replaced; each folder once, with the result."""
    (tmp_path / "old").write_text("x")
    state.file(str(tmp_path / "a" / "one"), "1")
    state.file(str(tmp_path / "a" / "two"), "2")
    state.link(str(tmp_path / "b" / "link"), "/x")
    state.absent(str(tmp_path / "old"))
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    state.result()
    assert synced == sorted([str(tmp_path), str(tmp_path / "a"), str(tmp_path / "b")])
    state.result()
    assert len(synced) == 3


def test_the_same_file_again_is_no_change_and_is_not_written(
    state: HostState, host: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    state.file(str(path), "same", mode="0600")
    before = path.stat()
    again = HostState(host.FakeModule())
    assert not again.file(str(path), "same", mode="0600")
    assert again.result() == {"changed": False, "diff": []}
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_content_is_swapped_in_as_a_new_file(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        assert state.file(str(path), "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert (state.diff[0]["before"], state.diff[0]["after"]) == ("old", "new")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    state: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host_state.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.file(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_killed_write_leaves_the_old_file(state: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def killed(_from: str, _to: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(host_state.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        state.file(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_content_is_never_readable_by_others_before_it_has_its_mode(
    state: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.fsync
    monkeypatch.setattr(
        host_state.os, "fsync", lambda handle: (seen.append(os.fstat(handle).st_mode & 0o777), real(handle))
    )
    state.file(str(tmp_path / "secret"), "x", mode="0600", secret=True)
    assert seen == [0o600]


def test_an_owner_that_is_not_there_stops_and_writes_nothing(state: HostState, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no user nobody-here"):
        state.file(str(tmp_path / "file"), "x", owner="nobody-here")
    assert os.listdir(tmp_path) == []


def test_a_secret_is_in_no_diff(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old-secret")
    state.file(str(path), "new-secret", mode="0600", secret=True)
    assert path.read_text() == "new-secret"
    assert "-secret" not in str(state.diff)
    assert state.diff[0]["before"] == "(secret, not shown)\n"


def test_only_a_mode_that_differs_is_mended_without_a_new_file(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    path.chmod(0o666)
    inode = path.stat().st_ino
    assert state.file(str(path), "x", mode="0640")
    assert (mode(path), path.stat().st_ino) == (0o640, inode)
    assert "mode 0666" in state.diff[0]["before"]
    assert "mode 0640" in state.diff[0]["after"]


def test_a_link_where_a_file_belongs_is_replaced_and_its_target_left(state: HostState, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_text("x")
    path.symlink_to(target)
    assert state.file(str(path), "x")
    assert not path.is_symlink()
    assert target.read_text() == "x"


def test_content_that_is_no_text_is_no_crash(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\x00")
    assert state.file(str(path), b"\xfe")
    assert path.read_bytes() == b"\xfe"


# ---- directories ----


def test_a_new_directory(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert state.directory(str(path), mode="0700")
    assert (mode(path), mode(path.parent)) == (0o700, 0o755)


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
def test_the_umask_of_a_hardened_host_changes_no_mode(state: HostState, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        state.directory(str(tmp_path / "etc" / "kubelet"), mode="0750")
        state.file(str(tmp_path / "var" / "file"), "x", mode="0644")
        state.link(str(tmp_path / "bin" / "kubelet"), "/nowhere")
    finally:
        os.umask(before)
    assert mode(tmp_path / "etc" / "kubelet") == 0o750
    assert mode(tmp_path / "var" / "file") == 0o644
    assert [mode(tmp_path / name) for name in ("etc", "var", "bin")] == [0o755] * 3


def test_a_directory_with_another_mode(state: HostState, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert state.directory(str(tmp_path), mode="0750")
    assert mode(tmp_path) == 0o750
    assert not state.directory(str(tmp_path), mode="0750")


# ---- links ----


def test_a_link_is_made_swapped_and_kept(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "bin" / "etcd"
    assert state.link(str(path), "/opt/1/etcd")
    assert state.link(str(path), "/opt/2/etcd")
    assert not state.link(str(path), "/opt/2/etcd")
    assert os.readlink(path) == "/opt/2/etcd"
    assert os.listdir(path.parent) == ["etcd"]
    assert [(entry["before"], entry["after"]) for entry in state.diff] == [
        ("absent\n", "link to /opt/1/etcd\n"),
        ("link to /opt/1/etcd\n", "link to /opt/2/etcd\n"),
    ]


def test_a_link_replaces_a_file_and_what_a_killed_run_left(state: HostState, tmp_path: Path) -> None:
    path = tmp_path / "etcd"
    path.write_text("a binary")
    (tmp_path / f"etcd.{os.getpid()}.new").symlink_to("/left")
    assert state.link(str(path), "/opt/etcd")
    assert state.diff[0]["before"] == "file\n"
    assert os.listdir(tmp_path) == ["etcd"]


def test_a_link_never_replaces_a_directory(state: HostState, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is a directory"):
        state.link(str(tmp_path), "/opt/etcd")


# ---- absence ----


def test_absent(state: HostState, tmp_path: Path) -> None:
    tree, file, link = tmp_path / "tree", tmp_path / "file", tmp_path / "link"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "x").write_text("x")
    file.write_text("x")
    kept = tmp_path / "kept"
    kept.mkdir()
    link.symlink_to(kept)
    for path in (tree, file, link):
        assert state.absent(str(path))
        assert not state.absent(str(path))
    assert os.listdir(tmp_path) == ["kept"]
    assert len(state.diff) == 3


def test_a_dangling_link_goes_too(state: HostState, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nowhere")
    assert state.absent(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == []


def test_what_is_mounted_below_a_folder_does_not_go_with_it(
    state: HostState, checking: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel names mounts without links, and so are they found below one."""
    volume = tmp_path / "disk" / "kubelet" / "pods" / "a volume"
    volume.mkdir(parents=True)
    (volume / "precious").write_text("x")
    (tmp_path / "lib").symlink_to(tmp_path / "disk")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nnfs {str(volume).replace(' ', chr(92) + '040')} nfs rw 0 0\n")
    monkeypatch.setattr(host_state, "MOUNTS", str(mounts))
    assert host_state.mounts_below(str(tmp_path / "lib")) == [str(volume)]
    with pytest.raises(SystemExit, match=f"{volume} is mounted below it: what is there would go too. Unmount it"):
        state.absent(str(tmp_path / "lib" / "kubelet"))
    assert (volume / "precious").read_text() == "x"
    assert checking.absent(str(tmp_path / "lib" / "kubelet"))
    mounts.write_text("")
    assert state.absent(str(tmp_path / "lib" / "kubelet"))


def test_a_link_to_another_place_stays_and_what_is_there_goes(state: HostState, tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "etcd"
    (disk / "member").mkdir(parents=True)
    link.symlink_to(disk)
    assert state.absent(str(link), place=True)
    assert (link.is_symlink(), os.listdir(disk)) == (True, [])
    assert not state.absent(str(link), place=True)
    assert state.absent(str(link))
    assert (link.is_symlink(), disk.is_dir()) == (False, True)


def test_only_if_empty(state: HostState, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "someone-elses").write_text("x")
    assert not state.absent(str(tmp_path / "d"), only_if_empty=True)
    (tmp_path / "d" / "someone-elses").unlink()
    assert state.absent(str(tmp_path / "d"), only_if_empty=True)
    assert not (tmp_path / "d").exists()


# ---- users ----


def test_a_system_user_is_made_once_and_removed(host: SimpleNamespace, users: Any) -> None:
    module = host.FakeModule()
    state = HostState(module)
    assert state.system_user("etcd", groups=["certs", "x"])
    command = module.commands[0]
    assert command[0] == "useradd"
    assert command[-1] == "etcd"
    assert {"--system", "--no-create-home", "--user-group"} <= set(command)
    assert command[command.index("--shell") + 1] == "/usr/sbin/nologin"
    assert command[command.index("--groups") + 1] == "certs,x"
    users["etcd"] = 990
    assert not state.system_user("etcd")
    assert state.system_user_absent("etcd")
    assert module.commands[1:] == [["userdel", "etcd"]]
    del users["etcd"]
    assert not state.system_user_absent("etcd")


def test_a_group_that_is_there_already_is_taken(
    host: SimpleNamespace, users: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "grp", SimpleNamespace(getgrnam=lambda name: SimpleNamespace(gr_gid=1)))
    module = host.FakeModule()
    HostState(module).system_user("haproxy")
    assert module.commands[0][-3:] == ["--gid", "haproxy", "haproxy"]


@pytest.mark.parametrize(("name", "uid"), [("kim", 1000), ("toor", 0)])
def test_a_persons_account_is_never_removed(host: SimpleNamespace, users: Any, name: str, uid: int) -> None:
    users[name] = uid
    module = host.FakeModule()
    with pytest.raises(SystemExit, match="not a system user"):
        HostState(module).system_user_absent(name)
    assert module.commands == []


# ---- check mode ----


def test_check_mode_says_everything_and_touches_nothing(checking: HostState, users: Any, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o644)
    users["gone"] = 990
    assert checking.system_user("etcd")
    assert checking.system_user_absent("gone")
    assert checking.directory(str(tmp_path / "dir"), owner="etcd")
    assert checking.file(str(tmp_path / "new"), "x", owner="etcd")
    assert checking.file(str(tmp_path / "old"), "x")
    assert checking.file(str(tmp_path / "old"), "old", mode="0600")
    assert checking.link(str(tmp_path / "link"), "/x")
    assert checking.absent(str(tmp_path / "old"))
    assert len(checking.diff) == 8
    assert checking.changed
    assert checking.module.commands == []
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"
    assert mode(tmp_path / "old") == 0o644


def test_check_mode_does_not_need_a_user_that_would_be_made(checking: HostState, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert not checking.file(str(tmp_path / "file"), "x", owner="etcd")


# ---- what a process would read ----


def test_identity_follows_content_of_small_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert identity(str(one)) == "absent"
    one.write_text("x")
    first = identity(str(one))
    two.write_text("x")
    assert identity(str(two)) == first
    one.touch()
    assert identity(str(one)) == first
    one.write_text("y")
    assert identity(str(one)) != first


def test_identity_of_big_files_follows_place_and_time_and_reads_nothing(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        with (tmp_path / version / "etcd").open("wb") as stream:
            stream.truncate(2 << 20)
    link = tmp_path / "etcd"
    link.symlink_to(tmp_path / "1" / "etcd")
    first = identity(str(link))
    assert first == identity(str(tmp_path / "1" / "etcd"))
    link.unlink()
    link.symlink_to(tmp_path / "2" / "etcd")
    assert identity(str(link)) != first


def test_read_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert read_bytes(str(tmp_path / "file")) == b"x"
    assert read_bytes(str(tmp_path / "none")) is None
    assert read_bytes(str(tmp_path / "file" / "below")) is None
