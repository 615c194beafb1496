"""The detector on a whole batch at once: the host never waits, a CUDA graph holds it, torchvision finds the same.

None of this has run on a GPU yet; on a CPU the same calls are checked with fake tensors on a GPU that is not there.
"""

import copy

import pytest
import torch
from lively_detectors import SETTINGS, assert_same_detections, lively, make_frames

from wauve_dist.models.detectors.faster_rcnn import LesionDetector
from wauve_dist.models.detectors.network_input import NetworkInput, network_input

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact_float32")]

ONE_SIZE, SEVERAL_SIZES = [(97, 129)] * 4, [(300, 400), (128, 64), (97, 129)]


@pytest.fixture
def detector(cuda):
    torch.manual_seed(0)
    return lively(LesionDetector(**SETTINGS)).to(cuda)


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def frames_on(device, sizes):
    return [frame.to(device) for frame in make_frames(*sizes)]


@pytest.mark.parametrize("sizes", [ONE_SIZE, SEVERAL_SIZES], ids=["one size", "several"])
def test_a_batch_at_once_finds_what_torchvision_finds(cuda, detector, sizes):
    frames = frames_on(cuda, sizes)
    expected = detector.in_turn(frames)
    assert min(len(result["boxes"]) for result in expected) > 3
    assert_same_detections(detector(frames), expected, score_atol=1e-4)
    prepared = copy.deepcopy(detector)
    prepared.prepare_prediction()
    assert_same_detections(prepared(frames), expected, score_atol=1e-4)


@pytest.fixture
def refused_waits():
    """Any call that waits for the GPU raises."""
    before = torch.cuda.get_sync_debug_mode()
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("sizes", [ONE_SIZE, SEVERAL_SIZES], ids=["one size", "several"])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
def test_the_host_never_waits_before_it_copies_the_result(cuda, detector, refused_waits, sizes, dtype):
    frames = frames_on(cuda, sizes)
    with torch.autocast("cuda", dtype or torch.bfloat16, enabled=dtype is not None):
        detector(frames)  # anchors of a new size come from the host
        refused_waits()
        given = network_input(frames, detector.network.transform)
        found, _ = detector.batched.detections(given, detector.batched.grids(given.images), 32)
    torch.cuda.set_sync_debug_mode("default")
    assert found.shape == (len(frames), SETTINGS["max_detections"], 5)
    assert torch.isfinite(found).all()


def test_a_cuda_graph_holds_the_whole_batch(cuda, detector):
    first, second = (
        network_input(frames, detector.network.transform)
        for frames in (frames_on(cuda, ONE_SIZE), [frame.flip(1) for frame in frames_on(cuda, ONE_SIZE)])
    )
    batched = detector.batched
    grids, given = batched.grids(first.images), NetworkInput(*(value.clone() for value in first))
    expected, _ = batched.detections(second, grids, 32)
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):  # allocations and choices of kernels belong before the capture
        for _ in range(3):
            batched.detections(given, grids, 32)
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found, is_settled = batched.detections(given, grids, 32)
    given.images.copy_(second.images)
    graph.replay()
    assert is_settled
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.timeout(600)
def test_the_compiled_batch_finds_the_same(cuda, detector):
    frames = frames_on(cuda, ONE_SIZE)
    expected = detector(frames)
    detector.batched.compile()
    for _ in range(3):  # the third call replays a graph
        assert_same_detections(detector(frames), expected, score_atol=1e-4)
