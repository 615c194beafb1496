"""Reads TensorBoard's event files: records of length, its checksum, content and its checksum."""

import struct

from tensorboardX.proto.event_pb2 import Event


def scalars(folder):
    """Return tag to its (step, value) pairs in the order in which they were written."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        start = 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            event = Event.FromString(content[start + 12 : start + 12 + length])
            start += 16 + length
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found
