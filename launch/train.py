"""Train the detector or the classifier: launch/train.py --config configs/classification/i3d_r50.yaml --out DIR."""

import sys

SHORT_HELP = """\
usage: launch/train.py --config YAML --out DIR [--resume] [--weights CKPT] [--wandb MODE] [--KEY VALUE ...]

Train the lesion detector or the clip classifier; the config decides which.

  --config YAML      one complete experiment, e.g. configs/detection/faster_rcnn_r34.yaml or
                     configs/classification/i3d_r50.yaml; a second --config lays an overlay over it
  --out DIR          run folder: config.yaml, metrics/, checkpoints/{best,last}.ckpt, wandb/
  --resume           carry on from DIR/checkpoints/last.ckpt
  --weights CKPT     start from the weights of another run's checkpoint (same model)
  --wandb MODE       offline (default, nothing leaves the machine), online or disabled
  --KEY VALUE        override any key of the config: --model.lr 1e-3 --data.batch_size 4 --trainer.devices 8
  --print_config     print the resolved config and stop
  --help-all         list every key of model, data and trainer with its meaning (imports torch: some seconds)
"""

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]) or len(sys.argv) == 1:
        print(SHORT_HELP, end="")
        sys.exit(0)
    sys.argv = ["--help" if argument == "--help-all" else argument for argument in sys.argv]
    from wauve_dist.training.cli import train

    train()
