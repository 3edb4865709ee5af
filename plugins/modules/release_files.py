#!/usr/bin/python
# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_files
short_description: Bring verified release files of components to a host
description:
  - Downloads each file into a versioned directory of its own. A file whose SHA-256 is not the expected one is never
    unpacked, and a directory appears only once it is whole.
  - What is there already is not read or fetched again. Older versions stay, for a rollback.
  - As an action plugin it can take the files from a folder of the controller.
version_added: 0.1.0
author: hardway.kubernetes authors (@hardway)
attributes:
  check_mode:
    description: Says which files would be fetched.
    support: full
  diff_mode:
    description: Shows the directories that would appear.
    support: full
options:
  files:
    description: The release files that this host needs.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The file's name in messages.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      url:
        description: Upstream's address. C({arch}) stands for the host's architecture, V(amd64) or V(arm64).
        type: str
        required: true
      directory:
        description: Where it goes; must hold the version, since it is never changed in place.
        type: path
        required: true
      checksums:
        description: Pinned SHA-256 (hexadecimal, C(sha256:) before it or not) for each architecture.
        type: dict
        default: {}
      checksum_url:
        description: Where upstream publishes the SHA-256, alone or in a list with file names.
        type: str
      members:
        description: For a tar archive, its members to unpack, each with the name it gets. C({arch}) as in the address.
        type: dict
        default: {}
      unpack_all:
        description: Unpack every regular file of the tar archive into the directory.
        type: bool
        default: false
      file_name:
        description: The name that a file which is not unpacked gets. Its name in the address by default.
        type: str
      mode:
        description: Octal mode of the files.
        type: str
        default: "0755"
  mirror_url:
    description: A mirror that holds upstream's paths below upstream's host names, http, https or file.
    type: str
    default: ""
  local_dir:
    description: A folder of the controller laid out like a mirror.
    type: path
  checksums:
    description: V(pinned) takes the pinned checksum and the published one only where none is pinned; V(published) takes
      the published one always.
    type: str
    choices: [pinned, published]
    default: pinned
  timeout:
    description: Seconds without data after which a download is given up.
    type: int
    default: 30
  staged:
    description: Files that were brought to the host already, by their path below a mirror. Set by the action plugin.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Bring kube-scheduler's release file
  hardway.kubernetes.release_files:
    files:
      - name: kube-scheduler
        version: 1.36.3
        url: https://dl.k8s.io/release/v1.36.3/bin/linux/{arch}/kube-scheduler
        checksum_url: https://dl.k8s.io/release/v1.36.3/bin/linux/{arch}/kube-scheduler.sha256
        directory: /opt/hardway/kube-scheduler/1.36.3
"""

RETURN = r"""
fetched:
  description: Directories that were made.
  returned: always
  type: list
  elements: str
missing:
  description: Paths below a mirror that the host needs from O(local_dir).
  returned: when O(local_dir) is set
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardway.kubernetes.plugins.module_utils.download import Download, Refused, clean_partial
from ansible_collections.hardway.kubernetes.plugins.module_utils.release import RELEASE_SPEC, lacking_files


def main():
    module = AnsibleModule(
        argument_spec=RELEASE_SPEC,
        supports_check_mode=True,
    )
    lacking = lacking_files(module, module.params, Download)
    diff = [
        {
            "before_header": release.directory,
            "after_header": release.directory,
            "before": "absent\n",
            "after": release.url + "\n",
        }
        for release in lacking
    ]
    result = {"changed": bool(lacking), "diff": diff, "fetched": [release.directory for release in lacking]}
    if module.params["local_dir"] and not module.params["staged"]:
        result["missing"] = [release.mirror_path(release.url) for release in lacking]
        result["missing"] += [
            release.mirror_path(release.checksum_url)
            for release in lacking
            if release.checksum_url and not (release.pinned and module.params["checksums"] == "pinned")
        ]
        module.exit_json(**result)
    if lacking and not module.check_mode:
        clean_partial(result["fetched"])
        for release in lacking:
            try:
                release.fetch()
            except Refused as error:
                result["fetched"] = result["fetched"][: lacking.index(release)]
                result["changed"] = bool(result["fetched"])
                module.fail_json(msg=str(error), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
