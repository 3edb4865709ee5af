"""Root file systems of hosts: Debian, made once by mmdebstrap and kept in the cache under all that goes into them.

Containers of all labs share one, read-only; what a virtual machine boots from is made of one like it (image.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwlab import proc
from hwlab.locks import locked
from hwlab.ui import LabError, Progress, tail

SUITE = "bookworm"
VERSIONS = {"bookworm": "12", "trixie": "13"}
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY_MIRROR = "http://deb.debian.org/debian-security"

# What a small server image has. What the roles need beyond it they install themselves, from the repository below.
BASE_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "less",
    "netbase",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)

# Hosts have no way out of their network: the packages that roles install lie in a repository on the host's own disk.
REPOSITORY_PACKAGES = (
    "chrony",
    "conntrack",
    "ebtables",
    "ethtool",
    "haproxy",
    "ipset",
    "iptables",
    "ipvsadm",
    "keepalived",
    "kmod",
    "libnginx-mod-stream",
    "nfs-common",
    "nftables",
    "nginx",
    "rsync",
    "socat",
    "util-linux",
)

# Units that wait for the night, or for people.
QUIET_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
)
# Units that wait for hardware or other hosts, or that would speak to the lab's machine.
MASKED_UNITS = (
    *QUIET_UNITS,
    "console-getty.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-firstboot.service",
    "systemd-journald-audit.socket",
    "systemd-machine-id-commit.service",
    "systemd-networkd-wait-online.service",
    "systemd-remount-fs.service",
    "systemd-timesyncd.service",
)

# What every host has.
FILES: dict[str, str] = {
    # Else sshd answers while PAM still refuses everyone but root ("System is booting up").
    "/etc/systemd/system/ssh.service.d/hwlab.conf": """\
[Unit]
After=systemd-user-sessions.service hwlab-network.service
""",
    "/etc/ssh/sshd_config.d/hwlab.conf": """\
PasswordAuthentication no
PermitRootLogin no
UseDNS no
MaxSessions 100
MaxStartups 100
PrintMotd no
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
""",
    "/etc/sudoers.d/admin": "admin ALL=(ALL) NOPASSWD: ALL\n",
    "/etc/apt/sources.list": "deb [trusted=yes] file:/var/local/apt ./\n",
    "/etc/apt/apt.conf.d/hwlab": """\
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
""",
    "/etc/default/locale": "LANG=C.UTF-8\n",
    "/etc/systemd/journald.conf.d/hwlab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=200M\nAudit=no\n",
}
# What a container has beyond it, since it shares its kernel.
CONTAINER_FILES: dict[str, str] = {
    "/usr/local/lib/hwlab/writable": """\
