"""The crops of these videos say which frame they came from: frame k of video v is grey level 60 v + k."""

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from barcodes import write_video

from wauve_dist.data.array_cache import CacheFullError
from wauve_dist.data.augmentation import augment_clips
from wauve_dist.data.datamodules import ClipDataModule, FrameDataModule
from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.tasks.precise_batch_norm import PreciseBatchNorm

NUM_FRAMES = 30
HEIGHT, WIDTH = 48, 64
SPLITS = ("train", "train", "val", "test")
# video: (track_id, first frame, length)
TRACKS = {"v0": [(0, 2, 9), (1, 14, 12)], "v1": [(3, 0, 30)], "v2": [(0, 1, 17), (2, 20, 8)], "v3": [(0, 4, 20)]}


class Study:
    """A folder with a manifest, tracks and annotations, to be spoiled by tests."""

    def __init__(self, folder):
        self.folder = folder
        self.cache_dir = folder / "cache"
        self.manifest = pd.DataFrame(
            {
                "video_id": list(TRACKS),
                "patient_id": [f"p{video}" for video in TRACKS],
                "path": [f"{video}.mkv" for video in TRACKS],
                "label": pd.array([0, 1, 1, 0], "Int64"),
                "split": SPLITS,
            }
        )
        self.tracks = pd.DataFrame(
            [
                (video, track_id, frame, 20.0, 10.0, 40.0, 30.0, 0.9, False)
                for video, tracks in TRACKS.items()
                for track_id, first, length in tracks
                for frame in range(first, first + length)
            ],
            columns=["video_id", "track_id", "frame", "x1", "y1", "x2", "y2", "score", "interpolated"],
        )
        # Every second frame is annotated; a lesion is seen in frames 10 to 19.
        frames = [(video, frame, WIDTH, HEIGHT) for video in TRACKS for frame in range(0, NUM_FRAMES, 2)]
        boxes = [(video, frame, 0, 1, 20, 10, 40, 30) for video, frame, _, _ in frames if 10 <= frame < 20]
        self.annotations = Annotations(
            pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
            pd.DataFrame(boxes, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
        )

    def clips(self, num_workers=0, batch_size=4, clips_per_video=5, seed=1, **rule):
        self.manifest.to_csv(self.folder / "manifest.csv", index=False)
        self.tracks.to_parquet(self.folder / "tracks.parquet")
        return ClipDataModule(
            manifest=str(self.folder / "manifest.csv"),
            tracks=str(self.folder / "tracks.parquet"),
            crop_size=16,
            roi_context=1.0,
            clips_per_video=clips_per_video,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            **{"cache_dir": str(self.cache_dir), **rule},
        )

    def frames(self, num_workers=0, frames_per_video=4, **cache):
        self.manifest.to_csv(self.folder / "manifest.csv", index=False)
        write_annotations(self.annotations, self.folder / "annotations.json", {})
        return FrameDataModule(
            manifest=str(self.folder / "manifest.csv"),
            annotations=str(self.folder / "annotations.json"),
            frames_per_video=frames_per_video,
            batch_size=3,
            num_workers=num_workers,
            seed=1,
            **{"cache_dir": str(self.cache_dir), **cache},
        )


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for number, video in enumerate(TRACKS):
        levels = [np.full((HEIGHT, WIDTH), 60 * number + frame, np.uint8) for frame in range(NUM_FRAMES)]
        write_video(folder / f"{video}.mkv", levels, "ffv1", "gray")
    return folder


@pytest.fixture
def study(shared_folder):
    return Study(shared_folder)


def levels_of(clips):
    """Grey levels [N, T] of clips whose frames are even."""
    assert (clips == clips[:, :, :1, :1]).all()
    return clips[:, :, 0, 0].int()


def epoch_of(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_training_clips_are_eight_adjacent_frames_of_one_track(study):
    data = study.clips()
    data.setup("fit")
    windows = set()
    for epoch in range(20):
        batches = epoch_of(data.train_dataloader(), epoch)
        assert [len(batch.labels) for batch in batches] == [4, 4, 2]
        for batch in batches:
            for row, video in enumerate(batch.video_ids):
                levels = levels_of(batch.clips)[row] - 60 * int(video[1])
                assert (levels.diff() == 1).all()
                assert batch.labels[row] == int(video == "v1")
                tracks = {track_id: (first, length) for track_id, first, length in TRACKS[video]}
                first, length = tracks[int(batch.track_ids[row])]
                assert first <= levels[0] <= first + length - 8
                windows.add((video, int(levels[0])))
    # Of 2 + 5 and 23 windows, 100 draws each see all but a few.
    assert windows >= {("v0", start) for start in (2, 3, 14, 15, 16, 17, 18)}
    assert len([start for video, start in windows if video == "v1"]) > 18


def test_training_clips_have_their_stride_and_the_evaluation_s_stay_adjacent(study):
    data = study.clips(training_stride=3, clips_per_video=40)
    with pytest.warns(UserWarning, match=r"is 3: 2 of 3 training tracks have fewer than the 22 frames .* fits: 1 in 2"):
        data.setup("fit")
    steps = {(0, 0): 1, (0, 1): 1, (1, 3): 3}  # tracks of 9, 12 and 30 frames
    for batch in epoch_of(data.train_dataloader()):
        for video, track, levels in zip(batch.video_ids, batch.track_ids.tolist(), levels_of(batch.clips), strict=True):
            assert (levels.diff() == steps[int(video[1]), track]).all()
    for batch in data.val_dataloader():
        assert (levels_of(batch.clips).diff() == 1).all()


def test_frames_of_a_training_clip_jitter_within_the_stride(study):
    data = study.clips(training_stride=3, temporal_jitter=True, clips_per_video=200)
    with pytest.warns(UserWarning, match="24 frames"):
        data.setup("fit")
    moves = [
        levels - levels[0] - 3 * torch.arange(8)
        for batch in epoch_of(data.train_dataloader())
        for video, levels in zip(batch.video_ids, levels_of(batch.clips), strict=True)
        if video == "v1"
    ]
    assert set(torch.stack(moves).unique().tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"training_stride": 0}, "must be at least 1"),
        ({"training_stride": 2, "clip_length": 1}, "takes single frames"),
        ({"temporal_jitter": True}, "none can move"),
    ],
)
def test_a_timing_that_means_nothing_is_refused(study, options, fault):
    with pytest.raises(ValueError, match=rf"--data\..*{fault}"):
        study.clips(**options)


