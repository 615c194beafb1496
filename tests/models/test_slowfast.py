"""SlowFast against PyTorchVideo's own model."""

import torch
from pytorchvideo.models.hub import slowfast_r50

from wauve_dist.models.classifiers.slowfast import SlowFastResNet50


def test_logits_are_those_of_pytorchvideo_with_the_same_weights():
    torch.manual_seed(0)
    model = SlowFastResNet50(dropout=0.5).eval()
    pools = ((2, 2, 2), (8, 2, 2))  # whole feature maps of 64 pixels
    reference = slowfast_r50(pretrained=False, model_num_class=1, head_pool_kernel_sizes=pools).eval()
    reference.blocks[:-2].load_state_dict(model.trunk.state_dict())
    reference.blocks[-1].proj.load_state_dict(model.classifier.state_dict())
    clips = torch.randint(0, 256, (2, 8, 64, 64), dtype=torch.uint8)
    x = ((clips.float() / 255 - 0.45) / 0.225).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), reference([x[:, :, ::4], x]).view(-1), atol=1e-5, rtol=1e-5)
