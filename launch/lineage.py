"""Show at W&B what was made from what: launch/lineage.py runs/demo --out runs/demo-lineage."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv`` and write the runs; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/lineage.py",
        description="Write W&B offline runs that tell which data, tracks, checkpoints, predictions and reports were "
        "made from which, by kind and hash. No file, path or id is in them, and nothing leaves the machine "
        "before `wandb sync`.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a study's folder, or any that holds results")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for W&B's files")
    known = parser.parse_args(argv)

    from wauve_dist.training.logging.run_lineage import log_lineage

    try:
        runs = log_lineage(known.folder, known.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(runs)} runs. Upload with: wandb sync {known.out}/wandb/offline-run-*")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
