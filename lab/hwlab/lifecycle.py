"""A lab's life: made, repaired, described, taken down."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hwlab import cgroups, hosts, inventory, mirrorctl, network, paths, proc, release, rootfs, system
from hwlab.locks import locked, locked_or_error
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress

DEFAULT_TOPOLOGY = "stacked"
KIND_VARIABLE = "HARDWAY_LAB_KIND"
DEBIAN_VARIABLE = "HARDWAY_LAB_DEBIAN"


@dataclass(frozen=True)
class State:
    """What a lab was made with."""

    topology: str
    kubernetes: str | None
    mirror: str
    bridge: str
    kind: str = hosts.DEFAULT_KIND
    debian: str = rootfs.SUITE

    @classmethod
    def read(cls, lab: Lab) -> State | None:
        """None when the lab was never made."""
        try:
            return cls(**json.loads(lab.state.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def need(lab: Lab) -> State:
    """The state of a lab that must be there."""
    state = State.read(lab)
    if state is None:
        raise LabError(f"there is no lab {lab.name!r}: make it with 'bin/lab up --name {lab.name}'")
    return state


def need_network(lab: Lab) -> State:
    """The state of a lab whose hosts have a network to be reached in."""
    state = need(lab)
    system.need_root()
    if not network.exists(lab.netns):
        raise LabError(f"lab {lab.name!r} is not up: start it with 'bin/lab up --name {lab.name}' (or 'hosts up')")
    return state


def ensure_release(kubernetes: str | None, source: str, progress: Progress) -> Path:
    """Makes the release files of a version unless the cache has them; returns the mirror's directory."""
    versions = release.Versions(kubernetes=kubernetes) if kubernetes else release.Versions()
    return release.ensure(versions, paths.cache(), source, rootfs.architecture(), progress.say)


def image_archives(mirror: Path) -> dict[str, tuple[str, str, str]]:
    """The image archives of the mirror: name to version, path below the mirror, image. None where they were not built."""
    versions = release.Versions()
    names = release.image_names(versions)
    found = release.image_archives(mirror, versions, rootfs.architecture())
    return {name: (getattr(versions, name), str(path.relative_to(mirror)), names[name]) for name, path in found.items()}


def clear_lost(progress: Progress) -> None:
    """Clears labs whose directory is gone (a clone that was deleted with its lab running)."""
    for record in paths.RUN.glob("*/lab.json"):
        try:
            data = json.loads(record.read_text())
            lab = Lab(str(data["name"]), Path(data["repository"]))
        except (OSError, ValueError, KeyError, LabError):
            continue
        if lab.run != record.parent or lab.directory.is_dir():
            continue
        try:
            with locked_or_error(lab.up_lock, "busy"), locked_or_error(lab.hosts_lock, "busy"):
                if not lab.directory.is_dir():
                    progress.say(f"clearing lab {lab.name!r} of {lab.repository}, whose directory is gone")
                    _destroy(lab)
        except LabError as error:
            progress.say(f"cannot clear lab {lab.name!r} of {lab.repository} now: {error}")


@dataclass(frozen=True)
class Wish:
    """What a lab is asked to be; None leaves it as it is, or to the inventory."""

    topology: str | None = None
    kubernetes: str | None = None
    kind: str | None = None
    debian: str | None = None


def settle(
    lab: Lab, wish: Wish, before: State | None, environment: Mapping[str, str]
) -> tuple[State, inventory.Topology]:
    """What the lab is to be, from what was asked for, what it is, the environment and the inventory, in this order."""
    asked = replace(wish, topology=inventory.named(wish.topology) if wish.topology else None)
    for name in ("topology", "kind", "debian") if before else ():
        value = getattr(asked, name)
        if value and value != getattr(before, name):
            raise LabError(
                f"lab {lab.name!r} has {name} {getattr(before, name)!r}: take it down first,"
                f" or use another --name for {value!r}"
            )
    wanted = inventory.read(lab.repository, asked.topology or (before.topology if before else DEFAULT_TOPOLOGY))
    kind = before.kind if before else asked.kind or environment.get(KIND_VARIABLE) or wanted.kind or hosts.DEFAULT_KIND
    if kind not in hosts.KINDS:
        raise LabError(f"a lab's hosts are of kind {' or '.join(hosts.KINDS)}, not {kind!r}")
    if before:
        debian = before.debian
    else:
        debian = asked.debian or environment.get(DEBIAN_VARIABLE) or wanted.debian or rootfs.SUITE
    version = asked.kubernetes or (before.kubernetes if before else None)
    bridge = str(network.subnet(wanted.addresses.values())[1])
    return State(wanted.name, version, str(paths.cache() / "mirror"), bridge, kind, debian), wanted


def hosts_up(lab: Lab, wish: Wish, source: str, with_release: bool, progress: Progress) -> State:
    """Brings hosts, mirror and inventory to what they must be."""
    system.need_root()
    clear_lost(progress)
    state, wanted = settle(lab, wish, State.read(lab), os.environ)
    version, bridge = state.kubernetes, state.bridge
    with locked(lab.hosts_lock, progress, f"it works on the hosts of lab {lab.name!r}"):
        with ThreadPoolExecutor(max_workers=2) as pool:
            files = None
            if with_release:
                files = pool.submit(ensure_release, version or wanted.kubernetes, source, progress)
            _hosts(lab, state, wanted, progress, files)
            if files:
                files.result()
        inventory.write_images(lab, image_archives(Path(state.mirror)))
        _link_kubectl(lab, state, wanted)
        mirrorctl.ensure(lab, bridge, Path(state.mirror))
    return state


