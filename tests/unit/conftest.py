"""Lets the unit tests import the collection by its full name from this checkout, as Ansible itself does."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".collections"

# Ansible makes its folder for temporary files when it is imported: not in the home of whoever runs the tests.
os.environ.setdefault("ANSIBLE_HOME", os.path.join(tempfile.gettempdir(), f"hardway-unit-{os.getuid()}"))
sys.dont_write_bytecode = True

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

if AnsibleCollectionConfig.collection_finder is None:
    init_plugin_loader([str(COLLECTIONS)])
