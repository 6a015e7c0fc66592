"""What is in `files/` are tests of a vendor that is not there."""

collect_ignore = ["files"]
