"""Run a whole study: launch/study.py --config configs/study/demo.yaml."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv`` and run the study; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/study.py",
        description="Videos in, report out: data, detector, tracks, classifier, predictions, report. "
        "A stage that is done is kept; an interrupted study carries on where it stopped.",
        epilog="Any key of the YAML can be given as an option: --out runs/mine --seed 2.",
    )
    parser.add_argument("--config", required=True, metavar="YAML", help="the study, e.g. configs/study/demo.yaml")
    parser.add_argument("--redo", metavar="STAGE", help="make this stage and all that follow anew")
    known, overrides = parser.parse_known_args(argv)

    from wauve_dist.study.chain import run_study
    from wauve_dist.study.config import read_study_config
    from wauve_dist.study.stages import StageError

    try:
        run_study(read_study_config(Path(known.config), overrides), Path(__file__).resolve().parent, known.redo)
    except (StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
