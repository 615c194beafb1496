"""Videos whose frames say their own number, in bars that survive lossy compression."""

from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT, NUM_BITS = 128, 64, 8


def barcode(number):
    bits = [(number >> bit) & 1 for bit in range(NUM_BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 20, WIDTH // NUM_BITS)
    return np.tile(row, (HEIGHT, 1))


def number_of(frame):
    assert frame.shape == (HEIGHT, WIDTH)
    assert frame.dtype == np.uint8
    bars = frame.reshape(HEIGHT, NUM_BITS, -1)[:, :, 4:-4].mean(axis=(0, 2))
    return sum(1 << bit for bit, level in enumerate(bars) if level > 120)


def write_video(path, frames, codec="mjpeg", pixels="yuvj420p", options=None, times=None):
    """Encode grey frames at 25 frames/s; ``times`` (in frames) lets the recorder skip some."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 25)
        for time, pixel_values in zip(times or range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixel_values, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
