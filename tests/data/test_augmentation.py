import numpy as np
import pytest
import torch

from wauve_dist.data.augmentation import augment_clips, augment_frame, mix_clips

SIZE = 48


def gradient_clips(num_clips):
    """Clips that brighten to the right, with every frame alike."""
    row = torch.linspace(60, 200, SIZE).to(torch.uint8)
    return row.expand(num_clips, 8, SIZE, SIZE).contiguous()


def test_the_same_seed_gives_the_same_clip_in_any_batch():
    clips = torch.randint(0, 256, (3, 8, SIZE, SIZE), dtype=torch.uint8, generator=torch.manual_seed(0))
    together = augment_clips(clips, torch.tensor([11, 12, 13]))
    assert together.dtype == torch.uint8
    assert together.shape == clips.shape
    assert torch.equal(augment_clips(clips.flip(0), torch.tensor([13, 12, 11])).flip(0), together)
    assert torch.equal(augment_clips(clips[1:2], torch.tensor([12]))[0], together[1])


def test_other_seeds_give_other_clips():
    changed = augment_clips(gradient_clips(20), torch.arange(1, 21))
    assert len({clip.numpy().tobytes() for clip in changed}) == 20


def test_all_frames_of_a_clip_change_alike():
    changed = augment_clips(gradient_clips(20), torch.arange(1, 21))
    assert torch.equal(changed, changed[:, :1].expand_as(changed))


def test_about_half_of_the_clips_are_mirrored_and_none_turned_upside_down():
    changed = augment_clips(gradient_clips(400), torch.arange(1, 401)).float()
    thirds = changed.unflatten(3, (3, -1)).mean(dim=(1, 2, 4))
    num_mirrored = int((thirds[:, 0] > thirds[:, 2]).sum())
    assert 160 < num_mirrored < 240  # Binomial(400, 1/2) has a standard deviation of 10
    # Brightening downwards survives: the time-gain tilt alone is far weaker than this gradient.
    downwards = augment_clips(gradient_clips(400).transpose(2, 3).contiguous(), torch.arange(1, 401)).float()
    thirds = downwards.unflatten(2, (3, -1)).mean(dim=(1, 3, 4))
    assert (thirds[:, 2] > thirds[:, 0]).all()


def test_black_stays_black():
    assert not augment_clips(torch.zeros(50, 8, SIZE, SIZE, dtype=torch.uint8), torch.arange(1, 51)).any()


def test_white_saturates_instead_of_wrapping_around():
    white = torch.full((200, 8, SIZE, SIZE), 255, dtype=torch.uint8)
    brightness = augment_clips(white, torch.arange(1, 201)).float().mean(dim=(1, 2, 3))
    assert brightness.min() > 255 / 1.2 * 0.75
    assert brightness.max() == 255


@pytest.mark.gpu
def test_the_device_changes_at_most_a_rounding():
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    clips = torch.randint(0, 256, (8, 8, SIZE, SIZE), dtype=torch.uint8, generator=torch.manual_seed(0))
    seeds = torch.arange(1, 9)
    difference = augment_clips(clips.cuda(), seeds.cuda()).cpu().int() - augment_clips(clips, seeds).int()
    assert difference.abs().max() <= 1


def test_mixed_clips_and_labels_share_alike():
    levels, labels = torch.tensor([40.0, 200.0, 90.0]), torch.tensor([0.0, 1.0, 1.0])
    clips = levels.view(-1, 1, 1, 1).expand(3, 8, 4, 4).to(torch.uint8)
    mixed, mixed_labels = mix_clips(clips, labels, torch.tensor([5, 6, 7]), alpha=0.4)
    share = mixed_labels[0].item()  # the first is benign, its partner, the second, malignant
    assert 0 < share < 1
    assert (mixed[0] == round(40 * (1 - share) + 200 * share)).all()
    assert mixed_labels[1] == 1  # two malignant clips
    assert 90 <= mixed[1].min() == mixed[1].max() <= 200
    assert mixed.dtype == torch.uint8


def test_a_share_of_the_mixture_belongs_to_its_sample():
    labels = torch.tensor([1.0, 0.0])
    clips = torch.zeros(2, 8, 4, 4, dtype=torch.uint8)
    shares = [float(mix_clips(clips, labels, torch.tensor([seed, 1]), 0.4)[1][0]) for seed in range(2000)]
    assert shares[:9] == [float(mix_clips(clips, labels, torch.tensor([seed, 99]), 0.4)[1][0]) for seed in range(9)]
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), abs=0.01)


def test_a_clip_alone_mixes_with_itself():
    clip = torch.randint(0, 256, (1, 8, 4, 4), dtype=torch.uint8)
    mixed, labels = mix_clips(clip, torch.ones(1), torch.tensor([3]), 0.4)
    assert torch.equal(mixed, clip)
    assert labels.tolist() == [1]


def test_boxes_follow_their_frame():
    frame = np.zeros((40, 90), np.uint8)
    frame[10:25, 20:50] = 180
    box = np.array([[20, 10, 50, 25]], np.float32)
    seen = set()
    for seed in range(20):
        changed, boxes = augment_frame(frame, box, np.random.default_rng(seed))
        rows, columns = np.nonzero(changed)
        assert boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert changed.dtype == np.uint8
        assert boxes.dtype == np.float32
        seen.add(boxes[0, 0])
    assert seen == {20, 40}


def test_a_frame_without_lesion_is_augmented_too():
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    changed, boxes = augment_frame(frame, np.empty((0, 4), np.float32), np.random.default_rng(3))
    assert boxes.shape == (0, 4)
    assert (changed != frame).any()
