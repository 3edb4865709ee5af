"""The lab: hosts and release files of a whole cluster on one machine."""
