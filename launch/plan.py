"""Plan a study: launch/plan.py precision | auc | paired | groups | readers: how many cases, or how much power."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv``, print sizes or powers; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/plan.py",
        description="How many cases a study needs, or, with --cases, what it could find. All tests are two-sided.",
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="QUESTION")

    precision = parts.add_parser("precision", help="cases for a sensitivity or specificity known to within +-")
    precision.add_argument("--expected", type=float, required=True, metavar="SHARE", help="proportion expected, 0..1")
    precision.add_argument("--half-width", type=float, required=True, metavar="SHARE", help="of the 95 %% interval")
    precision.set_defaults(run=_precision)

    auc = parts.add_parser("auc", help="an AUC against a fixed other one (Hanley and McNeil)")
    auc.add_argument("--auc", type=float, required=True, help="expected, 0..1")
    auc.add_argument("--null-auc", type=float, required=True, metavar="AUC", help="to be excluded")
    auc.add_argument("--negatives-per-positive", type=float, default=1.0, metavar="N", help="benign per malignant case")
    auc.add_argument("--cases", type=int, nargs=2, metavar=("MALIGNANT", "BENIGN"), help="give the power of these")
    auc.set_defaults(run=_auc)

    paired = parts.add_parser("paired", help="two models, or a reader twice, on the same cases (McNemar, exact)")
    paired.add_argument("--share-first-only", type=float, required=True, metavar="SHARE", help="only the first right")
    paired.add_argument("--share-second-only", type=float, required=True, metavar="SHARE", help="only the second right")
    paired.add_argument("--cases", type=int, metavar="N", help="give the power of so many")
    paired.set_defaults(run=_paired)

    groups = parts.add_parser("groups", help="a proportion in two groups of different cases (chi-square)")
    groups.add_argument("--p1", type=float, required=True, metavar="SHARE", help="in the first group, 0..1")
    groups.add_argument("--p2", type=float, required=True, metavar="SHARE", help="in the second group")
    groups.add_argument("--cases", type=int, nargs=2, metavar="N", help="give the power of groups of these sizes")
    groups.set_defaults(run=_groups)
    for part in (auc, paired, groups):
        part.add_argument("--power", type=float, default=0.8, help="to reach (default: 0.8)")

    readers = parts.add_parser("readers", help="random readers, alone and assisted, from a pilot (Obuchowski-Rockette)")
    readers.add_argument("--predictions", type=Path, required=True, metavar="CSV", help="of the pilot's videos")
    readers.add_argument("--readers", type=Path, required=True, metavar="CSV", help="readers.csv of the pilot")
    readers.add_argument("--difference", type=float, required=True, metavar="AUC", help="gain of the mean AUC to find")
    readers.add_argument("--num-readers", type=int, nargs="+", required=True, metavar="N")
    readers.add_argument("--cases", type=int, nargs="+", required=True, metavar="N", help="videos, malignant as before")
    readers.set_defaults(run=_readers)
    for part in (auc, paired, groups, readers):
        part.add_argument("--alpha", type=float, default=0.05, help="level of the test (default: 0.05)")

    options = parser.parse_args(argv)
    try:
        options.run(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _precision(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.sample_size import proportion_sample_size

    size = proportion_sample_size(options.expected, options.half_width)
    print(f"{size} cases: malignant ones for a sensitivity, benign ones for a specificity (Clopper-Pearson)")


def _auc(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.sample_size import auc_power, auc_sample_size

    if options.cases is not None:
        malignant, benign = options.cases
        print(f"power {auc_power(options.auc, options.null_auc, malignant, benign, options.alpha):.3f}")
        return
    ratio = options.negatives_per_positive
    size = auc_sample_size(options.auc, options.null_auc, ratio, options.power, options.alpha)
    print(f"{size} malignant and {max(1, round(ratio * size))} benign cases")


def _paired(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.sample_size import mcnemar_power, mcnemar_sample_size

    shares = options.share_first_only, options.share_second_only
    if options.cases is not None:
        print(f"power {mcnemar_power(*shares, options.cases, options.alpha):.3f}")
    else:
        print(f"{mcnemar_sample_size(*shares, options.power, options.alpha)} cases")


def _groups(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.sample_size import two_proportions_power, two_proportions_sample_size

    if options.cases is not None:
        first, second = options.cases
        print(f"power {two_proportions_power(options.p1, first, options.p2, second, options.alpha):.3f}")
    else:
        print(
            f"{two_proportions_sample_size(options.p1, options.p2, options.power, options.alpha)} cases in each group"
        )


def _readers(options: argparse.Namespace) -> None:
    from wauve_dist.evaluation.pilot_study import read_pilot_study

    pilot = read_pilot_study(options.predictions, options.readers)
    print("power    " + "".join(f"{number:>8} videos" for number in options.cases))
    for num_readers in options.num_readers:
        powers = [pilot.power(options.difference, num_readers, cases, options.alpha) for cases in options.cases]
        print(f"{num_readers:>3} readers" + "".join(f"{power:>14.3f} " for power in powers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
