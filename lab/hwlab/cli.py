"""The command bin/lab."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hwlab import hosts, inventory, lifecycle, mirrorctl, network, proc, rootfs, system, vm
from hwlab.locks import locked_or_error
from hwlab.paths import Lab
from hwlab.ui import LabError, Progress

DEFAULT_NAME = "default"
SOURCE_VARIABLE = "HARDWAY_LAB_RELEASE_SOURCE"

_DESCRIPTION = """\
A whole cluster on this machine: the hosts of a sample inventory, and the release files that they install."""

_EPILOG = f"""\
Environment:
  HARDWAY_LAB_CACHE           what labs share (default: ~/.cache/hardway-kubernetes)
  {SOURCE_VARIABLE}  where release files come from: auto (default), download, build
  HARDWAY_LAB_DEBIAN_MIRROR, HARDWAY_LAB_DEBIAN_SECURITY_MIRROR  where hosts' packages come from
  {lifecycle.KIND_VARIABLE}, {lifecycle.DEBIAN_VARIABLE}  what new labs have where --kind and --debian are not given
  {vm.ACCELERATOR_VARIABLE}  how virtual machines run: auto (default: KVM where it works), kvm, tcg

A lab's things lie in .lab/NAME; see lab/README.md."""


def _version(text: str) -> str:
    version = text.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise argparse.ArgumentTypeError(f"{text!r} is no version such as 1.36.3")
    return version


def parser() -> argparse.ArgumentParser:
    """All verbs and options."""
    top = argparse.ArgumentParser(
        prog="bin/lab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str, parent: argparse._SubParsersAction = verbs) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = parent.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name != "hosts":
            made.add_argument("--name", default=DEFAULT_NAME, help="which lab (default: %(default)s)")
        return made

    def making(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--topology",
            metavar="FOLDER",
            help="a folder of inventory/, or with a '/' in it the path of an inventory folder elsewhere"
            f" (default: {lifecycle.DEFAULT_TOPOLOGY})",
        )
        made.add_argument("--kubernetes", type=_version, metavar="VERSION", help="default: the inventory's version")
        made.add_argument(
            "--kind",
            choices=list(hosts.KINDS),
            help=f"containers or virtual machines (default: the inventory's lab_kind, or {hosts.DEFAULT_KIND})",
        )
        made.add_argument(
            "--debian",
            choices=list(rootfs.VERSIONS),
            help=f"which Debian virtual machines run (default: the inventory's lab_debian, or {rootfs.SUITE})",
        )

    making(verb("up", "Make hosts and release files, install the cluster (site.yml) and check it (verify.yml)."))
    hosts_verbs = verb("hosts", "Hosts and mirror only, without a cluster.").add_subparsers(
        dest="hosts_verb", metavar="VERB", required=True
    )
    hosts_up = verb("up", "Make the hosts, the release files and their mirror.", hosts_verbs)
    making(hosts_up)
    hosts_up.add_argument(
        "--no-release", action="store_true", help="make no release files: the mirror serves those that are there"
    )
    verb("down", "Take the lab with its hosts and their disks away.", hosts_verbs)
    release = verb("release", "Make the release files only.")
    release.add_argument("--kubernetes", type=_version, metavar="VERSION", help="default: the lab's version")
    execute = verb("exec", "Run a command inside the lab's network, with its inventory, kubeconfig and kubectl.")
    execute.usage = "bin/lab exec [--name NAME] -- CMD [ARGUMENT ...]"
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    ssh = verb("ssh", "Log in to a host, or run a command there; standard input passes through.")
    ssh.usage = "bin/lab ssh [--name NAME] HOST [-- CMD [ARGUMENT ...]]"
    ssh.add_argument("host", metavar="HOST")
    ssh.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- CMD",
        help="one word is given to the host's shell as it is; several are quoted, so that each arrives as it was",
    )
    for name, text in (
        ("stop", "Cut hosts' power: all of their processes are gone at once, their disks stay as they are."),
        ("start", "Give stopped hosts their power back, and wait until they answer."),
    ):
        switch = verb(name, text)
        switch.add_argument("host", metavar="HOST", nargs="*")
        switch.add_argument("--all", action="store_true", help="all hosts of the lab")
    verb("status", "Show the hosts, the mirror and the kubeconfig.")
    verb("down", "Take the lab with all that belongs to it away.")
    return top


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads options; what follows the first '--' is the command, word by word as it was given."""
    words, command = list(arguments), []
    if words[:1] and words[0] in ("exec", "ssh") and "--" in words:
        dashes = words.index("--")  # argparse would also take later ones away
        words, command = words[:dashes], words[dashes + 1 :]
    options = parser().parse_args(words)
    if hasattr(options, "command"):
        options.command += command
    return options


def remote_command(words: Sequence[str]) -> list[str]:
    """A command for a host's shell: one word is a line for it, several are arguments to keep apart."""
    return list(words) if len(words) < 2 else [shlex.join(words)]


def environment(lab: Lab, state: lifecycle.State, base: dict[str, str]) -> dict[str, str]:
    """What makes the lab's cluster the default of ansible and kubectl."""
    topology = inventory.directory(lab.repository, state.topology)
    venv = str(Path(sys.executable).parent)
    return {
        **base,
        "ANSIBLE_INVENTORY": f"{topology},{lab.inventory}",
        "ANSIBLE_CONFIG": str(lab.repository / "ansible.cfg"),
        "KUBECONFIG": str(lab.kubeconfig),
        "LAB_DIR": str(lab.directory),
        "LAB_NAME": lab.name,
        "PATH": os.pathsep.join([str(lab.bin), venv, base.get("PATH", os.defpath)]),
    }


