"""What dpkg knows of the files of this machine."""

import functools
import os
import re
import subprocess

COMMON_LICENSES = "/usr/share/common-licenses"
OS_RELEASE = "/usr/lib/os-release"
DEBIAN_VERSION = "/etc/debian_version"
_FIELDS = ("Package", "Version", "Architecture", "Maintainer", "Homepage", "source:Package", "source:Version")


class Package:
    """An installed binary package."""

    def __init__(self, name):
        shown = subprocess.run(["dpkg-query", "-W", "-f", "\n".join(f"${{{field}}}" for field in _FIELDS), name],
                               check=True, capture_output=True, text=True).stdout
        (self.name, self.version, self.architecture, self.maintainer, self.homepage, self.source,
         self.source_version) = shown.split("\n")

    def status(self):
        """What dpkg has of it where it is installed, by which scanners know it."""
        fields = {"Package": self.name, "Status": "install ok installed", "Architecture": self.architecture,
                  "Source": f"{self.source} ({self.source_version})", "Version": self.version, "Maintainer": self.maintainer,
                  **({"Homepage": self.homepage} if self.homepage else {})}
        return "".join(f"{name}: {value}\n" for name, value in fields.items())

    def copyright_file(self):
        """What has to go with its files. FileNotFoundError where the machine keeps no documentation."""
        return os.path.realpath(f"/usr/share/doc/{self.name}/copyright", strict=True)

    @functools.cached_property
    def copyright_text(self):
        with open(self.copyright_file(), encoding="utf-8", errors="replace") as text:
            return text.read()

    def license_names(self):
        """Those that its copyright file names for some of its sources, in Debian's words; none where it is prose."""
        names = set()
        for line in re.findall(r"^License:[ \t]*(\S.*)$", self.copyright_text, re.M):
            names.update(re.split(r"\s*,?\s+(?:and|or)\s+", line.strip()))
        return sorted(name for name in names if re.fullmatch(r"[\w.+~-]+( with .* exception)?", name))

    def common_licenses(self):
        """The texts that it refers to in place of having them: the files they really are."""
        named = re.findall(rf"{COMMON_LICENSES}/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9+])", self.copyright_text)
        return sorted({os.path.join(COMMON_LICENSES, name) for name in named
                       if os.path.exists(os.path.join(COMMON_LICENSES, name))})


@functools.lru_cache(maxsize=None)
def package(name):
    """One object for each."""
    return Package(name)


def release():
    """What this machine's release is called: ("debian", "12")."""
    with open(OS_RELEASE, encoding="utf-8") as text:
        said = dict(line.strip().split("=", 1) for line in text if "=" in line)
    return said["ID"].strip('"'), said["VERSION_ID"].strip('"')


_owners = {}  # By path, as dpkg has it.


def look_up(paths):
    """Asks dpkg about many files at once, for owner(): one question takes it as long as a hundred."""
    asked = [candidate for path in paths for candidate in _candidates(path)]
    shown = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True).stdout
    for names, path in re.findall(r"^(?!diversion by )([^\s:,]+)\S*(?:, \S+)*: (/.*)$", shown, re.M):
        _owners[path] = names


def owner(path):
    """The package that a file is of. LookupError if it is of none."""
    for _ in range(2):
        for candidate in _candidates(path):
            if candidate in _owners:
                return package(_owners[candidate])
        look_up([path])
    raise LookupError(f"{path} is of no Debian package")


def _candidates(path):
    real = os.path.realpath(path)
    # /lib and /usr/lib are one folder, and packages name their files in either.
    return path, real, real.removeprefix("/usr"), "/usr" + real
