"""Roles alone, from somebody else's repository: an etcd that serves a shop, and containerd. They want bare hosts and leave some."""

from __future__ import annotations

import functools
import json

import pytest
import yaml
from lab_cluster import changed, changes_nothing, green, lab
from lab_elsewhere import FIFTH, FIRST_THREE, FOURTH, ON_BARE_HOSTS

STORE, SHOP, BOX = FIRST_THREE, FOURTH, FIFTH
pytestmark = ON_BARE_HOSTS
ETCDCTL = (
    "/opt/hardway/etcd/3.6.14/etcdctl --endpoints=https://192.168.60.12:2379,https://192.168.60.13:2379 "
    "--cacert=/etc/shop/etcd-ca.crt"
)
CLIENT = "--cert=/etc/shop/etcd.crt --key=/etc/shop/etcd.key"


def tried(elsewhere, use, host):
    """What the commands of the documentation print on a host."""
    return host.check_output("sh -e -c %s", (elsewhere.folder / use / "try.sh").read_text())


def quiet(result):
    """A run that ended well and changed nothing."""
    assert result.returncode == 0, result.stdout[-4000:]
    changes_nothing(result)


def members(on) -> dict[str, str]:
    """Names of the store's members and their ids, as etcdctl takes them."""
    listed = json.loads(on(SHOP).check_output(f"{ETCDCTL} {CLIENT} member list -w json"))["members"]
    return {member["name"]: f"{member['ID']:x}" for member in listed}


class TestEtcd:
    """Three hosts in a group of another name, with a folder of authorities of their own."""

    def test_a_wrong_group_is_told_before_anything_is_changed(self, elsewhere, on):
        """The variable is named."""
        result = elsewhere.play("store", "store/site.yml", "-e", "cluster_etcd_group=etcd")
        assert result.returncode == 2
        assert "is not in the group etcd" in result.stdout
        assert "set cluster_etcd_group to the name of yours" in result.stdout
        assert not on(STORE[0]).file("/etc/etcd").exists
        assert not (elsewhere.home / ".config/store").exists()

    def test_check_mode_on_bare_hosts(self, elsewhere, on):
        """It says what would come, and nothing comes."""
        result = green(functools.partial(elsewhere.play, "store"), "store/site.yml", "--check", "--limit", "store")
        assert min(changed(result.stdout).values()) > 0
        assert not on(STORE[0]).file("/etc/etcd").exists

    def test_it_is_built(self, elsewhere):
        """And a second run changes nothing."""
        green(functools.partial(elsewhere.play, "store"), "store/site.yml")
        quiet(elsewhere.play("store", "store/site.yml"))
        assert (elsewhere.home / ".config/store/pki/etcd-ca.key").is_file()
        assert not (elsewhere.home / ".config/hardway.kubernetes").exists()

    def test_the_shop_writes_and_reads(self, elsewhere, on):
        """As the documentation says, with its own certificate, whose key was made there."""
        assert tried(elsewhere, "store", on(SHOP)).split() == ["OK", "greeting", "hello"]
        assert on(SHOP).file("/etc/shop/etcd.key").mode == 0o600
        assert sorted(members(on)) == ["store1", "store2", "store3"]

    def test_nobody_else_does(self, on):
        """Without a certificate of its authority there is no way in."""
        assert on(SHOP).run(f"{ETCDCTL} --command-timeout=3s get greeting").rc != 0

    def test_nothing_of_kubernetes_is_there(self, on):
        """On none of its hosts."""
        for name in [*STORE, SHOP]:
            assert not on(name).file("/etc/kubernetes").exists
            assert on(name).run("getent passwd kube-apiserver").rc != 0

    def test_one_of_its_hosts_lost(self, on):
        """The shop goes on."""
        lab("stop", STORE[0])
        try:
            # The one that was lost may have been the leader: the others choose one within some seconds.
            put = f"{ETCDCTL} {CLIENT} put greeting still-here"
            on(SHOP).check_output(f"for try in 1 2 3 4 5; do {put} && exit 0; done; exit 1")
            assert "still-here" in on(SHOP).check_output(f"{ETCDCTL} {CLIENT} get greeting")
        finally:
            lab("start", STORE[0])

    @pytest.mark.long
    def test_it_grows_and_shrinks(self, elsewhere, on):
        """Two more hosts in its group join; taken out of etcd, cleaned and out of the group, they leave it as it was."""
        play = functools.partial(elsewhere.play, "store")
        more = {"shop1": {}, "late1": {"ansible_host": "192.168.60.22"}}
        health = f"{ETCDCTL} {CLIENT} endpoint health --cluster"
        on(SHOP).check_output(f"for try in $(seq 30); do {health} && exit 0; sleep 1; done; exit 1")
        (elsewhere.folder / "more.yml").write_text(yaml.safe_dump({"all": {"children": {"store": {"hosts": more}}}}))
        grown = ["store/site.yml", "-i", "more.yml"]
        green(play, *grown)
        quiet(play(*grown))
        assert sorted(members(on)) == sorted(["store1", "store2", "store3", *more])
        cleaned = yaml.safe_load((elsewhere.folder / "store" / "remove.yml").read_text())[0]
        for name in reversed(more):  # the shop last, which has etcdctl from its release files
            on(SHOP).check_output(f"{ETCDCTL} {CLIENT} member remove {members(on)[name]}")
            (elsewhere.folder / "store" / "clean.yml").write_text(yaml.safe_dump([{**cleaned, "hosts": name}]))
            green(play, "store/clean.yml", "-i", "more.yml")
        green(play, "store/site.yml")
        quiet(play("store/site.yml"))
        assert sorted(members(on)) == ["store1", "store2", "store3"]
        for name in (SHOP, BOX):
            assert not on(name).file("/etc/systemd/system/etcd.service").exists
        assert "still-here" in on(SHOP).check_output(f"{ETCDCTL} {CLIENT} get greeting")

    def test_it_is_taken_away(self, elsewhere, on):
        """By its own playbook."""
        green(functools.partial(elsewhere.play, "store"), "store/remove.yml")
        for name in STORE:
            assert not on(name).file("/etc/etcd").exists
            assert on(name).run("ls -A /var/lib/etcd").stdout == ""
        assert not on(SHOP).file("/etc/shop/etcd.key").exists


