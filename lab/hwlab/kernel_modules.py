"""What a host finds in /lib/modules: this machine's own, or a list of what a kernel without modules has built in.

Without that list, modprobe and systemd-modules-load would say of what the kernel has that it is not found.
"""

from __future__ import annotations

import gzip
import platform
import re
import struct
from collections.abc import Iterable
from pathlib import Path

# Kernel option -> module, of what a cluster's hosts may ask for.
_OPTIONS = {
    "BRIDGE": "net/bridge/bridge",
    "BRIDGE_NETFILTER": "net/bridge/br_netfilter",
    "DUMMY": "drivers/net/dummy",
    "FUSE_FS": "fs/fuse/fuse",
    "IP6_NF_IPTABLES": "net/ipv6/netfilter/ip6_tables",
    "IP_NF_IPTABLES": "net/ipv4/netfilter/ip_tables",
    "IP_SET": "net/netfilter/ipset/ip_set",
    "IP_VS": "net/netfilter/ipvs/ip_vs",
    "IP_VS_RR": "net/netfilter/ipvs/ip_vs_rr",
    "IP_VS_SH": "net/netfilter/ipvs/ip_vs_sh",
    "IP_VS_WRR": "net/netfilter/ipvs/ip_vs_wrr",
    "NFT_CT": "net/netfilter/nft_ct",
    "NF_CONNTRACK": "net/netfilter/nf_conntrack",
    "NF_NAT": "net/netfilter/nf_nat",
    "NF_TABLES": "net/netfilter/nf_tables",
    "OVERLAY_FS": "fs/overlayfs/overlay",
    "SUNRPC": "net/sunrpc/sunrpc",
    "TUN": "drivers/net/tun",
    "VETH": "drivers/net/veth",
    "VXLAN": "drivers/net/vxlan/vxlan",
    "WIREGUARD": "drivers/net/wireguard/wireguard",
}
_MAGIC, _VERSION = 0xB007F457, 0x00020001
_CHILDREN, _VALUES = 0x20000000, 0x40000000


def built_in(config: str) -> list[str]:
    """Modules that a kernel's configuration says are built in."""
    options = set(re.findall(r"^CONFIG_(\w+)=y$", config, re.MULTILINE))
    return sorted(path for option, path in _OPTIONS.items() if option in options)


def index(names: Iterable[str]) -> bytes:
    """The same as modules.builtin.bin: kmod's index of names, a tree with a letter a node."""
    tree: dict[str, dict] = {}
    for name in names:
        node = tree
        for letter in f"{name}\0":  # the end mark stands for "a name ends here"
            node = node.setdefault(letter, {})
    body = bytearray(struct.pack(">III", _MAGIC, _VERSION, 0))

    def write(node: dict[str, dict]) -> int:
        letters = {letter: child for letter, child in node.items() if letter != "\0"}
        offsets = {ord(letter): write(child) for letter, child in letters.items()}
        here = len(body)
        flags = 0
        if offsets:
            flags |= _CHILDREN
            first, last = min(offsets), max(offsets)
            body.extend(struct.pack("BB", first, last))
            for letter in range(first, last + 1):
                body.extend(struct.pack(">I", offsets.get(letter, 0)))
        if "\0" in node:
            flags |= _VALUES
            body.extend(struct.pack(">II", 1, 0) + b"\0")
        return here | flags

    root = write(tree)
    struct.pack_into(">I", body, 8, root)
    return bytes(body)


def directory(made: Path) -> Path:
    """The directory to show hosts as /lib/modules; it is made when the machine has none."""
    if Path("/lib/modules").is_dir():
        return Path("/lib/modules")
    release = made / platform.release()
    release.mkdir(parents=True, exist_ok=True)
    config = Path("/proc/config.gz")
    modules = built_in(gzip.decompress(config.read_bytes()).decode()) if config.exists() else []
    (release / "modules.builtin").write_text("".join(f"kernel/{path}.ko\n" for path in modules))
    (release / "modules.builtin.bin").write_bytes(index(path.rpartition("/")[2] for path in modules))
    return made
