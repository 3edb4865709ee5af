# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an inventory must be for a cluster to come of it. Every rule gives sentences; none touches anything."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hardway.kubernetes.plugins.plugin_utils import manifests, pki

SUPPORTED = ("1.34", "1.35", "1.36")  # minor versions whose configuration APIs the roles write
KUBELET_MAY_LAG = 3  # https://kubernetes.io/releases/version-skew-policy/
NODE_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$")
# Of dicts whose keys users choose, which no argument spec can describe: what stands under each key.
UNDER_EACH_KEY = {
    "containerd__registries": {
        "server": {"type": "str"},
        "mirrors": {
            "type": "list",
            "elements": "dict",
            "options": {
                "url": {"type": "str", "required": True},
                "username": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "ca": {"type": "path"},
                "skip_verify": {"type": "bool"},
                "override_path": {"type": "bool"},
            },
        },
    },
}
LIKE = {"list": "[...]", "dict": "{...}"}
SPEC_KEYS = ("type", "elements", "choices", "required", "options", "no_log")


def unknown_names(names, specs):
    """Sentences for variables that carry a role's prefix and that no role knows.

    :arg names: names of the variables that a host has.
    :arg specs: dict of role to its options, as in argument_specs.yml.
    """
    known = {name for options in specs.values() for name in options}
    found = []
    for name in sorted(set(names) - known):
        ours = not name.startswith("__") and name.split("__")[0] in specs and "__" in name
        if not ours and not name.startswith("cluster_"):
            continue
        # A company's own variable may well begin with cluster_; only what looks like one of ours is a finding.
        near = difflib.get_close_matches(name, known, 1, 0.6 if ours else 0.9)
        if near:
            found.append("%s is no variable of any role. Did you mean %s?" % (name, near[0]))
        elif ours:
            role = name.split("__")[0]
            found.append("%s is no variable of any role. See the reference for what role %s knows." % (name, role))
    return found


def wrong_values(options, values):
    """Sentences for values that do not fit the argument spec.

    :arg options: options of a role as in argument_specs.yml.
    :arg values: dict of name to value.
    """
    spec = {name: _plain(option) for name, option in options.items()}
    unfit = {name: _other_kind(name, options[name], values[name]) for name in sorted(set(spec) & set(values))}
    errors = [error for name in unfit for error in unfit[name]]
    left = {name: option for name, option in spec.items() if not unfit.get(name)}
    fit = {name: value for name, value in values.items() if not unfit.get(name)}
    errors += ArgumentSpecValidator(left).validate(fit).error_messages
    for name in sorted(set(UNDER_EACH_KEY) & set(fit)):
        for key, value in fit[name].items() if isinstance(fit[name], dict) else ():
            if isinstance(value, dict):
                each = {"type": "dict", "options": UNDER_EACH_KEY[name]}
                wrong = _other_kind("it", each, value) or (
                    ArgumentSpecValidator(UNDER_EACH_KEY[name]).validate(dict(value)).error_messages
                )
                errors += ["%s, under %s: %s" % (name, key, message) for message in wrong]
            else:
                keys = ", ".join(sorted(UNDER_EACH_KEY[name]))
                errors.append("%s: a dict with %s was expected under %s" % (name, keys, key))
    return [
        "%s. Mend it in the inventory; the reference describes it." % str(message).rstrip(".") for message in errors
    ]


def _other_kind(name, option, value):
    # A module would make a list or a dict of a text. Roles take it as it is: one item per letter.
    kind = option.get("type", "str")
    if value is None and ("default" in option or option.get("required")):
        return ["%s is empty (null): give it a value, or take its line away for the default" % name]
    if isinstance(value, str) and kind in LIKE:
        return [
            "%s is a text where a %s is expected. Behind -e that is JSON: -e '{\"%s\": %s}'"
            % (name, kind, name, LIKE[kind])
        ]
    found = []
    if kind == "list" and isinstance(value, list):
        inner = dict(option, type=option.get("elements", "raw"))
        for number, item in enumerate(value):
            found += _other_kind("%s[%d]" % (name, number), inner, item)
    elif kind == "dict" and isinstance(value, dict):
        for key in sorted(set(value) & set(option.get("options", {}))):
            found += _other_kind("%s.%s" % (name, key), option["options"][key], value[key])
    return found


def _plain(option):
    plain = {key: value for key, value in option.items() if key in SPEC_KEYS}
    if "options" in plain:
        plain["options"] = {name: _plain(inner) for name, inner in plain["options"].items()}
    return plain


GIVEN = "kube_apiserver__etcd_"  # variables for an etcd that someone else runs


def given_etcd(values):
    """Sentences about an etcd that someone else runs, as one host's variables name it. They hold nothing of its key.

    :arg values: dict of name to value.
    """
    endpoints = values.get(GIVEN + "endpoints") or []
    texts = {name: values.get(GIVEN + name) or "" for name in ("ca", "certificate", "key")}
    if not isinstance(endpoints, list) or not all(isinstance(text, str) for text in texts.values()):
        return []  # its type is a finding already
    if not endpoints:
        return [
            "%s%s is set, and %sendpoints names no members. Name them, or take it away." % (GIVEN, name, GIVEN)
            for name in sorted(texts)
            if texts[name]
        ]
    found = [
        "%sendpoints holds %r, which is not https://host:port. Mend it." % (GIVEN, endpoint)
        for endpoint in endpoints
        if not re.match(r"^https://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$", str(endpoint))
    ]
    found += [
        "%s%s is empty, and the members in %sendpoints can't be asked without it. Give its PEM text."
        % (GIVEN, name, GIVEN)
        for name in sorted(texts)
        if not texts[name]
    ]
    if found or not pki.HAS_CRYPTOGRAPHY:
        return found
    wrong = pki.why_no_authority(texts["ca"])
    if wrong:
        found.append("%sca %s. Give the PEM text of etcd's authority." % (GIVEN, wrong))
    wrong = pki.why_no_client(texts["certificate"], texts["key"])
    if wrong:
        found.append("%scertificate and %skey are no client's: %s." % (GIVEN, GIVEN, wrong))
    return found


