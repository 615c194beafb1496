"""Measure speed side by side with the usual way; --help lists the parts."""

from __future__ import annotations

import argparse
import sys


def main(argv: list[str]) -> int:
    """Parse ``argv``, run one benchmark and print its table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/benchmark.py", description="Each part against the usual way to do it."
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    statistics = parts.add_parser(
        "statistics", help="bootstrap and DeLong against scikit-learn and all pairs, and a whole report (a minute)"
    )
    statistics.add_argument("--resamples", type=int, default=9999, metavar="N", help="bootstrap resamples")
    statistics.add_argument("--seed", type=int, default=0, help="of data and resamples")
    statistics.set_defaults(run=_statistics)
    coverage = parts.add_parser(
        "coverage", help="how often 95 %% intervals hold the truth of simulated studies (minutes)"
    )
    coverage.add_argument("--studies", type=int, default=1500, metavar="N", help="of each kind (default: 1500)")
    coverage.add_argument("--seed", type=int, default=0, help="of the studies")
    coverage.set_defaults(run=_coverage)
    data = parts.add_parser("data", help="crops out of 1080p video, the cached loader, and the linter (minutes)")
    data.add_argument("--only", choices=["crops", "loader", "linter"], help="one of the three (default: all)")
    data.add_argument("--video-frames", type=int, default=250, metavar="N", help="of the 1080p videos (default: 250)")
    data.add_argument("--rounds", type=int, default=3, metavar="N", help="timings of crops and loader (default: 3)")
    data.add_argument(
        "--cached-videos", type=int, default=60, metavar="N", help="of the loader, 3 MB each (default: 60)"
    )
    data.add_argument("--videos", type=int, default=3000, metavar="N", help="in the linter's archive (default: 3000)")
    data.add_argument("--frames", type=int, default=200, metavar="N", help="of each of those (default: 200)")
    data.add_argument("--seed", type=int, default=0, help="of everything simulated")
    data.set_defaults(run=_data)
    classifier = parts.add_parser(
        "classifier",
        help="training and inference of each network against its library's",
        description="A share of the peak is clips/s x passes x 2 x multiply-accumulates of a pass, over the "
        "operations/s of a matrix product in the same run and precision. A training step counts 3 passes, inference 1.",
    )
    _add_model_options(classifier, batch_size=64)
    classifier.add_argument("--crop-size", type=int, default=224, metavar="PX", help="side of the clips")
    names = ["i3d", "resnet50", "timesformer"]
    classifier.add_argument("--networks", nargs="+", choices=names, default=names, help="which (default: all)")
    classifier.set_defaults(run=_classifier)
    detector = parts.add_parser(
        "detector",
        help="Faster R-CNN inference on scan sectors and whole screens, against torchvision's, frame by frame",
        description="Detectors are untrained, held to one number of proposals, and their scores shifted so that one "
        "proposal in a hundred counts as a lesion, or nearly all do. A quick look on a CPU (minutes): "
        "OMP_NUM_THREADS=1 launch/benchmark.py detector --device cpu --image-size 64 --batch-size 2",
    )
    _add_model_options(detector, batch_size=16)
    detector.add_argument(
        "--image-size", type=int, default=800, metavar="PX", help="side of the square sectors; a screen is 1080p at 800"
    )
    detector.set_defaults(run=_detector)
    tracking = parts.add_parser("tracking", help="boxes to tracks, frame by frame on one core (seconds)")
    tracking.add_argument("--frames", type=int, default=4000, metavar="N", help="of the video (default: 4000)")
    tracking.add_argument("--boxes", type=int, default=20, metavar="N", help="in a frame (default: 20)")
    tracking.add_argument("--rounds", type=int, default=3, metavar="N", help="timings; the best counts (default: 3)")
    tracking.add_argument("--seed", type=int, default=0, help="of the boxes")
    tracking.set_defaults(run=_tracking)
    distributed = parts.add_parser(
        "distributed",
        help="several processes: our trainer against a bare torch loop, every strategy, logging (minutes)",
    )
    distributed.add_argument("--processes", type=int, default=2, metavar="N", help="on this machine (default: 2)")
    distributed.add_argument("--batch-size", type=int, default=4, metavar="N", help="clips a process (default: 4)")
    distributed.add_argument("--crop-size", type=int, default=64, metavar="PX", help="side of the clips (default: 64)")
    distributed.add_argument("--repetitions", type=int, default=9, metavar="N", help="timings (default: 9)")
    distributed.set_defaults(run=_distributed)
    options = parser.parse_args(argv)
    try:
        options.run(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _add_model_options(parser: argparse.ArgumentParser, batch_size: int) -> None:
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: the GPU if there is one"
    )
    parser.add_argument("--batch-size", type=int, default=batch_size, metavar="N", help="clips or frames a step")
    parser.add_argument("--precision", choices=["bf16", "fp16", "fp32"], default="bf16", help="of our model")
    parser.add_argument("--compile", action="store_true", help="with torch.compile too (minutes to compile)")


def _statistics(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.benchmark import benchmark_statistics
    from wauve_dist.reporting.benchmark import benchmark_report

    for timing in benchmark_statistics(options.resamples, options.seed):
        ratio = timing.reference_s / timing.ours_s
        print(f"{timing.task}: {1000 * timing.ours_s:.1f} ms, {1000 * timing.ours_cpu_s:.1f} ms of processor time")
        print(f"  {timing.reference}: {1000 * timing.reference_s:.1f} ms, {ratio:.0f} times as long")
        print(f"  largest difference of the results: {timing.difference:.1e}")
    what, wall_s, cpu_s = benchmark_report(options.resamples, options.seed)
    print(f"{what}: {wall_s:.1f} s, {cpu_s:.1f} s of processor time")


def _coverage(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.coverage import COUNTEREXAMPLES, coverage_table, measure_coverage

    print(coverage_table(measure_coverage(options.studies, options.seed)))
    print("\nWhere an assumption fails:\n")
    print(coverage_table(measure_coverage(options.studies, options.seed, COUNTEREXAMPLES)))


def _data(options: argparse.Namespace) -> None:
    import platform

    import torch

    torch.set_num_threads(1)
    print(f"{platform.machine()} CPU, Python {platform.python_version()}, torch {torch.__version__}, one thread")
    if options.only in (None, "crops"):
        _crops(options)
    if options.only in (None, "loader"):
        _loader(options)
    if options.only in (None, "linter"):
        _linter(options)


def _crops(options: argparse.Namespace) -> None:
    from wauve_dist.data.crop_benchmark import CLIP_STEP, benchmark_crops

    for row in benchmark_crops(options.video_frames, options.rounds, options.seed):
        if isinstance(row, str):
            print(row, flush=True)
            continue
        rate = row.per_cpu_s
        text = (
            f"{row.video}, {row.way}: {rate.median:.1f} clips per CPU second ({rate.lowest:.1f} to {rate.highest:.1f})"
        )
        if row.our_ratios:
            text += "; a pass is " + ", ".join(
                f"{ratio.median:.1f} times as fast ({ratio.lowest:.1f} to {ratio.highest:.1f}) with {number}"
                for number, ratio in row.our_ratios.items()
            )
            text += f" tracks; clips differ by {row.difference:.2f} levels"
        else:
            frames_per_s = rate.median / row.num_clips * options.video_frames
            text += (
                f", {frames_per_s:.0f} frames; it gives {row.num_clips} clips, one every {CLIP_STEP} frames of a track"
            )
        print(text, flush=True)


def _loader(options: argparse.Namespace) -> None:
    from wauve_dist.data.loader_benchmark import benchmark_loader

    for row in benchmark_loader(options.cached_videos, options.rounds, options.seed):
        print(
            f"cached clips, {row.way}: {row.per_cpu_s:,.0f} clips per CPU second ({row.slowest:,.0f} to "
            f"{row.fastest:,.0f}), {row.share:.2f} of a bare copy; memory grew by {row.memory_growth_mib:.0f} MiB",
            flush=True,
        )


def _linter(options: argparse.Namespace) -> None:
    from wauve_dist.data.linting.benchmark import benchmark_linter

    speed = benchmark_linter(options.videos, options.frames, options.seed)
    print(f"duplicates among {speed.num_frames:,} simulated frames: {speed.duration_s:.1f} s")
    print(f"  {speed.cpu_s:.1f} s of processor time, {speed.peak_gib:.2f} GiB at most")
    print(f"  {speed.num_found} of {speed.num_planted} planted pairs of videos found, {speed.num_extra} others")


def _classifier(options: argparse.Namespace) -> None:
    from wauve_dist.inference.checkpoints import pick_device
    from wauve_dist.training.benchmarks.classifier_benchmark import benchmark_classifier
    from wauve_dist.training.benchmarks.throughput import print_throughputs

    device = pick_device(options.device)
    print_throughputs(
        benchmark_classifier(
            device, options.batch_size, options.crop_size, options.precision, options.compile, options.networks
        ),
        "clips/s",
        device,
    )


def _detector(options: argparse.Namespace) -> None:
    from wauve_dist.inference.checkpoints import pick_device
    from wauve_dist.training.benchmarks.detector_benchmark import benchmark_detector
    from wauve_dist.training.benchmarks.throughput import print_throughputs

    device = pick_device(options.device)
    print_throughputs(
        benchmark_detector(device, options.batch_size, options.image_size, options.precision, options.compile),
        "frames/s",
        device,
    )


def _tracking(options: argparse.Namespace) -> None:
    from wauve_dist.tracking.benchmark import benchmark_linker

    speed = benchmark_linker(options.frames, options.boxes, options.rounds, options.seed)
    print(f"{speed.num_frames:,} frames of {speed.boxes_per_frame} boxes linked into {speed.num_tracks} tracks")
    print(f"  {speed.frames_per_s:,.0f} frames per second of processor time")


def _distributed(options: argparse.Namespace) -> None:
    from wauve_dist.training.benchmarks.distributed_benchmark import Workload, print_distributed_benchmark
    from wauve_dist.training.benchmarks.logging_benchmark import print_logging_benchmark

    workload = Workload(options.processes, options.batch_size, options.crop_size, options.repetitions)
    print_distributed_benchmark(workload)
    print_logging_benchmark(workload)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
