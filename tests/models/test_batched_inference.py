"""The detector on a whole batch at once against torchvision's own, with the same weights."""

import copy

import pytest
import torch
from lively_detectors import SETTINGS, assert_same_detections, lively, make_frames
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from wauve_dist.models.detectors.batched_inference import BatchedInference
from wauve_dist.models.detectors.faster_rcnn import LesionDetector
from wauve_dist.models.detectors.network_input import NetworkInput, network_input

SIZES = [(300, 400), (128, 64), (97, 129), (200, 60), (20, 128)]


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return lively(LesionDetector(**SETTINGS))


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("sizes", [SIZES[2:3], [(97, 129)] * 3, SIZES], ids=["one", "one size", "all sizes"])
def test_boxes_and_scores_are_torchvision_s(detector, sizes):
    frames = make_frames(*sizes)
    expected = detector.in_turn(frames)
    assert_same_detections(detector.in_one_go(frames), expected, score_atol=1e-4)
    assert min(len(result["boxes"]) for result in expected) > 3
    assert torch.cat([result["scores"] for result in expected]).std() > 0.01


@pytest.mark.parametrize(
    "changes",
    [
        {"num_proposals": 300, "max_detections": 100, "nms_iou": 0.7},
        {"num_proposals": 5, "max_detections": 100, "nms_iou": 0.3},
        {"num_proposals": 60, "max_detections": 3, "score_threshold": 0.3},
        {"image_size": 96, "anchor_ratios": [1.0]},
    ],
    ids=str,
)
def test_limits_and_thresholds_are_torchvision_s(changes):
    torch.manual_seed(1)
    detector = lively(LesionDetector(**SETTINGS | changes))
    # Large steps: proposals leave the frame, and are cut to slivers at its edges.
    torch.nn.init.normal_(detector.network.rpn.head.bbox_pred.weight, std=0.3)
    frames = make_frames((64, 128), (64, 30))
    expected = detector.in_turn(frames)
    assert_same_detections(detector.in_one_go(frames), expected, score_atol=1e-4)
    assert any(len(result["boxes"]) for result in expected)


def test_a_batch_may_have_frames_with_and_without_detections(detector):
    frames = make_frames(*SIZES[:4])
    scores = [result["scores"] for result in detector.in_turn(frames)]
    picky = copy.deepcopy(detector)
    best = sorted(float(of_frame[0]) for of_frame in scores)
    picky.network.roi_heads.score_thresh = (best[1] + best[2]) / 2
    expected = picky.in_turn(frames)
    assert sorted(min(len(result["boxes"]), 1) for result in expected) == [0, 0, 1, 1]
    assert_same_detections(picky.in_one_go(frames), expected, score_atol=1e-4)
    picky.network.roi_heads.score_thresh = 1.0
    for result in picky.in_one_go(frames):
        assert result["boxes"].shape == (0, 4)
        assert result["scores"].shape == (0,)


def test_weights_that_give_no_numbers_give_no_detections(detector):
    broken = copy.deepcopy(detector)
    broken.network.rpn.head.bbox_pred.bias.fill_(float("nan"))
    frames = make_frames((64, 64))
    for found in (broken.in_one_go(frames), broken.in_turn(frames)):
        assert [len(result["boxes"]) for result in found] == [0]


def test_rounds_of_suppression_that_did_not_suffice_are_doubled_and_stay_so(detector):
    eager = copy.deepcopy(detector)
    eager.batched.num_rounds = 1
    frames = make_frames(*SIZES[:3])
    assert_same_detections(eager.in_one_go(frames), detector.in_turn(frames), score_atol=1e-4)
    needed = eager.batched.num_rounds
    assert needed > 1
    eager.in_one_go(frames)
    assert eager.batched.num_rounds == needed


def test_the_anchors_of_one_size_are_kept_until_another_comes(detector):
    images = [torch.zeros(1, 1, side, 128) for side in (128, 96)]
    first = detector.batched.grids(images[0])
    assert detector.batched.grids(images[0]) is first
    other = detector.batched.grids(images[1])
    assert [len(anchors) for anchors in other.anchors] != [len(anchors) for anchors in first.anchors]
    assert detector.batched.grids(images[0]) is not first


