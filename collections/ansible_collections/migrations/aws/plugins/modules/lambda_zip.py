#!/usr/bin/python
"""Ansible module: a Lambda package that is the same bytes whenever its contents are the same."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: lambda_zip
short_description: Build a Lambda package without Docker, reproducible byte for byte
description:
  - Puts folders of the project, single files, and the wheels of a few locked requirements into a
    zip. The wheels are those of the Lambda's Python and processor, not of this machine.
  - The same contents always give the same bytes. Entries are sorted, have one date and one mode,
    and are stored, because compressors differ between machines.
  - In check mode the package is built in memory and not written.
  - No module of the AWS collections builds a package. M(community.general.archive) keeps the
    dates and modes that files have on this machine, so that the same contents give other bytes.
options:
  dest:
    description: Path of the package.
    type: path
    required: true
  source:
    description: Folder that the other paths are relative to.
    type: path
    required: true
  folders:
    description: Folders of the project to include, by their names.
    type: list
    elements: str
    required: true
  exclude:
    description: Folders below those to leave out, such as what the function never imports.
    type: list
    elements: str
    default: []
  files:
    description: Further files, as names in the package and their paths on this machine.
    type: dict
    default: {}
  checksums:
    description:
      - SHA-256 in hex that files of I(files) must have, by their names in the package.
    type: dict
    default: {}
  requirements:
    description: Names of the distributions to include. Their dependencies are not.
    type: list
    elements: str
    default: []
  lock:
    description: Requirements file with the versions and hashes of all distributions.
    type: path
    required: true
  python:
    description: Python of the Lambda, as C(3.13); C(native) is the one that runs Ansible.
    type: str
    default: "3.13"
  architecture:
    description: Processor of the Lambda; C(native) is this machine's.
    type: str
    choices: [arm64, x86_64, native]
    default: arm64
  cache:
    description: Folder for unpacked wheels, so that the next run needs no network.
    type: path
    required: true
author:
  - The schema-migrations maintainers
"""

EXAMPLES = r"""
- name: Build the package
  migrations.aws.lambda_zip:
    dest: build/app.zip
    source: "{{ playbook_dir }}"
    folders: [app]
    files: { ca-bundle.pem: files/rds-ca-bundle.pem }
    requirements: [psycopg2-binary]
    lock: requirements.lock
    cache: .cache/lambda
"""

RETURN = r"""
path:
  description: Path of the package.
  returned: always
  type: str
sha256:
  description: The package's SHA-256 as Lambda tells it (base64).
  returned: always
  type: str
size:
  description: Size of the package in bytes.
  returned: always
  type: int
runtime:
  description: Lambda's name of the Python.
  returned: always
  type: str
  sample: python3.13
architecture:
  description: Lambda's name of the processor.
  returned: always
  type: str
  sample: arm64
"""

SPEC = {
    "dest": {"type": "path", "required": True},
    "source": {"type": "path", "required": True},
    "folders": {"type": "list", "elements": "str", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "dict", "default": {}},
    "checksums": {"type": "dict", "default": {}},
    "requirements": {"type": "list", "elements": "str", "default": []},
    "lock": {"type": "path", "required": True},
    "python": {"type": "str", "default": "3.13"},
    "architecture": {"type": "str", "choices": ["arm64", "x86_64", "native"], "default": "arm64"},
    "cache": {"type": "path", "required": True},
}
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
# What an installer notes about itself, or Python makes at run time: different on each machine.
NOT_CONTENT = {
    "__pycache__",
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    ".lock",
    "bin",
}
# The earliest date a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """The package cannot be built; the message says what to do."""


def pins(lock: Path, names: list[str]) -> str:
    """Return the lock's own lines for the named distributions, hashes included."""
    blocks = {}
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)==", block):
            blocks[match[1].lower()] = block.rstrip()
    missing = [n for n in names if n.lower() not in blocks]
    if missing:
        raise PackageError(f"{lock} does not pin {', '.join(missing)}. Run `make lock`.")
    return "".join(f"{blocks[n.lower()]}\n" for n in sorted(names))


