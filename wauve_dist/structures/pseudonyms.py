"""Names for patients and videos that only the holder of a secret key can tie to the real ones (HMAC-SHA256)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

_NUM_KEY_BYTES = 32
_FEWEST_KEY_BYTES = 16
_NUM_DIGITS = 16


def read_or_make_key(path: Path, option: str) -> bytes:
    """Read a secret key; a new random one is written, for its owner only, where there is no file.

    Args:
        path: of the key.
        option: that named it, such as ``--key``, for the error.

    Raises:
        ValueError: the file holds fewer than 16 bytes, which can be guessed.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(_NUM_KEY_BYTES))
    key = path.read_bytes()
    if len(key) < _FEWEST_KEY_BYTES:
        raise ValueError(
            f"{option} {path}: holds {len(key)} bytes, fewer than {_FEWEST_KEY_BYTES}. "
            "Name a new file, and one is made."
        )
    return key


def pseudonym(key: bytes, identifier: str, prefix: str) -> str:
    """Return the prefix and 16 hexadecimal digits; the same key and identifier give the same ones.

    Args:
        key: secret.
        identifier: real name.
        prefix: kind of thing, such as ``v`` for a video; a patient and a video of one name get different pseudonyms.
    """
    return prefix + hmac.new(key, f"{prefix}\0{identifier}".encode(), hashlib.sha256).hexdigest()[:_NUM_DIGITS]
