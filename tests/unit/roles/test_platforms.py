"""What each family of distributions makes of the sample inventory: packages, services, places of files."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from ansible_runs import REPOSITORY, green

SHOWN = {
    "settings": "__host__settings",
    "kubelet": "(__kubelet__files | selectattr('path', 'search', 'kubelet/config.yaml') | first).content | from_yaml",
    "balancer": "__load_balancer__component if __cluster__balances else {}",
}
NODE = {"kmod", "iptables", "nftables", "chrony"}
PAIR = {"nginx", "libnginx-mod-stream", "keepalived", "curl", "chrony"}


@pytest.fixture(scope="module", params=["debian", "ubuntu", "redhat"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A family and what its hosts get: cp1 a node, lb1 a balancer."""
    folder = tmp_path_factory.mktemp("rendered")
    content = "{{ {" + ", ".join(f"'{name}': {value}" for name, value in SHOWN.items()) + "} | to_json }}"
    tasks = [
        {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks/tasks/variables.yml")},
        {
            "ansible.builtin.copy": {"dest": f"{folder}/{{{{ inventory_hostname }}}}.json", "content": content},
            "delegate_to": "localhost",
        },
    ]
    play = {
        "hosts": "cp1:lb1",
        "connection": "local",
        "gather_facts": False,
        "vars": {"role_path": str(REPOSITORY / "roles" / "cluster")},
        "tasks": tasks,
    }
    (folder / "render.yml").write_text(json.dumps([play]))
    variables = {
        "host__platform": request.param,
        "load_balancer__kind": "nginx",
        "host__packages": ["nfs-common", "jq"],
    }
    here = {"ansible_python_interpreter": sys.executable, "ansible_become": False}
    green("-i", "inventory/balanced", folder / "render.yml", "-e", json.dumps({**variables, **here}))
    return request.param, {name: json.loads((folder / f"{name}.json").read_text()) for name in ("cp1", "lb1")}


def test_packages_have_the_familys_names(shown: Any) -> None:
    family, hosts = shown
    node, pair = (set(hosts[name]["settings"]["packages"]) for name in ("cp1", "lb1"))
    if family == "redhat":
        assert node == NODE - {"iptables"} | {"iptables-nft", "nfs-utils", "jq"}
        assert pair == PAIR - {"libnginx-mod-stream", "curl"} | {"nginx-mod-stream", "nfs-utils", "jq"}
    else:
        assert node == NODE | {"nfs-common", "jq"}
        assert pair == PAIR | {"nfs-common", "jq"}


def test_what_starts_or_must_not_start_with_a_package(shown: Any) -> None:
    family, hosts = shown
    settings = hosts["cp1"]["settings"]
    assert settings["platform"] == family
    assert settings["wanted_services"] == ({"chrony": ["chronyd.service"]} if family == "redhat" else {})
    assert settings["unwanted_services"]["nfs-utils" if family == "redhat" else "nfs-common"] == [
        "rpcbind.socket",
        "rpcbind.service",
    ]
    assert settings["unwanted_services"]["nginx"] == ["nginx.service"]


def test_where_more_modules_of_a_kernel_are(shown: Any) -> None:
    family, hosts = shown
    packages = {"debian": "", "ubuntu": "linux-modules-extra", "redhat": "kernel-modules-extra"}
    assert hosts["cp1"]["settings"]["kernel_modules_package"] == packages[family]


def test_pods_are_not_given_a_resolver_on_loopback(shown: Any) -> None:
    family, hosts = shown
    wished = "/run/systemd/resolve/resolv.conf" if family == "ubuntu" else None
    assert hosts["cp1"]["kubelet"].get("resolvConf") == wished


def test_nginx_loads_its_module_from_where_it_is(shown: Any) -> None:
    family, hosts = shown
    place = ("/usr/lib64" if family == "redhat" else "/usr/lib") + "/nginx/modules/ngx_stream_module.so"
    balancer = hosts["lb1"]["balancer"]
    assert place in balancer["inputs"]
    (config,) = (entry["content"] for entry in balancer["files"] if entry["path"].endswith("nginx.conf"))
    assert f"load_module {place};" in config