BROUGHT = ("cni__manifests", "cni__releases", "cni__conf")  # variables for a network that someone else brings


def given_network(values, read=manifests.read):
    """Sentences about a network that someone else brings, as one host's variables name it.

    :arg values: dict of name to value.
    :arg read: gives a manifest's objects and what is wrong with it; None where this host does not read them.
    """
    if values.get("cni__kind", "flannel") != "none":
        return [
            "%s is set, and cni__kind %s brings its own network. Set cni__kind: none, or take %s away."
            % (name, values.get("cni__kind", "flannel"), name)
            for name in BROUGHT
            if values.get(name)
        ]
    found = []
    paths, lists = values.get("cni__manifests") or [], values.get("cni__conf") or {}
    for path in paths if read and isinstance(paths, list) else []:
        found += ["cni__manifests: %s Mend the file, or its path." % sentence for sentence in read(path)[1]]
    for name, content in sorted(lists.items()) if isinstance(lists, dict) else []:
        if not re.match(r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(conf|conflist|json)$", str(name)):
            found.append(
                "cni__conf: %r is no file name that containerd reads. Let it end with .conflist or .conf." % name
            )
        elif not isinstance(content, dict):
            try:
                json.loads(content)
            except (TypeError, ValueError) as error:
                found.append("cni__conf: the content of %s is no JSON: %s. Mend it." % (name, error))
    return found


def cluster_findings(views, groups, names, others=None):
    """Sentences by host ('' for the whole inventory) about what only shows across hosts.

    :arg views: dict of host to dict with address, address_v6, node_name, version, endpoint, api_names, etcd_endpoints,
        pod_cidr, service_cidr, dns_address, domain, node_mask, node_mask_v6, cni_kind, cni_pod_cidr, cni_manifests, balancer,
        virtual_address, pair_port, own_port, router_id, check_within, api_port, etcd_client_port, etcd_peer_port.
    :arg groups: the inventory's groups, name to list of hosts.
    :arg names: dict of part (etcd, kube_apiserver, ...) to the group's name.
    :arg others: dict of host to its address, address_v6, node_name and cni_pod_cidr, of hosts of the cluster that the run leaves out. What
        belongs to them is nobody else's; their own mistakes are not told.
    """
    found = {}
    everyone = dict(others or {}, **views)

    def say(host, sentence):
        if host not in (others or {}) and sentence not in found.setdefault(host, []):
            found[host].append(sentence)

    _etcd(views, groups, names, say)
    for part, group in names.items():
        if not groups.get(group) and part not in ("etcd", "load_balancer"):
            say(
                "",
                "the group %s is missing or empty. Name the hosts that run %s in it." % (group, part.replace("_", "-")),
            )
    _addresses(everyone, say)
    _names(everyone, say)
    _long_names(views, groups, names, say)
    hosts = {part: groups.get(names.get(part)) or [] for part in PARTS}
    managers = hosts["kube_controller_manager"] + hosts["kube_scheduler"]
    of_kubernetes = set(hosts["kube_apiserver"] + managers + hosts["kube_node"])
    # Or they would be one host's own, such as in group_vars of one part, while others go by theirs.
    _all_alike(ONE_OF_KUBERNETES, views, of_kubernetes, say)
    _all_alike(ONE_OF_ETCD, views, hosts["etcd"] + hosts["kube_apiserver"], say)
    _balancers(views, everyone, groups, names, say)
    _pod_networks(views, everyone, hosts, say)
    nodes = hosts["kube_node"]
    _second_addresses(views, everyone, nodes, say)
    looked_at = set()
    for host, view in views.items():
        idea = tuple(str(view[name]) for name in NETWORKS)
        # Most say the same, and of each all hosts' addresses are asked.
        if host in of_kubernetes and idea not in looked_at:
            looked_at.add(idea)
            _networks(view, everyone, say)
        # Who hands out the nodes' parts; with kind bridge nobody does.
        if host in hosts["kube_controller_manager"] and view["cni_kind"] != "bridge":
            _node_masks(view, say)
        if host in nodes:
            _own_pods(host, view, say)
        if host in of_kubernetes:
            _version(host, view, views, hosts["kube_apiserver"], say, managers)
        _endpoint(host, view, views, hosts["kube_apiserver"], say)
        if host in nodes:
            _node_name(host, view, say)
    return {host: sentences for host, sentences in found.items() if sentences}


PARTS = ("etcd", "kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_node", "load_balancer")
# What one cluster has one of: variables by field of the views, and whose hosts use them.
ONE_OF_KUBERNETES = {
    "pod_cidr": "cluster_pod_cidr",
    "service_cidr": "cluster_service_cidr",
    "dns_address": "cluster_dns_address",
    "domain": "cluster_domain",
    "api_port": "cluster_api_port",
}
ONE_OF_ETCD = {"etcd_client_port": "etcd__client_port", "etcd_peer_port": "etcd__peer_port"}
ONE_OF_BALANCERS = {"pair_port": "load_balancer__pair_port", "virtual_address": "virtual_address__address"}


def _etcd(views, groups, names, say):
    group, members = names["etcd"], groups.get(names["etcd"]) or []
    if members and len(members) % 2 == 0:
        say(
            "",
            "the group %s has %d members, an even number (%s): it survives no more losses than %d would. Add one or take one out."
            % (group, len(members), ", ".join(members), len(members) - 1),
        )
    # Only hosts with an API server know whether someone else runs etcd, and not all of them are in every run.
    given = {}
    for host in groups.get(names["kube_apiserver"]) or []:
        if host in views:
            endpoints = views[host]["etcd_endpoints"]
            given[host] = sorted(map(str, endpoints)) if isinstance(endpoints, list) else []
    if members and any(given.values()):
        say(
            "",
            "the group %s holds %s, and %sendpoints names an etcd that someone else runs. Empty the one or the other."
            % (group, ", ".join(members), GIVEN),
        )
    elif not members and given and not any(given.values()):
        say(
            "",
            "the group %s is missing or empty. Name the hosts that run etcd in it, or an etcd that someone else runs in "
            "%sendpoints." % (group, GIVEN),
        )
    elif not members:
        for host, endpoints in given.items():
            others = [other for other in given if given[other] != endpoints]
            if others:
                say(
                    host,
                    "%sendpoints is another one than on %s. All API servers must keep their data in one etcd: set it for all "
                    "alike." % (GIVEN, ", ".join(others)),
                )


def _network(text):
    try:
        return ipaddress.ip_network(str(text)) if "/" in str(text) else None
    except ValueError:
        return None


def _address(text):
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


def _addresses(everyone, say):
    owners = {}
    for host, view in everyone.items():
        address = _address(view["address"])
        if address is None:
            say(
                host,
                "cluster_address %r is no IP address. Set ansible_host or cluster_address to the address at which other hosts "
                "reach this one." % view["address"],
            )
            continue
        if address.version != 4:
            say(
                host,
                "cluster_address %s is no IPv4 address, and etcd, API servers, balancers and nodes talk to one another over IPv4. Set "
                "cluster_address to the host's IPv4 address; with both families a node has the other one in cluster_address_v6."
                % address,
            )
        owners.setdefault(str(view["address"]), []).append(host)
    _each_its_own(
        owners,
        "cluster_address %s is also the address of %s. Give each host its own (ansible_host or cluster_address).",
        say,
    )


def _names(everyone, say):
    """One name is one Node object, and one member of etcd."""
    owners = {}
    for host, view in everyone.items():
        owners.setdefault(view["node_name"], []).append(host)
    _each_its_own(owners, "cluster_node_name %s is also the name of %s. Give each host its own.", say)


def _node_name(host, view, say):
    if not NODE_NAME.match(view["node_name"]):
        say(host, "cluster_node_name %r is no DNS name in lower case. Set one." % view["node_name"])


def _long_names(views, groups, names, say):
    """A node's name stands in the common names of its certificates."""
    prefixes = {"kube_node": "system:node:", "kube_apiserver": "kube-apiserver-", "etcd": ""}
    for host, view in views.items():
        for part, prefix in prefixes.items():
            if part == "kube_apiserver" and view.get("etcd_endpoints"):
                prefix = ""  # its client's certificate for etcd is given
            room = pki.COMMON_NAME - len(prefix)
            if host in (groups.get(names[part]) or []) and len(view["node_name"]) > room:
                say(
                    host,
                    "cluster_node_name %s has %d characters, and %d fit into the certificate of a host of %s. Set a shorter one."
                    % (view["node_name"], len(view["node_name"]), room, names[part]),
                )


def _each_its_own(owners, words, say):
    """Tell each owner of a value that others have too, and who they are."""
    for value, hosts in owners.items():
        for host in hosts if len(hosts) > 1 else []:
            say(host, words % (value, ", ".join(other for other in hosts if other != host)))


FAMILIES = ("IPv4", "IPv6")
NETWORKS = ("pod_cidr", "service_cidr", "dns_address")
CIDRS = ("pod_cidr", "service_cidr")
LARGEST_SERVICES = (12, 108)  # prefixes; more addresses than 2^20 no cluster uses
IPV6_PART = 16  # by how much a node's prefix may be longer than the cluster's: NewCIDRSet of kube-controller-manager


def _parts(text):
    """The networks of a value such as 10.244.0.0/16,fd00:10:244::/56; None where there is something else in it."""
    return [_network(part.strip()) for part in str(text).split(",")]


def _of_families(parts):
    """Whether these are one IPv4 network, or one of each family in order."""
    return tuple("IPv%d" % part.version for part in parts) in (FAMILIES[:1], FAMILIES)


def _alike(variable, values, say):
    """Tell where a variable differs; returns the hosts by value.

    :arg values: dict of host to value.
    """
    found = {}
    for host, value in values.items():
        found.setdefault(value, []).append(host)
    if len(found) > 1:
        told = "; ".join("%s on %s" % (value, ", ".join(hosts)) for value, hosts in sorted(found.items()))
        say("", "%s differs: %s. Set it for all hosts alike, in group_vars/all." % (variable, told))
    return found


def _all_alike(variables, views, concerned, say):
    """Tell which variables differ between the hosts that they concern.

    :arg variables: dict of a view's field to the variable's name.
    """
    for field, variable in variables.items():
        _alike(variable, {host: str(view[field]) for host, view in views.items() if host in concerned}, say)


def _pod_networks(views, everyone, hosts, say):
    # Who gives nodes their parts, and where the network's objects are kept, must know who owns the network too.
    nodes, servers = hosts["kube_node"], [host for host in hosts["kube_apiserver"] if host in views]
    concerned = set(nodes + hosts["kube_controller_manager"] + servers)
    _all_alike({"cni_kind": "cni__kind"}, views, concerned, say)
    _all_alike({"cni_manifests": "cni__manifests"}, views, servers, say)
    if servers and not any(views[host]["cni_manifests"] for host in servers):
        for host in sorted(concerned & set(views)):
            if views[host]["cni_manifests"]:
                say(
                    host,
                    "cni__manifests is set, and not for the hosts with API servers (%s), which keep them. Set it for all hosts "
                    "alike, in group_vars/all." % ", ".join(servers),
                )
    owners = {}
    bridged = {host: view for host, view in views.items() if host in nodes and view["cni_kind"] == "bridge"}
    if bridged:  # and so are the nodes that the run leaves out
        bridged.update((host, view) for host, view in everyone.items() if host in nodes and host not in views)
    for host, view in bridged.items():
        for mine in _parts(view["cni_pod_cidr"] or ""):
            if mine is not None:
                owners.setdefault(mine, []).append(host)
    _each_its_own(owners, "cni__pod_cidr %s is also the one of %s. Give each node its own.", say)
    _apart(owners, say)


def _apart(owners, say):
    """Tell the owners of networks that hold one another; such networks stand one after the other once they are sorted.

    :arg owners: dict of network to hosts.
    """
    outer = None
    for mine in sorted(owners, key=lambda one: (one.version, int(one.network_address), one.prefixlen)):
        if outer is None or mine.version != outer.version or not mine.overlaps(outer):
            outer = mine
            continue
        for one, other in ((mine, outer), (outer, mine)):
            for host in owners[one]:
                say(
                    host,
                    "cni__pod_cidr %s overlaps %s of %s. Give each node a part of its own."
                    % (one, other, ", ".join(owners[other])),
                )


def _second_addresses(views, everyone, nodes, say):
    """The nodes' IPv6 addresses, where the cluster has both families."""
    owners = {}
    for host, view in everyone.items():
        text = view["address_v6"]
        address = _address(text) if text else None
        if text and (address is None or address.version != 6 or address.is_link_local):
            say(
                host,
                "cluster_address_v6 %r is no IPv6 address that other hosts could reach. Set the one that this host has beside "
                "cluster_address." % text,
            )
        elif address is not None:
            owners.setdefault(str(address), []).append(host)
        dual = host in views and len(_parts(view["pod_cidr"])) > 1
        if dual and host in nodes and not text:
            say(
                host,
                "cluster_pod_cidr %s has both families, and this node has no cluster_address_v6. Set its IPv6 address, or take "
                "the IPv6 networks away." % view["pod_cidr"],
            )
    _each_its_own(owners, "cluster_address_v6 %s is also the address of %s. Give each host its own.", say)


def _networks(view, everyone, say):
    """The networks of pods and Services, as one host's variables name them."""
    there = {}
    for field in CIDRS:
        name, text = "cluster_" + field, view[field]
        parts = _parts(text)
        if None in parts:
            say("", "%s %r is no network in CIDR notation, such as 10.244.0.0/16. Mend it." % (name, text))
            continue
        if not _of_families(parts):
            say(
                "",
                "%s %s is neither one IPv4 network nor an IPv4 and an IPv6 network, in this order, with a comma between. Mend it."
                % (name, text),
            )
            continue
        there[field] = parts
        for part in parts:
            for other, other_view in everyone.items():
                for address in (_address(other_view["address"]), _address(other_view["address_v6"] or "")):
                    if address is not None and address in part:
                        say(
                            "",
                            "%s %s holds the address %s of %s. Choose networks that no host is in."
                            % (name, text, address, other),
                        )
    pods, services = (there.get(field, []) for field in CIDRS)
    if pods and services and len(pods) != len(services):
        say(
            "",
            "cluster_pod_cidr %s and cluster_service_cidr %s are not of the same families. Give both an IPv6 network, or neither."
            % (view["pod_cidr"], view["service_cidr"]),
        )
    for pod_part, service_part in zip(pods, services, strict=False):
        if pod_part.overlaps(service_part):
            say(
                "",
                "cluster_pod_cidr %s and cluster_service_cidr %s overlap. Choose two networks that share no address."
                % (pod_part, service_part),
            )
    for part, largest in zip(services, LARGEST_SERVICES, strict=False):
        if part.prefixlen < largest:
            say(
                "",
                "cluster_service_cidr %s is larger than a /%d, the largest that is supported. Choose a smaller one."
                % (part, largest),
            )
    dns = _address(view["dns_address"])
    if dns is None:
        say("", "cluster_dns_address %r is no IP address. Give one inside cluster_service_cidr." % view["dns_address"])
    elif services and not any(dns in part for part in services):
        say(
            "",
            "cluster_dns_address %s is outside cluster_service_cidr %s. Mend one of them."
            % (dns, view["service_cidr"]),
        )


def _node_masks(view, say):
    """Whether each node can take a part of the pods' networks."""
    parts, masks = _parts(view["pod_cidr"]), (view["node_mask"], view["node_mask_v6"])
    if None in parts or not _of_families(parts):
        return  # told already
    for pods, mask, variable in zip(parts, masks, ("ipv4", "ipv6"), strict=False):
        if str(mask).isdigit():  # or it is told as a wrong value
            _node_mask(pods, int(mask), "kube_controller_manager__node_mask_" + variable, say)


def _node_mask(pods, mask, variable, say):
    if pods.prefixlen >= mask:
        say(
            "",
            "cluster_pod_cidr %s is too small: each node takes a /%d of it. Choose a larger network or a longer %s."
            % (pods, mask, variable),
        )
    elif mask > pods.max_prefixlen - 2:
        say("", "%s %d leaves a node no addresses for its pods. Choose a shorter one." % (variable, mask))
    elif pods.version == 6 and mask - pods.prefixlen > IPV6_PART:
        say(
            "",
            "%s %d is more than %d longer than the prefix of cluster_pod_cidr %s, and kube-controller-manager would not start. "
            "Choose /%d or longer for the pods, or a shorter one for the nodes."
            % (variable, mask, IPV6_PART, pods, mask - IPV6_PART),
        )


def _own_pods(host, view, say):
    """With kind bridge, whether a node's networks are parts of the cluster's, one of each."""
    if view["cni_kind"] != "bridge":
        return
    pods, mine = _parts(view["pod_cidr"]), _parts(view["cni_pod_cidr"] or "")
    inside = len(pods) == len(mine) and all(
        None not in pair and pair[0].version == pair[1].version and pair[0].subnet_of(pair[1])
        for pair in zip(mine, pods, strict=True)
    )
    if not inside and None not in pods:
        say(
            host,
            "cni__pod_cidr %r is no network inside cluster_pod_cidr%s; cni__kind bridge needs one for each node."
            % (view["cni_pod_cidr"], ", or not one for each family" if len(pods) > 1 else ""),
        )


def _minor(version):
    found = re.match(r"^(\d+)\.(\d+)\.(\d+)$", str(version))
    return (int(found.group(1)), int(found.group(2))) if found else None


def _version(host, view, views, api_hosts, say, managers=()):
    minor = _minor(view["version"])
    if minor is None:
        say(host, "cluster_version %r is no version such as 1.36.3. Mend it." % view["version"])
        return
    if "%d.%d" % minor not in SUPPORTED:
        say(host, "cluster_version %s is not supported; these are: %s." % (view["version"], ", ".join(SUPPORTED)))
    for server in api_hosts:
        other = _minor(views[server]["version"]) if server in views else None
        if other is None or host == server:
            continue
        if minor > other and (host not in api_hosts or minor[1] - other[1] > 1):
            words = "is newer than %s on %s, which runs an API server. Raise API servers first."
        elif host in api_hosts and other[1] - minor[1] > 1:
            words = "is more than one minor version behind %s on %s. API servers may differ by one."
        elif host in managers and other[1] - minor[1] > 1:
            words = (
                "is more than one minor version behind %s on %s, which a controller manager or a scheduler may not be."
            )
        elif other[1] - minor[1] > KUBELET_MAY_LAG:
            words = "is more than three minor versions behind %s on %s, which a kubelet may not be."
        else:
            continue
        say(host, ("cluster_version %s " + words) % (view["version"], views[server]["version"], server))


PAIRS = ("haproxy", "nginx", "hybrid")  # the kinds with balancers on hosts of ours
SHARED = ("balancer", "endpoint", "virtual_address", "pair_port", "router_id", "pod_cidr", "service_cidr")


def _balancers(views, everyone, groups, names, say):
    """Whether what is to balance can: its hosts, its address, and that all hosts mean the same."""
    group = names["load_balancer"]
    hosts = groups.get(group) or []
    kinds = _alike("load_balancer__kind", {host: view["balancer"] for host, view in views.items()}, say)
    if len(kinds) > 1:
        return
    for kind in kinds:
        if kind in PAIRS and len(hosts) < 2:
            say(
                "",
                "the group %s has %d hosts, and load_balancer__kind %s wants two or more: one stands in for another. Name them "
                "in it, or choose another kind." % (group, len(hosts), kind),
            )
        elif kind not in PAIRS and hosts:
            say(
                "",
                "the group %s has the hosts %s, and load_balancer__kind %s uses none. Choose haproxy, nginx or hybrid, or take "
                "them out." % (group, ", ".join(hosts), kind),
            )
        if kind in PAIRS:
            _all_alike(ONE_OF_BALANCERS, views, views, say)
            _all_alike({"router_id": "virtual_address__router_id"}, views, hosts, say)
        for host, view in views.items():
            if str(view["check_within"]).lstrip("-").isdigit() and int(view["check_within"]) < 1:
                say(host, "load_balancer__check_within %s is less than 1 s. Mend it." % view["check_within"])
        _all_alike({"check_within": "load_balancer__check_within"}, views, views, say)
    api_hosts = groups.get(names["kube_apiserver"]) or []
    nodes = groups.get(names["kube_node"]) or []
    looked_at = set()
    for host, view in views.items():
        # A node asks a balancer of its own there, also where its host balances for all.
        balances = view["balancer"] == "local" or host in hosts
        if balances and host in api_hosts and host in nodes and str(view["own_port"]) == str(view["api_port"]):
            say(
                host,
                "runs an API server and a balancer of its own, both at port %s. Choose another load_balancer__port."
                % view["api_port"],
            )
        if view["balancer"] == "local":
            continue
        if host in hosts and host in api_hosts and str(view["pair_port"]) == str(view["api_port"]):
            say(
                host,
                "runs an API server and a balancer, both at port %s. Choose another port for the balancer, in "
                "cluster_api_endpoint or load_balancer__pair_port." % view["api_port"],
            )
        # Most hosts mean the same, and it is looked at once.
        idea = tuple(str(view[name]) for name in SHARED)
        if idea not in looked_at:
            looked_at.add(idea)
            _shared_address(view, everyone, hosts, api_hosts, say)


def _shared_address(view, everyone, balancers, api_hosts, say):
    """What a host's variables say of the address that all share."""
    kind, endpoint, text = view["balancer"], str(view["endpoint"] or ""), view["virtual_address"]
    name, dummy, port = endpoint.rpartition(":")
    name = name.strip("[]")
    if not endpoint:
        say(
            "",
            "load_balancer__kind %s wants cluster_api_endpoint, the host:port of %s. Set it."
            % (kind, "the address that the balancers share" if kind in PAIRS[:2] else "your balancer"),
        )
    if kind == "external" and text:
        say(
            "",
            "virtual_address__address %s is set, and load_balancer__kind external has no hosts to hold it. Unset it."
            % text,
        )
        return
    if kind not in PAIRS:
        owner = next(
            (server for server in api_hosts if server in everyone and str(everyone[server]["address"]) == name), None
        )
        if owner and len(api_hosts) > 1:
            say(
                "",
                "cluster_api_endpoint %s is the address of %s alone, which is no balancer. Give your balancer's address, or set "
                "load_balancer__kind: local." % (endpoint, owner),
            )
        return
    if endpoint and kind != "hybrid" and not text:
        say(
            "",
            "cluster_api_endpoint %s is a name, so virtual_address__address must say which address it stands for. Set it."
            % endpoint,
        )
    if text:
        _virtual_address(view, text, name, everyone, balancers, say)
    if kind != "hybrid" and port.isdigit() and str(view["pair_port"]) != port:
        say(
            "",
            "load_balancer__pair_port %s is not the port of cluster_api_endpoint %s. With load_balancer__kind %s they are the "
            "same: unset load_balancer__pair_port." % (view["pair_port"], endpoint, kind),
        )
    if not str(view["router_id"]).isdigit() or not 1 <= int(view["router_id"]) <= 255:
        say("", "virtual_address__router_id %s is outside 1 to 255. Mend it." % view["router_id"])


def _virtual_address(view, text, endpoint_name, everyone, balancers, say):
    """Whether an address can be one that moves between the balancers' hosts."""
    virtual, kind = _address(text), view["balancer"]
    variable = "cluster_api_endpoint" if text == endpoint_name else "virtual_address__address"
    if virtual is None:
        say(
            "",
            "%s %r is no IP address. Give one that is free in the network of the balancers' hosts." % (variable, text),
        )
        return
    for other, other_view in everyone.items():
        address = _address(other_view["address"])
        if address == virtual:
            say(
                "",
                "%s: the virtual address %s is the address of %s. Choose a free one in the same network."
                % (variable, text, other),
            )
        elif other in balancers and address is not None and address.version != virtual.version:
            say(
                "",
                "%s: the virtual address %s is an address of IPv%d, and %s has %s. Choose one of its network."
                % (variable, text, virtual.version, other, address),
            )
    for name in CIDRS:
        for network in _parts(view[name]):
            if network is not None and virtual in network:
                say(
                    "",
                    "%s: the virtual address %s is in cluster_%s %s. Choose one outside."
                    % (variable, text, name, network),
                )
    if kind != "hybrid" and _address(endpoint_name) not in (None, virtual):
        say(
            "",
            "virtual_address__address %s is not the address in cluster_api_endpoint %s. With load_balancer__kind %s they are the "
            "same; for a balancer of yours in front choose hybrid." % (text, view["endpoint"], kind),
        )


def _endpoint(host, view, views, api_hosts, say):
    endpoint = view["endpoint"]
    if not endpoint:
        return
    found = re.match(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$", str(endpoint))
    if not found or not 0 < int(found.group(2)) < 65536:
        say(host, "cluster_api_endpoint %r is not host:port. Mend it." % endpoint)
        return
    name = found.group(1).strip("[]")
    for server in api_hosts:
        if server in views and name not in views[server]["api_names"]:
            say(
                host,
                "cluster_api_endpoint %s is outside the names of the API server's certificate on %s (%s). Set it for all hosts "
                "alike, or add the name to kube_apiserver__extra_sans."
                % (endpoint, server, ", ".join(views[server]["api_names"])),
            )


# ---- what a running cluster can't become ----

LOOPBACK = re.compile(r"https://(127\.[0-9.]+|localhost\b|\[::1\])")
NETWORK_OF = {"flanneld": "flannel", "cni-routes": "bridge"}  # by unit


def running_findings(views, seen, nodes, members):
    """Sentences by host about what hosts run and can't be turned from while they do.

    :arg views: as of cluster_findings().
    :arg seen: dict of host to what the survey told of it.
    :arg nodes: hosts that are nodes.
    :arg members: by host of the group etcd, those that the run leaves out too, its address.
    """
    found = {}
    for host, view in views.items():
        for sentence in _another_network(seen[host]["unwanted"], view) if host in nodes else []:
            found.setdefault(host, []).append(sentence)
    asking = [host for host in nodes if host not in seen]
    asking += [host for host in seen if any(not LOOPBACK.match(server) for server in seen[host]["asks"])]
    had = {address for told in seen.values() for address in told["has"]}
    for host, view in views.items():
        sentences = [_moved(seen[host], view, asking), _moved_address(host, view, seen, nodes)]
        if host in nodes:
            sentences.append(_renamed(host, seen[host]["node"], view["node_name"]))
        if seen[host]["taken"] and view["virtual_address"] not in had:
            sentences.append(
                "is to hold the virtual address %s, which somebody has already: a connection there is taken or refused, and no host that "
                "this run reaches has it. Choose a free one. Where a balancer has it that this run leaves out or does not reach, let it "
                "take part, or turn it off. Where it left the inventory, put it back into the group beside the new ones, run, and take "
                "it out with remove_node.yml (docs/load-balancers.md)." % view["virtual_address"]
            )
        if view["api_names"]:
            sentences.append(_another_etcd(host, view, seen, members))
            sentences += _settled(seen[host]["settled"], view)
        for sentence in filter(None, sentences):
            found.setdefault(host, []).append(sentence)
    return found


def running_alone_findings(role, views, seen, members):
    """Sentences by host about what hosts run and can't be turned from by one role that is used alone; as running_findings()."""
    looks = {
        "kubelet": lambda host, view: [_renamed(host, seen[host]["node"], view["node_name"])],
        "cni": lambda host, view: _another_network(seen[host]["unwanted"], view),
        "kube_apiserver": lambda host, view: [
            _another_etcd(host, view, seen, members),
            *_settled(seen[host]["settled"], view),
        ],
    }
    found = {host: list(filter(None, looks[role](host, view))) for host, view in views.items()}
    return {host: sentences for host, sentences in found.items() if sentences}


def _another_network(unwanted, view):
    """Why a node's pods can't get a network of another kind now."""
    for unit in sorted(set(unwanted) & set(NETWORK_OF)):
        yield (
            "is a node with the network of cni__kind %s (unit %s), and cni__kind is %s now: its pods would keep addresses of the "
            "old network. Set cni__kind: %s again; to change it, reset the nodes with that before you set the new one "
            "(docs/networks.md)." % (NETWORK_OF[unit], unit, view["cni_kind"], NETWORK_OF[unit])
        )


def _settled(now, view):
    """What a cluster that an API server has served can't turn to: others rely on it, or on its objects."""
    again = "Set %s: %s again"
    port, services, version = (
        now.get(name, "") for name in ("cluster_api_port", "cluster_service_cidr", "cluster_version")
    )
    if port and port != str(view["api_port"]):
        yield (
            "has served at port %s, and cluster_api_port is %s now: whoever asks there would lose it one server after the other. %s; a "
            "balancer may have another port (docs/load-balancers.md)."
            % (port, view["api_port"], again % ("cluster_api_port", port))
        )
    # A second family may come beside the first, or go.
    first = _parts(services)[0]
    if first and first != _parts(view["service_cidr"])[0]:
        yield (
            "has served Services in %s, and cluster_service_cidr is %s now: those that are there would keep addresses that nobody "
            "knows. %s." % (first, view["service_cidr"], again % ("cluster_service_cidr", services))
        )
    before, wished = _minor(version), _minor(view["version"])
    if before and wished and wished[0] == before[0] and wished[1] - before[1] > 1:
        yield (
            "has served with version %s, and cluster_version %s skips a minor version. Raise it one by one: set the last %d.%d "
            "first, and run." % (version, view["version"], before[0], before[1] + 1)
        )
    elif before and wished and wished < before:
        yield (
            "has served with version %s, and cluster_version %s is older: it may not read what the newer one wrote into etcd. "
            "%s." % (version, view["version"], again % ("cluster_version", version))
        )


def _another_etcd(host, view, seen, members):
    """Why a host's API server can't turn to the etcd that is wished, or None: what the cluster keeps may not be there."""
    now = [_at(server, view["address"]) for server in seen[host]["stores"]]
    if not now:
        return None
    kept = "has served a cluster that keeps its objects in etcd at %s, and " % ", ".join(now)
    before = {urlsplit(server).hostname for server in now}
    if view["etcd_endpoints"]:
        given = [_at(server, view["address"]) for server in view["etcd_endpoints"]]
        if before & {urlsplit(server).hostname for server in given}:
            return None
        return kept + (
            "%sendpoints names others only (%s), where they are not. Set what was set before. If it is the same etcd at other "
            "addresses, name one of the present ones beside these, run, and take it out again."
            % (GIVEN, ", ".join(given))
        )
    turns = not before & {members[member] for member in ([host] if host in members else members)}
    looks = {member: seen[member]["etcd"] for member in members if "etcd" in seen.get(member, {})}
    answers = [look for look in looks.values() if look["members"]]
    if answers:
        if not (turns and any(look["empty"] for look in answers)):
            return None
    elif any(look["data"] for look in looks.values()):
        return None  # it may well be there: others see to it that etcd comes up
    elif set(looks) != set(members):
        if not turns:
            return None
        return kept + (
            "is to turn to %s, where nobody answers or this run does not ask. Whether they hold the cluster's objects must be seen "
            "first: bring them up, or name them in --limit too." % ", ".join(members)
        )
    return kept + (
        "the group of etcd (%s) holds no data: an empty etcd would take their place. Put the hosts that hold them back into the "
        "group; new ones join beside them, and old ones leave afterwards (docs/nodes.md). If the data is gone for good and the "
        "cluster is to begin anew, reset this host first: playbooks/reset.yml --limit %s." % (", ".join(members), host)
    )


def _at(server, own):
    """An https:// address as others see it: own in the place of loopback."""
    return LOOPBACK.sub("https://%s" % own, server)


def _moved(seen, view, asking):
    """Why a host's balancer can't be put elsewhere now, or None. It would be, before those that ask there are turned."""
    now = seen["balances"]
    wished = "127.0.0.1" if view["balancer"] == "local" else "*:%s" % view["pair_port"]
    if not now.startswith("*:") or now == wished or "load-balancer" in seen["unwanted"] or not asking:
        return None
    who = _some(asking)
    if view["balancer"] == "local":
        return (
            "balances at port %s for all, and with load_balancer__kind local would balance for itself alone while %s still ask "
            "there. Let other hosts balance first, in the group load_balancer (docs/load-balancers.md)."
            % (now[2:], who)
        )
    return (
        "balances at port %s, and would at port %s while %s still ask at the other one. Turn the cluster to load_balancer__kind: local "
        "first, with the group load_balancer empty, and then to this; where nobody asks this host any more, reset it first "
        "(docs/load-balancers.md)." % (now[2:], wished[2:], who)
    )


def _moved_address(host, view, seen, nodes):
    """Why a host's keepalived can't hold another address now, or None. It would, before those that ask there are turned."""
    now, wished = seen[host]["holds"], view["virtual_address"]
    if not now or not wished or now == wished or "virtual-address" in seen[host]["unwanted"]:
        return None
    asking = [node for node in nodes if node not in seen]
    for other, told in seen.items():
        at = {(urlsplit(server).hostname or "") for server in told["asks"] if not LOOPBACK.match(server)}
        # Whoever asks at a balancer in front comes here by way of that one.
        if now in at or (at and view["balancer"] == "hybrid"):
            asking.append(other)
    if not asking:
        return None
    return (
        "holds the virtual address %s, and would hold %s while %s still ask at the other one. Turn the cluster to "
        "load_balancer__kind: local first, with the group load_balancer empty, and then to this (docs/load-balancers.md)."
        % (now, wished, _some(asking))
    )


def _renamed(host, now, wished):
    """Why a node can't have another name now, or None."""
    if not now or now == wished:
        return None
    return (
        "is the node %s, and its kubelet would register as %s, a new node: its pods would end, and the old one would stay. Set "
        "cluster_node_name: %s for it; or take the host out under its old name first (remove_node.yml), and let it join as a new "
        "one." % (now, wished, now)
    )


def _some(hosts):
    """The first of them, in words."""
    return ", ".join(hosts[:3]) + (" and others" if len(hosts) > 3 else "")


# ---- roles that are used alone, from a playbook of one's own ----

# Whose hosts a role takes for its own, and those that may run anywhere.
PART_OF = {
    "etcd": "etcd",
    "kube_apiserver": "kube_apiserver",
    "kube_controller_manager": "kube_controller_manager",
    "kube_scheduler": "kube_scheduler",
    "kubelet": "kube_node",
    "cni": "kube_node",
    "kube_proxy": "kube_node",
    "virtual_address": "load_balancer",
}
WITHOUT_CLUSTER = ("host", "containerd")  # of no cluster's business


def alone_findings(role, views, groups, names):
    """Sentences by host ('' for all) about what one role lacks that a playbook of somebody's own uses.

    :arg role: the role's name.
    :arg views: dict of host to dict with address, address_v6, node_name, version, endpoint, api_names, etcd_endpoints, pod_cidr,
        balancer, cni_kind, cni_pod_cidr, authorities (whether the folder of authorities is there) and controller_dir.
    :arg groups: the inventory's groups, name to list of hosts.
    :arg names: dict of part to the group's name.
    """
    found = {}

    def say(host, sentence):
        if sentence not in found.setdefault(host, []):
            found[host].append(sentence)

    if role in WITHOUT_CLUSTER:
        return {}
    part = PART_OF.get(role)
    for host in views:
        if part and host not in (groups.get(names[part]) or []):
            say(
                host,
                "is not in the group %s, and role %s takes the hosts of that group for its own. Put it there, or set "
                "cluster_%s_group to the name of yours." % (names[part], role, part),
            )
    founders = (groups.get(names["etcd"]) or []) + (groups.get(names["kube_apiserver"]) or [])
    _addresses(views, say)
    if part == "kube_node":
        _second_addresses(views, views, list(views), say)
    if role == "kubelet":
        _long_names(views, {names[part]: list(views)}, names, say)
        for host, view in views.items():
            _node_name(host, view, say)
    if role == "etcd":
        _etcd(views, groups, names, say)
        return {host: sentences for host, sentences in found.items() if sentences}
    for host, view in views.items():
        if role == "cni":
            _own_pods(host, view, say)
            if view["cni_kind"] != "flannel":
                continue
        if not view["authorities"] and not founders:
            say(
                "",
                "there is no folder with the cluster's authorities in cluster_controller_dir (%s), and the inventory names no host "
                "of etcd or of an API server, so the cluster must be there already. Point cluster_controller_dir at its "
                "folder." % view["controller_dir"],
            )
        _way_to_api(role, host, view, groups, names, say)
        if role not in ("load_balancer", "virtual_address"):
            managers = list(views) if role in ("kube_controller_manager", "kube_scheduler") else ()
            _version(host, view, views, groups.get(names["kube_apiserver"]) or [], say, managers)
        _endpoint(host, view, views, [host] if role == "kube_apiserver" else [], say)
    if role == "kube_apiserver":
        _etcd(views, groups, names, say)
    return {host: sentences for host, sentences in found.items() if sentences}


def _way_to_api(role, host, view, groups, names, say):
    """Whether a role that is used alone knows where the API is."""
    group = names["kube_apiserver"]
    servers = groups.get(group) or []
    if role == "kube_apiserver" or (host in servers and role in ("kube_controller_manager", "kube_scheduler")):
        return  # it is on this very host
    if role in ("load_balancer", "virtual_address"):
        if not servers:
            say(
                "",
                "the group %s is missing or empty, so there is nothing to balance. Name the hosts that run API servers in it, with "
                "their addresses, or set cluster_kube_apiserver_group to the name of yours." % group,
            )
    elif (
        view["balancer"] == "local" and not servers and (role not in ("kubectl", "cluster_dns") or not view["endpoint"])
    ):
        say(
            "",
            "nothing says where the API is: the group %s is missing or empty, and load_balancer__kind is local. Set "
            "load_balancer__kind: external and cluster_api_endpoint to the host:port of the cluster; or name the hosts that run "
            "API servers in that group (cluster_kube_apiserver_group), and use role load_balancer on this host too."
            % group,
        )
    elif view["balancer"] != "local" and not view["endpoint"]:
        say(
            "",
            "load_balancer__kind %s wants cluster_api_endpoint, the host:port of the cluster. Set it."
            % view["balancer"],
        )
