import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from wauve_dist.models.detectors.pyramid_atlas import atlas_places, build_atlas, pool_boxes

STRIDES = (4, 8, 16, 32)


def pooler():
    module = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
    module.scales, module.map_levels = [1 / stride for stride in STRIDES], LevelMapper(2, 5)
    return module


def pooled(levels, boxes):
    """Through the atlas, and by torchvision level by level."""
    height, width = (4 * side for side in levels[0].shape[2:])
    shapes = [tuple(level.shape[2:]) for level in levels]
    places = [
        (1 / stride, left, top, columns, rows)
        for stride, (top, left), (rows, columns) in zip(STRIDES, atlas_places(shapes), shapes, strict=True)
    ]
    ours = pool_boxes(build_atlas(levels), torch.tensor(places), boxes, pooler())
    features = {str(number): level for number, level in enumerate(levels)}
    return ours, pooler()(features, list(boxes), [(height, width)] * len(boxes))


def random_levels(height, width, num_frames=2, channels=3):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(num_frames, channels, height // s, width // s, generator=generator) for s in STRIDES]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (96, 320), (320, 96), (32, 32), (32, 512)])
def test_boxes_of_all_levels_are_pooled_as_torchvision_does_level_by_level(height, width):
    generator = torch.Generator().manual_seed(1)
    sides = torch.tensor([width, height])
    corners = (torch.rand(2, 200, 2, 2, generator=generator) * sides).sort(dim=2).values
    sizes = (corners[:, :, 1] - corners[:, :, 0]).prod(dim=2)
    ours, theirs = pooled(random_levels(height, width), corners.flatten(2))
    assert sizes.min() < 112**2 or height < 112
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_slivers_at_the_far_edge_are_pooled_as_torchvision_does():
    # Less than a cell wide, so that torchvision samples beyond the level; the last have no area.
    edges = [(254.5, 10, 256, 200), (10, 255, 250, 256), (255.9, 255.9, 256, 256), (200, 253, 256, 256)]
    boxes = torch.tensor([[*edges, (256.0, 256, 256, 256), (0, 0, 0, 0)]] * 2)
    ours, theirs = pooled(random_levels(256, 256), boxes)
    assert (theirs[0, :, :, -1] == 0).all()  # there is something to get wrong
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_no_two_levels_share_a_place():
    shapes = [(24, 80), (12, 40), (6, 20), (3, 10)]
    levels = [torch.full((1, 1, *shape), float(number)) for number, shape in enumerate(shapes, start=1)]
    atlas = build_atlas(levels)[0, 0]
    for number, (rows, columns) in enumerate(shapes, start=1):
        assert (atlas == number).sum() == (rows + 2) * (columns + 2)
