import os
import threading

import pytest

from wauve_dist.data.video_jobs import run_jobs

number = None


def remember(worker):
    global number
    number = worker, threading.get_ident()


def tell(job):
    assert number is not None
    assert number[1] == threading.get_ident()  # a CUDA device is set for a thread
    return job, number[0], os.getpid()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_worker_is_started_once_with_a_number_of_its_own(num_workers):
    found = [future.result() for future in run_jobs(tell, range(20), num_workers, "Telling", remember)]
    assert [job for job, _, _ in found] == list(range(20))
    workers = {(worker, process) for _, worker, process in found}
    assert len({process for _, process in workers}) == len(workers) == len({worker for worker, _ in workers})
    assert {worker for worker, _ in workers} <= set(range(max(1, num_workers)))
    assert (os.getpid() in {process for _, process in workers}) == (num_workers == 0)
