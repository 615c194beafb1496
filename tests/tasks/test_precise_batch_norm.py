import copy

import pytest
import torch
from torch import nn
from two_ranks import on_two_ranks

from wauve_dist.tasks.precise_batch_norm import PreciseBatchNorm, replace_statistics


def test_the_statistics_are_the_mean_over_batches_by_hand():
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(99)
    replace_statistics(norm, [torch.tensor([[1.0], [3.0]]), torch.tensor([[10.0], [20.0]])])
    assert norm.running_mean.tolist() == [(2 + 15) / 2]
    assert norm.running_var.tolist() == [(2 + 50) / 2]  # unbiased, as torch keeps them
    assert norm.momentum == 0.1


def test_they_are_those_of_torch_s_update_bn_in_a_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    other, batches = copy.deepcopy(network), [torch.randn(3, 1, 8, 8) for _ in range(5)]
    replace_statistics(network, batches)
    torch.optim.swa_utils.update_bn(batches, other)
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), other.buffers(), strict=True))


def test_norms_in_evaluation_mode_stay_as_they_are():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    network[0].eval()
    replace_statistics(network, [torch.tensor([[1.0, 5.0], [3.0, 6.0]])])
    assert network[0].running_mean.tolist() == [0, 0]
    assert network[1].running_mean.tolist() == pytest.approx([2.0, 5.5], rel=1e-4)  # the first passes them through


def test_a_network_without_norms_is_not_run():
    replace_statistics(nn.Linear(1, 1), (pytest.fail("a batch was asked for") for _ in range(1)))


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="num_batches is 0"):
        PreciseBatchNorm(0)


def replaced_statistics(rank):
    norm = nn.BatchNorm1d(1)
    replace_statistics(norm, [torch.tensor([[1.0], [3.0]]) if rank == 0 else torch.tensor([[10.0], [20.0]])])
    return norm.running_mean.tolist(), norm.running_var.tolist()


def test_two_processes_hold_the_mean_over_both(free_port):
    mean, variance = (2 + 15) / 2, (2 + 50) / 2
    assert on_two_ranks(replaced_statistics, free_port) == (([mean], [variance]),) * 2
