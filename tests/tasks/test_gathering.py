import multiprocessing
import os

import pandas as pd
import pytest
import torch.distributed as dist

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


def _gather_on_rank(rank, port, queue):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    dist.init_process_group("gloo", rank=rank, world_size=2)
    mine = [[rows("d", "b"), rows("a")], []][rank]  # an uneven share: rank 1 saw nothing
    queue.put(gather_rows(mine, key=["video_id"])["video_id"].tolist())
    dist.destroy_process_group()


def test_two_processes_hold_the_same_table_also_when_one_saw_nothing(free_port):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_gather_on_rank, args=(rank, free_port, queue)) for rank in (0, 1)]
    for process in processes:
        process.start()
    tables = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert tables == [["a", "b", "d"]] * 2
