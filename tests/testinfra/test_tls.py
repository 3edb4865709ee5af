"""Which versions of TLS and which ciphers each port accepts, tried one by one."""

from __future__ import annotations

import functools

import pytest
import yaml
from hardening import look, open_ports
from lab_cluster import HOSTS, REPOSITORY

ROWS = open_ports()
CIPHERS = yaml.safe_load((REPOSITORY / "roles/cluster/vars/main.yml").read_text())["__cluster__ciphers"]
# Numbers of IANA's registry.
NUMBERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": 0xC02B,
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": 0xC02C,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": 0xC030,
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA8,
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA9,
}
TLS13 = {0x1301, 0x1302, 0x1303}

# Hellos by hand: the ssl module of a current system can't offer what is to be refused.
SCANNER = r"""
import json, os, re, socket, ssl, struct, subprocess, tempfile, threading

NAMES = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
OLD = [n for high in (0x00, 0xC0, 0xCC) for n in range(high << 8, (high << 8) + 256) if n != 0x00FF]
NEW = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305]

def vector(size, data):
    return len(data).to_bytes(size, "big") + data

def extension(number, data):
    return struct.pack("!H", number) + vector(2, data)

def hello(version, suites):
    groups = struct.pack("!4H", 29, 23, 24, 25)
    algorithms = struct.pack("!11H", 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
    extensions = extension(10, vector(2, groups)) + extension(11, vector(1, b"\0")) + extension(13, vector(2, algorithms))
    if version == 0x0304:
        extensions += extension(43, vector(1, struct.pack("!H", version)))
        extensions += extension(51, vector(2, struct.pack("!H", 29) + vector(2, os.urandom(32))))
    written = min(version, 0x0303)
    body = struct.pack("!H", written) + os.urandom(32) + vector(1, b"") \
        + vector(2, b"".join(struct.pack("!H", s) for s in suites)) + vector(1, b"\0") + vector(2, extensions)
    message = b"\x01" + vector(3, body)
    return struct.pack("!BH", 22, min(version, 0x0301)) + vector(2, message)

def chosen(address, port, version, suites):
    # The version and cipher that the server answers with, or None.
    with socket.create_connection((address, port), 3) as connection:
        connection.settimeout(3)
        connection.sendall(hello(version, suites))
        data = b""
        try:
            while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
                more = connection.recv(4096)
                if not more:
                    break
                data += more
        except OSError:
            pass
    if len(data) < 44 or data[0] != 22 or data[5] != 2:
        return None
    answered, at = int.from_bytes(data[9:11], "big"), 43 + 1 + data[43]
    suite = int.from_bytes(data[at:at + 2], "big")
    if suite in NEW:
        answered = 0x0304
    return (answered, suite) if answered == version else None

def scan(address, port):
    accepted = {}
    for version in NAMES:
        left = list(NEW if version == 0x0304 else OLD)
        while True:
            answer = chosen(address, port, version, left)
            if answer is None:
                break
            accepted.setdefault(NAMES[version], []).append(answer[1])
            left.remove(answer[1])
    return accepted

def weak_server():
    # A server that accepts too much, so that the scanner is seen to find it.
    folder = tempfile.mkdtemp()
    pair = [folder + "/c", folder + "/k"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=weak",
                    "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(*pair)
    subprocess.run(["rm", "-r", folder], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    def serve():
        while True:
            connection = listener.accept()[0]
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]

found = []
for line in subprocess.run(["ss", "-Hlntp"], capture_output=True, text=True, check=True).stdout.splitlines():
    address, port = line.split()[3].rsplit(":", 1)
    address = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(address, address.strip("[]"))
    pid = re.search(r"pid=(\d+)", line).group(1)
    unit = re.search(r"/([^/\n]+)\.service", open("/proc/%s/cgroup" % pid).read()).group(1)
    found.append([unit, int(port), scan(address, int(port))])
print(json.dumps({"ports": found, "weak": scan("127.0.0.1", weak_server())}))
"""


@pytest.fixture(scope="session")
def scans(on):
    """What each TCP port of a host accepts; scanned once."""
    return functools.cache(lambda name: look(on(name), SCANNER))


def test_every_cipher_has_its_number():
    """What the components are told is known here by the registry's number."""
    assert sorted(CIPHERS) == sorted(NUMBERS)


@pytest.mark.parametrize("name", HOSTS[:1])
def test_the_scanner_finds_a_weak_server(scans, name):
    """Old versions, ciphers without forward secrecy and with CBC are noticed where there are any."""
    weak = scans(name)["weak"]
    assert {"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"} <= set(weak)
    assert {0x002F, 0x009C, 0xC013} <= set(weak["TLS 1.2"])


@pytest.mark.parametrize("name", HOSTS)
def test_tls_is_spoken_where_the_table_says_so(scans, name):
    """Each TCP port speaks TLS, or is documented not to."""
    ports = scans(name)["ports"]
    for row in ROWS:
        port, protocol = row["port"].split("/")
        answers = [bool(tls) for unit, seen, tls in ports if unit == row["unit"] and port in (str(seen), "free")]
        if protocol == "tcp" and row["unit"] in [unit for unit, _seen, _tls in ports]:
            assert answers, row
            assert set(answers) == {row["TLS"] == "yes"}, row


@pytest.mark.parametrize("name", HOSTS)
def test_only_current_versions_and_ciphers(scans, name):
    """TLS 1.2 and 1.3, forward secrecy and authenticated encryption, whatever is offered."""
    speaking = [(unit, port, accepted) for unit, port, accepted in scans(name)["ports"] if accepted]
    assert speaking
    for unit, port, accepted in speaking:
        assert set(accepted) == {"TLS 1.2", "TLS 1.3"}, (unit, port)
        assert set(accepted["TLS 1.2"]) <= set(NUMBERS.values()), (unit, port)
        assert set(accepted["TLS 1.3"]) <= TLS13, (unit, port)
