"""The code of a job as it was at submission: jobs wait for hours, and work on the tree goes on meanwhile."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wauve_dist.structures.provenance import sha256_of

# All of a checkout that a job runs or reads.
_PARTS = ("wauve_dist", "launch", "configs", "slurm")
_BYTECODE = "__pycache__"
_MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code, named by its content, so that submissions of the same code share one.

    Attributes:
        root: the checkout.
        folder: of the copy.
        sha256: of all names and bytes in it.
        commit: that the checkout was at; None outside git.
        changed_files: which differ from that commit, untracked ones included.
    """

    root: Path
    folder: Path
    sha256: str
    commit: str | None
    changed_files: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, parent: Path) -> Snapshot:
        """Describe the copy of the checkout ``root`` that belongs into ``parent``; nothing is copied."""
        sha256 = _hash_of(root)
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames", "--", *_PARTS)
        files = tuple(line[3:] for line in (changed or "").splitlines())
        return cls(root, parent / f"code-{sha256[:12]}", sha256, commit.strip() if commit else None, files)

    @classmethod
    def taken(cls, root: Path, parent: Path) -> Snapshot:
        """Copy the code of the checkout ``root`` into ``parent``, unless it was copied before.

        Raises:
            ValueError: the tree changed during each of several attempts, or somebody changed an earlier copy.
        """
        for _ in range(_MAX_ATTEMPTS):
            snapshot = cls.of(root, parent)
            if snapshot.folder.exists() or snapshot._copy():
                snapshot._verify()
                return snapshot
        raise ValueError(f"{root} changed while its code was copied, {_MAX_ATTEMPTS} times. Submit again.")

    def _copy(self) -> bool:
        """Copy the code; tell whether it still was what this describes."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".code-"))
        try:
            for part in _PARTS:
                ignored = shutil.ignore_patterns(_BYTECODE)
                shutil.copytree(self.root / part, temporary / part, ignore=ignored)
            unchanged = _hash_of(temporary) == self.sha256
            if unchanged:
                temporary.chmod(0o755)
                temporary.rename(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return unchanged

    def _verify(self) -> None:
        if _hash_of(self.folder) != self.sha256:
            raise ValueError(
                f"{self.folder}: the code of an earlier submission was changed there. Move the folder away, and "
                "expect the jobs that run from it to fail."
            )

    def copy_of(self, file: Path) -> Path | None:
        """Return where a file of the checkout lies in the copy; None for any other file."""
        inside = Path(os.path.relpath(file.resolve(), self.root))
        return self.folder / inside if inside.parts[0] in _PARTS else None

    def __str__(self) -> str:
        """Say which code this is, for a person."""
        if self.commit is None:
            return f"{self.folder} (no commit: {self.root} is not a git checkout)"
        changed = f" and {len(self.changed_files)} changed files" if self.changed_files else ""
        return f"{self.folder} (commit {self.commit[:12]}{changed})"


def _hash_of(root: Path) -> str:
    digest = hashlib.sha256()
    for part in _PARTS:
        for file in sorted(found for found in (root / part).rglob("*") if found.is_file()):
            if _BYTECODE not in file.parts:
                digest.update(f"{file.relative_to(root).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says of ``root`` itself; None where that is no checkout, or there is no git."""
    if shutil.which("git") is None or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
