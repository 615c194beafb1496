"""Ways to compute the same thing faster or in less memory, each against plain float32.

Shapes are those of a real training step at the smallest crop.
"""

import copy

import pytest
import torch
from independent_i3d import with_random_norms
from torch.nn import functional as F

from wauve_dist.models.activation_checkpointing import checkpoint_activations
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.slowfast import SlowFastResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer
from wauve_dist.models.memory_format import put_channels_last
from wauve_dist.tasks.classification import ClassificationTask

TIMESFORMER = {"image_size": 64, "patch_size": 16, "hidden_size": 24, "num_layers": 3, "num_heads": 3, "dropout": 0.0}
NETWORKS = {
    "I3D": lambda: I3DResNet50(dropout=0.0),
    "ResNet-50": lambda: ResNet50(dropout=0.0),
    "TimeSformer": lambda: TimeSformer(**TIMESFORMER),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return with_random_norms(NETWORKS[request.param]())


def step(network):
    """One training step: logits, gradients, running statistics."""
    generator = torch.Generator().manual_seed(1)
    clips = torch.randint(0, 256, (3, network.clip_length, 64, 64), dtype=torch.uint8, generator=generator)
    network.train().zero_grad()
    logits = network(clips)
    F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0, 1])).backward()
    return logits.detach(), {n: p.grad for n, p in network.named_parameters()}, dict(network.named_buffers())


def distance(ours, expected):
    return float((ours.double() - expected.double()).norm() / expected.double().norm())


def test_checkpointing_changes_neither_gradients_nor_running_statistics(network):
    plain, saving = copy.deepcopy(network), copy.deepcopy(network)
    kept = []
    checkpoint_activations(saving.stages[1:])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        ours = step(saving)
    num_kept, kept[:] = sum(kept), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        expected = step(plain)
    assert num_kept < 0.7 * sum(kept)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


# In float64 nothing but an error can show: the batch norms of 3 clips amplify float32's roundings a thousandfold.
def test_channels_last_changes_the_order_of_sums_only(network):
    plain, last = copy.deepcopy(network).double(), copy.deepcopy(network).double()
    put_channels_last(last)
    assert any(
        weight.is_contiguous(memory_format=memory_format) and not weight.is_contiguous()
        for weight in last.parameters()
        for dimensions, memory_format in ((4, torch.channels_last), (5, torch.channels_last_3d))
        if weight.ndim == dimensions
    )
    ours, expected = step(last), step(plain)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


# 2^-9 a rounding in bfloat16, some 100 of them one after another like a random walk: 2 %, and twice that as limit.
def test_bf16_autocast_keeps_the_logits(network):
    clips = torch.randint(0, 256, (4, network.clip_length, 64, 64), dtype=torch.uint8)
    network.eval()
    with torch.inference_mode():
        expected = network(clips)
        with torch.autocast("cpu", torch.bfloat16):
            ours = network(clips)
    assert 0 < distance(ours, expected) < 0.04


@pytest.mark.slow
def test_the_compiled_network_takes_the_same_step():
    torch.manual_seed(0)
    plain = with_random_norms(NETWORKS["ResNet-50"]()).double()
    compiled = copy.deepcopy(plain)
    compiled.compile()
    torch.testing.assert_close(step(compiled), step(plain), rtol=1e-6, atol=1e-9)


def make_task(network, **options):
    optimiser = dict(optimizer="sgd", lr=0.1, lr_batch_size=None, weight_decay=0, schedule="step", warmup_fraction=0)
    return ClassificationTask(network, crop_size=64, roi_context=1.0, **optimiser, **options)


@pytest.mark.parametrize("kind", [*NETWORKS.values(), lambda: SlowFastResNet50(dropout=0.0)])
def test_stages_hold_each_parameter_of_the_trunk_once(kind):
    with torch.device("meta"):
        network = kind()
    staged = [parameter for stage in network.stages for parameter in stage.parameters()]
    assert len(staged) == len(set(staged))
    names = {name for name, parameter in network.named_parameters() if not any(parameter is p for p in staged)}
    assert all(name.startswith(("classifier.", "trunk.layernorm.")) for name in names)
    assert len(network.stages) >= 4


def test_frozen_stages_stay_as_they_are_and_the_rest_learns(network):
    task = make_task(copy.deepcopy(network).train(), num_frozen_stages=2)  # Lightning calls no train() after this
    before = copy.deepcopy(task.classifier.state_dict())
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=1.0)
    F.binary_cross_entropy_with_logits(
        task(torch.randint(0, 256, (3, task.clip_length, 64, 64), dtype=torch.uint8)), torch.tensor([1.0, 0, 1])
    ).backward()
    optimizer.step()
    frozen = {id(t) for stage in task.classifier.stages[:2] for t in (*stage.parameters(), *stage.buffers())}
    for name, tensor in task.classifier.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, before[name]) == (id(tensor) in frozen), name


def test_freezing_more_stages_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"--model.num_frozen_stages\) is 6; I3DResNet50 has 5 stages"):
        make_task(I3DResNet50(dropout=0.0), num_frozen_stages=6)
