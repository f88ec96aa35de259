"""The list of what is in the image, as SPDX 2.3 in JSON: every file with its checksums, and the package it is of."""

import datetime
import hashlib
import json
import re
import uuid
from urllib.parse import quote

import debian
from contents import BORINGSSL, BYRNIE, PROGRAM_DIRECTORY

_DOCUMENT, _IMAGE, _SYSTEM = "SPDXRef-DOCUMENT", "SPDXRef-Image", "SPDXRef-OperatingSystem"


def _id(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _package_id(whose):
    return _id("Package", whose if isinstance(whose, str) else whose.name)


def _file_id(path):
    return _id("File", path.lstrip("/"))


def _debian_package(package):
    names = package.license_names()
    where = f"its copyright file is in the image, as /usr/share/doc/{package.name}/copyright"
    return {
        "name": package.name, "versionInfo": package.version, "supplier": "Organization: Debian",
        "sourceInfo": f"built from the source package {package.source} {package.source_version}, maintained by {package.maintainer}",
        **({"homepage": package.homepage} if package.homepage else {}),
        # That file names the licences of all its sources, not of what was compiled of them, in words that are not SPDX's.
        "licenseDeclared": "NOASSERTION",
        "licenseComments": f"{where}; it names, in Debian's words: {', '.join(names)}" if names else where,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{quote(package.name, safe='')}@{quote(package.version, safe='')}"
                                              f"?arch={package.architecture}&distro={'-'.join(debian.release())}"}],
    }


def _checksums(path):
    with open(path, "rb") as file:
        content = file.read()
    return [{"algorithm": name, "checksumValue": hashlib.new(name.lower(), content).hexdigest()} for name in ("SHA1", "SHA256")]


def document(contents, release, revision, boringssl_revision, epoch):
    """The document, of a Contents and what this release is called. `epoch`: when it was made, in seconds."""
    packages = {
        BYRNIE: {"name": "byrnie", "versionInfo": release, "supplier": "NOASSERTION", "licenseDeclared": "Apache-2.0",
                 "sourceInfo": f"revision {revision}"},
        BORINGSSL: {"name": "boringssl", "versionInfo": boringssl_revision, "supplier": "Organization: Google LLC",
                    "licenseDeclared": "Apache-2.0", "sourceInfo": "linked statically, with hidden symbols"},
        **{package: _debian_package(package) for package in contents.packages()},
    }
    files = {path: _checksums(contents.path(path)) for path in sorted(contents.files)}
    for whose, entry in packages.items():
        sums = sorted(files[path][0]["checksumValue"] for path, owner in contents.files.items() if owner == whose)
        entry.update({"SPDXID": _package_id(whose), "downloadLocation": "NOASSERTION", "licenseConcluded": "NOASSERTION",
                      "copyrightText": "NOASSERTION", "filesAnalyzed": True,
                      "packageVerificationCode": {"packageVerificationCodeValue": hashlib.sha1("".join(sums).encode()).hexdigest()}})
    system_name, system_version = debian.release()
    image, system = ({"name": name, "SPDXID": identifier, "versionInfo": version, "supplier": "NOASSERTION", "downloadLocation": "NOASSERTION",
                      "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
                      "filesAnalyzed": False, "primaryPackagePurpose": purpose}
                     for name, identifier, version, purpose in (("byrnie image", _IMAGE, release, "CONTAINER"),
                                                                (system_name, _SYSTEM, system_version, "OPERATING-SYSTEM")))
    related = [(_DOCUMENT, "DESCRIBES", _IMAGE), (_IMAGE, "CONTAINS", _SYSTEM)]
    related += [(_IMAGE, "CONTAINS", _package_id(whose)) for whose in packages]
    related += [(_package_id(whose), "CONTAINS", _file_id(path)) for path, whose in sorted(contents.files.items())]
    for program in sorted(contents.links):
        of_program = _file_id(f"{PROGRAM_DIRECTORY}/{program}")
        related += [(of_program, "STATIC_LINK", _package_id(whose)) for whose in contents.links[program]]
        related += [(of_program, "DYNAMIC_LINK", _file_id(path)) for path in contents.loads[program]]
    made = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": _DOCUMENT, "name": f"byrnie-{release}",
        "creationInfo": {"created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": [f"Tool: byrnie-image-{release}"]},
        "packages": [image, system, *packages.values()],
        "files": [{"fileName": "." + path, "SPDXID": _file_id(path), "checksums": sums, "licenseConcluded": "NOASSERTION",
                   "copyrightText": "NOASSERTION"} for path, sums in files.items()],
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in related],
    }
    # Of the same image it is the same document.
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return {**made, "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}