def wheels(cache: Path, requirements: str, python: str, architecture: str) -> Path | None:
    """Return a folder with the unpacked wheels, from the cache if they were there before."""
    if not requirements:
        return None
    target = PLATFORMS[architecture]
    key = hashlib.sha256(f"{python} {target}\n{requirements}".encode()).hexdigest()[:16]
    folder = cache / f"{python}-{architecture}-{key}"
    if folder.is_dir():
        return folder
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if not uv:
        raise PackageError("The installer 'uv' is missing. Run `make setup`.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        listing = Path(scratch, "requirements.txt")
        listing.write_text(requirements)
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--target",
            f"{scratch}/wheels",
            "--no-deps",
            "--require-hashes",
        ]
        command += [
            "--only-binary",
            ":all:",
            "--python-platform",
            target,
            "--python-version",
            python,
            "-r",
            str(listing),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise PackageError(
                f"The wheels for {target}, Python {python}, cannot be installed: "
                f"{done.stderr.strip()}"
            )
        Path(scratch, "wheels").rename(folder)
    return folder


def entries(root: Path, below: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder with their names relative to the root."""
    for path in below.rglob("*"):
        relative = path.relative_to(root)
        if path.is_file() and NOT_CONTENT.isdisjoint(relative.parts):
            yield relative.as_posix(), path


def collect(module: AnsibleModule, architecture: str, python: str) -> dict[str, Path]:
    """Return all files of the package by their names in it."""
    p = module.params
    source = Path(p["source"])
    contents: dict[str, Path] = {}
    if folder := wheels(
        Path(p["cache"]), pins(Path(p["lock"]), p["requirements"]), python, architecture
    ):
        contents |= entries(folder, folder)
    for name in p["folders"]:
        if not (source / name).is_dir():
            raise PackageError(f"The folder {source / name} does not exist.")
        contents |= {
            inside: path
            for inside, path in entries(source, source / name)
            if not any(inside.startswith(f"{left.rstrip('/')}/") for left in p["exclude"])
        }
    for name, path in p["files"].items():
        if not Path(path).is_file():
            raise PackageError(f"The file {path}, for {name} in the package, does not exist.")
        contents[name] = Path(path)
    for name, wanted in p["checksums"].items():
        verify(name, contents, wanted)
    return contents


def verify(name: str, contents: dict[str, Path], wanted: str) -> None:
    """Raise PackageError unless a file has the checksum that was written down for it."""
    if name not in contents:
        raise PackageError(f"There is no {name} in the package whose checksum could be {wanted}.")
    found = hashlib.sha256(contents[name].read_bytes()).hexdigest()
    if found != wanted.lower():
        raise PackageError(
            f"The file {contents[name]}, for {name} in the package, has the SHA-256 {found}, not "
            f"{wanted}. If it is the right file, write its checksum down; else get it anew."
        )


def pack(contents: dict[str, Path]) -> bytes:
    """Return the zip."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = 0o100644 << 16
            package.writestr(info, contents[name].read_bytes())
    return buffer.getvalue()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(SPEC, supports_check_mode=True)
    p = module.params
    native_python = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = native_python if p["python"] == "native" else p["python"]
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    architecture = machine if p["architecture"] == "native" else p["architecture"]
    try:
        package = pack(collect(module, architecture, python))
    except (PackageError, OSError) as exc:
        module.fail_json(msg=str(exc))
    dest = Path(p["dest"])
    before = digest(dest.read_bytes()) if dest.is_file() else ""
    after = digest(package)
    if before != after and not module.check_mode:
        dest.parent.mkdir(parents=True, exist_ok=True)
        partial = dest.with_suffix(".partial")
        partial.write_bytes(package)
        partial.replace(dest)
    module.exit_json(
        changed=before != after,
        diff={"before": f"{before}\n", "after": f"{after}\n"},
        path=str(dest),
        sha256=after,
        size=len(package),
        runtime=f"python{python}",
        architecture=architecture,
    )


def digest(content: bytes) -> str:
    """Return the SHA-256 the way Lambda writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


if __name__ == "__main__":
    main()
