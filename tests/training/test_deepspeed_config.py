import json
from pathlib import Path

import pytest

from wauve_dist.training.strategies.deepspeed import read_zero_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "deepspeed").glob("*.json"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_what_its_name_says(path):
    zero = read_zero_config(path)["zero_optimization"]
    stage, _, offload = path.stem.partition("_")
    assert stage == f"zero{zero['stage']}"
    assert ("offload_optimizer" in zero) == (offload == "offload")


def test_every_stage_is_shipped_with_and_without_offload():
    assert len(CONFIGS) == 6


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"zero_optimization": {"stage": 2}, "gradient_clipping": 1.0}, r"'gradient_clipping'.*gradient_clip_val"),
        ({"zero_optimization": {"stage": 2}, "fp16": {"enabled": True}}, r"'fp16'.*--trainer.precision 16-mixed"),
        ({"zero_optimization": {"stage": 2}, "optimizer": {}}, r"'optimizer'.*--model.lr"),
        ({"zero_optimization": {"stage": 2}, "wall_clock_breakdown": True}, r"'wall_clock_breakdown'.*only ZeRO"),
        ({"zero_optimization": {"stage": 7}}, r"section 'zero_optimization': stage: "),
        ({"zero_optimization": {"stgae": 2}}, r"section 'zero_optimization': stgae: "),
        ({"stage": 2}, r"has no section 'zero_optimization'"),
        ([], r"has no section 'zero_optimization'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_says_more_or_else_is_refused(tmp_path, config, fault):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"mine.json.*{fault}"):
        read_zero_config(path)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no DeepSpeed config .*nowhere.json"):
        read_zero_config(tmp_path / "nowhere.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken.json: is not JSON"):
        read_zero_config(tmp_path / "broken.json")
