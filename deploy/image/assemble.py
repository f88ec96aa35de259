#!/usr/bin/python3
"""Writes the image's root file system and the list of what is in it; deploy/image/build calls it.

    assemble.py ROOT LIST --binaries=DIR --boringssl=DIR --boringssl_revision=R --release=R --revision=R --epoch=SECONDS
"""

import argparse
import json
import subprocess
import sys

from contents import Contents
from sbom import document


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="an empty folder")
    parser.add_argument("list", help="the file to write the list to")
    for name in ("binaries", "boringssl", "boringssl_revision", "release", "revision"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epoch", required=True, type=int)
    options = parser.parse_args()
    try:
        contents = Contents(options.root, options.binaries, options.boringssl)
        listed = document(contents, options.release, options.revision, options.boringssl_revision, options.epoch)
    except (OSError, LookupError, subprocess.CalledProcessError) as error:
        # A program that was not built, a library that no package brought, documentation that is not installed.
        sys.exit(f"error: {error}")
    with open(options.list, "w", encoding="utf-8") as out:
        json.dump(listed, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