def described(batches):
    return sorted(
        (seed, video, track, clip, tuple(levels))
        for batch in batches
        for seed, video, track, clip, levels in zip(
            batch.sample_seeds.tolist(),
            batch.video_ids,
            batch.track_ids.tolist(),
            batch.clip_indices.tolist(),
            levels_of(batch.clips).tolist(),
            strict=True,
        )
    )


class OneOf:
    """What a data module needs to know of the trainer of one of several processes."""

    num_devices = 1

    def __init__(self, rank, world_size):
        self.global_rank, self.world_size, self.training, self.state = rank, world_size, True, None


def test_neither_workers_nor_batches_nor_ranks_change_what_an_epoch_holds(study):
    def epoch(rank=0, world_size=1, **options):
        data = study.clips(**options)
        data.trainer = OneOf(rank, world_size)
        data.setup("fit")
        return described(epoch_of(data.train_dataloader(), epoch=3))

    alone = epoch()
    assert len(alone) == 10
    assert epoch(num_workers=2) == alone
    assert epoch(batch_size=1) == alone
    assert sorted(epoch(0, 2) + epoch(1, 2)) == alone
    assert epoch(seed=2) != alone


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_covers_the_papers_clips_exactly_once_over_all_ranks(study, world_size):
    batches = []
    for rank in range(world_size):
        data = study.clips()
        data.trainer = OneOf(rank, world_size)
        data.setup("fit")
        batches += list(data.val_dataloader())
    # Video v2: frames 1 to 17 give two clips and a remainder of one, frames 20 to 27 one clip.
    assert described(batches) == [
        (0, "v2", 0, 0, tuple(range(121, 129))),
        (0, "v2", 0, 1, tuple(range(129, 137))),
        (0, "v2", 2, 0, tuple(range(140, 148))),
    ]


def test_an_image_network_gets_every_frame_of_every_track(study):
    data = study.clips(clip_length=1)
    data.setup("fit")
    frames = [level - 120 for batch in data.val_dataloader() for level in levels_of(batch.clips).flatten().tolist()]
    assert frames == [*range(1, 18), *range(20, 28)]
    seen = {
        (video, int(level) - 60 * int(video[1]))
        for epoch in range(20)
        for batch in epoch_of(data.train_dataloader(), epoch)
        for video, level in zip(batch.video_ids, levels_of(batch.clips)[:, 0], strict=True)
    }
    assert {frame for video, frame in seen if video == "v0"} <= {*range(2, 11), *range(14, 26)}
    assert len(seen) > 40


