"""I3D 8x8 R50 written from its description, with the module names of PySlowFast's checkpoints.

Description (Wang et al. 2018, table 1; PySlowFast's model zoo): ResNet-50 with temporal kernels of 5 in the stem, 3 in
res2, 3 and 1 in turn in res3 and res4, 1 and 3 in turn in res5, a temporal pooling of 2 after res2, strides in the 3x3.
"""

import torch
from torch import nn

STAGES = [  # inner width, stride, temporal kernels
    (64, 1, (3, 3, 3)),
    (128, 2, (3, 1, 3, 1)),
    (256, 2, (3, 1, 3, 1, 3, 1)),
    (512, 2, (1, 3, 1)),
]


def convolution(num_in, num_out, frames, size, stride=1):
    kernel, padding = (frames, size, size), (frames // 2, size // 2, size // 2)
    return nn.Conv3d(num_in, num_out, kernel, (1, stride, stride), padding, bias=False)


class Branch(nn.Module):
    def __init__(self, num_in, width, stride, frames):
        super().__init__()
        self.a, self.a_bn = convolution(num_in, width, frames, 1), nn.BatchNorm3d(width)
        self.b, self.b_bn = convolution(width, width, 1, 3, stride), nn.BatchNorm3d(width)
        self.c, self.c_bn = convolution(width, 4 * width, 1, 1), nn.BatchNorm3d(4 * width)

    def forward(self, x):
        x = self.a_bn(self.a(x)).relu()
        return self.c_bn(self.c(self.b_bn(self.b(x)).relu()))


class Block(nn.Module):
    def __init__(self, num_in, width, stride, frames, has_shortcut):
        super().__init__()
        self.branch2 = Branch(num_in, width, stride, frames)
        if has_shortcut:
            self.branch1, self.branch1_bn = convolution(num_in, 4 * width, 1, 1, stride), nn.BatchNorm3d(4 * width)

    def forward(self, x):
        shortcut = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return (shortcut + self.branch2(x)).relu()


class IndependentI3D(nn.Module):
    """Normalised float clips [N, 3, T, H, W] to logits [N, number of classes]."""

    def __init__(self, num_classes):
        super().__init__()
        self.s1 = nn.Module()
        self.s1.pathway0_stem = nn.Module()
        self.s1.pathway0_stem.conv = convolution(3, 64, 5, 7, 2)
        self.s1.pathway0_stem.bn = nn.BatchNorm3d(64)
        num_in = 64
        for number, (width, stride, kernels) in enumerate(STAGES, start=2):
            stage = nn.Module()
            for index, frames in enumerate(kernels):
                first = index == 0
                block = Block(num_in, width, stride if first else 1, frames, has_shortcut=first)
                stage.add_module(f"pathway0_res{index}", block)
                num_in = 4 * width
            self.add_module(f"s{number}", stage)
        self.head = nn.Module()
        self.head.projection = nn.Linear(num_in, num_classes)

    def forward(self, x):
        stem = self.s1.pathway0_stem
        x = nn.functional.max_pool3d(stem.bn(stem.conv(x)).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for number in (2, 3, 4, 5):
            for block in getattr(self, f"s{number}").children():
                x = block(x)
            if number == 2:
                x = nn.functional.max_pool3d(x, (2, 1, 1), (2, 1, 1))
        return self.head.projection(x.mean((2, 3, 4)))


def with_random_norms(model):
    """Give norms weights and statistics of their own, so that none of them hides a fault."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def normalised(clips_NTHW):
    """Give PySlowFast's input: float [N, 3, T, H, W]."""
    return ((clips_NTHW.float() / 255 - 0.45) / 0.225).unsqueeze(1).repeat(1, 3, 1, 1, 1).to(torch.float32)
