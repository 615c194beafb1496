import pytest

from wauve_dist.data.crop_benchmark import ENCODINGS, ClipRate, benchmark_crops
from wauve_dist.data.loader_benchmark import benchmark_loader


@pytest.mark.slow
def test_every_way_to_cut_gives_the_same_clips():
    rows = list(benchmark_crops(num_frames=40, num_rounds=1, seed=0))
    rates = [row for row in rows if isinstance(row, ClipRate)]
    assert {rate.video for rate in rates} == set(ENCODINGS)
    assert all("torchcodec" in row for row in rows if isinstance(row, str))
    for rate in rates:
        # A decoder of its own converts colours in its own way; a clip one frame off would differ by 5 levels.
        assert rate.difference <= (1 if "torch" in rate.way.lower() else 0)
        assert 0 < rate.per_cpu_s.lowest <= rate.per_cpu_s.median <= rate.per_cpu_s.highest
        # Of 40 frames a pass gives clips from 0, 4, … 32; the others pay for four in each of three epochs.
        assert rate.num_clips == {"one pass, 1 track": 9, "one pass, 2 tracks": 18}.get(rate.way, 12)
        assert set(rate.our_ratios) == (set() if "one pass" in rate.way else {1, 2})


def test_epochs_of_cached_clips_leave_memory_as_it_was():
    copy, ours, clip_by_clip = benchmark_loader(num_videos=4, num_epochs=2, seed=0)
    assert copy.share == 1
    assert ours.memory_growth_mib < 8  # a batch has 24
    assert ours.share > clip_by_clip.share


@pytest.mark.parametrize(("benchmark", "flag"), [(benchmark_crops, "--video-frames 9"), (benchmark_loader, "--cached")])
def test_too_little_to_measure_is_refused(benchmark, flag):
    with pytest.raises(ValueError, match=flag):
        list(benchmark(1 if flag == "--cached" else 9, 1, 0))
