"""Training in mixed precision and prediction as a user runs them, on tiny synthetic sweeps."""

import pytest

from wauve_dist.structures.tables import PREDICTIONS, read_manifest, read_table

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def train(launch, tiny_study_data, tmp_path_factory):
    """Train a demo config on the tiny data; return its best checkpoint."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name, precision, *options):
        out = folder / name
        done = launch(
            *("train.py", "--config", f"configs/{name}/demo.yaml", "--out", out, "--wandb", "disabled"),
            *("--data.manifest", tiny_study_data / "manifest.csv", "--data.cache_dir", folder / "cache"),
            *("--trainer.accelerator", "gpu", "--trainer.devices", 1, "--trainer.precision", precision),
            *("--trainer.max_epochs", 2, "--trainer.check_val_every_n_epoch", 1, *options),
        )
        assert done.returncode == 0, done.stderr
        return out / "checkpoints" / "best.ckpt"

    return run


def test_what_mixed_precision_trains_on_the_gpu_predicts_on_gpu_and_cpu(train, launch, tiny_study_data, tmp_path):
    detector = train("detection", "bf16-mixed", "--data.annotations", tiny_study_data / "annotations.json")
    classifier = train("classification", "16-mixed", "--data.tracks", tiny_study_data / "tracks" / "tracks.parquet")
    tables = {}
    for device in ("cuda", "cpu"):
        done = launch(
            *("predict.py", "--videos", tiny_study_data / "manifest.csv", "--detector", detector),
            *("--classifier", classifier, "--out", tmp_path / device, "--device", device),
        )
        assert done.returncode == 0, done.stderr
        tables[device] = read_table(tmp_path / device / "predictions.csv", PREDICTIONS)
    expected = read_manifest(tiny_study_data / "manifest.csv")["video_id"].to_list()
    for table in tables.values():
        assert table["video_id"].to_list() == expected
