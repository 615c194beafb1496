import torch

from wauve_dist.data.batch_buffers import lend_tensor


def test_memory_is_lent_again_only_when_no_view_is_left():
    first = lend_tensor((4, 3, 5))
    assert first.shape == (4, 3, 5)
    assert first.dtype == torch.uint8
    first.fill_(7)
    address, view = first.data_ptr(), first[2].numpy()[1:]
    del first
    second = lend_tensor((4, 3, 5)).fill_(8)
    assert second.data_ptr() != address
    assert (view == 7).all()
    del view
    assert lend_tensor((2, 3, 5)).data_ptr() == address


def test_a_larger_batch_gets_memory_of_its_own():
    small = lend_tensor((2, 8))
    del small
    large = lend_tensor((64, 1024)).fill_(1)
    assert large.sum() == 64 * 1024
