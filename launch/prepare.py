"""Make or import a data set: videos, manifest.csv, annotations.json."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wauve_dist.data.importers.dataset import ImportedDataset


def main() -> None:
    """Parse the command line and hand over to the sub-command."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_synthetic(commands)
    _add_tracks(commands)
    _add_import(commands)
    _add_split(commands)
    _add_sectors(commands)
    _add_lint(commands)
    _add_transcode(commands)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


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
    parser.add_argument(
        "--focality",
        type=float,
        default=0.0,
        help="0 to 1: how much of what tells malignant from benign is left to signs that only part of a sweep shows",
    )
    parser.add_argument("--val-fraction", type=float, default=0.15, help="share of the videos for validation")
    parser.add_argument("--test-fraction", type=float, default=0.25, help="share of the videos for testing")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count(), help="processes; the result does not depend on it"
    )
    parser.set_defaults(run=_run_synthetic)


def _run_synthetic(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.synthetic.dataset import generate
    from wauve_dist.data.synthetic.rendering import VideoSettings

    settings = VideoSettings(
        arguments.frame_size, arguments.min_frames, arguments.max_frames, arguments.codec, arguments.focality
    )
    manifest = generate(
        arguments.out,
        arguments.num_videos,
        arguments.seed,
        settings,
        val_fraction=arguments.val_fraction,
        test_fraction=arguments.test_fraction,
        num_workers=arguments.num_workers,
    )
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

    tracks = annotations_to_tracks(read_annotations(arguments.annotations))
    path = claim_folder(arguments.out) / "tracks.parquet"
    write_table(tracks, path, TRACKS, {"annotations": arguments.annotations})
    print(path)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "import",
        help="turn an archive into manifest.csv and annotations.json",
        description="Turn an archive into manifest.csv and annotations.json. Videos stay where they are.",
    )
    formats = parser.add_subparsers(required=True, metavar="FORMAT")
    ours = _add_format(formats, "manifest", "our own tables, checked", _import_manifest)
    ours.add_argument("--manifest", type=Path, required=True, help="manifest.csv")
    ours.add_argument("--annotations", type=Path, help="annotations.json of its videos")
    table = _add_format(formats, "table", "a CSV or XLSX table with columns of any name", _import_table)
    table.add_argument("--table", type=Path, required=True, help="CSV (UTF-8) or XLSX with a row per video")
    table.add_argument(
        "--columns", type=_pairs, default={}, metavar="OURS=THEIRS,…", help="such as video_id=Fall,label=Befund"
    )
    table.add_argument(
        "--labels", type=_pairs, default={}, metavar="WORD=0|1,…", help="such as maligne=1,benigne=0; WORD= is unknown"
    )
    table.add_argument("--videos", type=Path, help="folder that paths are relative to; default: the table's")
    for name, what in (("buv", "BUV as published with CVA-Net"), ("ultradet", "BUV as UltraDet relabelled it")):
        buv = _add_format(formats, name, what, _import_buv, has_test=False)
        buv.add_argument("--folder", type=Path, required=True, help="holds the JSON files and rawframes/")
        buv.add_argument("--keep-errata", action="store_true", help="leave labels, patients and videos as published")
    busi = _add_format(formats, "busi", "images with lesion masks in BUSI's layout", _import_busi)
    busi.add_argument("--folder", type=Path, required=True, help="holds benign/, malignant/ and normal/")
    echonet = _add_format(
        formats, "echonet", "EchoNet-Dynamic (no lesions: to test scale)", _import_echonet, draws=False
    )
    echonet.add_argument("--folder", type=Path, required=True, help="holds FileList.csv and Videos/")
    coco = _add_format(formats, "coco", "single images with COCO boxes", _import_coco)
    coco.add_argument("--annotations", type=Path, required=True, help="COCO's JSON")
    coco.add_argument("--images", type=Path, required=True, help="folder that file_name is relative to")
    coco_vid = _add_format(formats, "coco-vid", "videos with COCO-VID boxes", _import_coco_vid)
    coco_vid.add_argument("--annotations", type=Path, required=True, help="COCO-VID's JSON")
    coco_vid.add_argument("--videos", type=Path, required=True, help="folder that the videos' names are relative to")
    dicom = _add_format(formats, "dicom", "DICOM ultrasound, into lossless videos without identifiers", _import_dicom)
    dicom.add_argument("--source", type=Path, required=True, help="a file, or a folder searched at any depth")
    dicom.add_argument(
        "--key", type=Path, required=True, help="secret file that makes the pseudonyms; made if absent; not under --out"
    )
    dicom.add_argument("--cases", type=Path, help="CSV with columns file, label and others of the manifest")


