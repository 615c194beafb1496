"""A save is whole or absent, whatever happens to it."""

import resource
import signal

import pytest
import torch

from wauve_dist.training.stopping.checkpoint_files import make_room_for_last, newest_intact
from wauve_dist.training.stopping.checkpoint_io import AtomicCheckpointIO


@pytest.fixture
def small_disk():
    """Let this process write files of 64 KiB at most."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("in_background", [False, True])
def test_a_full_disk_is_an_error_that_leaves_the_last_good_save(in_background, tmp_path, small_disk):
    files = AtomicCheckpointIO(in_background)
    files.save_checkpoint({"weights": torch.ones(10)}, tmp_path / "last.ckpt")
    files.teardown()
    with pytest.raises(OSError, match=r"last.ckpt: could not be saved .* Make room, then carry on with --resume"):
        save_and_wait(files, {"weights": torch.ones(1 << 20)}, tmp_path / "last.ckpt")
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["weights"].sum() == 10


def save_and_wait(files, checkpoint, path):
    files.save_checkpoint(checkpoint, path)
    files.teardown()


def test_a_background_save_holds_the_weights_of_its_moment(tmp_path):
    files = AtomicCheckpointIO(in_background=True)
    weights = torch.zeros(1 << 20)
    files.save_checkpoint({"weights": weights}, tmp_path / "last.ckpt")
    weights += 1  # training goes on
    files.teardown()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["weights"].max() == 0


def test_every_cut_and_every_flipped_byte_of_the_tensors_is_noticed(tmp_path):
    files = AtomicCheckpointIO(in_background=False)
    for name in ("previous.ckpt", "last.ckpt"):
        files.save_checkpoint({"weights": torch.arange(5000.0)}, tmp_path / name)
    whole = (tmp_path / "last.ckpt").read_bytes()
    tensor = whole.index(torch.arange(5000.0).numpy().tobytes())
    flipped = [bytearray(whole) for _ in range(20)]
    for number, content in enumerate(flipped):
        content[tensor + number * 997] ^= 1 << number % 8
    cuts = [whole[:length] for length in range(0, len(whole), len(whole) // 20)]
    for damaged in [*flipped, *cuts]:
        (tmp_path / "last.ckpt").write_bytes(damaged)
        path, faults = newest_intact(tmp_path)
        assert path == tmp_path / "previous.ckpt"
        assert "last.ckpt is " in faults[0]
    (tmp_path / "previous.ckpt").unlink()
    path, faults = newest_intact(tmp_path)
    assert path is None
    assert len(faults) == 2


def test_a_kill_between_two_saves_leaves_the_one_before(tmp_path):
    files = AtomicCheckpointIO(in_background=False)
    files.save_checkpoint({"step": 1}, tmp_path / "last.ckpt")
    make_room_for_last(tmp_path)
    assert newest_intact(tmp_path)[0] == tmp_path / "previous.ckpt"
    files.save_checkpoint({"step": 2}, tmp_path / "last.ckpt")
    make_room_for_last(tmp_path)
    files.save_checkpoint({"step": 3}, tmp_path / "last.ckpt")
    steps = {file.name: torch.load(file, weights_only=True)["step"] for file in tmp_path.iterdir()}
    assert steps == {"last.ckpt": 3, "previous.ckpt": 2}