def _become(command: list[str], env: dict[str, str]) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what it becomes would inherit that
    os.execvpe(command[0], command, env)


def _execute(lab: Lab, command: list[str]) -> int:
    if not command:
        raise LabError("exec needs a command: bin/lab exec -- CMD")
    state = lifecycle.need_network(lab)
    env = environment(lab, state, dict(os.environ))
    _become([*network.enter(lab.netns), "--", *command], env)


def _ssh(lab: Lab, host: str, command: list[str]) -> int:
    state = lifecycle.need_network(lab)
    address = lifecycle.address_of(lab, host)
    if not hosts.running(lab, host):
        raise LabError(f"{host} is off: 'bin/lab start --name {lab.name} {host}' gives it its power back")
    ssh = ["ssh", *inventory.ssh_options(lab, state.kind), "-i", str(lab.key), f"{inventory.USER}@{address}"]
    _become([*network.enter(lab.netns), "--", *ssh, *remote_command(command)], dict(os.environ))


def _playbook(lab: Lab, state: lifecycle.State, name: str, progress: Progress) -> None:
    command = [*network.enter(lab.netns), "--", "ansible-playbook", name]
    with progress.step(name):
        done = subprocess.run(
            command,
            env=environment(lab, state, dict(os.environ)),
            cwd=lab.repository,
            check=False,
            stdin=subprocess.DEVNULL,
            preexec_fn=proc.die_with_parent,
        )
    if done.returncode != 0:
        again = f"bin/lab exec --name {lab.name} -- ansible-playbook {name}"
        raise LabError(f"{name} failed (exit {done.returncode}); the hosts stay as they are. Again: {again}")


def _up(lab: Lab, options: argparse.Namespace, source: str, progress: Progress) -> int:
    message = f"another 'bin/lab up' ({{holder}}) works on lab {lab.name!r}: wait for it, or end it first"
    only_hosts = options.verb == "hosts"
    with locked_or_error(lab.up_lock, message):
        with_release = not (only_hosts and options.no_release)
        wish = lifecycle.Wish(options.topology, options.kubernetes, options.kind, options.debian)
        state = lifecycle.hosts_up(lab, wish, source, with_release, progress)
        if not only_hosts:
            for playbook in ("site.yml", "playbooks/verify.yml"):
                _playbook(lab, state, playbook, progress)
    suffix = "" if lab.name == DEFAULT_NAME else f" --name {lab.name}"
    if only_hosts:
        progress.say(f"hosts are up; install the cluster: bin/lab exec{suffix} -- ansible-playbook site.yml")
    else:
        progress.say(f"the cluster is up; look around: bin/lab exec{suffix} -- kubectl get nodes")
    return 0


def _status(lab: Lab) -> int:
    state = lifecycle.need(lab)
    table = [("HOST", "ADDRESS", "STATE", "BOOTED", "ANSWERED AFTER")]
    for name in hosts.made(lab):
        record = hosts.describe(lab, name)
        on = hosts.running(lab, name)
        booted = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["booted"])) if on else "-"
        seconds = f"{record['seconds']} s" if on and record.get("seconds") is not None else "-"
        table.append((name, record["address"], "running" if on else "stopped", booted, seconds))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    made = "" if lab.kubeconfig.exists() else " (not there yet)"
    print(f"\nlab         {lab.name} ({lab.directory}), topology {state.topology}, network namespace {lab.netns}")
    print(f"hosts       {hosts.KINDS[state.kind].NAME}, Debian {rootfs.VERSIONS[state.debian]} ({state.debian})")
    print(f"mirror      {lifecycle.mirror_url(state)} {'running' if mirrorctl.running(lab) else 'stopped'}")
    print(f"kubeconfig  {lab.kubeconfig}{made}")
    return 0


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Carries out a verb; returns the exit code."""
    lab = Lab(options.name)
    source = os.environ.get(SOURCE_VARIABLE, "auto")
    verb = options.hosts_verb if options.verb == "hosts" else options.verb
    if verb == "up":
        return _up(lab, options, source, progress)
    if verb == "down":
        lifecycle.down(lab, progress)
    elif verb == "release":
        state = lifecycle.State.read(lab)
        topology = inventory.read(lab.repository, state.topology if state else lifecycle.DEFAULT_TOPOLOGY)
        version = options.kubernetes or (state.kubernetes if state else None) or topology.kubernetes
        print(lifecycle.ensure_release(version, source, progress))
    elif verb == "exec":
        return _execute(lab, options.command)
    elif verb == "ssh":
        return _ssh(lab, options.host, options.command)
    elif verb in ("stop", "start"):
        if bool(options.host) == options.all:
            raise LabError(f"{verb} needs hosts' names, or --all")
        switch = lifecycle.stop if verb == "stop" else lifecycle.start
        switch(lab, hosts.made(lab) if options.all else options.host, progress)
    else:
        return _status(lab)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    os.umask(0o022)
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(options, Progress())
    except LabError as error:
        print(f"bin/lab: {error}", file=sys.stderr)
        return 255 if options.verb == "ssh" else 1  # as ssh itself, to tell it from the command's own
    except KeyboardInterrupt:
        print("bin/lab: interrupted; the next up goes on from here, down clears it", file=sys.stderr)
        return 130
    except BrokenPipeError:  # for example: bin/lab status | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except PermissionError:
        system.need_root()
        raise
