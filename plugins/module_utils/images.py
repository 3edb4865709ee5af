# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images that are loaded from archives."""

from __future__ import annotations

import os

CTR = ["/usr/local/bin/ctr", "--namespace", "k8s.io", "images"]


def lacking_images(module, archives):
    """Images that containerd does not have, by the path of the archive that holds them."""
    there = set()
    if archives and (os.path.exists(CTR[0]) or not module.check_mode):
        code, out, dummy = module.run_command(CTR + ["list", "--quiet"], check_rc=not module.check_mode)
        there = set(out.split()) if code == 0 else set()
    lacking = {archive["path"]: [image for image in archive["images"] if image not in there] for archive in archives}
    return {path: images for path, images in lacking.items() if images}


def keep_images(module, archives, state):
    """Import the archives that hold images which containerd lacks, and note those in the host's state.

    :returns: paths of these archives.
    """
    lacking = lacking_images(module, archives)
    for path, images in lacking.items():
        for image in images:
            state.note(image, "absent\n", "loaded\n")
        if not module.check_mode:
            # An image is unpacked where and when a pod first needs it, not on every host.
            module.run_command(CTR + ["import", "--no-unpack", path], check_rc=True)
    return list(lacking)


IMAGES_SPEC = {
    "archives": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "path", "required": True},
            "images": {"type": "list", "elements": "str", "required": True},
        },
    },
}
