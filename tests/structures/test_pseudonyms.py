import pytest

from wauve_dist.structures.pseudonyms import pseudonym, read_or_make_key


def test_a_pseudonym_is_hmac_sha256_of_kind_and_name():
    # echo -n: printf 'v\0case 7' | openssl dgst -sha256 -hmac 0123456789abcdef
    assert pseudonym(b"0123456789abcdef", "case 7", "v") == "v9497b62999035c66"


def test_a_video_and_a_patient_of_one_name_cannot_be_tied_together():
    key = b"0123456789abcdef"
    assert pseudonym(key, "7", "v")[1:] != pseudonym(key, "7", "p")[1:]


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "keys" / "secret"
    key = read_or_make_key(path, "--key")
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_make_key(path, "--key") == key


def test_a_key_that_can_be_guessed_is_refused(tmp_path):
    (tmp_path / "secret").write_text("abc")
    with pytest.raises(ValueError, match=r"--key .*secret: holds 3 bytes, fewer than 16. Name a new file"):
        read_or_make_key(tmp_path / "secret", "--key")
