import pytest
import torch
from torch import nn

from wauve_dist.training.strategies.strategy_advice import ModelState, advise, model_state

# 1e9 parameters in float32, AdamW, 4 processes.
STATE = ModelState(parameters=4_000_000_000, gradients=4_000_000_000, optimizer=8_000_000_000)


def test_the_bytes_of_a_model_are_counted():
    model = nn.Sequential(nn.Linear(10, 5), nn.Linear(5, 1).to(torch.bfloat16))  # 55 x 4 bytes, 6 x 2 bytes
    model[1].requires_grad_(False)
    assert model_state(model, "adamw") == ModelState(parameters=232, gradients=220, optimizer=440)
    assert model_state(model, "sgd").optimizer == 220


# In GB: weights 4, gradients 4, master copy 4 (DeepSpeed only), moments 8.
@pytest.mark.parametrize(
    ("strategy", "kept_gb", "sent_gb"),
    [
        ("ddp", 4 + 4 + 8, 2 * 3 / 4 * 4),
        ("zero1", 4 + 4 + (4 + 8) / 4, 2 * 3 / 4 * 4),
        ("zero2", 4 + (4 + 4 + 8) / 4, 2 * 3 / 4 * 4),
        ("zero3", (4 + 4 + 4 + 8) / 4, 3 * 3 / 4 * 4),
        ("fsdp2", (4 + 4 + 8) / 4, 3 * 3 / 4 * 4),
    ],
)
def test_what_a_process_keeps_and_sends(strategy, kept_gb, sent_gb):
    assert STATE.kept_by(strategy, 4) == kept_gb * 1e9
    assert STATE.sent_by(strategy, 4) == sent_gb * 1e9


# Kept: ddp 16, zero1 11, zero2 8, fsdp2 4 GB; a strategy fits in half of the card.
@pytest.mark.parametrize(
    ("device_gb", "expected"),
    [(32, "ddp"), (31, "zero1"), (22, "zero1"), (21, "zero2"), (15, "fsdp2"), (7, "zero3_offload")],
)
def test_the_simplest_strategy_that_fits_is_advised(device_gb, expected):
    lines = advise(STATE, 4, "a card", device_gb * 10**9)
    assert lines[0].startswith(f"Strategy: {expected} fits. ")
    assert len(lines) <= 3


def test_the_advice_gives_exact_numbers():
    lines = advise(STATE, 4, "TITAN RTX", 40 * 10**9)
    assert "16.00 GB a process under ddp, 40.0% of the 40.00 GB of TITAN RTX" in lines[0]
    assert "zero1 11.00 GB, zero2 8.00 GB, zero3 5.00 GB, fsdp2 4.00 GB (4 processes)" in lines[1]
    assert "ddp sends 6.00 GB a process and step" in lines[2]
    assert "zero3 and fsdp2 send 9.00 GB" in lines[2]


def test_one_process_is_told_that_there_is_nothing_to_share_out():
    assert "nothing to share out" in advise(STATE, 1, "a card", 40 * 10**9)[1]
