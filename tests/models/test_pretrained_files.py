"""Pretrained files in the layouts of other projects, built here, into our networks: same weights, same logits."""

import pickle
import re
import struct
from typing import ClassVar

import numpy as np
import pytest
import torch
from independent_i3d import IndependentI3D, normalised, with_random_norms
from pytorchvideo.models.hub import i3d_r50, slowfast_r50
from torch import nn
from torchvision.models import resnet50
from transformers import TimesformerConfig, TimesformerForVideoClassification

from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.slowfast import SlowFastResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer
from wauve_dist.models.weights import load_weights

HEAD = ["*classifier.classifier.*"]


class Task(nn.Module):
    """Holds a network as a task does."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier.eval()


@pytest.fixture(scope="module")
def independent():
    torch.manual_seed(1)
    return with_random_norms(IndependentI3D(num_classes=1))


@pytest.fixture(scope="module")
def clips():
    return torch.randint(0, 256, (2, 8, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def assert_same_logits(task, reference, clips):
    with torch.inference_mode():
        expected = reference(normalised(clips)).view(-1)
        torch.testing.assert_close(task.classifier(clips), expected, atol=1e-5, rtol=1e-5)


def test_pyslowfast_s_checkpoint(independent, clips, tmp_path):
    file = tmp_path / "I3D_8x8_R50.pyth"
    torch.save({"epoch": 196, "model_state": independent.state_dict(), "cfg": "NUM_GPUS: 8"}, file)
    task = Task(I3DResNet50(dropout=0.5))
    assert load_weights(task, file) == f"Weights of {file}: 320 of the model's 320 tensors loaded"
    assert_same_logits(task, independent, clips)


def test_pytorchvideo_s_checkpoint_with_another_number_of_classes(clips, tmp_path):
    torch.manual_seed(3)
    reference = with_random_norms(i3d_r50(pretrained=False, head_pool_kernel_size=(4, 2, 2)))
    file = tmp_path / "I3D_8x8_R50.pyth"
    torch.save({"model_state": reference.state_dict()}, file)
    task = Task(I3DResNet50(dropout=0.5))
    with pytest.raises(ValueError, match=r"2 of its 320 tensors differ: .*weight has shape \(400, 2048\), the model"):
        load_weights(task, file)
    report = load_weights(task, file, HEAD)
    assert "318 of the model's 320 tensors loaded" in report
    assert "ignored as asked: classifier.classifier.bias has shape (400,), the model needs (1,)" in report
    reference.blocks[-1].proj = task.classifier.classifier
    assert_same_logits(task, reference, clips)


class Python2Pickler(pickle._Pickler):
    """Writes byte strings and global names as Python 2 and NumPy 1 did."""

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_global(self, obj, name=None):
        if getattr(obj, "__module__", "") == "numpy._core.multiarray":
            self.write(b"cnumpy.core.multiarray\n" + obj.__name__.encode() + b"\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: save_bytes}


def caffe2_name(name):
    """Turn PySlowFast's name into Caffe2's, by the examples in PySlowFast's converter."""
    fields = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    module, _, field = name.rpartition(".")
    if module == "head.projection":
        return f"pred_{field[0]}"
    if module == "s1.pathway0_stem.conv":
        return "conv1_w"
    if module == "s1.pathway0_stem.bn":
        return f"res_conv1_bn_{fields[field]}"
    stage, block, rest = re.fullmatch(r"s(\d)\.pathway0_res(\d)\.(.*)", module).groups()
    is_norm = rest.endswith("_bn")
    rest = rest.removesuffix("_bn").replace("branch2.", "branch2")
    return f"res{stage}_{block}_{rest}_{'bn_' + fields[field] if is_norm else 'w'}"


def write_caffe2(model, file):
    blobs = {
        caffe2_name(name): value.numpy() for name, value in model.state_dict().items() if "num_batches" not in name
    }
    assert {"conv1_w", "res_conv1_bn_riv", "res3_1_branch2a_w", "res5_0_branch1_bn_s", "pred_b"} <= blobs.keys()
    blobs |= {"conv1_w_momentum": blobs["conv1_w"], "lr": np.float32(0.1), "model_iter": np.int64(7)}
    with file.open("wb") as stream:
        Python2Pickler(stream, protocol=2).dump({"blobs": blobs})