def _hosts(
    lab: Lab, state: State, wanted: inventory.Topology, progress: Progress, files: Future[Path] | None = None
) -> None:
    kind = hosts.KINDS[state.kind]
    system.ensure_packages(state.kind, not kind.made(paths.cache(), state.debian), progress)
    system.load_modules(state.kind)
    # First of all, what tells everyone whose this is: whatever is made after it can be found and cleared.
    lab.directory.mkdir(parents=True, exist_ok=True)
    lab.sockets.mkdir(parents=True, exist_ok=True)
    lab.sockets.chmod(0o700)
    proc.write_atomic(lab.record, json.dumps({"name": lab.name, "repository": str(lab.repository)}) + "\n")
    if state.kind == "nspawn":  # virtual machines have a kernel of their own to set
        system.raise_limits()
    base = kind.base(paths.cache(), state.debian, progress)
    proc.write_atomic(lab.state, json.dumps(asdict(state)) + "\n")
    second = network.subnet_v6(wanted.addresses_v6.values())
    network.ensure(lab.netns, network.subnet(wanted.addresses.values()), second)
    if files and state.kind == "vm":  # without KVM they do not boot in time beside compilers
        files.result()
    with progress.step(f"{len(wanted.addresses)} hosts of {inventory.where(wanted.name)}"):
        hosts.ensure(lab, state.kind, wanted.addresses, base, progress, wanted.addresses_v6)
    inventory.write(lab, wanted, state.kind, mirror_url(state), state.kubernetes)


def mirror_url(state: State) -> str:
    """Where hosts find release files."""
    return f"http://{state.bridge}:{network.MIRROR_PORT}"


def kubectl(mirror: Path, version: str) -> Path:
    """A version's kubectl in the mirror."""
    return mirror / f"dl.k8s.io/release/v{version}/bin/linux/{rootfs.architecture()}/kubectl"


def _link_kubectl(lab: Lab, state: State, wanted: inventory.Topology) -> None:
    version = state.kubernetes or wanted.kubernetes or release.Versions().kubernetes
    target = kubectl(Path(state.mirror), version)
    lab.bin.mkdir(parents=True, exist_ok=True)
    link = lab.bin / "kubectl"
    if target.is_file():
        target.chmod(0o755)
        temporary = lab.bin / ".kubectl"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(link)
    else:
        link.unlink(missing_ok=True)


def down(lab: Lab, progress: Progress) -> None:
    """Takes a lab away: hosts, their disks, network, mirror, groups, and its directory."""
    system.need_root()
    message = f"lab {lab.name!r} is at work in {{holder}} (bin/lab up): wait for it, or end it first"
    busy = f"it works on the hosts of lab {lab.name!r}"
    with locked_or_error(lab.up_lock, message), locked(lab.hosts_lock, progress, busy):
        if not (lab.directory.exists() or lab.run.exists() or network.exists(lab.netns)):
            progress.say(f"there is no lab {lab.name!r}")
            return
        with progress.step(f"taking lab {lab.name!r} down"):
            _destroy(lab)
    clear_lost(progress)


def _destroy(lab: Lab) -> None:
    hosts.hang_up(lab)
    cgroups.kill(lab.id)
    for name in hosts.made(lab):
        hosts.remove(lab, name)
    mirrorctl.stop(lab)
    network.remove(lab.netns)
    if lab.directory.exists():
        # One file system only: should anything be mounted below, it's not ours to empty.
        proc.run(["rm", "-rf", "--one-file-system", str(lab.directory)])
    # The record goes last: until here, the next `up` or `down` would find what is left.
    shutil.rmtree(lab.run, ignore_errors=True)
    system.put_limits_back()


def stop(lab: Lab, names: Sequence[str], progress: Progress) -> None:
    """Cuts hosts' power, all at once."""
    need_network(lab)
    for name in names:
        _need_host(lab, name)
    with locked(lab.hosts_lock, progress, f"it works on the hosts of lab {lab.name!r}"):
        on = [name for name in names if hosts.running(lab, name)]
        with ThreadPoolExecutor(max_workers=max(len(on), 1)) as pool:
            list(pool.map(lambda name: hosts.power_off(lab, name), on))
    for name in names:
        progress.say(f"{name} has lost its power" if name in on else f"{name} is off already")


def start(lab: Lab, names: Sequence[str], progress: Progress) -> None:
    """Gives hosts their power back and waits until they answer."""
    need_network(lab)
    for name in names:
        _need_host(lab, name)
    with locked(lab.hosts_lock, progress, f"it works on the hosts of lab {lab.name!r}"):
        for name in names:
            if hosts.running(lab, name):
                progress.say(f"{name} runs already")
        hosts.start(lab, names, progress)


def _need_host(lab: Lab, name: str) -> None:
    names = hosts.made(lab)
    if name not in names:
        raise LabError(f"lab {lab.name!r} has no host {name!r}; it has: {', '.join(names) or 'none'}")


def address_of(lab: Lab, name: str) -> str:
    """A host's address."""
    _need_host(lab, name)
    return str(hosts.describe(lab, name)["address"])
