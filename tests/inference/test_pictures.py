import av
import numpy as np
import pandas as pd
import pytest
from spots import sweep

from wauve_dist.data.decoding import VideoInfo
from wauve_dist.inference.drawing import BLUE, GREEN, RED, WHITE
from wauve_dist.inference.overlay import write_overlay
from wauve_dist.inference.score_panel import PANEL_HEIGHT, ScorePanel, running_mean
from wauve_dist.inference.thumbnails import draw_thumbnail, most_confident_box


def _tracks(*spans, x1=20.0, y1=30.0, x2=44.0, y2=54.0):
    """Tracks of one box each, from (first frame, last frame exclusive, score)."""
    return pd.DataFrame(
        [
            (track_id, frame, x1, y1, x2, y2, score, False)
            for track_id, (first, stop, score) in enumerate(spans)
            for frame in range(first, stop)
        ],
        columns=["track_id", "frame", "x1", "y1", "x2", "y2", "score", "interpolated"],
    )


def _clips(*rows):
    table = pd.DataFrame(rows, columns=["track_id", "clip_index", "start_frame", "score"])
    return table.astype({"track_id": int, "clip_index": int, "start_frame": int, "score": float})


def _close_to(picture, colour, tolerance=40):
    """Where pixels [H, W, 3] have that colour, but for what compression does."""
    return (np.abs(np.asarray(picture, np.int16) - colour) <= tolerance).all(axis=2)


def test_the_running_mean_takes_a_clip_in_when_its_last_frame_has_gone_by():
    means, counts = running_mean(_clips((0, 0, 2, 0.25), (0, 1, 10, 0.75), (1, 0, 10, 0.5)), 20)
    assert np.flatnonzero(np.diff(counts, prepend=0)).tolist() == [9, 17]
    assert np.isnan(means[8])
    assert means[[9, 16, 17, 19]].tolist() == [0.25, 0.25, 0.5, 0.5]


def test_the_panel_shows_the_past_bright_and_the_future_dim():
    panel = ScorePanel(640, 80, 25.0, _clips((0, 0, 8, 0.9), (0, 1, 64, 0.2)), call_threshold=0.5)
    plot = slice(60, PANEL_HEIGHT)
    start, end = np.asarray(panel.at(0))[plot], np.asarray(panel.at(79))[plot]
    assert not _close_to(start, RED).any()
    assert not _close_to(start, BLUE).any()
    red, blue = np.argwhere(_close_to(end, RED)), np.argwhere(_close_to(end, BLUE))
    assert red[:, 1].max() < blue[:, 1].min()  # time runs to the right
    assert red[:, 0].max() < blue[:, 0].min()  # probability upwards
    # 572 pixels for 80 frames, from pixel 48: frames 8 to 16 and 64 to 72.
    assert red[:, 1].min() == pytest.approx(48 + 572 * 8 / 80, abs=2)
    assert blue[:, 1].max() == pytest.approx(48 + 572 * 72 / 80, abs=3)


def test_a_panel_without_clips_says_so():
    panel = np.asarray(ScorePanel(640, 10, 25.0, _clips(), call_threshold=0.5).at(9))
    assert panel.shape == (PANEL_HEIGHT, 640, 3)
    header, plot = panel[:30, :300], panel[60:]
    assert header.max() > 100
    assert not any(_close_to(part, colour).any() for part in (header, plot) for colour in (RED, BLUE))


def test_an_overlay_has_every_frame_with_boxes_where_and_when_they_were_seen(tmp_path):
    frames = sweep(30, [(5, 25, 20, 30, 24, 90)])
    tracks = _tracks((5, 25, 0.9))
    clips = _clips((0, 0, 5, 0.9), (0, 1, 13, 0.1))
    info = VideoInfo(num_frames=30, width=128, height=96, fps=25.0, codec="ffv1")
    write_overlay(tmp_path / "o.mp4", iter(frames), info, tracks, clips, call_threshold=0.5)

    with av.open(tmp_path / "o.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == ("h264", 25.0)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == 30
    assert pictures[0].shape == (480 + PANEL_HEIGHT, 640, 3)

    with_box = [number for number, picture in enumerate(pictures) if _close_to(picture[:480], GREEN).sum() > 100]
    assert with_box == list(range(5, 25))
    rows, columns = np.nonzero(_close_to(pictures[10][:480], GREEN))
    # Five times enlarged: the box 20, 30, 44, 54.
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == pytest.approx([100, 150, 219, 269], abs=2)
    red = [number for number, picture in enumerate(pictures) if _close_to(picture[:480], RED).sum() > 20]
    blue = [number for number, picture in enumerate(pictures) if _close_to(picture[:480], BLUE).sum() > 20]
    assert red == list(range(5, 13))
    assert blue == list(range(13, 21))


def test_an_overlay_of_images_without_a_clock_and_of_odd_size(tmp_path):
    frames = np.full((3, 701, 999), 30, np.uint8)
    info = VideoInfo(num_frames=3, width=999, height=701, fps=None, codec="png")
    write_overlay(tmp_path / "o.mp4", iter(frames), info, _tracks(), _clips(), call_threshold=0.5)
    with av.open(tmp_path / "o.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_the_thumbnail_shows_the_most_confident_box_and_the_call():
    tracks = pd.concat([_tracks((0, 5, 0.5)), _tracks((7, 9, 0.8), x1=60, x2=70)], ignore_index=True)
    box = most_confident_box(tracks)
    assert (box["frame"], box["x1"]) == (7, 60)
    frame = sweep(1, [])[0]
    malignant, benign = (np.asarray(draw_thumbnail(frame, box, score, 0.5)) for score in (0.5, 0.49))
    assert malignant.shape[1] == 320
    rows, columns = np.nonzero(_close_to(malignant, GREEN, tolerance=0))
    # 320 / 128 = 2.5 times enlarged: the box 60, 30, 70, 54.
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == [150, 75, 174, 134]
    assert _close_to(malignant, RED, tolerance=0).any()
    assert not _close_to(malignant, BLUE, tolerance=0).any()
    assert _close_to(benign, BLUE, tolerance=0).any()
    assert _close_to(benign, WHITE).any()


def test_a_thumbnail_without_a_lesion_has_no_box_and_no_call():
    assert most_confident_box(_tracks()) is None
    picture = np.asarray(draw_thumbnail(sweep(1, [])[0], None, None, 0.5))
    assert not any(_close_to(picture, colour).any() for colour in (GREEN, RED, BLUE))