def test_caffe2_s_file_of_python_2(independent, clips, tmp_path):
    file = tmp_path / "I3D_8x8_R50.pkl"
    write_caffe2(independent, file)
    assert b"cnumpy.core.multiarray\n_reconstruct" in file.read_bytes()
    task = Task(I3DResNet50(dropout=0.5))
    report = load_weights(task, file)
    assert "267 of the model's 320 tensors loaded" in report
    assert "of no effect: 53 num_batches_tracked" in report
    assert_same_logits(task, independent, clips)


def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    for content in ({"blobs": {"conv1_w": Evil()}}, Evil(), [1, 2], {"blobs": {"conv1_w": "text"}}):
        (tmp_path / "evil.pkl").write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match=r"evil.pkl(: blob 'conv1_w' is no array| is not a weight file of Caffe2)"):
            load_weights(Task(ResNet50(dropout=0.0)), tmp_path / "evil.pkl")
    assert not (tmp_path / "pwned").exists()


@pytest.fixture(scope="module")
def image_network():
    torch.manual_seed(4)
    return with_random_norms(resnet50(weights=None))


def test_torchvision_s_resnet_into_the_image_network(image_network, tmp_path):
    torch.save(image_network.state_dict(), tmp_path / "resnet50.pth")
    task = Task(ResNet50(dropout=0.5))
    assert "318 of the model's 320 tensors loaded" in load_weights(task, tmp_path / "resnet50.pth", HEAD)
    own = task.classifier.trunk.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in image_network.state_dict().items() if name in own)


def test_an_inflated_network_sees_a_still_video_as_the_image_network_sees_its_frame(image_network, tmp_path):
    file = tmp_path / "resnet50.pth"
    torch.save({"state_dict": image_network.state_dict()}, file)  # timm's wrapping
    task = Task(I3DResNet50(dropout=0.5))
    assert "318 of the model's 320 tensors loaded" in load_weights(task, file, HEAD)
    frame = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    image = nn.Sequential(*list(image_network.children())[:-2])
    with torch.inference_mode():
        # Kernels reach 13 frames to either side, and beyond the ends of a video there is nothing: look at its middle.
        middle = task.classifier.features(frame.expand(-1, 40, -1, -1))[:, :, 10]
        expected = image(normalised(frame).squeeze(2))
    torch.testing.assert_close(middle, expected, atol=1e-4, rtol=1e-4)


def test_slowfast_and_timesformer_take_the_files_of_their_libraries(clips, tmp_path):
    torch.manual_seed(5)
    reference = with_random_norms(slowfast_r50(pretrained=False, model_num_class=1))
    torch.save({"model_state": reference.state_dict()}, tmp_path / "slowfast.pyth")
    task = Task(SlowFastResNet50(dropout=0.5))
    load_weights(task, tmp_path / "slowfast.pyth")
    own = list(task.classifier.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(own, reference.state_dict().values(), strict=True))

    sizes = {"image_size": 32, "patch_size": 16, "hidden_size": 24}
    config = TimesformerConfig(**sizes, num_hidden_layers=1, num_attention_heads=3, intermediate_size=96, num_labels=1)
    reference = TimesformerForVideoClassification(config).eval()
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    task = Task(TimeSformer(**sizes, num_layers=1, num_heads=3, dropout=0.0))
    load_weights(task, tmp_path / "pytorch_model.bin")
    with torch.inference_mode():
        pixels = normalised(clips[:, :, :32, :32]).transpose(1, 2)
        torch.testing.assert_close(task.classifier(clips[:, :, :32, :32]), reference(pixels).logits.view(-1))


def test_what_is_ignored_stays_as_it_was_and_a_pattern_for_nothing_is_refused(tmp_path):
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    before = target.bias.clone()
    assert "ignored as asked: bias would fit" in load_weights(target, tmp_path / "a.pt", ["bi*"])
    assert torch.equal(target.bias, before)
    assert torch.equal(target.weight, source.weight)
    with pytest.raises(ValueError, match=r"--weights_ignore 'head.\*' matches no tensor"):
        load_weights(target, tmp_path / "a.pt", ["head.*"])


def test_a_file_of_another_network_is_refused_by_tensor(image_network, tmp_path):
    torch.save(image_network.state_dict(), tmp_path / "resnet50.pth")
    task = Task(SlowFastResNet50(dropout=0.0))
    with pytest.raises(ValueError, match=r"classifier\.bn1\.bias is unknown to the model; .*--weights_ignore PATTERN"):
        load_weights(task, tmp_path / "resnet50.pth")
