"""Train the detector or the classifier: launch/train.py --config configs/classification/i3d_r50.yaml --out DIR."""

import sys
from pathlib import Path

SHORT_HELP = """\
usage: launch/train.py --config YAML --out DIR [--resume] [--weights FILE] [--wandb MODE] [--KEY VALUE ...]

Train the lesion detector or the clip classifier; the config decides which.

  --config YAML      one complete experiment, e.g. configs/detection/faster_rcnn_r34.yaml or
                     configs/classification/i3d_r50.yaml; a second --config lays an overlay over it
  --out DIR          run folder: config.yaml, metrics/, checkpoints/{best,last}.ckpt, wandb/
  --resume           carry on from DIR/checkpoints/last.ckpt
  --weights FILE     start from another run's checkpoint, or from a pretrained file: PyTorchVideo's or PySlowFast's I3D
                     (.pyth, Caffe2's .pkl), a 2D ImageNet ResNet-50 of torchvision or timm (.pth); for the detector a
                     ResNet-34, alone or in a Faster R-CNN, of torchvision, timm (.pth) or Detectron2 (.pth, .pkl)
  --weights_ignore P tensors that need not fit, as patterns: '*.classifier.*' for a file with other classes
  --wandb MODE       offline (default, nothing leaves the machine), online or disabled
  --tensorboard      also write all figures to DIR/tensorboard
  --wandb_media KEY  also log pictures of validation lesions, under names that the secret in the file KEY makes
  --wandb_checkpoint also log weights and settings of best and last as an artifact
  --KEY VALUE        override any key of the config: --model.lr 1e-3 --data.batch_size 4 --trainer.devices 8
  --print_config     print the resolved config and stop
  --help-all         list every key of model, data and trainer with its meaning (imports torch: some seconds)

On a Slurm cluster, from its login node:
  --slurm PROFILE    check all, then submit the training as a job, e.g. slurm/titan_rtx_8.yaml; it runs a copy of the
                     code and of the config as they are now; DIR.slurm gets its log
  --slurm.KEY VALUE  override a key of the profile: --slurm.nodes 2 --slurm.time 12:00:00
  --wait             follow the job's log to its end and exit with its status
  --dry-run          check all, print the script for sbatch and submit nothing
"""


def submit(argv: list[str]) -> int:
    """Submit the training that ``argv`` describes; return the exit status."""
    import argparse

    from wauve_dist.cluster.controller import SlurmError
    from wauve_dist.cluster.training_job import submit_training

    parser = argparse.ArgumentParser(prog="launch/train.py", allow_abbrev=False)
    parser.add_argument("--slurm", type=Path, required=True)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    known, rest = parser.parse_known_args(argv)
    try:
        return submit_training(rest, known.slurm, Path(__file__).resolve().parents[1], known.wait, known.dry_run)
    except (SlurmError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]) or len(sys.argv) == 1:
        print(SHORT_HELP, end="")
        sys.exit(0)
    if any(argument.startswith(("--slurm", "--wait", "--dry-run")) for argument in sys.argv[1:]):
        sys.exit(submit(sys.argv[1:]))
    sys.argv = ["--help" if argument == "--help-all" else argument for argument in sys.argv]
    from wauve_dist.training.stopping.stop_signals import STOP_SIGNALS

    STOP_SIGNALS.install()  # before the seconds that importing torch takes
    from wauve_dist.training.cli import train

    train()