def test_frames_become_torchvision_s_input(detector):
    for sizes in (SIZES, [(97, 129)] * 3, [(128, 100)]):
        frames = make_frames(*sizes)
        transform = detector.network.transform
        theirs, _ = transform([(frame.float() / 255).expand(3, -1, -1) for frame in frames])
        ours = network_input(frames, transform)
        torch.testing.assert_close(ours.images.expand(-1, 3, -1, -1), theirs.tensors, atol=1e-5, rtol=0)
        assert ours.sizes.tolist() == [[width, height] for height, width in theirs.image_sizes]


def test_predictions_are_prepared_without_changing_them(detector):
    prepared = copy.deepcopy(detector)
    prepared.prepare_prediction()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in prepared.modules())
    frames = make_frames(*SIZES[1:4])
    expected = detector.in_turn(frames)
    for found in (prepared.in_turn(frames), prepared.in_one_go(frames)):
        assert_same_detections(found, expected, score_atol=1e-4)


class _Copies(TorchDispatchMode):
    """Lists the copies from one device to another."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sources = {arg.device.type for arg in args if isinstance(arg, torch.Tensor)}
        if isinstance(result, torch.Tensor) and sources and result.device.type not in sources:
            self.made.append((*sources, result.device.type))
        return result


@pytest.fixture
def on_imaginary_gpu():
    """A detector and its input as torch sees them on a GPU, shapes and devices without values.

    There, what depends on values raises: a number that the host asks for, a shape that depends on what is found.
    """
    with torch.inference_mode(False), torch.no_grad(), FakeTensorMode(), torch.device("cuda"):
        detector = LesionDetector(**SETTINGS).eval()
        given = NetworkInput(torch.zeros(3, 1, 96, 128), torch.zeros(3, 2), torch.zeros(3, 2))
        yield detector, given


def test_the_host_queues_a_batch_without_asking_for_anything(on_imaginary_gpu):
    detector, given = on_imaginary_gpu
    grids = detector.batched.grids(given.images)
    with _Copies() as copies:
        found, is_settled = detector.batched.detections(given, grids, num_rounds=4)
    assert copies.made == []
    assert found.shape == (3, SETTINGS["max_detections"], 5)
    assert {found.device.type, is_settled.device.type} == {"cuda"}


def test_the_result_is_copied_once(on_imaginary_gpu):
    detector, given = on_imaginary_gpu
    detector.batched.grids(given.images)
    with _Copies() as copies, pytest.raises(DataDependentOutputException):  # were the rounds enough?
        detector.batched(given)
    assert copies.made == [("cuda", "cpu")]


def test_torchvision_s_own_path_asks(on_imaginary_gpu):
    detector, _ = on_imaginary_gpu
    with pytest.raises(DynamicOutputShapeException):
        detector.network([torch.zeros(3, 96, 128)])


@pytest.mark.slow
def test_all_is_one_graph(detector):
    frames = make_frames((96, 128), (96, 128))
    given = network_input(frames, detector.network.transform)
    batched = BatchedInference(detector.network)
    grids = batched.grids(given.images)
    compiled = torch.compile(batched.detections, fullgraph=True, dynamic=False, backend="aot_eager")
    for ours, expected in zip(compiled(given, grids, 8), batched.detections(given, grids, 8), strict=True):
        torch.testing.assert_close(ours, expected)


def test_flat_frames_that_come_first_leave_no_trace():
    # Torchvision guesses the scales of the pyramid from the first frames: of 128 x 40 pixels, padded to 64, wrongly.
    torch.manual_seed(0)
    fresh, used = (lively(LesionDetector(**SETTINGS)) for _ in range(2))
    used.load_state_dict(fresh.state_dict())
    flat, frames = make_frames((40, 128)), make_frames((128, 128))
    used.in_turn(flat)
    assert_same_detections(used.in_turn(frames), fresh.in_turn(frames), score_atol=0)
