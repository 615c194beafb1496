"""Make or import a data set: videos, manifest.csv, annotations.json."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    """Parse the command line and hand over to the sub-command."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_synthetic(commands)
    _add_tracks(commands)
    _add_import_coco(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)


def _add_synthetic(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "synthetic",
        help="make freehand breast-ultrasound sweeps on the spot",
        description="Make a data set of simulated freehand breast-ultrasound sweeps, one lesion per video.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.add_argument("--num-videos", type=int, default=140, help="half of them malignant")
    parser.add_argument("--frame-size", type=int, default=256, help="side of the square frames, pixels")
    parser.add_argument("--min-frames", type=int, default=32, help="fewest frames per video")
    parser.add_argument("--max-frames", type=int, default=64, help="most frames per video")
    parser.add_argument("--codec", choices=["mjpeg", "h264", "mpeg4"], default="mjpeg", help="inside the AVI files")
    parser.add_argument("--val-fraction", type=float, default=0.15, help="share of the videos for validation")
    parser.add_argument("--test-fraction", type=float, default=0.25, help="share of the videos for testing")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count(), help="processes; the result does not depend on it"
    )
    parser.set_defaults(run=_run_synthetic)


def _run_synthetic(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.synthetic.dataset import SyntheticDataError, generate
    from wauve_dist.data.synthetic.rendering import VideoSettings

    settings = VideoSettings(arguments.frame_size, arguments.min_frames, arguments.max_frames, arguments.codec)
    try:
        manifest = generate(
            arguments.out,
            arguments.num_videos,
            arguments.seed,
            settings,
            val_fraction=arguments.val_fraction,
            test_fraction=arguments.test_fraction,
            num_workers=arguments.num_workers,
        )
    except (SyntheticDataError, FileExistsError) as error:
        sys.exit(str(error))
    print(manifest)


def _add_tracks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tracks",
        help="turn annotated boxes into tracks to train the classifier on",
        description="Turn annotated boxes into tracks.parquet. Tracks of a detector come from launch/predict.py.",
    )
    parser.add_argument("--annotations", type=Path, required=True, help="COCO-VID annotations.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.set_defaults(run=_run_tracks)


def _run_tracks(arguments: argparse.Namespace) -> None:
    from wauve_dist.structures.annotations import read_annotations
    from wauve_dist.structures.provenance import claim_folder
    from wauve_dist.structures.tables import TRACKS, write_table
    from wauve_dist.tracking.annotated import annotations_to_tracks

    try:
        tracks = annotations_to_tracks(read_annotations(arguments.annotations))
        path = claim_folder(arguments.out) / "tracks.parquet"
        write_table(tracks, path, TRACKS, {"annotations": arguments.annotations})
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(path)


def _add_import_coco(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "import-coco",
        help="import single images with COCO boxes, such as BUSI",
        description="Import single images with COCO boxes. Images that show the same picture stay in one split.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--annotations", type=Path, required=True, help="COCO's JSON")
    parser.add_argument("--images", type=Path, required=True, help="folder that file_name is relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.add_argument("--val-fraction", type=float, default=0.15, help="share of the images for validation")
    parser.add_argument("--test-fraction", type=float, default=0.25, help="share of the images for testing")
    parser.add_argument("--seed", type=int, default=1, help="of the split")
    parser.set_defaults(run=_run_import_coco)


def _run_import_coco(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.importers.coco import import_coco

    try:
        summary = import_coco(
            arguments.annotations,
            arguments.images,
            arguments.out,
            val_fraction=arguments.val_fraction,
            test_fraction=arguments.test_fraction,
            seed=arguments.seed,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(summary)
    print(arguments.out / "manifest.csv")


if __name__ == "__main__":
    main()
