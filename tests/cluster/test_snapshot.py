import itertools
import subprocess
import tempfile

import pytest

from wauve_dist.cluster.snapshot import Snapshot

CODE = {
    "configs/classification/demo.yaml",
    "launch/say.py",
    "slurm/cpu.yaml",
    "wauve_dist/__init__.py",
    "wauve_dist/page.html.j2",
}


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_snapshot_holds_the_code_and_nothing_else(checkout, tmp_path):
    snapshot = Snapshot.of(checkout, tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()  # described, not taken
    assert Snapshot.taken(checkout, tmp_path / "jobs") == snapshot
    assert files_in(snapshot.folder) == CODE
    for name in CODE:
        assert (snapshot.folder / name).read_bytes() == (checkout / name).read_bytes()
    assert [entry.name for entry in (tmp_path / "jobs").iterdir()] == [snapshot.folder.name]


def test_equal_code_is_shared_and_other_code_is_not(checkout, tmp_path):
    first = Snapshot.taken(checkout, tmp_path / "jobs")
    (first.folder / "wauve_dist" / "__pycache__").mkdir()  # as a job leaves it
    (first.folder / "wauve_dist" / "__pycache__" / "x.pyc").touch()
    assert Snapshot.taken(checkout, tmp_path / "jobs") == first
    (checkout / "wauve_dist" / "__init__.py").write_text("NAME = 'second'\n")
    other = Snapshot.taken(checkout, tmp_path / "jobs")
    assert other.folder != first.folder
    assert "first" in (first.folder / "wauve_dist" / "__init__.py").read_text()


def test_a_snapshot_that_somebody_changed_is_refused(checkout, tmp_path):
    snapshot = Snapshot.taken(checkout, tmp_path / "jobs")
    (snapshot.folder / "launch" / "say.py").write_text("print('changed')")
    with pytest.raises(ValueError, match="was changed there"):
        Snapshot.taken(checkout, tmp_path / "jobs")


def test_a_tree_that_changes_while_it_is_copied_is_copied_again(checkout, tmp_path, monkeypatch):
    make_folder = tempfile.mkdtemp
    edits = iter(["print('edit 1')", "print('edit 2')"])

    def edit_and_make_folder(**options):  # after the tree was described, before it is copied
        if edit := next(edits, None):
            (checkout / "launch" / "say.py").write_text(edit)
        return make_folder(**options)

    monkeypatch.setattr(tempfile, "mkdtemp", edit_and_make_folder)
    snapshot = Snapshot.taken(checkout, tmp_path / "jobs")
    assert (snapshot.folder / "launch" / "say.py").read_text() == "print('edit 2')"
    assert list((tmp_path / "jobs").iterdir()) == [snapshot.folder]

    (checkout / "launch" / "say.py").write_text("print('edit 3')")
    edits = (f"print('edit {number}')" for number in itertools.count(4))
    with pytest.raises(ValueError, match="Submit again"):
        Snapshot.taken(checkout, tmp_path / "jobs")
    assert list((tmp_path / "jobs").iterdir()) == [snapshot.folder]


def test_the_commit_and_what_differs_from_it_are_known(checkout, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
        command = ["git", "-C", checkout, *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    outside = Snapshot.of(checkout, tmp_path)
    assert (outside.commit, outside.changed_files) == (None, ())
    assert "is not a git checkout" in str(outside)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    clean = Snapshot.of(checkout, tmp_path)
    assert (clean.commit, clean.changed_files) == (git("rev-parse", "HEAD"), ())

    (checkout / "wauve_dist" / "__init__.py").write_text("NAME = 'second'\n")
    (checkout / "wauve_dist" / "new.py").touch()
    (checkout / "README.md").touch()  # no code
    dirty = Snapshot.of(checkout, tmp_path)
    assert set(dirty.changed_files) == {"wauve_dist/__init__.py", "wauve_dist/new.py"}
    assert f"commit {clean.commit[:12]} and 2 changed files" in str(dirty)


def test_files_of_the_checkout_are_found_in_the_copy(checkout, tmp_path, monkeypatch):
    snapshot = Snapshot.of(checkout, tmp_path / "jobs")
    monkeypatch.chdir(checkout / "configs")
    assert snapshot.copy_of(checkout / "slurm" / "cpu.yaml") == snapshot.folder / "slurm" / "cpu.yaml"
    relative = (checkout / "configs" / "classification" / "demo.yaml").relative_to(checkout / "configs")
    assert snapshot.copy_of(relative) == snapshot.folder / "configs" / "classification" / "demo.yaml"
    assert snapshot.copy_of(checkout / "runs" / "x" / "weights.bin") is None
    assert snapshot.copy_of(tmp_path / "elsewhere.yaml") is None
