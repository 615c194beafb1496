"""Measure speed side by side with the usual way: launch/benchmark.py statistics."""

import argparse
import sys


def main(argv: list[str]) -> int:
    """Parse ``argv``, run one benchmark and print its table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/benchmark.py", description="Each part against the usual way to do it."
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    statistics = parts.add_parser(
        "statistics", help="bootstrap and DeLong against scikit-learn and all pairs (minutes)"
    )
    statistics.add_argument("--resamples", type=int, default=9999, metavar="N", help="bootstrap resamples")
    statistics.add_argument("--seed", type=int, default=0, help="of data and resamples")
    options = parser.parse_args(argv)

    from wauve_dist.evaluation.benchmark import benchmark_statistics

    for timing in benchmark_statistics(options.resamples, options.seed):
        ratio = timing.reference_s / timing.ours_s
        print(f"{timing.task}: {1000 * timing.ours_s:.1f} ms")
        print(f"  {timing.reference}: {1000 * timing.reference_s:.1f} ms, {ratio:.0f} times as long")
        print(f"  largest difference of the results: {timing.difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
