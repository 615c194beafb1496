from dataclasses import replace

import av
import pandas as pd
import pytest
import torch
from spots import manifest_of, sweep

from wauve_dist.data.decoding import VideoError
from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models, PredictionSettings
from wauve_dist.structures.tables import CLIPS, TRACKS, read_table
from wauve_dist.tracking.linker import LinkerSettings

pytest.importorskip("nvidia.dali", reason="needs NVIDIA DALI: pip install 'wauve-dist[gpu]'")

SETTINGS = PredictionSettings(LinkerSettings(), batch_size=8, call_threshold=0.5, model="spots", overlay=False)


def write_video(path, frames, codec, pixels):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def run(out, video, decoder, detector, classifier):
    manifest = manifest_of([video])
    source = video.with_suffix(".csv")
    manifest.to_csv(source, index=False)
    settings = replace(SETTINGS, decoder=decoder)
    predict(manifest, lambda _: Models(detector, classifier), 1, out, settings, {"videos": source})
    return read_table(out / "tracks.parquet", TRACKS), read_table(out / "clips.parquet", CLIPS)


def test_prediction_is_the_same_with_dali(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(40, [(5, 30, 20, 30, 24, 153)]), "mjpeg", "yuvj420p")
    found = [run(tmp_path / decoder, video, decoder, detector, classifier) for decoder in ("pyav", "dali")]
    pd.testing.assert_frame_equal(found[0][0], found[1][0], atol=0.01)
    pd.testing.assert_frame_equal(found[0][1], found[1][1], atol=0.01)
    assert len(found[0][1]) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU decodes H.264")
def test_what_dali_cannot_decode_stops_the_prediction_by_name(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.mp4", sweep(12, [(2, 10, 20, 30, 24, 200)]), "libx264", "yuv420p")
    with pytest.raises(VideoError, match=r"a\.mp4: DALI cannot decode h264 on the CPU .*--decoder pyav"):
        run(tmp_path / "out", video, "dali", detector, classifier)
