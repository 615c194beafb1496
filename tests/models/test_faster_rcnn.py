import pytest
import torch

from wauve_dist.models.detectors.faster_rcnn import LesionDetector


def make_detector(**changes):
    torch.manual_seed(0)
    settings = {
        "image_size": 96,
        "anchor_sizes": [8, 16, 32, 48, 64],
        "anchor_ratios": [1.0],
        "num_proposals": 50,
        "num_sampled_rois": 16,
        "score_threshold": 0.0,
        "nms_iou": 0.5,
        "max_detections": 10,
    }
    return LesionDetector(**settings | changes)


def test_boxes_come_back_in_the_pixels_of_each_frame():
    detector = make_detector().eval()
    frames = [torch.randint(0, 256, size, dtype=torch.uint8) for size in ((300, 400), (128, 64))]
    with torch.inference_mode():
        found = detector(frames)
    for frame, result in zip(frames, found, strict=True):
        assert len(result["boxes"]) > 0
        assert result["boxes"].min() >= 0
        assert result["boxes"][:, 2].max() <= frame.shape[1]
        assert result["boxes"][:, 3].max() <= frame.shape[0]
    # With a score threshold of 0 boxes fill the larger frame beyond what the resized one (96 pixels) could hold.
    assert found[0]["boxes"].max() > 96


def test_a_frame_without_lesion_is_a_negative_without_box_loss():
    detector = make_detector().train()
    frame = torch.randint(0, 256, (96, 96), dtype=torch.uint8)
    losses = detector.losses([frame], [torch.zeros(0, 4)])
    assert losses["loss_box_reg"] == 0
    assert losses["loss_rpn_box_reg"] == 0
    assert losses["loss_classifier"] > 0


def test_a_few_steps_on_one_frame_find_its_lesion():
    detector = make_detector().train()
    frame = torch.full((96, 96), 160, dtype=torch.uint8)
    frame[30:60, 40:80] = 20
    box = torch.tensor([[40.0, 30.0, 80.0, 60.0]])
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    for _ in range(25):
        loss = sum(detector.losses([frame, frame.flip(0)], [box, torch.tensor([[40.0, 36.0, 80.0, 66.0]])]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for module in detector.modules():  # too few steps for running statistics
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    with torch.inference_mode():
        best = detector.eval()([frame])[0]["boxes"][0]
    overlap = (torch.minimum(best[2:], box[0, 2:]) - torch.maximum(best[:2], box[0, :2])).clamp(min=0).prod()
    union = (best[2:] - best[:2]).prod() + 40 * 30 - overlap
    assert overlap / union > 0.5


def test_each_training_batch_has_one_of_the_sizes_and_a_prediction_the_usual_one():
    detector = make_detector(training_sizes=[64, 128])
    sides = []
    detector.network.backbone.register_forward_pre_hook(lambda _, images: sides.append(max(images[0].shape[-2:])))
    frames = [torch.zeros(90, 60, dtype=torch.uint8), torch.zeros(40, 50, dtype=torch.uint8)]
    for _ in range(6):
        detector.train().losses(frames, [torch.tensor([[10.0, 10, 40, 40]])] * 2)
    with torch.inference_mode():
        detector.eval()(frames)
    assert set(sides[:-1]) == {64, 128}
    assert sides[-1] == 96


def test_frozen_norms_stay_as_they_were_loaded_and_must_have_been():
    detector = make_detector(frozen_norms=True)
    with pytest.raises(ValueError, match=r"--model\.frozen_norms keeps norms as they were loaded, and nothing was"):
        detector.check_frozen_norms()
    body, pyramid = detector.network.backbone.body, detector.network.backbone.fpn
    for name, value in body.named_parameters():
        if "bn2" in name:
            torch.nn.init.ones_(value)
    detector.check_frozen_norms()
    before = [{name: value.clone() for name, value in part.named_buffers()} for part in (body, pyramid)]
    frame = torch.randint(0, 256, (96, 96), dtype=torch.uint8)
    for _ in range(2):  # as it was made, and told to train
        sum(detector.losses([frame], [torch.tensor([[40.0, 30, 80, 60]])]).values()).backward()
        detector.eval().train()
    assert all(torch.equal(value, before[0][name]) for name, value in body.named_buffers())
    assert not any(torch.equal(value, before[1][name]) for name, value in pyramid.named_buffers())
    assert {name for name, value in body.named_parameters() if value.grad is None} == {
        name for name, value in body.named_parameters() if "bn" in name or "downsample.1" in name
    }


def test_every_pyramid_level_needs_an_anchor_size():
    with pytest.raises(ValueError, match="needs 5 sizes"):
        make_detector(anchor_sizes=[32, 64])