def test_key_frames_are_judged_and_everything_is_trained_on(study):
    largest = (study.tracks["video_id"] == "v2") & (study.tracks["frame"] == 9)
    study.tracks.loc[largest, "x2"] += 5
    data = study.clips(clip_length=1, inputs="one_key_frame")
    data.setup("fit")
    [batch] = data.val_dataloader()
    assert levels_of(batch.clips).tolist() == [[120 + 9]]
    assert len(data.train_dataloader().dataset) == 10

    study.manifest["key_frames"] = [None, None, "25 3", None]
    data = study.clips(clip_length=1, inputs="two_key_frames", key_frames="manifest")
    data.setup("fit")
    [batch] = data.val_dataloader()
    assert levels_of(batch.clips).tolist() == [[120 + 25], [120 + 3]]


def test_covariates_go_with_their_video_and_may_be_missing(study):
    study.manifest["age"], study.manifest["lesion_size_mm"] = [41.0, 52.0, None, 60.0], [None, 8.5, 21.0, None]
    data = study.clips(covariates=["lesion_size_mm", "age"])
    data.setup("fit")
    expected = {"v0": (None, 41), "v1": (8.5, 52), "v2": (21, None)}
    seen = {}
    for batch in [*epoch_of(data.train_dataloader()), *data.val_dataloader()]:
        for video, values in zip(batch.video_ids, batch.covariates.tolist(), strict=True):
            seen[video] = tuple(None if np.isnan(value) else value for value in values)
    assert seen == expected
    assert data.training_covariates().nan_to_num(-1).tolist() == [[-1, 41], [8.5, 52]]


def test_balancing_by_vendor_repeats_the_rarer_one_s_videos(study):
    study.manifest["vendor"], study.manifest["split"] = ["X", "X", "X", "Y"], ["train", "train", "val", "train"]
    data = study.clips(balance="vendor")
    data.setup("fit")
    batches = epoch_of(data.train_dataloader())
    videos = [video for batch in batches for video in batch.video_ids]
    assert {video: videos.count(video) for video in set(videos)} == {"v0": 5, "v1": 5, "v3": 10}
    assert len({seed for batch in batches for seed in batch.sample_seeds.tolist()}) == 20  # no clip is a copy


