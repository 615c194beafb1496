"""Files that are whole or absent, and that say what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wauve_dist import __version__

_SIDECAR_SUFFIX = ".provenance.json"


def sha256_of(path: Path) -> str:
    """Hash a file's bytes, or, for a folder, the names and bytes of all files in it.

    Returns:
        64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
    """
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there when the block ends without an error.

    A reader sees the old file or the whole new one, also after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_provenance(path: Path, made_from: Mapping[str, Path], **settings: object) -> None:
    """Record beside ``path`` what it was made from.

    Args:
        path: the finished artefact (a file or a folder).
        made_from: role ("manifest", "detector") to the input file; its hash is recorded, its path is not,
            so that a record does not depend on the machine that made it.
        settings: whatever else decides the content (thresholds, seeds); JSON values.
    """
    record = {
        "sha256": sha256_of(path),
        "made_by": f"wauve_dist {__version__}",
        "made_from": {role: sha256_of(source) for role, source in sorted(made_from.items())},
        "settings": settings,
    }
    with atomic_write(_sidecar(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_provenance(path: Path) -> dict[str, object] | None:
    """Return the record beside ``path``, or None where there is none (a table from elsewhere).

    Raises:
        ValueError: the artefact was changed after its record was written.
    """
    sidecar = _sidecar(path)
    if not sidecar.exists():
        return None
    record: dict[str, object] = json.loads(sidecar.read_text())
    if record["sha256"] != sha256_of(path):
        raise ValueError(
            f"{path} was changed after it was written: its hash is not the one in {sidecar.name}. "
            f"Make it anew, or delete {sidecar} to vouch for the change yourself."
        )
    return record


def claim_folder(folder: Path) -> Path:
    """Create an output folder, or refuse one that already holds something.

    Raises:
        FileExistsError: the folder is not empty; nothing in it is touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if found := sorted(entry.name for entry in folder.iterdir()):
        raise FileExistsError(
            f"The output folder {folder} already holds another run ({', '.join(found[:5])}"
            f"{', …' if len(found) > 5 else ''}). Choose another --out, or move that run away first."
        )
    return folder


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR_SUFFIX)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
