"""What virtual machines boot from: kernel, initial RAM disk and a disk with Debian on it; made once, kept in the cache.

No loop device and no mount: mkfs fills the disk from a folder.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from hwlab import proc, rootfs
from hwlab.ui import LabError, Progress

DISK_GIB = 20  # what a host sees; the file holds only what was written
# Nothing else is there to start with: no other disk, no network, no console but the serial line.
_INITIAL_MODULES = ("ext4", "virtio_blk", "virtio_pci")

FILES: dict[str, str] = {
    # A small RAM disk: without KVM unpacking it is a good part of a boot.
    "/etc/initramfs-tools/conf.d/hwlab": "MODULES=list\nRESUME=none\n",
    "/etc/initramfs-tools/modules": "".join(f"{module}\n" for module in _INITIAL_MODULES),
    "/etc/initramfs-tools/hooks/hwlab": """\
#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
copy_exec /bin/cp
""",
    # What tells one host from the others comes with the RAM disk, as a data centre's metadata service would give it.
    "/etc/initramfs-tools/scripts/init-bottom/hwlab": """\
#!/bin/sh
[ "$1" != prereqs ] || exit 0
/bin/cp -a /hwlab/. "${rootmnt}/"
""",
}
EXECUTABLE = frozenset({"/etc/initramfs-tools/hooks/hwlab", "/etc/initramfs-tools/scripts/init-bottom/hwlab"})
ENABLED_UNITS = ("ssh.service", "systemd-networkd.service")
_MAKE_INITRD = 'chroot "$1" update-initramfs -u\n'
# What need not be written is not: the kernel is told too (vm.py).
MAKE_DISK = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1")


def recipe(suite: str, arch: str) -> rootfs.Recipe:
    """A host's Debian, with a kernel of its own."""
    if suite not in rootfs.VERSIONS:
        raise LabError(f"virtual machines run Debian {' or '.join(rootfs.VERSIONS)}, not {suite!r}")
    return rootfs.Recipe(
        suite,
        (*rootfs.BASE_PACKAGES, "initramfs-tools", f"linux-image-cloud-{arch}", "udev"),
        rootfs.QUIET_UNITS,
        ENABLED_UNITS,
        {**rootfs.FILES, **FILES},
        EXECUTABLE,
        rootfs.FINISH + _MAKE_INITRD,
    )


def directory(cache: Path, suite: str, arch: str) -> Path:
    """Where the cache has the image of a Debian, once it's made: disk.img, vmlinuz, initrd."""
    made = recipe(suite, arch).hash(arch) + " ".join(MAKE_DISK) + str(DISK_GIB)
    return cache / f"vm-{suite}-{arch}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"


def ensure(cache: Path, suite: str, progress: Progress) -> Path:
    """Makes the image unless the cache has it; returns its directory."""
    arch = rootfs.architecture()
    result = directory(cache, suite, arch)
    if not result.is_dir():
        with rootfs.making(cache, result, progress) as folder:
            if folder:
                root = rootfs.make(recipe(suite, arch), folder, cache / "rootfs.log", progress)
                with progress.step("virtual machines' disk (once)"):
                    _pack(root, folder / "image")
                (folder / "image").rename(result)
    return result


def _pack(root: Path, image: Path) -> None:
    image.mkdir()
    for name in ("vmlinuz", "initrd"):
        (kernel,) = (path for path in (root / "boot").glob(f"{name}*-*") if path.is_file())
        shutil.copyfile(kernel, image / name)
    proc.run([*MAKE_DISK, "-d", str(root), str(image / "disk.img"), f"{DISK_GIB}G"])
