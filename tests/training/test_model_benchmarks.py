import time

import pytest
import torch

from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.training.classifier_benchmark import pytorchvideo_i3d
from wauve_dist.training.detector_benchmark import lesion_detector, torchvision_faster_rcnn
from wauve_dist.training.throughput import measure_throughput

CPU = torch.device("cpu")


def test_throughput_counts_items_and_not_steps():
    measured = measure_throughput("sleeping", "in turn", lambda: time.sleep(0.05), num_items=10, device=CPU)
    assert measured.slowest <= measured.per_s <= measured.fastest
    assert 200 * 0.5 < measured.per_s <= 200  # a sleep never ends early, but on a busy machine late
    assert measured.peak_memory_gb is None


@pytest.mark.parametrize("crop_size", [64, 80])
def test_the_classifiers_compared_have_the_same_weights_and_work(crop_size):
    reference, ours = pytorchvideo_i3d(crop_size).eval(), I3DResNet50(dropout=0.5).eval()
    ours.trunk.load_state_dict(reference.blocks[:-1].state_dict())
    ours.classifier.load_state_dict(reference.blocks[-1].proj.state_dict())
    clips = torch.randint(0, 256, (1, 8, crop_size, crop_size), dtype=torch.uint8)
    images = ((clips.float() / 255 - 0.45) / 0.225).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(ours(clips), reference(images).flatten(), atol=1e-5, rtol=1e-5)


def test_the_detectors_compared_differ_in_the_pyramid_s_norms_and_the_anchor_ratios_only():
    def sizes(network):
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if ".fpn." not in name}

    ours, reference = sizes(lesion_detector(800).network), sizes(torchvision_faster_rcnn(800))
    differing = {name for name in ours.keys() | reference.keys() if ours.get(name) != reference.get(name)}
    assert all("num_batches_tracked" in name or name.startswith("rpn.head.") for name in differing), differing
