from pathlib import Path

import pytest

from wauve_dist.data.decoding import check_video, decode_frames
from wauve_dist.structures.tables import read_manifest


@pytest.mark.real
def test_every_real_cine_clip_yields_the_frames_that_its_manifest_counts(real_data):
    manifest = read_manifest(real_data / "cine" / "manifest.csv")
    assert len(manifest) == 20
    for row in manifest.itertuples():
        assert check_video(Path(row.path)) == (int(row.num_frames), 320, 320, 30.0, row.codec)
        assert sum(frame.shape == (320, 320) for frame in decode_frames(Path(row.path))) == int(row.num_frames)
