"""Search for good settings: launch/sweep.py create configs/sweeps/classifier.yaml --out runs/sweep."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv`` and do what it says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/sweep.py",
        description="Try many settings of a training. Any number of agents, here or on a cluster's nodes, share a "
        "sweep's folder: each trial is run once, a killed one is taken up where it was saved.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    create = commands.add_parser(
        "create",
        help="check a sweep and make its folder",
        allow_abbrev=False,
        epilog="Further options go to every trial: --data.manifest FILE --trainer.max_epochs 4 --wandb disabled.",
    )
    create.add_argument("file", type=Path, metavar="YAML", help="the sweep, e.g. configs/sweeps/classifier.yaml")
    create.add_argument("--out", type=Path, required=True, metavar="DIR", help="the sweep's new folder")
    create.add_argument("--seed", type=int, default=1, help="of the configurations tried (default 1)")
    create.add_argument(
        "--scheduler",
        choices=["local", "wandb"],
        default="local",
        help="who chooses configurations and stops hopeless trials: the agents among themselves (default), or W&B's "
        "server, which needs an account (WANDB_API_KEY) and trials with --wandb online",
    )
    for name, meaning in (
        ("agent", "run trials on this machine until none is left; start as many as it has room for"),
        ("status", "print a line a trial, the best first"),
        ("plot", "draw its trials as parallel coordinates"),
        ("best", "write the best trial's config, and print its command line"),
    ):
        commands.add_parser(name, help=meaning, allow_abbrev=False).add_argument(
            "folder", type=Path, metavar="DIR", help="the sweep's folder"
        )
    stop = commands.add_parser(
        "stop",
        help="have running trials save after their step and end, and agents too; no more are taken",
        allow_abbrev=False,
        epilog="Agents that wait in Slurm's queue end as soon as they start. Nothing is lost: after --undo, new agents "
        "first go on with the trials that were saved. Stopping a sweep on W&B's page ends its agents too.",
    )
    stop.add_argument("folder", type=Path, metavar="DIR", help="the sweep's folder")
    stop.add_argument("--undo", action="store_true", help="let agents, which you start anew, take trials again")
    submit = commands.add_parser(
        "submit",
        help="submit agents as Slurm jobs",
        allow_abbrev=False,
        epilog="Keys of the profile are options too: --slurm.gpus_per_node 2 --slurm.time 12:00:00.",
    )
    submit.add_argument("folder", type=Path, metavar="DIR", help="the sweep's folder")
    submit.add_argument("--slurm", type=Path, required=True, metavar="PROFILE", help="e.g. slurm/titan_rtx_8.yaml")
    submit.add_argument("--agents", type=int, required=True, metavar="N", help="number of jobs, each runs trials")
    submit.add_argument("--dry-run", action="store_true", help="check all, print the script for sbatch, submit nothing")
    known, rest = parser.parse_known_args(argv)
    if rest and known.command not in ("create", "submit"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")

    from wauve_dist.cluster.controller import SlurmError

    launch_folder = Path(__file__).resolve().parent
    try:
        if known.command == "create":
            from wauve_dist.sweeps.creation import create_sweep

            sweep = create_sweep(
                known.file, known.out, rest, known.seed, launch_folder, on_wandb=known.scheduler == "wandb"
            )
            print(f"{sweep.file.num_trials} trials. Run them with: python launch/sweep.py agent {known.out}")
        elif known.command == "agent":
            from wauve_dist.sweeps.agent import run_agent

            return run_agent(known.folder, launch_folder)
        elif known.command == "submit":
            from wauve_dist.sweeps.submission import submit_agents

            submit_agents(known.folder, known.slurm, rest, known.agents, launch_folder.parent, known.dry_run)
        elif known.command == "stop":
            from wauve_dist.sweeps.sweep import Sweep

            if known.undo:
                Sweep(known.folder).undo_stop()
            else:
                Sweep(known.folder).stop()
        elif known.command == "status":
            from wauve_dist.sweeps.results import print_status

            print_status(known.folder)
        elif known.command == "plot":
            from wauve_dist.sweeps.parallel_coordinates import write_plot

            write_plot(known.folder)
        else:
            from wauve_dist.sweeps.results import write_best

            write_best(known.folder)
    except (SlurmError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
