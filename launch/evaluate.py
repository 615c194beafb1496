"""Judge predictions against the truth: launch/evaluate.py --predictions predictions.csv --out DIR."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv`` and write the report; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/evaluate.py",
        description="Write metrics.json, report.html, tables/*.csv and figures/*.{png,svg} for the predictions of one "
        "or several models on the same videos. A video with an empty score (no lesion found) counts as score 0.",
    )
    parser.add_argument(
        "--predictions",
        required=True,
        nargs="+",
        type=Path,
        metavar="CSV",
        help="predictions.csv of each model; clips.parquet and thumbnails/ beside the first are shown in the report",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder")
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--threshold", type=float, metavar="SCORE", help="call malignant from this score on, fixed beforehand"
    )
    threshold.add_argument(
        "--threshold-rule",
        metavar="RULE",
        help="choose it on these very videos, which flatters: youden (default), sensitivity=0.95, specificity=0.90, "
        "match-readers (nearest to the unassisted readers' average sensitivity)",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), help="count only the videos of this split")
    parser.add_argument(
        "--intersection",
        action="store_true",
        help="compare models on the videos that all files have and list those left out (default: refuse such files)",
    )
    parser.add_argument(
        "--detections", type=Path, metavar="PARQUET", help="detections.parquet, for the detector's average precision"
    )
    parser.add_argument("--annotations", type=Path, metavar="JSON", help="true boxes (COCO-VID), with --detections")
    parser.add_argument(
        "--tracks", type=Path, metavar="PARQUET", help="tracks.parquet, to judge them too; with the two above"
    )
    parser.add_argument(
        "--fps",
        type=float,
        metavar="RATE",
        help="frames per second of videos without a number in the column fps of predictions.csv (the manifest's), "
        "for false-positive tracks per minute; with --tracks",
    )
    parser.add_argument(
        "--readers",
        type=Path,
        metavar="CSV",
        help="readers.csv: every reader's BI-RADS of every video, for the first model",
    )
    parser.add_argument(
        "--subgroups",
        metavar="LIST",
        help="groups of videos for the first model, such as site,age>=50,lesion_size_mm<=10,birads:2-3/4-5 (quote it)",
    )
    parser.add_argument(
        "--adjust",
        default="none",
        choices=("none", "holm", "benjamini-hochberg", "bonferroni"),
        help="also give p-values corrected for their number, per kind of comparison (default: none)",
    )
    parser.add_argument("--resamples", type=int, default=9999, metavar="N", help="bootstrap resamples (default: 9999)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default: 0)")
    options = parser.parse_args(argv)

    from wauve_dist.evaluation.inputs import EvaluationError
    from wauve_dist.reporting.report import evaluate
    from wauve_dist.reporting.request import EvaluationRequest
    from wauve_dist.reporting.wording import summary
    from wauve_dist.structures.tables import TableError

    rule = options.threshold_rule or ("youden" if options.threshold is None else None)
    try:
        request = EvaluationRequest(
            predictions=options.predictions,
            num_resamples=options.resamples,
            seed=options.seed,
            threshold=options.threshold,
            threshold_rule=rule,
            split=options.split,
            intersection=options.intersection,
            detections=options.detections,
            annotations=options.annotations,
            tracks=options.tracks,
            fps=options.fps,
            readers=options.readers,
            subgroups=options.subgroups,
            adjustment=options.adjust,
        )
        metrics = evaluate(request, options.out)
    except (EvaluationError, TableError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(metrics))
    print(f"The report is {options.out / 'report.html'}, its numbers are in {options.out / 'metrics.json'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