class Recorder(pl.LightningModule):
    """Learns nothing; notes what arrives."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seeds, self.trained, self.validated = {}, [], []

    def training_step(self, batch):
        self.seeds.setdefault(self.current_epoch, set()).update(batch.sample_seeds.tolist())
        self.trained.append(batch.clips)
        return self.weight * 0

    def validation_step(self, batch):
        self.validated.append(levels_of(batch.clips))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_draws_anew_every_epoch_and_augments_training_only(study, tmp_path):
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(recorder, datamodule=study.clips())
    assert [len(seeds) for seeds in recorder.seeds.values()] == [10, 10, 10]
    assert len(set.union(*recorder.seeds.values())) == 30
    assert any((clips != clips[:, :, :1, :1]).any() for clips in recorder.trained)
    assert len(recorder.validated) == 3


class WithNorm(pl.LightningModule):
    """A norm of clips whose weights never move."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm3d(1)
        self.judged = []

    def forward(self, clips):
        return self.norm(clips[:, None].float())

    def training_step(self, batch):
        return self(batch.clips).mean() * 0

    def validation_step(self, batch):
        self.judged.append(self.norm.running_mean.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_precise_statistics_are_those_of_the_epoch_s_augmented_clips(study, tmp_path):
    task, data = WithNorm(), study.clips()
    options = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", use_distributed_sampler=False, num_sanity_val_steps=0,
        callbacks=[PreciseBatchNorm(num_batches=2)], default_root_dir=tmp_path, **options,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    expected = [
        np.mean([clips.float().mean().item() for clips in data.training_clips_of(epoch, 2)]) for epoch in (0, 1)
    ]
    assert expected[0] != expected[1]
    assert task.judged == pytest.approx(expected)
    assert task.norm.momentum == 0.1
    first = next(iter(epoch_of(data.train_dataloader(), 1)))
    assert torch.equal(next(data.training_clips_of(1, 2)), augment_clips(first.clips, first.sample_seeds))


def test_test_videos_need_no_label_and_no_training_split(study):
    study.manifest["label"] = pd.NA
    study.manifest["split"] = "test"
    data = study.clips()
    data.setup("test")
    (batch, *_) = data.test_dataloader()
    assert batch.labels.isnan().all()


def test_a_video_without_a_clip_is_named_in_a_warning(study):
    study.tracks = study.tracks[study.tracks["video_id"] != "v1"]
    with pytest.warns(UserWarning, match=r"1 of 2 videos of split 'train' have no track of 8 frames .*: v1"):
        study.clips().setup("fit")


def drop_split(study):
    study.manifest = study.manifest.drop(columns="split")


def drop_label(study):
    study.manifest.loc[1, "label"] = pd.NA


def empty_val(study):
    study.manifest["split"] = "train"


def unknown_video(study):
    study.tracks.loc[0, "video_id"] = "v9"


def tear_a_track(study):
    study.tracks = study.tracks.drop(index=4)


def beyond_the_end(study):
    study.tracks.loc[study.tracks["video_id"] == "v1", "frame"] += 3


def without_key_frames(study):
    study.rule = {"clip_length": 1, "inputs": "one_key_frame", "key_frames": "manifest"}


def key_frame_of_a_clip(study):
    study.rule = {"inputs": "one_key_frame"}


def key_frame_without_box(study):
    without_key_frames(study)
    study.manifest["key_frames"] = "18"  # between the tracks of v2


def no_long_track(study):
    study.tracks = study.tracks[study.tracks["video_id"] != "v2"]


def no_vendor(study):
    study.manifest["vendor"] = ["X", None, "X", "X"]
    study.rule = {"balance": "vendor"}


def no_age(study):
    study.rule = {"covariates": ["age"]}


def an_age_in_words(study):
    no_age(study)
    study.manifest["parity"] = ["1", "two", "0", "0"]
    study.rule = {"covariates": ["parity"]}


def negative_mixture(study):
    study.rule = {"mixup_alpha": -1}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_split, r"manifest\.csv: has no column 'split'"),
        (drop_label, r"1 videos of split 'train' have no label, the first is 'v1'"),
        (empty_val, r"no video has split 'val'"),
        (unknown_video, r"tracks\.parquet: names 1 videos that .*manifest\.csv does not list: 'v9'"),
        (tear_a_track, r"tracks\.parquet, video 'v0': track 0 skips frames: 8 boxes from frame 2 to 10"),
        (beyond_the_end, r"v1\.mkv: track 3 has a box in frame 30, but the video has 30 frames"),
        (no_vendor, r"1 training videos have no 'vendor', which --data.balance names; the first is 'v1'"),
        (no_age, r"manifest\.csv: has no column 'age', which --data.covariates names"),
        (an_age_in_words, r"covariate 'parity' of video 'v1' is 'two', no number"),
        (negative_mixture, r"--data.mixup_alpha\) is -1; it must be above 0"),
        (no_long_track, r"1 of 1 videos of split 'val' have no track of 8 frames"),
        (without_key_frames, r"1 of 1 videos have no key frame in the manifest's column .*, the first is 'v2'"),
        (key_frame_of_a_clip, r"inputs is 'one_key_frame', but the network takes 8 adjacent frames"),
        (key_frame_without_box, r"1 of 1 videos of split 'val' have no box in a listed key frame"),
    ],
)
def test_faulty_input_is_refused_with_file_and_reason(study, spoil, message):
    study.rule = {}
    spoil(study)
    with pytest.raises(ValueError, match=message):
        study.clips(**study.rule).setup("fit")


def test_evaluation_frames_are_as_decoded_with_their_boxes(study):
    data = study.frames(frames_per_video=8)
    data.setup("fit")
    batches = list(data.val_dataloader())
    numbers = [number for batch in batches for number in batch.frame_indices]
    assert numbers == [0, 4, 8, 12, 16, 20, 24, 28]
    for batch in batches:
        for video, number, frame, boxes in zip(
            batch.video_ids, batch.frame_indices, batch.frames, batch.boxes_xyxy, strict=True
        ):
            assert video == "v2"
            assert frame.shape == (HEIGHT, WIDTH)
            assert (frame == 120 + number).all()
            assert boxes.tolist() == ([[20, 10, 40, 30]] if 10 <= number < 20 else [])
            assert boxes.shape[1] == 4


