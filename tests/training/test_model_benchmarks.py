import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.training.benchmarks import detector_benchmark, throughput
from wauve_dist.training.benchmarks.classifier_benchmark import (
    COMPARISONS,
    benchmark_classifier,
    num_macs,
    pytorchvideo_i3d,
)
from wauve_dist.training.benchmarks.detector_benchmark import (
    benchmark_detector,
    call_lesions,
    equal_proposals,
    lesion_detector,
    torchvision_faster_rcnn,
)
from wauve_dist.training.benchmarks.throughput import measure_throughput, print_throughputs

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


@pytest.mark.parametrize(
    (
        "name",
        "published_gmacs",
    ),  # of PySlowFast, of torchvision less 999 of its classes, of the paper's 0.59 for 3 views
    [("i3d", 28.41), ("resnet50", 4.089 - 0.999 * 2.048e-3), ("timesformer", 590 / 3)],
)
def test_ours_does_the_published_work_of_the_model_beside_it(name, published_gmacs):
    comparison = COMPARISONS[name]
    with torch.device("meta"):
        ours, reference = comparison.ours(224), comparison.reference(224)
        with FlopCounterMode(display=False) as counter:
            logits = reference(comparison.images(torch.zeros(1, 3, ours.clip_length, 224, 224)))
    assert logits.numel() == 1
    assert num_macs(name, 224) == counter.get_total_flops() // 2
    assert num_macs(name, 224) / 1e9 == pytest.approx(published_gmacs, rel=5e-3)
    assert len({sum(p.numel() for p in network.parameters()) for network in (ours, reference)}) == 1


def test_a_share_of_the_peak_is_operations_over_those_of_a_matrix_product(monkeypatch, capsys):
    monkeypatch.setattr(throughput, "_REPETITION_S", 1e-3)
    monkeypatch.setattr(throughput, "_NUM_REPETITIONS", 1)
    peak, *rows = benchmark_classifier(CPU, 2, 64, "fp32", with_compile=False, networks=["resnet50"])
    assert [(row.task, row.way) for row in rows] == [
        *((f"resnet50 {task}", "torchvision resnet50, eager, fp32") for task in ("training", "inference")),
        *((f"resnet50 {task}", "ours, fp32") for task in ("training", "inference")),
        *((f"resnet50 {task}", "ours, fp32, channels last") for task in ("training", "inference")),
        ("resnet50 training", "ours, fp32, channels last, augmented"),
    ]
    for row in rows:
        operations = row.per_s * 2 * num_macs("resnet50", 64) * (3 if "training" in row.task else 1)
        assert row.peak_share == pytest.approx(operations / peak.per_s)
    print_throughputs([peak, *rows], "clips/s", CPU)
    facts, memory, first, *lines = capsys.readouterr().out.splitlines()
    assert "CPU" in facts
    assert memory == "memory: not measured on a CPU"
    assert first.endswith("TFLOP/s, the peak of the shares below")
    assert [line.split(":")[0] for line in lines] == [f"{row.task}, {row.way}" for row in rows]
    assert "1.00 times the reference" in lines[0]
    assert lines[-1].endswith(f"{100 * rows[-1].peak_share:.0f} % of the peak")


def test_the_detectors_compared_differ_in_the_pyramid_s_norms_and_the_anchor_ratios_only():
    def sizes(network):
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if ".fpn." not in name}

    ours, reference = sizes(lesion_detector(800).network), sizes(torchvision_faster_rcnn(800))
    differing = {name for name in ours.keys() | reference.keys() if ours.get(name) != reference.get(name)}
    assert all("num_batches_tracked" in name or name.startswith("rpn.head.") for name in differing), differing


def test_untrained_detectors_are_held_to_one_number_of_proposals():
    torch.manual_seed(0)
    networks = torchvision_faster_rcnn(64).eval(), lesion_detector(64).eval().network
    images = [torch.rand(3, 64, 64) for _ in range(2)]

    def proposals():
        counted = []
        for network in networks:
            hook = network.rpn.register_forward_hook(
                lambda _, __, made: counted.append([len(made_K4) for made_K4 in made[0]])
            )
            with torch.inference_mode():
                network(images)
            hook.remove()
        return counted

    before = proposals()
    assert before[0] != before[1]
    equal_proposals(networks, images)
    fewest = min(before[0] + before[1])
    assert proposals() == [[fewest, fewest]] * 2


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_shifted_scores_make_a_given_share_of_the_proposals_lesions(share):
    torch.manual_seed(0)
    network = torchvision_faster_rcnn(64).eval()
    images = [torch.rand(3, 64, 64) for _ in range(2)]
    call_lesions(network, images, share)
    scores = []
    network.roi_heads.box_predictor.register_forward_hook(
        lambda _, __, scored: scores.append(scored[0].softmax(dim=1)[:, 1])
    )
    with torch.inference_mode():
        network(images)
    assert (scores[0] > network.roi_heads.score_thresh).float().mean() == pytest.approx(share, abs=0.005)


@pytest.mark.slow
def test_detectors_are_timed_on_sectors_screens_and_crowds_each_beside_torchvision(monkeypatch):
    monkeypatch.setattr(throughput, "_NUM_REPETITIONS", 1)
    monkeypatch.setattr(throughput, "_REPETITION_S", 1e-9)
    monkeypatch.setattr(detector_benchmark, "_NUM_PROPOSALS", 20)
    rows = list(benchmark_detector(CPU, 2, 64, "bf16", with_compile=False))
    reference, prepared = "torchvision FasterRCNN, eager, fp32, batch 1", "ours, bf16, prepared, batch"
    in_all_ways = [f"ours {way}, fp32, batch {number}" for number in (1, 2) for way in ("in turn", "at once")]
    in_all_ways += [f"ours {way}, bf16, batch 2" for way in ("in turn", "at once")]
    assert [(row.task, row.way) for row in rows] == [
        *(("64x64 sectors", way) for way in (reference, *in_all_ways, f"{prepared} 1", f"{prepared} 2")),
        *(("154x86 screens", way) for way in (reference, f"{prepared} 1", f"{prepared} 2")),
        *(
            ("64x64 sectors, nearly all proposals lesions", way)
            for way in (reference, f"{prepared} 1", f"{prepared} 2")
        ),
    ]
    assert all(row.per_s > 0 for row in rows)