class TestContainerd:
    """One host, and no certificate, group or cluster anywhere."""

    def test_one_that_somebody_else_runs_stays(self, elsewhere, on):
        """Such as Docker's: it is not replaced, and not taken away with its data either."""
        unit, data = "/etc/systemd/system/containerd.service", "/var/lib/containerd/theirs"
        host = on(BOX)
        host.check_output(f"mkdir -p {data} && printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > {unit}")
        host.check_output("systemctl daemon-reload && systemctl start containerd")
        pid = host.check_output("systemctl show --property=MainPID --value containerd")
        for playbook in ("site", "remove"):
            result = elsewhere.play("boxes", f"boxes/{playbook}.yml")
            said = " ".join((result.stdout + result.stderr).split())
            assert "somebody else's" in said, said[-4000:]
            assert result.returncode == {"site": 2, "remove": 0}[playbook]
            assert host.check_output("systemctl show --property=MainPID --value containerd") == pid
            assert host.file(data).exists
        host.check_output(f"systemctl stop containerd && rm -r {unit} {data} && systemctl daemon-reload")

    def test_check_mode_on_a_bare_host(self, elsewhere, on):
        """It says what would come, and nothing comes."""
        result = green(functools.partial(elsewhere.play, "boxes"), "boxes/site.yml", "--check")
        assert min(changed(result.stdout).values()) > 0
        assert not on(BOX).file("/etc/containerd").exists

    def test_it_is_built(self, elsewhere):
        """Without any folder of authorities; a second run changes nothing."""
        before = sorted(path for path in elsewhere.home.rglob("pki"))
        green(functools.partial(elsewhere.play, "boxes"), "boxes/site.yml")
        quiet(elsewhere.play("boxes", "boxes/site.yml"))
        assert sorted(path for path in elsewhere.home.rglob("pki")) == before

    def test_a_container_runs(self, elsewhere, on):
        """As the documentation says."""
        assert "version" in tried(elsewhere, "boxes", on(BOX))

    def test_it_is_taken_away(self, elsewhere, on):
        """By its own playbook."""
        green(functools.partial(elsewhere.play, "boxes"), "boxes/remove.yml")
        assert not on(BOX).file("/etc/systemd/system/containerd.service").exists
        assert on(BOX).run("ls -A /var/lib/containerd").stdout == ""