def test_frames_that_miss_every_lesion_are_refused_before_a_training_rather_than_after_it(study):
    with pytest.raises(
        ValueError, match=r"frames_per_video\) is 2, .* none of these shows one of the \d+ boxes of the "
    ):
        study.frames(frames_per_video=2).setup("fit")


def test_training_frames_change_with_the_epoch_and_with_nothing_else(study):
    def epoch(number, num_workers=0):
        data = study.frames(num_workers)
        data.setup("fit")
        return {
            (video, frame_index): (frame.numpy().tobytes(), boxes.tolist())
            for batch in epoch_of(data.train_dataloader(), number)
            for video, frame_index, frame, boxes in zip(
                batch.video_ids, batch.frame_indices, batch.frames, batch.boxes_xyxy, strict=True
            )
        }

    first = epoch(0)
    assert set(first) == {(video, frame) for video in ("v0", "v1") for frame in (0, 10, 18, 28)}
    assert epoch(0, num_workers=2) == first
    assert epoch(1).keys() == first.keys()
    assert epoch(1) != first


def test_annotations_of_unknown_videos_are_refused(study):
    study.annotations.frames.loc[0, "video_id"] = "v9"
    with pytest.raises(ValueError, match=r"annotations\.json: names 1 videos that .* does not list: 'v9'"):
        study.frames().setup("fit")


def test_a_split_without_annotated_frames_is_refused(study):
    keep = study.annotations.frames["video_id"] != "v2"
    boxes = study.annotations.boxes
    study.annotations = Annotations(study.annotations.frames[keep], boxes[boxes["video_id"] != "v2"])
    with pytest.raises(ValueError, match="1 of 1 videos of split 'val' have no annotated frame"):
        study.frames().setup("fit")


def plain(values):
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    return values.tolist() if isinstance(values, torch.Tensor) else values


def test_batches_without_a_cache_are_those_from_the_cache(study):
    def batches(make, **options):
        data = make(**options)
        data.setup("fit")
        return [*epoch_of(data.train_dataloader(), 2), *data.val_dataloader()]

    for make in (study.clips, study.frames):
        cached = batches(make)
        kept = set(study.cache_dir.iterdir())
        online = batches(make, cache_dir=None)
        assert set(study.cache_dir.iterdir()) == kept
        assert len(online) == len(cached)
        for one, other in zip(online, cached, strict=True):
            assert plain(one) == plain(other)


def test_a_limit_of_the_cache_is_kept(study, tmp_path):
    for make in (study.clips, study.frames):
        with pytest.raises(CacheFullError, match=r"of 1e-06 leaves 1e-06 GB.*--data\.cache_max_gb can be raised"):
            make(cache_dir=str(tmp_path / "small"), cache_max_gb=1e-6).setup("fit")


@pytest.mark.parametrize("world_size", [1, 2])
def test_for_attention_pooling_a_batch_holds_all_clips_of_its_videos(study, world_size):
    for rank in range(world_size):
        data = study.clips(clips_per_video=3, batch_size=3, attention_pooling=True)
        data.trainer = OneOf(rank, world_size)
        data.setup("fit")
        batches = epoch_of(data.train_dataloader())
        assert len(batches) == 2 // world_size
        assert [batch.clip_indices.tolist() for batch in batches] == [[0, 1, 2]] * len(batches)
        assert [len(set(batch.video_ids)) for batch in batches] == [1] * len(batches)
        assert {batch.bag_size for batch in batches} == {3}
        assert {batch.bag_size for batch in data.val_dataloader()} == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips_per_video": 1}, r"clips_per_video\) is 1; .* must be at least 2"),
        ({"batch_size": 4}, r"batch_size\) is 4; .* multiple of --data.clips_per_video, 3"),
        ({"mixup_alpha": 0.2}, r"mixup_alpha\) is 0.2; .* Use one of the two"),
    ],
)
def test_what_attention_pooling_cannot_learn_from_is_refused(study, options, message):
    with pytest.raises(ValueError, match=message):
        study.clips(**{"clips_per_video": 3, "batch_size": 6, "attention_pooling": True, **options})
