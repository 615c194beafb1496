import numpy as np
import pytest

from wauve_dist.evaluation.inputs import EvaluationError, OneClassError
from wauve_dist.evaluation.model_accuracy import compare_models, evaluate_model
from wauve_dist.evaluation.operating_point import given_threshold
from wauve_dist.evaluation.scored_videos import read_scored_videos
from wauve_dist.structures.tables import TableError

GOOD = {"a": "pa,1,0.9", "b": "pb,0,0.2", "c": "pc,1,0.6", "d": "pd,0,0.4"}


@pytest.fixture
def write(tmp_path):
    def write_csv(name, rows, columns="patient_id,label,score"):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"video_id,{columns}\n" + "".join(f"{video},{row}\n" for video, row in rows.items()))
        return path

    return write_csv


def test_videos_come_in_the_order_of_their_ids_whatever_the_file(write):
    scored = read_scored_videos([write("one", dict(reversed(GOOD.items()))), write("two", GOOD)])
    assert scored.videos["video_id"].tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(scored.scores["one"], [0.9, 0.2, 0.6, 0.4])
    np.testing.assert_array_equal(scored.scores["two"], scored.scores["one"])
    np.testing.assert_array_equal(scored.positive, [True, False, True, False])


def test_no_lesion_found_is_a_score_of_zero_and_remembered(write):
    scored = read_scored_videos([write("m", GOOD | {"c": "pc,1,"})])
    np.testing.assert_array_equal(scored.scores["m"], [0.9, 0.2, 0.0, 0.4])
    np.testing.assert_array_equal(scored.no_lesion["m"], [False, False, True, False])


def test_unlabelled_videos_are_left_out_and_counted(write):
    scored = read_scored_videos([write("m", GOOD | {"e": "pe,,0.5"})])
    assert (len(scored.videos), scored.num_unlabelled) == (4, 1)


def test_the_column_model_names_a_file(write):
    rows = {video: f"{row},I3D" for video, row in GOOD.items()}
    assert list(read_scored_videos([write("x", rows, "patient_id,label,score,model")]).scores) == ["I3D"]


def test_a_split_selects(write):
    rows = {v: f"{row},{s}" for (v, row), s in zip(GOOD.items(), ["test", "test", "val", "val"], strict=True)}
    path = write("m", rows, "patient_id,label,score,split")
    assert read_scored_videos([path], "test").videos["video_id"].tolist() == ["a", "b"]
    with pytest.raises(EvaluationError, match=r"--split train: .*m\.csv has no such video; its splits are test, val"):
        read_scored_videos([path], "train")
    with pytest.raises(EvaluationError, match="has no column 'split'"):
        read_scored_videos([write("n", GOOD)], "test")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"c": "pc,1,NaN"}, TableError, r"m\.csv row 4, column 'score': 'NaN' is not a number"),
        ({"c": "pc,1,inf"}, TableError, r"m\.csv row 4, column 'score': inf must lie between 0 and 1"),
        ({"c": "pc,1,1.5"}, TableError, r"row 4, column 'score': 1\.5 must lie between 0 and 1"),
        ({"c": "pc,1,high"}, TableError, r"row 4, column 'score': 'high' must be a number"),
        ({"c": "pc,2,0.6"}, TableError, r"row 4, column 'label': 2 must be one of 0, 1"),
        ({"a": "pa,0,0.9", "c": "pc,0,0.1"}, OneClassError, r"m\.csv: all 4 cases are benign"),
        (dict.fromkeys(GOOD, "p,,0.5"), EvaluationError, "no video has one"),
    ],
)
def test_a_bad_table_is_refused_by_file_and_row(write, change, error, message):
    with pytest.raises(error, match=message):
        read_scored_videos([write("m", GOOD | change)])


def test_a_video_twice_is_refused(write, tmp_path):
    path = write("m", GOOD)
    path.write_text(path.read_text() + "b,pb,0,0.2\n")
    with pytest.raises(TableError, match="column 'video_id': 'b' stands there more than once"):
        read_scored_videos([path])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": GOOD["a"], "b": GOOD["b"]}, r"two\.csv lacks 2 videos of .*one\.csv: c, d\."),
        (GOOD | {"e": "pe,1,0.5"}, r"one\.csv lacks 1 videos of .*two\.csv: e\."),
        (GOOD | {"d": "pd,1,0.4"}, "column 'label' differs between .* for 1 videos: d"),
        (GOOD | {"d": "pd,,0.4"}, "column 'label' differs between .* for 1 videos: d"),
        (GOOD | {"a": "other,1,0.9"}, "column 'patient_id' differs between .* for 1 videos: a"),
    ],
)
def test_files_that_disagree_are_refused(write, other, message):
    with pytest.raises(EvaluationError, match=message):
        read_scored_videos([write("one", GOOD), write("two", other)])


def test_an_intersection_is_taken_only_when_asked_and_remembers_what_it_leaves_out(write):
    files = [write("one", GOOD | {"e": "pe,1,0.5", "f": "pf,0,0.5"}), write("two", GOOD | {"g": "pg,1,0.5"})]
    with pytest.raises(EvaluationError, match=r"lacks 1 videos .* give --intersection to leave out"):
        read_scored_videos(files)
    scored = read_scored_videos(files, intersection=True)
    assert scored.videos["video_id"].tolist() == ["a", "b", "c", "d"]
    assert scored.left_out == {"one": ("e", "f"), "two": ("g",)}
    assert read_scored_videos([files[0], write("same", GOOD | {"e": "pe,1,0.1", "f": "pf,0,0.1"})]).left_out == {}
    with pytest.raises(EvaluationError, match="the predictions of one, far have no video in common"):
        read_scored_videos([files[0], write("far", {"x": "px,1,0.5", "y": "py,0,0.5"})], intersection=True)


def test_two_files_of_one_name_and_two_models_in_one_file_are_refused(write):
    path = write("m", GOOD)
    with pytest.raises(EvaluationError, match="both hold the model 'm'"):
        read_scored_videos([path, path])
    rows = {video: f"{row},{video}" for video, row in GOOD.items()}
    with pytest.raises(EvaluationError, match=r"holds 4 models \(a, b, c, d\)"):
        read_scored_videos([write("x", rows, "patient_id,label,score,model")])


def test_models_are_compared_by_who_alone_is_right(write):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    files = []
    for model in ("first", "second"):
        scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0.001, 0.999).round(3)
        files.append(write(model, {f"v{i:02d}": f"p{i},{labels[i]},{scores[i]}" for i in range(60)}))
    scored = read_scored_videos(files)
    results = {
        model: evaluate_model(scored, model, lambda *_: given_threshold(0.5), seed=0, num_resamples=100)
        for model in scored.scores
    }
    rows = {(row.metric, row.method.split(",")[0]): row for row in compare_models(scored, results)}
    right = {model: (scored.scores[model] >= 0.5) == scored.positive for model in results}
    expected = (
        int(np.sum(right["first"] & ~right["second"] & scored.positive)),
        int(np.sum(right["second"] & ~right["first"] & scored.positive)),
    )
    assert rows["sensitivity", "McNemar exact"].discordant == expected
    for row in rows.values():
        if row.metric != "auc":
            one, other = (getattr(results[model].operating_point, row.metric).value for model in results)
            assert row.difference == pytest.approx(one - other)
    assert set(rows) == {
        ("auc", "DeLong"),
        *((metric, "McNemar exact") for metric in ("sensitivity", "specificity", "accuracy")),
        *((metric, test) for metric in ("ppv", "npv") for test in ("N-1 chi-square", "generalised score")),
    }
