"""TimeSformer against its library's own classifier."""

import pytest
import torch
from transformers import TimesformerConfig, TimesformerForVideoClassification

from wauve_dist.models.classifiers.timesformer import TimeSformer

SMALL = {"image_size": 32, "patch_size": 16, "hidden_size": 24, "num_layers": 2, "num_heads": 3}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TimeSformer(**SMALL, dropout=0.5).eval()


def reference_with_the_weights_of(model):
    config = TimesformerConfig(
        **{"image_size": 32, "patch_size": 16, "hidden_size": 24, "intermediate_size": 96, "num_frames": 8},
        **{"num_hidden_layers": 2, "num_attention_heads": 3, "num_labels": 1},
    )
    reference = TimesformerForVideoClassification(config).eval()
    assert config.attention_type == "divided_space_time"
    reference.timesformer.load_state_dict(model.trunk.state_dict())
    reference.classifier.load_state_dict(model.classifier.state_dict())
    return reference


def test_logits_are_those_of_the_library_with_the_same_weights(model):
    clips = torch.randint(0, 256, (3, 8, 32, 32), dtype=torch.uint8)
    pixels = ((clips.float() / 255 - 0.45) / 0.225).unsqueeze(2).repeat(1, 1, 3, 1, 1)
    with torch.inference_mode():
        expected = reference_with_the_weights_of(model)(pixels).logits.squeeze(1)
        torch.testing.assert_close(model(clips), expected, atol=1e-6, rtol=1e-5)


def test_every_frame_and_their_order_count(model):
    clips = torch.randint(0, 256, (1, 8, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        for embedding in (model.trunk.embeddings.time_embeddings, model.trunk.embeddings.position_embeddings):
            embedding.normal_()
        logit = model(clips)
        for frame in range(8):
            changed = clips.clone()
            changed[:, frame] = 255 - changed[:, frame]
            assert (model(changed) - logit).abs() > 1e-6
        assert (model(clips.flip(1)) - logit).abs() > 1e-6


def test_base_size_has_the_paper_s_parameters():
    with torch.device("meta"):
        base = TimeSformer(224, 16, 768, 12, 12, dropout=0.0)
    width = 768
    linear, norm = width * (width + 1), 2 * width
    embeddings = 3 * 16 * 16 * width + width + width + (14 * 14 + 1) * width + 8 * width
    time, space, mlp = 4 * linear + linear + norm, 4 * linear + norm, 8 * width * width + 5 * width + norm
    expected = embeddings + 12 * (time + space + mlp) + norm + width + 1
    assert sum(p.numel() for p in base.parameters()) == expected == 121_259_521


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="image_size 40 must be a multiple of patch_size 16"):
        TimeSformer(**{**SMALL, "image_size": 40}, dropout=0.0)
    with pytest.raises(ValueError, match=r"crop_size .* is 64, and this TimeSformer takes 32 pixels"):
        TimeSformer(**SMALL, dropout=0.0).check_crop_size(64)
