"""Generated DICOM files: uncompressed, RGB, palette, RLE, JPEG and MPEG-4, with and without ultrasound regions."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from barcodes import barcode, write_video
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless, generate_uid

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.importers.dataset import SourceDataError
from wauve_dist.data.importers.dicom import import_dicom
from wauve_dist.structures.tables import read_manifest

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 4
REGION = (8, 6, 55, 41)  # x0, y0, x1, y1, inclusive
IDENTIFYING = {"PatientName": "Mustermann^Erika", "PatientBirthDate": "19600102", "InstitutionName": "Klinikum Nord"}
IDENTIFYING |= {"StudyDate": "20240506", "AccessionNumber": "ACC4711", "ReferringPhysicianName": "Dr^Kildare"}


def frames(seed=0):
    return np.random.default_rng(seed).integers(20, 236, (NUM_FRAMES, HEIGHT, WIDTH), np.uint8)


def region(x0, y0, x1, y1, data_type=1, spatial_format=1):
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = spatial_format, data_type
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.0125
    return item


def write(
    path,
    pixels,
    patient="PAT-1",
    syntax=ExplicitVRLittleEndian,
    regions=(REGION,),
    interpretation="MONOCHROME2",
    **more,
):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.Manufacturer, dataset.CineRate = patient, "ACME Ultrasound", "20"
    for name, value in IDENTIFYING.items():
        setattr(dataset, name, value)
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = HEIGHT, WIDTH, NUM_FRAMES
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.SamplesPerPixel = 3 if interpretation in ("RGB", "YBR_FULL_422", "YBR_PARTIAL_420") else 1
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = interpretation
    dataset.SequenceOfUltrasoundRegions = [region(*corners) for corners in regions]
    for name, value in more.items():
        setattr(dataset, name, value)
    if isinstance(pixels, bytes):
        dataset.PixelData = pixels
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.PixelData = pixels.tobytes()
        if syntax == RLELossless:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def run(source, folder, cases=None, out="out"):
    return import_dicom(source, folder / out, folder / "key", cases, 0.0, 0.0, seed=1)


def decoded(dataset, row=0):
    return np.stack(list(decode_frames(Path(dataset.manifest["path"][row]))))


def outside(pixels):
    x0, y0, x1, y1 = REGION
    pixels = pixels.copy()
    pixels[:, y0 : y1 + 1, x0 : x1 + 1] = 0
    return pixels


def inside(pixels):
    x0, y0, x1, y1 = REGION
    return pixels[:, y0 : y1 + 1, x0 : x1 + 1]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_grey_pixels_come_out_bit_for_bit_inside_the_region_and_black_outside(tmp_path, syntax):
    write(tmp_path / "a.dcm", frames(), syntax=syntax)
    dataset = run(tmp_path / "a.dcm", tmp_path)
    assert (inside(decoded(dataset)) == inside(frames())).all()
    assert not outside(decoded(dataset)).any()
    row = dataset.manifest.iloc[0]
    assert row[["sector_x1", "sector_y1", "sector_x2", "sector_y2"]].tolist() == [8, 6, 56, 42]
    assert row["mm_per_pixel"] == 0.125
    assert row["vendor"] == "ACME Ultrasound"
    with av.open(row["path"]) as container:
        assert container.streams.video[0].average_rate == 20


def test_colour_becomes_luma(tmp_path):
    grey = frames()
    write(tmp_path / "a.dcm", np.repeat(grey[..., None], 3, axis=3), interpretation="RGB")
    assert (inside(decoded(run(tmp_path / "a.dcm", tmp_path))) == inside(grey)).all()


def test_palettes_are_looked_up(tmp_path):
    table = np.arange(255, -1, -1, dtype=np.uint16) << 8
    palette = {f"{colour}PaletteColorLookupTableDescriptor": [256, 0, 16] for colour in ("Red", "Green", "Blue")}
    palette |= {f"{colour}PaletteColorLookupTableData": table.tobytes() for colour in ("Red", "Green", "Blue")}
    write(tmp_path / "a.dcm", frames(), interpretation="PALETTE COLOR", **palette)
    assert (inside(decoded(run(tmp_path / "a.dcm", tmp_path))) == 255 - inside(frames())).all()


def test_monochrome1_is_inverted(tmp_path):
    write(tmp_path / "a.dcm", frames(), interpretation="MONOCHROME1")
    assert (inside(decoded(run(tmp_path / "a.dcm", tmp_path))) == 255 - inside(frames())).all()


def test_jpeg_frames_are_what_pillow_reads(tmp_path):
    streams = []
    for frame in frames():
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=90)
        streams.append(stream.getvalue())
    write(tmp_path / "a.dcm", encapsulate(streams), syntax=JPEGBaseline8Bit)
    expected = np.stack([np.asarray(Image.open(io.BytesIO(stream))) for stream in streams])
    assert (inside(decoded(run(tmp_path / "a.dcm", tmp_path))) == inside(expected)).all()


def test_an_mpeg4_stream_is_decoded_as_a_video(tmp_path):
    path = write_video(tmp_path / "v.mp4", [barcode(number) for number in range(NUM_FRAMES)], "libx264", "yuv420p")
    stream = encapsulate([path.read_bytes()])
    size = {"Rows": 64, "Columns": 128}
    write(tmp_path / "a.dcm", stream, syntax=MPEG4HP41, regions=(), interpretation="YBR_PARTIAL_420", **size)
    dataset = run(tmp_path / "a.dcm", tmp_path)
    assert (decoded(dataset) == np.stack(list(decode_frames(path)))).all()


def test_nothing_that_identifies_is_written_and_the_parser_never_sees_it(tmp_path, monkeypatch):
    write(tmp_path / "scan.dcm", frames())
    seen = []
    from wauve_dist.data.importers import dicom

    reading = dicom._read
    monkeypatch.setattr(dicom, "_read", lambda file: seen.append(reading(file)) or seen[-1])
    (tmp_path / "in").mkdir()
    (tmp_path / "scan.dcm").rename(tmp_path / "in" / "Mustermann.dcm")
    dataset = run(tmp_path / "in", tmp_path)
    assert not any(name in seen[0] for name in IDENTIFYING)
    written = dataset.manifest.to_csv().encode() + b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*.mkv"))
    for secret in ("Mustermann", "Erika", "PAT-1", "19600102", "Klinikum", "ACC4711", "Kildare"):
        assert secret.encode() not in written
    assert str(seen[0].SOPInstanceUID).encode() not in written


def test_pseudonyms_depend_on_the_key_alone(tmp_path):
    for name, patient in (("a", "PAT-1"), ("b", "PAT-1"), ("c", "PAT-2")):
        (tmp_path / "in").mkdir(exist_ok=True)
        write(tmp_path / "in" / name, frames(ord(name)), patient)
    first, again = run(tmp_path / "in", tmp_path), run(tmp_path / "in", tmp_path, out="again")
    assert first.manifest["patient_id"].tolist() == again.manifest["patient_id"].tolist()
    assert first.manifest["patient_id"].nunique() == 2
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    (tmp_path / "key").unlink()
    other = run(tmp_path / "in", tmp_path, out="other")
    assert not set(other.manifest["patient_id"]) & set(first.manifest["patient_id"])


def test_the_key_may_not_lie_among_the_data(tmp_path):
    write(tmp_path / "a.dcm", frames())
    with pytest.raises(SourceDataError, match="lies in --out"):
        import_dicom(tmp_path / "a.dcm", tmp_path / "out", tmp_path / "out" / "key", None, 0.0, 0.0, seed=1)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_read_at_any_depth_and_what_it_holds_is_counted(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(tmp_path / "in" / "IM1", frames(1), "")
    write(tmp_path / "in" / "deep" / "IM2", frames(2), regions=(), BurnedInAnnotation="YES")
    (tmp_path / "in" / "copy").write_bytes((tmp_path / "in" / "IM1").read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("not DICOM")
    dataset = run(tmp_path / "in", tmp_path)
    assert dataset.notes == [
        "1 other files in the folder: passed over.",
        "1 files repeat another one's SOPInstanceUID: left out.",
        "2 files without PatientID: each is a patient of its own.",
        "1 files without ultrasound regions: their pixels are whole, burned-in text included; 1 of them say that they "
        "have some.",
    ]
    assert len(dataset.manifest) == 2


def test_the_sector_is_the_union_of_tissue_regions(tmp_path):
    doppler = region(0, 0, 63, 47, data_type=3)
    write(tmp_path / "a.dcm", frames(), regions=((8, 6, 30, 41), (31, 10, 50, 47)))
    dataset = run(tmp_path / "a.dcm", tmp_path)
    assert dataset.manifest[["sector_x1", "sector_y1", "sector_x2", "sector_y2"]].iloc[0].tolist() == [8, 6, 51, 48]
    write(tmp_path / "b.dcm", frames(), SequenceOfUltrasoundRegions=[doppler, region(*REGION)])
    dataset = run(tmp_path / "b.dcm", tmp_path, out="b")
    assert dataset.manifest[["sector_x1", "sector_y1", "sector_x2", "sector_y2"]].iloc[0].tolist() == [8, 6, 56, 42]


def test_labels_come_from_a_list_of_cases(tmp_path, launch):
    (tmp_path / "in").mkdir()
    for number in range(3):
        write(tmp_path / "in" / f"{number}.dcm", frames(number), f"P{number}")
    (tmp_path / "cases.csv").write_text("file,label,birads\n0.dcm,1,5\n2.dcm,0,3\n")
    done = launch(
        *("prepare.py", "import", "dicom", "--source", tmp_path / "in", "--key", tmp_path / "key"),
        *("--cases", tmp_path / "cases.csv", "--out", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert manifest["label"].fillna(-1).tolist() == [1, -1, 0]
    assert manifest["birads"].fillna("").tolist() == ["5", "", "3"]
    assert "1 files are not in" in done.stdout
    assert "file" not in manifest
    json.loads((tmp_path / "out" / "manifest.csv.provenance.json").read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n9.dcm,1\n", r"row 2: '9\.dcm' is no DICOM file of the source"),
        ("name,label\na.dcm,1\n", "column 'file' is missing"),
        ("file,patient_id\na.dcm,x\n", "column 'patient_id' is not known"),
        ("file,label\na.dcm,1\na.dcm,0\n", r"row 3: 'a\.dcm' is listed twice"),
    ],
)
def test_faulty_cases_are_refused(tmp_path, text, message):
    write(tmp_path / "a.dcm", frames())
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(SourceDataError, match=message):
        run(tmp_path / "a.dcm", tmp_path, tmp_path / "cases.csv")


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(SourceDataError, match="holds no DICOM file"):
        run(tmp_path, tmp_path)
    write(tmp_path / "a.dcm", frames().astype(np.uint16), BitsAllocated=16, BitsStored=12, HighBit=11)
    with pytest.raises(SourceDataError, match="has 16 bits a pixel"):
        run(tmp_path / "a.dcm", tmp_path)
    write(tmp_path / "b.dcm", frames()[:2])
    with pytest.raises(SourceDataError, match=r"b\.dcm: (its pixels|declares 4 frames)"):
        run(tmp_path / "b.dcm", tmp_path)
