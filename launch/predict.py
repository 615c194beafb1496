"""Find and judge lesions: launch/predict.py --videos PATH --detector CKPT --classifier CKPT --out DIR."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse ``argv`` and predict; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="launch/predict.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Videos in; lesion tracks, clip scores and one score a video out.",
        epilog="OUT gets detections.parquet (every box), tracks.parquet and, with --classifier, clips.parquet,\n"
        "predictions.csv (each video once; the score is empty where no lesion was found) and thumbnails/.\n"
        "It appears when all videos are done; all of them are checked before the first one is computed.",
    )
    parser.add_argument(
        "--videos",
        required=True,
        type=Path,
        metavar="PATH",
        help="a manifest.csv, a video, or a folder of videos; a folder of images is one video, frames sorted by name",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), help="only these videos of the manifest")
    parser.add_argument("--detector", type=Path, metavar="CKPT", help="trained by launch/train.py")
    parser.add_argument(
        "--detector-backend",
        choices=("torchvision", "detectron2"),
        help="library that computes the detector (default: the one that trained it)",
    )
    parser.add_argument(
        "--tracks", type=Path, metavar="PARQUET", help="tracks of an earlier prediction, in place of --detector"
    )
    parser.add_argument(
        "--classifier", type=Path, metavar="CKPT", help="trained by launch/train.py; without it, stop after the tracks"
    )
    parser.add_argument(
        "--inputs",
        choices=("all", "primary_track", "one_key_frame", "two_key_frames"),
        help="what the classifier judges of a video (default: as in its validation): all tracks, as in the paper, or "
        "the one that most likely is the lesion; key frames are for image networks",
    )
    parser.add_argument(
        "--key-frames",
        choices=("manifest", "largest", "most_confident"),
        help="where key frames come from: the manifest's column key_frames, the largest cross-section or the most "
        "confident box (default: as in its validation)",
    )
    parser.add_argument(
        "--test-time-flips",
        action=argparse.BooleanOptionalAction,
        help="score each clip and its mirror image (default: as in its validation)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="share the videos among N processes (default: one a GPU, else 1)"
    )
    parser.add_argument(
        "--decoder",
        choices=("pyav", "dali"),
        default="pyav",
        help="decodes and cuts crops: PyAV on the CPU, or NVIDIA DALI on the GPU (default: pyav)",
    )
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="frames or clips at a time (default: 8)")
    parser.add_argument(
        "--call-threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="pictures show scores from here on as malignant (default: 0.5); no table depends on it",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="name in predictions.csv and reports (default: the run folder's)"
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also write overlays/<video_id>.mp4, the video beside its map of what spoke for malignant and for benign, "
        "and contact_sheets/<video_id>.jpg, a still of its highest and lowest clip; needs --classifier",
    )
    linking = parser.add_argument_group("linking boxes to tracks")
    linking.add_argument("--min-score", type=float, metavar="P", help="ignore boxes below (default: 0.05)")
    linking.add_argument(
        "--new-score", type=float, metavar="P", help="a box must reach it to start a track (default: 0.2)"
    )
    linking.add_argument(
        "--match-iou", type=float, metavar="IOU", help="least overlap with the predicted box (default: 0.3)"
    )
    linking.add_argument("--max-gap", type=int, metavar="N", help="most missing frames in a row (default: 20)")
    linking.add_argument("--min-length", type=int, metavar="N", help="least number of boxes in a track (default: 8)")
    arguments = parser.parse_args(argv)
    if (arguments.detector is None) == (arguments.tracks is None):
        parser.error("give either --detector or --tracks")
    if arguments.detector_backend and arguments.detector is None:
        parser.error("--detector-backend computes a detector, so it needs --detector")
    for flag in ("overlay", "tracks", "inputs", "key_frames", "test_time_flips"):
        if getattr(arguments, flag) and arguments.classifier is None:
            parser.error(f"--{flag.replace('_', '-')} is about clip scores, so it needs --classifier")

    from wauve_dist.inference.command import predict_command

    options = vars(arguments)
    linker = {name: options.pop(name) for name in ("min_score", "new_score", "match_iou", "max_gap", "min_length")}
    try:
        predict_command(**options, linker={name: value for name, value in linker.items() if value is not None})
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