#!/bin/sh
# nspawn mounts these read-only; a kubelet, a container runtime and sysctl need them as a real host has them.
# The machine's own limits still hold: this only reaches the host's own cgroups and network.
for dir in /sys/fs/cgroup/* /proc/sys; do
  if mountpoint --quiet "$dir"; then
    mount -o remount,rw,bind "$dir" || echo "cannot make $dir writable" >&2
  fi
done
mount --make-rshared /
""",
    # The NFS client's; a kernel without its module can't mount it, and a host can't load modules.
    "/etc/systemd/system/run-rpc_pipefs.mount.d/hwlab.conf": "[Unit]\nConditionPathExists=/proc/net/rpc\n",
    "/usr/local/lib/hwlab/network": """\
#!/bin/sh
# Addresses come from the lab (/etc/hwlab/network), as a data centre's DHCP would give them.
set -eu
. /etc/hwlab/network
ip link set lo up
ip address replace "$ADDRESS" dev host0
ip link set host0 up
ip route replace default via "$GATEWAY"
if [ -n "${ADDRESS_V6:-}" ]; then
  ip -6 address replace "$ADDRESS_V6" dev host0 nodad
  ip -6 route replace default via "$GATEWAY_V6" dev host0
fi
""",
    "/etc/systemd/system/hwlab-writable.service": """\
[Unit]
Description=Make cgroups and sysctls of this lab host writable
DefaultDependencies=no
Before=sysinit.target systemd-sysctl.service systemd-modules-load.service systemd-tmpfiles-setup.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/hwlab/writable

[Install]
WantedBy=sysinit.target
""",
    "/etc/systemd/system/hwlab-network.service": """\
[Unit]
Description=Network of this lab host
DefaultDependencies=no
After=systemd-sysctl.service
Wants=network.target
Before=network-pre.target network.target network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/hwlab/network

[Install]
WantedBy=sysinit.target
""",
    # These two hold settings of the whole machine, which is not the host's to change.
    "/etc/sysctl.d/50-default.conf": "",
    "/etc/sysctl.d/50-pid-max.conf": "",
}
EXECUTABLE = {"/usr/local/lib/hwlab/writable", "/usr/local/lib/hwlab/network"}
ENABLED_UNITS = ("hwlab-writable.service", "hwlab-network.service", "ssh.service")

DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)

# Runs outside the new root with $1 = its path, when all packages are configured.
FETCH_REPOSITORY = """\
set -eu
mkdir -p "$1/var/local/apt" "$1/var/cache/apt/archives/partial"
rm -f "$1"/var/cache/apt/archives/*.deb  # the base's own
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends --download-only --reinstall install @PACKAGES@
mv "$1"/var/cache/apt/archives/*.deb "$1/var/local/apt/"
cd "$1/var/local/apt"
for deb in *.deb; do
  dpkg-deb --field "$deb"
  printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' \\
    "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" "$(sha256sum Packages | cut -d' ' -f1)" \
  "$(stat -c %s Packages)" > Release
"""

FINISH = """\
set -eu
chroot "$1" useradd --create-home --shell /bin/bash --user-group admin
chmod 0440 "$1/etc/sudoers.d/admin"
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/apt/sources.list.d"/* "$1/etc/hostname" "$1/etc/resolv.conf"
rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"  # this machine's way to Debian is not the hosts'
for unit in @MASKED@; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done
chroot "$1" systemctl enable @ENABLED@
# A machine id of its own is given to each host; an empty file would mean a first boot.
echo uninitialized > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
ln -s /etc/machine-id "$1/var/lib/dbus/machine-id"
mkdir -p "$1/etc/ssh/authorized_keys" "$1/etc/hwlab" "$1/var/lib/containerd" "$1/var/lib/kubelet" "$1/var/log/journal"
rm -rf "$1"/var/lib/apt/lists/*
chroot "$1" apt-get -qq update
touch "$1/etc/.updated" "$1/var/.updated"
"""


def architecture(machine: str | None = None) -> str:
    """Debian's and Go's name of this machine's architecture."""
    name = machine or platform.machine()
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if name not in names:
        raise LabError(f"lab hosts run on x86_64 and aarch64, not on {name}")
    return names[name]


def mirrors() -> tuple[str, str]:
    """Debian's archive and its security archive, as this machine reaches them."""
    return (
        os.environ.get("HARDWAY_LAB_DEBIAN_MIRROR", DEFAULT_MIRROR),
        os.environ.get("HARDWAY_LAB_DEBIAN_SECURITY_MIRROR", DEFAULT_SECURITY_MIRROR),
    )


@dataclass(frozen=True)
class Recipe:
    """All that goes into a root file system."""

    suite: str
    packages: tuple[str, ...]
    masked: tuple[str, ...]
    enabled: tuple[str, ...]
    files: Mapping[str, str]
    executable: frozenset[str]
    finish: str = FINISH

    def hash(self, arch: str) -> str:
        """Names the result, so that a changed recipe makes a new one."""
        parts = [self.suite, arch, *self.packages, "--", *REPOSITORY_PACKAGES, "--", *self.masked, *self.enabled]
        parts += [*DPKG_OPTIONS, FETCH_REPOSITORY, self.finish]
        parts += [f"{path}\0{text}\0{path in self.executable}" for path, text in sorted(self.files.items())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def container() -> Recipe:
    """What containers share."""
    return Recipe(
        SUITE, BASE_PACKAGES, MASKED_UNITS, ENABLED_UNITS, {**FILES, **CONTAINER_FILES}, frozenset(EXECUTABLE)
    )


def directory(cache: Path, arch: str) -> Path:
    """Where the cache has the containers' root file system, once it's made."""
    return cache / f"rootfs-{SUITE}-{arch}-{container().hash(arch)}"


def _apt_options() -> list[str]:
    """This machine's own way to Debian's archives (a proxy, a snapshot's dates), which mmdebstrap would not read."""
    result = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    kept = []
    for line in result.stdout.splitlines():
        key = line.split(" ", 1)[0]
        if key.lower().startswith(("acquire::http::proxy", "acquire::https::proxy", "acquire::check-")):
            kept.append(line)
    return kept


def _hook(script: str, **values: tuple[str, ...]) -> str:
    for key, words in values.items():
        script = script.replace(f"@{key}@", " ".join(words))
    return script


def _command(recipe: Recipe, target: Path, overlay: Path, arch: str) -> list[str]:
    mirror, security = mirrors()
    # In namespaces of its own: when this command is killed, all that mmdebstrap started or mounted is gone with it.
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "slave"]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={arch}", "--format=directory"]
    command += [f"--include={','.join(recipe.packages)}"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [f"--aptopt={option}" for option in _apt_options()]
    command += [f"--customize-hook={_hook(FETCH_REPOSITORY, PACKAGES=REPOSITORY_PACKAGES)}"]
    # A file may stand where the distribution has a link to nothing yet.
    command += [f'--customize-hook=cp -a --remove-destination "{overlay}/." "$1/"']
    command += [f"--customize-hook={_hook(recipe.finish, MASKED=recipe.masked, ENABLED=recipe.enabled)}"]
    # Without these two, mmdebstrap would empty the lists and the archive's place after the hooks.
    command += ["--skip=cleanup/apt"]
    suite = recipe.suite
    command += [suite, str(target), f"deb {mirror} {suite} main", f"deb {mirror} {suite}-updates main"]
    command += [f"deb {security} {suite}-security main"]
    return command


def _write_files(recipe: Recipe, target: Path) -> None:
    for name, text in recipe.files.items():
        path = target / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name in recipe.executable else 0o644)


def remove(path: Path) -> None:
    """Removes what lies in the cache."""
    # One file system only: should anything be mounted below, it's not ours to empty.
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


def make(recipe: Recipe, making: Path, log: Path, progress: Progress) -> Path:
    """Makes a root file system below a folder that is there for it, and returns its directory."""
    overlay = making / "files"
    _write_files(recipe, overlay)
    with progress.step(f"hosts' root file system (Debian {recipe.suite}; once)"), log.open("wb") as out:
        done = subprocess.run(
            _command(recipe, making / "root", overlay, architecture()),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
            preexec_fn=lambda: proc.die_with_parent(signal.SIGKILL),
        )
    if done.returncode != 0:
        raise LabError(
            f"mmdebstrap could not make the hosts' root file system; the end of {log}:\n{tail(log)}\n"
            "Is Debian's archive reachable? HARDWAY_LAB_DEBIAN_MIRROR and HARDWAY_LAB_DEBIAN_SECURITY_MIRROR"
            " name other mirrors."
        )
    return making / "root"


@contextlib.contextmanager
def making(cache: Path, result: Path, progress: Progress) -> Iterator[Path | None]:
    """Holds the cache's lock and gives a folder to make the result in; None when another lab has just made it."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "rootfs.lock", progress, "another lab is making a root file system of hosts"):
        if result.is_dir():
            yield None
            return
        # We hold the lock: nobody is at work in what was left by one that was killed.
        for left in (*cache.glob("rootfs-*.making"), *cache.glob("vm-*.making")):
            remove(left)
        folder = result.with_name(result.name + ".making")
        folder.mkdir()
        folder.chmod(0o755)
        yield folder
        remove(folder)


def ensure(cache: Path, progress: Progress) -> Path:
    """Makes the containers' root file system unless the cache has it; returns its directory."""
    result = directory(cache, architecture())
    if not result.is_dir():
        with making(cache, result, progress) as folder:
            if folder:
                make(container(), folder, cache / "rootfs.log", progress).rename(result)
    return result
