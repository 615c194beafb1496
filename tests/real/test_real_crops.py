"""Crops of public breast ultrasound by both decoders. DALI needs a GPU for most codecs, so the videos become MJPEG."""

import time

import av
import numpy as np
import pandas as pd
import pytest

from wauve_dist.data.decoding import check_video, decode_frames
from wauve_dist.data.track_crops import cut_video

pytest.importorskip("nvidia.dali", reason="needs NVIDIA DALI: pip install 'wauve-dist[gpu]'")
pytestmark = pytest.mark.real

SIZE, CONTEXT = 224, 1.3


def write_mjpeg(source, target):
    info = check_video(source)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mjpeg", rate=30, options={"qmin": "2", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, "yuvj420p"
        for frame in decode_frames(source):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuvj420p")))
        container.mux(stream.encode())
    return info.num_frames


def wandering_boxes(num_frames):
    """Three tracks of 20 to 300 pixels, the largest of which leave the frame."""
    frame = np.arange(num_frames)
    parts = []
    for track_id, (width, height) in enumerate([(20, 14), (90, 70), (300, 240)]):
        x1, y1 = 100 + 60 * np.sin(frame / 40) - width / 3, 90 + 40 * np.cos(frame / 30) - height / 3
        box = {"x1": x1, "y1": y1, "x2": x1 + width, "y2": y1 + height}
        parts.append(pd.DataFrame({"track_id": track_id, "frame": frame, **box}))
    return pd.concat(parts, ignore_index=True)


def test_dali_cuts_real_videos_as_pyav_does(real_data, tmp_path):
    videos = sorted((real_data / "cine" / "videos").glob("*.avi"))
    seconds, count, total, largest, worst = {"pyav": 0.0, "dali": 0.0}, 0, 0.0, 0, 0.0
    for source in videos:
        path = tmp_path / source.name
        tracks = wandering_boxes(write_mjpeg(source, path))
        crops = {}
        for decoder in seconds:
            start_s = time.process_time()
            cut = cut_video(path, tracks, SIZE, CONTEXT, decoder)
            crops[decoder] = np.stack([crop.crop for frame in cut for crop in frame.crops])
            seconds[decoder] += time.process_time() - start_s
        assert len(crops["dali"]) == len(tracks)
        for ours, reference in zip(crops["dali"], crops["pyav"], strict=True):
            difference = np.abs(ours.astype(np.int16) - reference)
            largest, worst = max(largest, int(difference.max())), max(worst, float(difference.mean()))
            count, total = count + 1, total + float(difference.mean())
        path.unlink()
    print(
        f"\n{len(videos)} videos, {count} crops of {SIZE}x{SIZE}: DALI differs from PyAV and Pillow by "
        f"{total / count:.3f} grey levels in the mean, {worst:.3f} in the worst crop, {largest} in the worst pixel; "
        f"CPU seconds: PyAV {seconds['pyav']:.1f}, DALI {seconds['dali']:.1f}"
    )
    assert largest <= 3
    assert worst <= 1