def _add_format(
    formats: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    read: Callable[[argparse.Namespace], ImportedDataset],
    *,
    draws: bool = True,
    has_test: bool = True,
) -> argparse.ArgumentParser:
    parser = formats.add_parser(
        name, help=what, description=f"Import {what}.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    if draws:
        parser.add_argument("--val-fraction", type=float, default=0.15, help="share of the videos for validation")
        if has_test:
            parser.add_argument("--test-fraction", type=float, default=0.25, help="share of the videos for testing")
        parser.add_argument("--seed", type=int, default=1, help="of the split")
    parser.set_defaults(run=_run_import, read=read, format=name)
    return parser


def _run_import(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.importers.dataset import write_dataset
    from wauve_dist.structures.provenance import claim_folder

    kept = ("val_fraction", "test_fraction", "seed", "format", "keep_errata")
    settings = {name: value for name, value in vars(arguments).items() if name in kept}
    claim_folder(arguments.out)
    print(write_dataset(arguments.read(arguments), arguments.out, **settings))


def _import_manifest(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.manifest import import_manifest

    return import_manifest(options.manifest, options.annotations, *_drawing(options))


def _import_table(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.spreadsheet import import_spreadsheet

    return import_spreadsheet(options.table, options.columns, options.labels, options.videos, *_drawing(options))


def _import_buv(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.buv import BUV, ULTRADET, import_buv

    layout = {"buv": BUV, "ultradet": ULTRADET}[options.format]
    return import_buv(options.folder, layout, options.keep_errata, options.val_fraction, options.seed)


def _import_busi(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.busi import import_busi

    return import_busi(options.folder, *_drawing(options))


def _import_echonet(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.echonet import import_echonet

    return import_echonet(options.folder)


def _import_coco(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.coco import import_coco

    return import_coco(options.annotations, options.images, *_drawing(options))


def _import_coco_vid(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.coco_vid import import_coco_vid

    return import_coco_vid(options.annotations, options.videos, *_drawing(options))


def _import_dicom(options: argparse.Namespace) -> ImportedDataset:
    from wauve_dist.data.importers.dicom import import_dicom

    return import_dicom(options.source, options.out, options.key, options.cases, *_drawing(options))


def _drawing(options: argparse.Namespace) -> tuple[float, float, int]:
    return options.val_fraction, options.test_fraction, options.seed


def _add_split(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "split",
        help="split by patient, alike in label, BI-RADS group, site and vendor",
        description="Split a manifest by patient, alike in label, BI-RADS group, site and vendor at once.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, help="its videos that have a split keep it")
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.add_argument("--val-fraction", type=float, default=0.15, help="share of the videos for validation")
    parser.add_argument("--test-fraction", type=float, default=0.25, help="share of the videos for testing")
    parser.add_argument("--folds", type=int, metavar="K", help="K folds in place of train, val and test")
    parser.add_argument("--previous", type=Path, help="an earlier manifest, whose patients keep their part")
    parser.add_argument("--redraw", action="store_true", help="forget the splits that --manifest holds")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.set_defaults(run=_run_split)


def _run_split(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.split_manifest import split_manifest

    report = split_manifest(
        arguments.manifest,
        arguments.out,
        arguments.val_fraction,
        arguments.test_fraction,
        arguments.folds,
        arguments.previous,
        arguments.redraw,
        arguments.seed,
    )
    print(report)


def _add_sectors(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sectors",
        help="find where on the screen the scan is, so that the text around it is never shown or stored",
        description="Fill in the columns sector_x1, sector_y1, sector_x2, sector_y2 of a manifest (pixels). With them "
        "the detector sees the sector only, and crops and pictures are black outside; without them frames are whole. "
        "Text within the rectangle stays, unless transcode --mask-screen has blackened it before.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, help="its videos that have a sector keep it")
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="processes that decode")
    parser.set_defaults(run=_run_sectors)


def _run_sectors(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.sector_manifest import add_sectors

    summary = add_sectors(arguments.manifest, arguments.out, arguments.num_workers)
    print(summary)


def _add_lint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "lint",
        help="find duplicates, leakage, label conflicts and bad boxes",
        description="Look for what spoils a study: duplicates, leakage, label conflicts, bad boxes, imbalance. Exits "
        "with 1 if there is an error among the findings.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.csv")
    parser.add_argument("--annotations", type=Path, help="annotations.json of its videos")
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="processes that decode")
    parser.set_defaults(run=_run_lint)


def _run_lint(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.linting.command import lint

    summary, num_errors = lint(arguments.manifest, arguments.annotations, arguments.out, arguments.num_workers)
    print(summary)
    sys.exit(1 if num_errors else 0)


def _add_transcode(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "transcode",
        help="re-encode videos into what a GPU decodes well, every frame in its place",
        description="Re-encode videos into grey MP4 that NVDEC decodes well: H.264 or HEVC, 8 bits, 4:2:0, constant "
        "frame rate, a key frame every 16 frames. Every frame is decoded again and compared with the original, which "
        "stays untouched. A run that was stopped goes on when the same command is given again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True, help="its rows are kept, its paths replaced")
    parser.add_argument("--annotations", type=Path, help="annotations.json of its videos, to be copied along")
    parser.add_argument("--out", type=Path, required=True, help="folder to create, or that of the stopped run")
    parser.add_argument("--codec", choices=["h264", "hevc"], default="h264", help="HEVC is smaller and slower")
    parser.add_argument("--min-psnr", type=float, default=45.0, metavar="DB", help="that the worst frame must have")
    parser.add_argument(
        "--mask-screen",
        action="store_true",
        help="blacken all but the scan, the text in it too; the place is found, or taken from the sector_ columns",
    )
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="processes that decode and encode")
    parser.set_defaults(run=_run_transcode)


def _run_transcode(arguments: argparse.Namespace) -> None:
    from wauve_dist.data.transcode_manifest import transcode_manifest
    from wauve_dist.data.transcoding import TranscodeSettings

    settings = TranscodeSettings(arguments.codec, arguments.min_psnr, arguments.mask_screen)
    summary = transcode_manifest(
        arguments.manifest, arguments.annotations, arguments.out, settings, arguments.num_workers
    )
    print(summary)


def _pairs(text: str) -> dict[str, str]:
    pairs = dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)
    if not pairs or len(pairs) != text.count(",") + 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE pairs, separated by commas, each name once")
    return {name.strip(): value.strip() for name, value in pairs.items()}


if __name__ == "__main__":
    main()
