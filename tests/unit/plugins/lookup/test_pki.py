"""The lookup pki, found by its full name as in a playbook."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar
from ansible_collections.hardway.kubernetes.plugins.plugin_utils.pki import Pki


def look(*terms: str, folder: str, check: bool = False) -> list[str]:
    templar = Templar(loader=DataLoader(), variables={})
    plugin = lookup_loader.get("hardway.kubernetes.pki", loader=DataLoader(), templar=templar)
    return plugin.run(list(terms), variables={"ansible_check_mode": check}, folder=folder)


def test_files_of_the_folder(made_pki: Pki) -> None:
    assert look("service-account.pub", "encryption.key", folder=made_pki.folder) == [
        made_pki.read("service-account.pub"),
        made_pki.read("encryption.key"),
    ]


@pytest.mark.parametrize("name", ["kubernetes-ca.key", "etcd-ca.key", "front-proxy-ca.key", "../pki/etcd-ca.key"])
def test_an_authoritys_key_is_never_given(made_pki: Pki, name: str) -> None:
    for check in (False, True):
        with pytest.raises(AnsibleLookupError, match="never leaves the controller"):
            look(name, folder=made_pki.folder, check=check)


def test_what_is_missing_is_an_error_and_in_check_mode_a_placeholder(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match="service-account.key can't be read"):
        look("service-account.key", folder=str(tmp_path))
    assert look("service-account.key", folder=str(tmp_path), check=True) == ["(made in the first run)"]
