"""I3D's precisions, memory format and compiled form against float32, on clips drawn anew in every test."""

import pytest
import torch

from wauve_dist.models.classifiers.i3d import I3DResNet50

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact_float32")]


@pytest.fixture
def model(cuda):
    torch.manual_seed(0)
    model = I3DResNet50(dropout=0.5)
    for module in model.modules():  # zero-initialised norms would hide the residual branches
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model.to(cuda).eval()


@pytest.fixture
def clips(cuda):
    return torch.randint(0, 256, (8, 8, 112, 112), dtype=torch.uint8, device=cuda)


def relative_distance(got, expected):
    assert torch.isfinite(got).all()
    return float((got.double() - expected.double()).norm() / expected.double().norm())


@torch.inference_mode()
def outputs(model, clips):
    """Feature maps and logits; the logits of an untrained model are all alike, the maps are not."""
    return model.features(clips), model(clips)


# Each rounding is off by at most half a unit in the last place, 2^-9 in bfloat16 and 2^-12 in float16. Some 100 of
# them, one after another through 50 convolutions and their norms and additions, add up like a random walk to about
# 10 times that: 2 % and 0.25 %. The limits leave twice as much.
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.04), (torch.float16, 0.005)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d], ids=str)
def test_half_precision_keeps_features_and_logits(model, clips, dtype, limit, memory_format):
    expected = outputs(model, clips)
    model.to(memory_format=memory_format)
    with torch.autocast("cuda", dtype):
        got = outputs(model, clips)
    for ours, reference in zip(got, expected, strict=True):
        distance = relative_distance(ours, reference)
        print(f"{dtype}, {memory_format}: relative distance {distance:.1e}")
        assert 0 < distance < limit  # 0 would mean that autocast did nothing


# Float32 sums in another order: 2^-24 a rounding, sums of up to 4,608 terms, 50 layers.
def test_channels_last_changes_the_order_of_sums_only(model, clips):
    expected = outputs(model, clips)
    got = outputs(model.to(memory_format=torch.channels_last_3d), clips)
    assert got[0].is_contiguous(memory_format=torch.channels_last_3d)
    for ours, reference in zip(got, expected, strict=True):
        assert relative_distance(ours, reference) < 1e-4


def test_the_compiled_model_computes_the_same_logits_and_gradients(model, clips):
    def logits_and_gradients(call):
        model.zero_grad()
        logits = call(clips)
        logits.sum().backward()
        return logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())

    expected = logits_and_gradients(model)
    got = logits_and_gradients(torch.compile(model))
    assert len(got) > 100
    assert relative_distance(got[0], expected[0]) < 1e-3
    # A rounding that moves a value across a ReLU's zero or swaps a maximum reroutes its whole gradient: on an H100 the
    # first parameter to exceed 1e-3 was off by 1.7e-3. A wrong kernel would be off by far more than 1e-2.
    for ours, reference in zip(got[1:], expected[1:], strict=True):
        assert relative_distance(ours, reference) < 1e-2


def test_the_gpu_agrees_with_the_cpu(model, clips):
    on_gpu = outputs(model, clips)
    on_cpu = outputs(model.cpu(), clips.cpu())
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        assert relative_distance(gpu.cpu(), cpu) < 1e-4
