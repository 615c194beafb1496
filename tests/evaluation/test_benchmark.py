from wauve_dist.evaluation.benchmark import benchmark_statistics


def test_what_is_timed_gives_the_same_result_both_ways():
    timings = benchmark_statistics(num_resamples=30, seed=1)
    assert [timing.task.split(",")[0] for timing in timings] == ["AUC bootstrap", "DeLong variance", "DeLong variance"]
    for timing in timings:
        assert timing.difference < 1e-12
        assert 0 < timing.ours_s < timing.reference_s
        assert timing.ours_cpu_s > 0
