"""Reads back what W&B's client wrote for a run."""

import json
import struct
from pathlib import Path

from wandb.proto import wandb_internal_pb2

_FILE_HEADER, _BLOCK, _RECORD_HEADER = 7, 32768, 7
_WHOLE, _LAST = 1, 4


def records(run):
    """Yield the records of a run folder: a LevelDB log of protocol buffers, in blocks of 32 KiB."""
    (path,) = Path(run).glob("run-*.wandb")
    data, position, parts = path.read_bytes(), _FILE_HEADER, b""
    while position + _RECORD_HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _RECORD_HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += _RECORD_HEADER
        parts += data[position : position + length]
        position += length
        if kind in (_WHOLE, _LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def config(run):
    """Return what the run says of itself."""
    found = {}
    for record in records(run):
        for update in (*record.config.update, *record.run.config.update):
            found[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
    return found


def history(run):
    """Return the figures of a run, in their order."""
    rows = [record.history.item for record in records(run) if record.WhichOneof("record_type") == "history"]
    return [{_name(item): json.loads(item.value_json) for item in row} for row in rows]


def summary(run):
    """Return the run's last summary."""
    found = {}
    for record in records(run):
        found |= {_name(update): json.loads(update.value_json) for update in record.summary.update}
    return found


def _name(item):
    return item.key or "/".join(item.nested_key)
