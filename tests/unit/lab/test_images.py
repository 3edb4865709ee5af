"""The lab hands its images to the roles through the variable that an air-gapped site uses."""

from hwlab import inventory


def test_archives_become_the_roles_variable() -> None:
    """One entry an archive, its address one that the mirror's path follows from."""
    found = inventory.image_archives({"pause": ("3.10.1", "images/pause-3.10.1.tar", "registry.k8s.io/pause:3.10.1")})
    assert found == {
        "containerd__image_archives": [
            {
                "name": "pause",
                "version": "3.10.1",
                "url": "http://images/pause-3.10.1.tar",
                "images": ["registry.k8s.io/pause:3.10.1"],
            }
        ]
    }
