"""Runs a function on two real processes that are joined by gloo."""

import multiprocessing
import os

import torch.distributed as dist


def _run(function, rank, port, queue, arguments):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    dist.init_process_group("gloo", rank=rank, world_size=2)
    queue.put((rank, function(rank, *arguments)))
    dist.barrier()
    dist.destroy_process_group()


def on_two_ranks(function, port, *arguments):
    """Return what ``function(rank, *arguments)`` returned on rank 0 and on rank 1."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=_run, args=(function, rank, port, queue, arguments), daemon=True) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    results = dict(queue.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    return results[0], results[1]
