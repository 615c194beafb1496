import av
import numpy as np
import pandas as pd
import pytest
from spots import sweep

from wauve_dist.data.decoding import VideoInfo
from wauve_dist.inference.annotator import Annotator
from wauve_dist.inference.contact_sheet import draw_contact_sheet, extreme_clips, frames_of
from wauve_dist.inference.drawing import BLUE, GREEN, RED, WHITE, fitting, font
from wauve_dist.inference.heat_maps import HeatMaps
from wauve_dist.inference.overlay import write_overlay
from wauve_dist.inference.score_panel import PANEL_HEIGHT, ScorePanel, running_mean
from wauve_dist.inference.thumbnails import draw_thumbnail, most_confident_box
from wauve_dist.structures.clips import Clip


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
    return table.astype({"track_id": int, "clip_index": int, "start_frame": int, "score": float}).assign(video_id="v")


def _close_to(picture, colour, tolerance=40):
    """Where pixels [H, W, 3] have that colour, but for what compression does."""
    return (np.abs(np.asarray(picture, np.int16) - colour) <= tolerance).all(axis=2)


def test_the_running_mean_takes_a_clip_in_when_its_last_frame_has_gone_by():
    means, counts = running_mean(_clips((0, 0, 2, 0.25), (0, 1, 10, 0.75), (1, 0, 10, 0.5)), 8, 20)
    assert np.flatnonzero(np.diff(counts, prepend=0)).tolist() == [9, 17]
    assert np.isnan(means[8])
    assert means[[9, 16, 17, 19]].tolist() == [0.25, 0.25, 0.5, 0.5]


def test_the_running_mean_of_weighed_clips_ends_at_the_video_s_score():
    logits, weights = np.array([2.0, -1.0, 0.5]), np.array([0.2, 0.5, 0.3])
    clips = _clips(*((0, index, 8 * index, score) for index, score in enumerate(1 / (1 + np.exp(-logits)))))
    means, _ = running_mean(clips.assign(logit=logits, weight=weights), 8, 30)
    pooled = np.array([2.0, (0.4 - 0.5) / 0.7, 0.4 - 0.5 + 0.15])
    assert means[[7, 15, 29]] == pytest.approx(1 / (1 + np.exp(-pooled)))


def test_the_panel_shows_the_past_bright_and_the_future_dim():
    panel = ScorePanel(80, 25.0, _clips((0, 0, 8, 0.9), (0, 1, 64, 0.2)), 8, call_threshold=0.5)
    plot = slice(60, PANEL_HEIGHT)
    start, end = np.asarray(panel.at(0))[plot], np.asarray(panel.at(79))[plot]
    assert not _close_to(start, RED).any()
    assert not _close_to(start, BLUE).any()
    red, blue = np.argwhere(_close_to(end, RED)), np.argwhere(_close_to(end, BLUE))
    assert red[:, 1].max() < blue[:, 1].min()  # time runs to the right
    assert red[:, 0].max() < blue[:, 0].min()  # probability upwards
    # 1820 pixels for 80 frames, from pixel 72: frames 8 to 16 and 64 to 72.
    assert red[:, 1].min() == pytest.approx(72 + 1820 * 8 / 80, abs=2)
    assert blue[:, 1].max() == pytest.approx(72 + 1820 * 72 / 80, abs=3)


def test_a_panel_without_clips_says_so():
    panel = np.asarray(ScorePanel(10, 25.0, _clips(), 8, call_threshold=0.5).at(9))
    assert panel.shape == (PANEL_HEIGHT, 1920, 3)
    header, plot = panel[:50, :500], panel[60:]
    assert header.max() > 100
    assert not any(_close_to(part, colour).any() for part in (header, plot) for colour in (RED, BLUE))


def _annotator(tracks, clips, cells=None, clip_length=8):
    """Annotator of clips that all have the same map."""
    cells = np.zeros((4, 2, 2), np.float32) if cells is None else np.float32(cells)
    known = [Clip(*row) for row in clips[list(Clip._fields)].itertuples(index=False)]
    return Annotator(tracks, clips, HeatMaps("contribution", clip_length, 64, 1.0, dict.fromkeys(known, cells)), 0.5)


