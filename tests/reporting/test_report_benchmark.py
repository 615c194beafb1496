from wauve_dist.reporting.benchmark import benchmark_report


def test_the_report_that_is_timed_has_all_its_parts():
    what, wall_s, cpu_s = benchmark_report(num_resamples=20, seed=1)
    assert what == "Report on 190 videos, 2 models, 4 readers twice, 4 kinds of subgroups, 20 resamples"
    assert wall_s > 0
    assert cpu_s > 0
