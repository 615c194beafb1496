import pytest

from wauve_dist.data.samplers import EvaluationSampler, TrainingSampler


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("num_samples", [1, 7, 12])
def test_evaluation_takes_every_sample_exactly_once(num_samples, world_size):
    shares = [EvaluationSampler(num_samples, rank, world_size) for rank in range(world_size)]
    assert sorted(sample for share in shares for sample in share) == list(range(num_samples))
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]


def order(num_samples, epoch, rank=0, world_size=1, seed=5):
    sampler = TrainingSampler(num_samples, seed, rank, world_size)
    sampler.set_epoch(epoch)
    assert len(sampler) == len(list(sampler))
    return list(sampler)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_take_equal_shares_of_the_order_that_one_process_would_see(world_size):
    alone = order(13, epoch=2)
    assert sorted(sample for _, sample in alone) == list(range(13))
    shares = [order(13, 2, rank, world_size) for rank in range(world_size)]
    together = [pair for step in zip(*shares, strict=True) for pair in step]
    assert together == alone[: 13 - 13 % world_size]


def test_the_order_is_a_function_of_seed_and_epoch():
    assert order(50, epoch=1) == order(50, epoch=1)
    orders = [[sample for _, sample in order(50, epoch, seed=seed)] for epoch, seed in ((0, 5), (1, 5), (0, 6))]
    assert len(set(map(tuple, orders))) == 3


def test_samples_that_sit_an_epoch_out_take_part_in_others():
    absent = [set(range(13)) - {s for rank in range(4) for _, s in order(13, epoch, rank, 4)} for epoch in range(8)]
    assert all(len(samples) == 1 for samples in absent)
    assert len(set().union(*absent)) > 1


def test_each_sample_carries_its_epoch_for_the_draws_of_the_data_set():
    assert {epoch for epoch, _ in order(6, epoch=41)} == {41}


def test_fewer_samples_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 training samples cannot keep 4 processes busy"):
        TrainingSampler(3, 0, 0, 4)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_bags_stay_together_and_ranks_take_equal_shares_of_them(world_size):
    samplers = [TrainingSampler(15, 5, rank, world_size, bag_size=3) for rank in range(world_size)]
    shares = [[sample for _, sample in sampler] for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [5 // world_size * 3] * world_size == [len(s) for s in shares]
    bags = [tuple(share[first : first + 3]) for first in range(0, len(shares[0]), 3) for share in shares]
    alone = [sample for _, sample in TrainingSampler(15, 5, 0, 1, bag_size=3)]
    assert [sample for bag in bags for sample in bag] == alone[: len(bags) * 3]
    assert set(bags) <= {(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11), (12, 13, 14)}
    assert sorted(alone) == list(range(15)) != alone


def test_a_run_resumed_behind_a_bag_goes_on_with_the_next_one():
    whole = [sample for _, sample in TrainingSampler(12, 5, 0, 1, bag_size=3)]
    resumed = TrainingSampler(12, 5, 0, 1, bag_size=3)
    resumed.start_at(0, 6)
    assert [sample for _, sample in resumed] == whole[6:]


def test_fewer_bags_than_processes_are_refused():
    with pytest.raises(ValueError, match="2 training videos cannot keep 3 processes busy"):
        TrainingSampler(6, 0, 0, 3, bag_size=3)
