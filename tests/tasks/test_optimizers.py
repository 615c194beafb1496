import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from wauve_dist.tasks.optimizers import build_optimizer, lr_factor, lr_scale, optimizer_and_schedule


def test_biases_and_norms_are_not_decayed_and_frozen_weights_left_out():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1))
    model[3].weight.requires_grad = False
    decayed, plain = build_optimizer(model, "sgd", lr=0.1, weight_decay=0.5, fused=False).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 1, 3, 3)]
    assert decayed["weight_decay"] == 0.5
    assert [p.shape for p in plain["params"]] == [(4,), (4,), (4,), (1,)]
    assert plain["weight_decay"] == 0


def test_each_stage_learns_at_half_the_rate_of_the_next():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1))
    for name in ("sgd", "adamw"):
        built = build_optimizer(model, name, 0.8, 0.1, fused=False, stages=[model[0], model[1]], layer_decay=0.5)
        rate_of = {parameter: group["lr"] for group in built.param_groups for parameter in group["params"]}
        decay_of = {parameter: group["weight_decay"] for group in built.param_groups for parameter in group["params"]}
        rates = [[rate_of[layer.weight], rate_of[layer.bias]] for layer in model]
        assert rates == [[0.2, 0.2], [0.4, 0.4], [0.8, 0.8]]
        assert all([decay_of[layer.weight], decay_of[layer.bias]] == [0.1, 0.0] for layer in model)


def test_a_decay_that_would_raise_the_rates_is_refused():
    with pytest.raises(ValueError, match=r"--model.layer_decay\) is 1.5; it must be above 0 and at most 1"):
        build_optimizer(nn.Linear(1, 1), "sgd", 0.1, 0.0, fused=False, layer_decay=1.5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_fused_step_is_the_plain_step(name):
    torch.manual_seed(0)
    start = nn.Linear(64, 32).state_dict()
    gradients = [torch.randn(32, 64) for _ in range(5)]
    ended = []
    for fused in (False, True):
        model = nn.Linear(64, 32)
        model.load_state_dict(start)
        optimizer = build_optimizer(model, name, lr=0.05, weight_decay=0.1, fused=fused)
        for gradient in gradients:
            model.weight.grad, model.bias.grad = gradient.clone(), gradient.sum(1)
            optimizer.step()
        ended.append(model.weight.detach())
    assert not torch.equal(ended[0], start["weight"])
    torch.testing.assert_close(ended[1], ended[0], atol=1e-6, rtol=1e-5)  # the same sum in another order, in float32


def test_cosine_rises_linearly_then_falls_to_zero():
    factor = lr_factor("cosine", num_steps=110, warmup_fraction=10 / 110, milestones=())
    assert [factor(0), factor(5), factor(10)] == pytest.approx([0.01, 0.505, 1.0])
    assert [factor(60), factor(110)] == pytest.approx([0.5, 0.0])  # half way and end of the 100 steps after warm-up


def test_steps_divide_by_ten_at_each_milestone():
    factor = lr_factor("step", num_steps=100, warmup_fraction=0.0, milestones=[0.6, 0.8])
    assert [factor(59), factor(60), factor(80)] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("name", "batch_size", "expected"),
    [
        ("sgd", 64, 1.0),
        ("sgd", 8, 0.125),
        ("sgd", 128, 2.0),
        ("adamw", 64, 1.0),
        ("adamw", 16, 0.5),
        ("adamw", 256, 2.0),
    ],
)
def test_the_rate_follows_the_batch_linearly_for_sgd_and_by_the_root_for_adamw(name, batch_size, expected):
    assert lr_scale(name, batch_size, lr_batch_size=64) == pytest.approx(expected)


def test_a_rate_for_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"--model.lr_batch_size\) is 0"):
        lr_scale("sgd", 64, lr_batch_size=0)


class Line(pl.LightningModule):
    def __init__(self, optimizer, lr, lr_batch_size, weight_decay, schedule, warmup_fraction, milestones):
        super().__init__()
        self.save_hyperparameters()
        self.line = nn.Linear(1, 1)

    def training_step(self, batch):
        return self.line(batch).sum()

    def configure_optimizers(self):
        return optimizer_and_schedule(self)


def fit(task, folder, **options):
    trainer = pl.Trainer(
        **options, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(task, DataLoader(torch.ones(24, 1), batch_size=4))
    return trainer


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_are_clipped_in_bfloat16_too(optimizer, tmp_path):
    task = Line(optimizer, 0.1, None, 0.0, "step", 0.0, [])
    trainer = fit(task, tmp_path, precision="bf16-mixed", gradient_clip_val=0.5, max_steps=1)
    assert trainer.global_step == 1
    assert torch.nn.utils.get_total_norm([parameter.grad for parameter in task.parameters()]) == pytest.approx(0.5)


@pytest.mark.parametrize(("optimizer", "peak"), [("sgd", 0.1 * 12 / 48), ("adamw", 0.1 * 0.5)])
@pytest.mark.parametrize("length", [{"max_epochs": 1}, {"max_steps": 2}], ids=str)
def test_a_run_trains_at_the_rate_of_its_own_global_batch(optimizer, peak, length, tmp_path):
    task = Line(optimizer, 0.1, 48, 0.0, "step", 0.0, [])
    trainer = fit(task, tmp_path, **length, accumulate_grad_batches=3)  # 4 a process x 1 process x 3 accumulated = 12
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == pytest.approx([peak, peak])
