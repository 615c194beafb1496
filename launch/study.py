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
        allow_abbrev=False,
        epilog="Any key of the YAML can be given as an option: --out runs/mine --seed 2.",
    )
    parser.add_argument("--config", required=True, metavar="YAML", help="the study, e.g. configs/study/demo.yaml")
    parser.add_argument("--redo", metavar="STAGE", help="make this stage and all that follow anew")
    slurm = parser.add_argument_group(
        "on a Slurm cluster", "Keys of the profile are options too: --slurm.nodes 2 --slurm.time 12:00:00."
    )
    slurm.add_argument(
        "--slurm",
        type=Path,
        metavar="PROFILE",
        help="submit the stages that are not done as jobs, each after the one before: slurm/titan_rtx_8.yaml",
    )
    slurm.add_argument("--wait", action="store_true", help="follow the jobs to their end and print the result")
    slurm.add_argument("--dry-run", action="store_true", help="check all, print the scripts for sbatch, submit nothing")
    known, overrides = parser.parse_known_args(argv)
    if (known.wait or known.dry_run) and not known.slurm:
        parser.error("--wait and --dry-run need --slurm")

    from wauve_dist.cluster.controller import SlurmError
    from wauve_dist.cluster.profile import read_profile, split_profile_options
    from wauve_dist.study.chain import run_study
    from wauve_dist.study.config import read_study_config
    from wauve_dist.study.stages import StageError

    launch_folder = Path(__file__).resolve().parent
    try:
        if known.slurm:
            from wauve_dist.study.slurm_chain import submit_study

            of_profile, overrides = split_profile_options(overrides)
            config = read_study_config(Path(known.config), overrides)
            profile = read_profile(known.slurm, of_profile)
            return submit_study(config, profile, launch_folder.parent, known.redo, known.wait, known.dry_run)
        run_study(read_study_config(Path(known.config), overrides), launch_folder, known.redo)
    except (SlurmError, StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
