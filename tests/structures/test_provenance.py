import pytest

from wauve_dist.structures.provenance import atomic_write, claim_folder, read_provenance, sha256_of, write_provenance


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail_half_way():
        with atomic_write(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_the_record_names_inputs_by_hash_and_notices_a_later_edit(tmp_path):
    source, table = tmp_path / "manifest.csv", tmp_path / "tracks.csv"
    source.write_text("a")
    table.write_text("b")
    write_provenance(table, {"manifest": source}, min_length=8)

    record = read_provenance(table)
    # echo -n a | sha256sum
    assert record["made_from"] == {"manifest": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}
    assert record["settings"] == {"min_length": 8}
    assert str(tmp_path) not in (tmp_path / "tracks.csv.provenance.json").read_text()

    table.write_text("c")
    with pytest.raises(ValueError, match="was changed after it was written"):
        read_provenance(table)


def test_a_table_from_elsewhere_has_no_record(tmp_path):
    (tmp_path / "t.csv").write_text("a")
    assert read_provenance(tmp_path / "t.csv") is None


def test_a_folder_hashes_by_names_and_contents(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_text("1")
    assert sha256_of(tmp_path / "one") == sha256_of(tmp_path / "two")
    (tmp_path / "two" / "deep" / "x").rename(tmp_path / "two" / "deep" / "y")
    assert sha256_of(tmp_path / "one") != sha256_of(tmp_path / "two")


def test_a_used_folder_is_refused_untouched_and_an_empty_one_taken(tmp_path):
    claim_folder(tmp_path / "new" / "run")
    (tmp_path / "new" / "run" / "metrics.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"already holds another run \(metrics.json\)"):
        claim_folder(tmp_path / "new" / "run")
