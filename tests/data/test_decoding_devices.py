"""On which GPU which process decodes. What a GPU does is marked gpu; who is sent where is tested without one."""

import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from barcodes import write_video
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy

from wauve_dist.data.array_cache import cached_arrays
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.datamodules import ClipDataModule
from wauve_dist.data.decoding import take_gpu
from wauve_dist.structures.tables import TRACKS, write_table

pytest.importorskip("nvidia.dali", reason="needs NVIDIA DALI: pip install 'wauve-dist[gpu]'")

BOX = {"x1": 20.0, "y1": 10.0, "x2": 70.0, "y2": 50.0}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for video in ("v0", "v1", "v2"):
        write_video(tmp_path / f"{video}.avi", list(rng.integers(0, 256, (12, 64, 96), np.uint8)))
        rows.append(pd.DataFrame({"video_id": video, "track_id": 0, "frame": range(12), **BOX}))
    tracks = pd.concat(rows, ignore_index=True).assign(score=0.9, interpolated=False)
    manifest = pd.DataFrame({"video_id": ["v0", "v1", "v2"], "patient_id": ["a", "b", "c"], "label": [0, 1, 1]})
    manifest = manifest.assign(path=manifest["video_id"] + ".avi", split=["train", "train", "val"])
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    write_table(tracks, tmp_path / "tracks.parquet", TRACKS, {"manifest": tmp_path / "manifest.csv"})
    return tmp_path


def data_module(folder, **changes):
    options = dict(
        crop_size=32, roi_context=1.3, clips_per_video=2, batch_size=2, num_workers=2, seed=1, decoder="dali"
    )
    tables = {name: str(folder / file) for name, file in (("manifest", "manifest.csv"), ("tracks", "tracks.parquet"))}
    return ClipDataModule(**tables, cache_dir=None, **(options | changes))


def test_workers_take_turns_on_the_gpus(monkeypatch):
    used = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    for worker in range(5):
        take_gpu([3, 1], worker)
    take_gpu([], 0)
    assert used == [3, 1, 3, 1, 3]


def test_a_cache_that_is_filled_without_workers_is_so_on_the_gpu_that_is_given(folder, tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: used.append((gpu, threading.get_ident())))
    decoding = []
    tracks = pd.read_parquet(folder / "tracks.parquet")
    [recipe] = crop_recipes({"v0": folder / "v0.avi"}, tracks, 32, 1.3).values()
    monkeypatch.setattr(type(recipe), "fill", lambda *_: decoding.append(threading.get_ident()))
    cached_arrays([recipe], tmp_path / "cache", 0, "Crops", gpus=[5, 6])
    assert used == [(5, decoding[0])]  # the device of a thread is its own


def test_a_cache_is_filled_on_the_devices_of_the_trainer_and_on_no_others(folder):
    data = data_module(folder)
    data.trainer = SimpleNamespace(
        strategy=DDPStrategy(parallel_devices=[torch.device("cuda", 3), torch.device("cuda", 0)])
    )
    assert data._gpus() == [3, 0]
    data.trainer = SimpleNamespace(strategy=SingleDeviceStrategy(torch.device("cuda", 2)))
    assert data._gpus() == [2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a run on the CPU decodes on the first GPU, where there is one")
def test_without_cuda_there_is_no_device_to_set(folder):
    data = data_module(folder)
    assert data._gpus() == []
    data.trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False)
    assert data._gpus() == []


def test_a_node_fills_its_cache_with_as_many_processes_as_it_loads_with(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("wauve_dist.data.study_datamodule.cached_arrays", lambda *args: asked.append(args[2]) or [])
    data = data_module(folder)
    data._cache_dir = tmp_path
    data._arrays({}, "Crops")
    data.trainer = pl.Trainer(accelerator="cpu", devices=3, strategy="ddp", logger=False, enable_checkpointing=False)
    data._arrays({}, "Crops")
    assert asked == [2, 6]


def test_loading_workers_are_spawned_where_they_decode_with_dali(folder):
    """A forked process cannot use CUDA once its parent has."""
    online, cached = data_module(folder), data_module(folder, decoder="pyav")
    for data, method in ((online, "spawn"), (cached, None)):
        data.setup("fit")
        for loader in (data.train_dataloader(), data.val_dataloader()):
            context = loader.multiprocessing_context
            assert (context and context.get_start_method()) == method


@pytest.mark.slow
def test_clips_that_workers_decode_with_dali_are_those_of_one_process(folder):
    batches = []
    for num_workers in (0, 2):
        data = data_module(folder, num_workers=num_workers)
        data.setup("fit")
        batches.append([*data.train_dataloader(), *data.val_dataloader()])
    assert len(batches[0]) == len(batches[1]) == 3
    for ours, reference in zip(*batches, strict=True):
        assert ours.video_ids == reference.video_ids
        assert torch.equal(ours.clips, reference.clips)
        assert ours.clips.float().std() > 10


@pytest.mark.gpu
def test_processes_decode_on_the_gpu_that_they_are_given(folder, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    last = torch.cuda.device_count() - 1
    tracks = pd.read_parquet(folder / "tracks.parquet")
    videos = {name: folder / f"{name}.avi" for name in ("v0", "v1", "v2")}
    found = {}
    for decoder in ("pyav", "dali"):
        recipes = crop_recipes(videos, tracks, 32, 1.3, decoder)
        found[decoder] = cached_arrays(list(recipes.values()), tmp_path / "cache", 2, "Crops", gpus=[last])
    for ours, reference in zip(found["dali"], found["pyav"], strict=True):
        assert np.abs(np.load(ours).astype(int) - np.load(reference)).max() <= 3
