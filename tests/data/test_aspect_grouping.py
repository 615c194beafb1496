from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from barcodes import write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from wauve_dist.data.datamodules import FrameDataModule
from wauve_dist.data.samplers import GroupedSampler, TrainingSampler, aspect_groups
from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.tables import SECTOR_COLUMNS

GROUPS = st.lists(st.integers(0, 3), min_size=6, max_size=60)
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 6))  # frames a rank, ranks


def orders(make, world_size, epoch=1, position=0):
    """Samples of every rank in turn."""
    samplers = [make(rank, world_size) for rank in range(world_size)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
        sampler.start_at(epoch, position)
    return [[sample for _, sample in sampler] for sampler in samplers]


def grouped(groups, batch_size, seed=5):
    return lambda rank, world_size: GroupedSampler(groups, batch_size, seed, rank, world_size)


@given(GROUPS, SIZES, st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_step_of_many_ranks_sees_what_one_process_sees_with_a_batch_of_all_of_theirs(groups, sizes, epoch):
    batch_size, world_size = sizes
    [alone] = orders(grouped(groups, batch_size * world_size), 1, epoch)
    assert sorted(alone) == list(range(len(groups)))
    shares = orders(grouped(groups, batch_size), world_size, epoch)
    together = [sample for step in zip(*shares, strict=True) for sample in step]
    assert together == alone[: len(groups) - len(groups) % world_size]


@given(GROUPS, SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_a_stopped_epoch_goes_on_behind_any_sample(groups, sizes, data):
    batch_size, world_size = sizes
    whole = orders(grouped(groups, batch_size), world_size)
    position = data.draw(st.integers(0, len(whole[0])))
    assert orders(grouped(groups, batch_size), world_size, position=position) == [rank[position:] for rank in whole]


@given(GROUPS, st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_batches_are_of_one_group_until_no_group_can_fill_one(groups, batch_size):
    [alone] = orders(grouped(groups, batch_size), 1)
    drawn = orders(lambda rank, world_size: TrainingSampler(len(groups), 5, rank, world_size), 1)[0]
    num_full = len(groups) // batch_size
    kinds = [{groups[s] for s in alone[n * batch_size : (n + 1) * batch_size]} for n in range(num_full)]
    counts = Counter(groups[sample] for sample in drawn[: num_full * batch_size])
    num_pure = sum(count // batch_size for count in counts.values())
    assert all(len(kind) == 1 for kind in kinds[:num_pure])
    assert num_full - num_pure < max(len(counts), 1)


@given(st.integers(6, 60), SIZES)
@settings(max_examples=60, deadline=None)
def test_frames_of_one_aspect_come_in_the_order_of_before(num_samples, sizes):
    batch_size, world_size = sizes
    ungrouped = orders(lambda *ranks: TrainingSampler(num_samples, 5, *ranks), world_size)
    assert orders(grouped([7] * num_samples, batch_size), world_size) == ungrouped


def test_a_sample_waits_for_its_batch_and_what_is_left_comes_last(monkeypatch):
    monkeypatch.setattr(TrainingSampler, "_order", lambda self: np.arange(self._num_bags))
    #         0  1  2  3  4  5  6  7  8  9 10
    groups = [0, 1, 1, 0, 1, 2, 0, 0, 1, 2, 2]
    # By twos: 2 completes (1, 2), 3 completes (0, 3), 7 (6, 7), 8 (4, 8), 9 (5, 9); 10 is the last, smaller batch.
    assert orders(grouped(groups, 2), 1) == [[1, 2, 0, 3, 6, 7, 4, 8, 5, 9, 10]]
    # By threes, of 0 to 8: 4 completes (1, 2, 4), 6 (0, 3, 6); 5, 7 and 8 are left; 9 and 10 come last.
    assert orders(grouped(groups, 3), 1) == [[1, 2, 4, 0, 3, 6, 5, 7, 8, 9, 10]]


def test_no_group_sits_out_more_often_than_others():
    groups = [0] * 60 + [1] * 7
    absent = Counter()
    for epoch in range(200):
        absent.update(set(range(67)) - {sample for rank in orders(grouped(groups, 2), 4, epoch) for sample in rank})
    assert absent.total() == 200 * (67 % 4)
    of_rare = sum(absent[sample] for sample in range(60, 67))
    assert abs(of_rare - 600 * 7 / 67) < 4 * np.sqrt(600 * 7 / 67)  # 63 expected, 4 standard deviations of a count


def test_an_aspect_is_shared_by_frames_that_differ_by_less_than_a_fifth():
    heights, widths = [600, 900, 700, 750, 100, 100, 720, 120], [800, 1200, 700, 700, 110, 119, 1280, 900]
    assert aspect_groups(heights, widths) == [-2, -2, 0, 0, -1, -1, -3, -12]
    assert aspect_groups([100], [100 * 2**0.12]) == aspect_groups([100 * 2**0.12], [100]) == [0]


def test_less_is_padded_in_batches_of_one_aspect():
    rng = np.random.default_rng(0)
    shapes = np.array([(75, 100), (56, 100), (100, 100), (100, 75)])[rng.choice(4, 400, p=[0.5, 0.3, 0.1, 0.1])]
    transform = GeneralizedRCNNTransform(200, 200, [0.0], [1.0]).eval()

    def pixels(make):
        [order] = orders(make, 1)
        batches = [[torch.zeros(1, *shapes[s]) for s in order[n : n + 8]] for n in range(0, 400, 8)]
        return sum(transform(batch)[0].tensors.numel() for batch in batches)

    alone = sum(transform([torch.zeros(1, *shape)])[0].tensors.numel() for shape in shapes)
    assert pixels(lambda *ranks: TrainingSampler(400, 5, *ranks)) > 1.3 * alone
    assert pixels(grouped(aspect_groups(*shapes.T), 8)) < 1.05 * alone


SHAPES = {"wide": (48, 64), "tall": (64, 48), "tall within": (48, 64), "val": (48, 64)}
SECTORS = [(0, 0, 64, 48), (0, 0, 48, 64), (8, 2, 40, 46), (0, 0, 64, 48)]


@pytest.fixture
def mixed_study(tmp_path):
    """Nine frames of each video, at a batch of four; two of the three for training are tall, one by its sector."""
    for video, shape in SHAPES.items():
        write_video(tmp_path / f"{video}.mkv", [np.full(shape, 9, np.uint8)] * 9, "ffv1", "gray")
    videos = {"video_id": [*SHAPES], "patient_id": [*SHAPES], "path": [f"{video}.mkv" for video in SHAPES]}
    manifest = pd.DataFrame({**videos, "split": ["train"] * 3 + ["val"]})
    manifest[list(SECTOR_COLUMNS)] = SECTORS
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    frames = [(video, frame, width, height) for video, (height, width) in SHAPES.items() for frame in range(9)]
    boxes = [("wide", 3, 0, 1, 20, 10, 40, 30)]
    annotations = Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(boxes, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
    )
    write_annotations(annotations, tmp_path / "annotations.json", {})

    def make(num_workers=0):
        files = {"manifest": str(tmp_path / "manifest.csv"), "annotations": str(tmp_path / "annotations.json")}
        data = FrameDataModule(
            **files, frames_per_video=9, batch_size=4, num_workers=num_workers, seed=2, cache_dir=None
        )
        data.setup("fit")
        return data

    return make


def names(batch):
    return list(zip(batch.video_ids, batch.frame_indices, strict=True))


def test_training_frames_come_wide_with_wide_and_tall_with_tall_as_the_detector_sees_them(mixed_study):
    batches = list(mixed_study().train_dataloader())
    assert sorted(name for batch in batches for name in names(batch)) == [
        (video, frame) for video in sorted(SHAPES) if video != "val" for frame in range(9)
    ]
    wide = [{frame.shape[1] > frame.shape[0] for frame in batch.frames} for batch in batches]
    assert [len(kinds) for kinds in wide[:-2]] == [1] * 5  # 27 frames: one batch of what is left and one of three
    assert {*map(frozenset, wide[:-2])} == {frozenset({True}), frozenset({False})}


@pytest.mark.parametrize("num_seen", [1, 3, 6])
def test_a_run_stopped_within_an_epoch_of_mixed_frames_goes_on_with_the_next_batch(mixed_study, num_seen):
    whole = [names(batch) for batch in mixed_study().train_dataloader()]
    stopped = mixed_study()
    loader = iter(stopped.train_dataloader())
    assert [names(next(loader)) for _ in range(num_seen)] == whole[:num_seen]
    resumed = mixed_study()
    resumed.train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    assert [names(batch) for batch in resumed.train_dataloader()] == whole[num_seen:]