def _pictures_of(path):
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1920, 1080)
        return float(stream.average_rate), [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


LEFT, RIGHT = np.s_[60:830, :960], np.s_[60:830, 960:]  # of an overlay: the detections, the maps


def test_an_overlay_has_every_frame_with_boxes_where_and_when_they_were_seen(tmp_path):
    frames = sweep(30, [(5, 25, 20, 30, 24, 90)])
    clips = _clips((0, 0, 5, 0.9), (0, 1, 13, 0.1))
    info = VideoInfo(num_frames=30, width=128, height=96, fps=25.0, codec="ffv1")
    write_overlay(tmp_path / "o.mp4", "a", iter(frames), info, _annotator(_tracks((5, 25, 0.9)), clips))

    rate, pictures = _pictures_of(tmp_path / "o.mp4")
    assert (rate, len(pictures)) == (25.0, 30)
    for side in (LEFT, RIGHT):
        with_box = [number for number, picture in enumerate(pictures) if _close_to(picture[side], GREEN).sum() > 100]
        assert with_box == list(range(5, 25))
        rows, columns = np.nonzero(_close_to(pictures[10][side], GREEN))
        # 24 of 128 by 24 of 96 pixels, of a picture that keeps its shape.
        factor = (np.ptp(columns) + 1) / 24
        assert (np.ptp(rows) + 1) / 24 == pytest.approx(factor, rel=0.02)
        assert factor > 6
    red = [number for number, picture in enumerate(pictures) if _close_to(picture[LEFT], RED).sum() > 20]
    blue = [number for number, picture in enumerate(pictures) if _close_to(picture[LEFT], BLUE).sum() > 20]
    assert red == list(range(5, 13))
    assert blue == list(range(13, 21))


def test_the_overlay_colours_the_map_s_side_by_sign_and_to_one_scale(tmp_path):
    """A map that speaks for malignant on its left and half as much for benign on its right."""
    frames = sweep(30, [(5, 25, 20, 30, 24, 90)])
    clips = _clips((0, 0, 5, 0.9), (0, 1, 13, 0.1))
    annotator = _annotator(_tracks((5, 25, 0.9)), clips, cells=np.tile([2.0, -1.0], (4, 2, 1)))
    info = VideoInfo(num_frames=30, width=128, height=96, fps=25.0, codec="ffv1")
    write_overlay(tmp_path / "o.mp4", "a", iter(frames), info, annotator)
    _, pictures = _pictures_of(tmp_path / "o.mp4")
    coloured = []
    for picture in pictures:
        red, _, blue = np.moveaxis(picture[RIGHT].astype(int), 2, 0)
        coloured.append(((red - blue > 80).sum(), (blue - red > 60).sum()))
    for number, (num_red, num_blue) in enumerate(coloured):
        if 5 <= number < 21:
            assert min(num_red, num_blue) > 2000
            assert coloured[number] == pytest.approx(coloured[5], rel=0.02)  # nothing flickers
        else:
            assert max(num_red, num_blue) < 50
    red, _, blue = np.moveaxis(pictures[10][RIGHT].astype(int), 2, 0)
    assert np.nonzero(red - blue > 80)[1].max() < np.nonzero(blue - red > 60)[1].min()


@pytest.mark.parametrize(("height", "width"), [(701, 999), (1080, 1920), (40, 1200), (900, 30)])
def test_an_overlay_of_images_without_a_clock_and_of_any_shape(tmp_path, height, width):
    frames = np.full((3, height, width), 30, np.uint8)
    info = VideoInfo(num_frames=3, width=width, height=height, fps=None, codec="png")
    write_overlay(tmp_path / "o.mp4", "a name " * 40, iter(frames), info, _annotator(_tracks(), _clips()))
    assert len(_pictures_of(tmp_path / "o.mp4")[1]) == 3


@pytest.mark.parametrize("x1", [0.0, 60.0, 118.0])
@pytest.mark.parametrize("y1", [0.0, 40.0, 86.0])
def test_a_label_stands_wholly_inside_its_picture(x1, y1):
    box = dict(x1=x1, y1=y1, x2=x1 + 10, y2=y1 + 10)
    annotator = _annotator(_tracks((0, 8, 0.9), **box), _clips((0, 0, 0, 0.9)))
    picture = annotator.detections(0, np.zeros((96, 128), np.uint8), 512, 384)
    middle = _annotator(_tracks((0, 8, 0.9), x1=50.0, y1=50.0, x2=60.0, y2=60.0), _clips((0, 0, 0, 0.9)))
    whole = middle.detections(0, np.zeros((96, 128), np.uint8), 512, 384)
    assert _close_to(picture, RED).sum() == _close_to(whole, RED).sum() > 100  # not a letter is cut off


def test_labels_of_lesions_at_one_place_do_not_cover_each_other():
    one, black = _clips((0, 0, 0, 0.9)), np.zeros((96, 128), np.uint8)
    alone = _annotator(_tracks((0, 8, 0.9)), one).detections(0, black, 512, 384)
    tracks, clips = _tracks(*[(0, 8, 0.9)] * 3), _clips(*[(track, 0, 0, 0.9) for track in range(3)])
    together = _annotator(tracks, clips).detections(0, black, 512, 384)
    assert _close_to(together, RED).sum() > 2.8 * _close_to(alone, RED).sum()


def test_text_that_is_too_wide_loses_its_middle():
    assert fitting("short", 24, 500) == "short"
    shown = fitting("2024/hospital-north/patient-000123/sweep-1", 24, 300)
    assert font(24).getlength(shown) <= 300
    assert shown.startswith("2024/")
    assert shown.endswith("sweep-1")
    assert "…" in shown


def test_the_contact_sheet_shows_the_highest_and_the_lowest_clip():
    frames = dict(enumerate(sweep(30, [(0, 30, 20, 30, 24, 90)])))
    clips = _clips((0, 0, 0, 0.4), (0, 1, 8, 0.9), (0, 2, 16, 0.2))
    tracks = _tracks((0, 24, 0.9))
    needed = frames_of(extreme_clips(clips), 8)
    assert needed == set(range(8, 24))
    sheet = draw_contact_sheet("a", {number: frames[number] for number in needed}, tracks, _annotator(tracks, clips))
    assert sheet.width == 1920
    red, blue = (np.argwhere(_close_to(sheet, colour))[:, 0] for colour in (RED, BLUE))
    second_row = sheet.height * 0.55
    assert red.max() < second_row  # the mean, 0.5, is red too: it stands in the header
    assert blue.min() > second_row - 60


def test_a_sheet_of_one_clip_has_one_row_and_of_none_says_so():
    frames, tracks = dict(enumerate(sweep(8, []))), _tracks((0, 8, 0.9))
    one = draw_contact_sheet("a", frames, tracks, _annotator(tracks, _clips((0, 0, 0, 0.4))))
    two_clips = _clips((0, 0, 0, 0.4), (1, 0, 0, 0.6))
    two_tracks = _tracks((0, 8, 0.9), (0, 8, 0.9))
    two = draw_contact_sheet("a", frames, two_tracks, _annotator(two_tracks, two_clips))
    none = draw_contact_sheet("a", {}, tracks, _annotator(tracks, _clips()))
    assert none.height < one.height < two.height
    assert np.asarray(none).max() > 100


def test_the_sheet_of_an_image_network_shows_single_frames():
    frames, tracks = dict(enumerate(sweep(8, []))), _tracks((0, 8, 0.9))
    clips = _clips((0, 0, 3, 0.4), (0, 1, 6, 0.6))
    annotator = _annotator(tracks, clips, np.ones((1, 2, 2)), clip_length=1)
    kept = {number: frames[number] for number in frames_of(extreme_clips(clips), 1)}
    assert set(kept) == {3, 6}
    assert draw_contact_sheet("a", kept, tracks, annotator).width == 1920


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
