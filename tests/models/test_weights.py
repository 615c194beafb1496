import pytest
import torch
from torch import nn

from wauve_dist.models.weights import load_weights


def save(model, path):
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def test_weights_of_a_checkpoint_replace_the_model_s_own(tmp_path):
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    load_weights(target, save(source, tmp_path / "a.ckpt"))
    assert torch.equal(target.weight, source.weight)


def test_another_architecture_is_refused_by_tensor_and_shape_and_nothing_changes(tmp_path):
    target = nn.Linear(3, 2)
    before = target.weight.clone()
    with pytest.raises(ValueError, match=r"weight has shape \(2, 4\), the model needs \(2, 3\)"):
        load_weights(target, save(nn.Linear(4, 2), tmp_path / "a.ckpt"))
    with pytest.raises(ValueError, match="bias is missing from the file"):
        load_weights(target, save(nn.Linear(3, 2, bias=False), tmp_path / "b.ckpt"))
    assert torch.equal(target.weight, before)


def test_a_file_that_would_execute_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_weights(nn.Linear(1, 1), tmp_path / "evil.ckpt")
    assert not (tmp_path / "pwned").exists()


def test_a_text_file_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "notes.ckpt").write_text("hello")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_weights(nn.Linear(1, 1), tmp_path / "notes.ckpt")
    with pytest.raises(ValueError, match="there is no file"):
        load_weights(nn.Linear(1, 1), tmp_path / "none.ckpt")
