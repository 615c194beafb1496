"""Say whether training can start on this machine, and what is wrong with the videos. Exits with 1 if it cannot."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv``, examine, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--manifest", type=Path, help="manifest.csv whose videos to examine; without it, the machine only"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder that runs will be written to")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="processes that examine videos")
    parser.add_argument("--json", action="store_true", help="print JSON, every video in full")
    options = parser.parse_args(argv)
    from wauve_dist.training.doctor import doctor

    try:
        can_start = doctor(options.manifest, options.out, options.num_workers, options.json)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if can_start else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
