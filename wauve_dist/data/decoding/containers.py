"""Is a container file whole? Read from its own chunk sizes and checksums, because demuxers pass over both.

A truncated AVI still opens, and all its frames may decode where only the end of one is lost. Its RIFF header and
its ``movi`` list say how long they are, so a file that ends earlier was cut. The same holds for the Segment
of Matroska and WebM, which declare no frame count, and for the boxes of MP4 and MOV.

Formats: Microsoft, "AVI RIFF File Reference"; RFC 8794 (EBML) and RFC 9559 (Matroska); ISO/IEC 14496-12 (MP4).
"""

from __future__ import annotations

import struct
import zlib
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

_EBML_HEADER, _MATROSKA_SEGMENT = 0x1A45DFA3, 0x18538067
_CHECKSUM_HEAD = b"\xbf\x84"  # a CRC-32 element of four bytes, which stands first in what it covers

# Old QuickTime files have no ``ftyp``.
_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")

# Some recorders write the file's size where the size after the 8-byte chunk header belongs.
_RIFF_SLACK_BYTES = 8

# What a recorder leaves in a size field when it streams or is killed: the length is unknown, not wrong.
_RIFF_UNKNOWN = (0, 0xFFFFFFFF)


def num_missing_bytes(path: Path) -> int:
    """Bytes between the end of the file and the end that its container declares.

    Returns:
        0 for a whole file, one whose length is not declared, and a format without a check.
    """
    file_size = path.stat().st_size
    with path.open("rb") as stream:
        start, kind = stream.read(4), stream.read(4)
        stream.seek(0)
        if start == b"RIFF":
            declared_end = _riff_end(stream, file_size)
        elif kind in _MP4_FIRST_BOXES:
            declared_end = _mp4_end(stream, file_size)
        elif start == _EBML_HEADER.to_bytes(4, "big"):
            declared_end = _matroska_end(stream)
        else:
            return 0
    return max(0, declared_end - file_size)


def _riff_end(stream: BinaryIO, file_size: int) -> int:
    """Furthest end that the RIFF chunks (AVI, then AVIX beyond 1 GB) and their ``movi`` lists declare."""
    furthest = position = 0
    while position < file_size:
        stream.seek(position)
        header = stream.read(12)
        if len(header) < 12:
            return position + 12
        name, size = struct.unpack("<4sI", header[:8])
        if name != b"RIFF" or size in _RIFF_UNKNOWN:
            break  # stray bytes behind the last RIFF chunk harm nobody
        end = position + 8 + size
        furthest = max(furthest, end - _RIFF_SLACK_BYTES, _movi_end(stream, position + 12, min(end, file_size)))
        position = end + end % 2
    return furthest


def _movi_end(stream: BinaryIO, position: int, end: int) -> int:
    while position + 12 <= end:
        stream.seek(position)
        name, size, kind = struct.unpack("<4sI4s", stream.read(12))
        if (name, kind) == (b"LIST", b"movi"):
            return 0 if size in _RIFF_UNKNOWN else position + 8 + size
        position += 8 + size + size % 2
    return 0


def _mp4_end(stream: BinaryIO, file_size: int) -> int:
    """End of the last box; its size may stand in 64 bits (32-bit size 1) or reach to the end of the file (0)."""
    position = 0
    while position < file_size:
        stream.seek(position)
        header = stream.read(16)
        if len(header) < 8:
            return position + 8
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:], "big")
        if size < 8:
            return 0
        position += size
    return position


def _matroska_end(stream: BinaryIO) -> int:
    """End of the Segment, which holds everything behind the short EBML header."""
    end = 0
    for expected in (_EBML_HEADER, _MATROSKA_SEGMENT):
        identifier, size = _element_head(stream)
        if identifier != expected or size is None:
            return 0
        end = stream.tell() + size
        stream.seek(end)
    return end


def damaged_element(path: Path) -> int | None:
    """Where the first part of a Matroska file starts that contradicts its own checksum (RFC 8794, 11.3.1).

    FFmpeg writes one for every cluster of frames and does not look at it when it reads.

    Returns:
        The position in bytes; None where there is no checksum, or none is wrong.
    """
    with path.open("rb") as stream:
        identifier, size = _element_head(stream)
        if identifier != _EBML_HEADER or size is None:
            return None
        stream.seek(size, SEEK_CUR)
        if _element_head(stream)[0] != _MATROSKA_SEGMENT:
            return None
        while True:
            start = stream.tell()
            _, size = _element_head(stream)
            if size is None:
                return None
            end = stream.tell() + size
            if stream.read(2) == _CHECKSUM_HEAD:
                declared = int.from_bytes(stream.read(4), "little")
                if _checksum(stream, end) != declared:
                    return start
            stream.seek(end)


def _checksum(stream: BinaryIO, end: int) -> int:
    checksum = 0
    while chunk := stream.read(max(0, min(1 << 20, end - stream.tell()))):
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _element_head(stream: BinaryIO) -> tuple[int, int | None]:
    """Identifier and size of the EBML element that starts here; size None where unknown, or at the end of the file."""
    first = stream.read(1)
    if not first or first[0] < 0x10:  # identifiers have at most four bytes
        return 0, None
    identifier = int.from_bytes(first + stream.read(8 - first[0].bit_length()), "big")
    first = stream.read(1)
    if not first or first[0] == 0:
        return identifier, None
    # The number of leading zero bits says how many bytes follow; all data bits set means unknown.
    num_following = 8 - first[0].bit_length()
    data_bits = (1 << 7 * (num_following + 1)) - 1
    size = int.from_bytes(first + stream.read(num_following), "big") & data_bits
    return identifier, None if size == data_bits else size
