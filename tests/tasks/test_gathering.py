import pandas as pd
import pytest
from two_ranks import on_two_ranks

from wauve_dist.tasks.gathering import gather_rows


def rows(*video_ids):
    return pd.DataFrame({"video_id": list(video_ids), "score": [len(v) / 10 for v in video_ids]})


def test_rows_come_back_ordered_by_key():
    table = gather_rows([rows("c"), rows("a", "bb")], key=["video_id"])
    assert table["video_id"].tolist() == ["a", "bb", "c"]
    assert table["score"].tolist() == [0.1, 0.2, 0.1]


def test_a_sample_seen_twice_is_an_error():
    with pytest.raises(RuntimeError, match="more than once"):
        gather_rows([rows("a"), rows("a")], key=["video_id"])


def gathered_ids(rank):
    mine = [[rows("d", "b"), rows("a")], []][rank]  # an uneven share: rank 1 saw nothing
    return gather_rows(mine, key=["video_id"])["video_id"].tolist()


def test_two_processes_hold_the_same_table_also_when_one_saw_nothing(free_port):
    assert on_two_ranks(gathered_ids, free_port) == (["a", "b", "d"],) * 2
