import pytest
import torch

from wauve_dist.models.late_fusion import LateFusion

NAN = float("nan")


def test_an_untrained_fusion_changes_nothing():
    assert LateFusion(2)(torch.tensor([[50.0, NAN], [80.0, 12.0]])).tolist() == [0, 0]


def test_the_sum_by_hand():
    fusion = LateFusion(2)
    fusion.standardise_by(torch.tensor([[40.0, 10.0], [60.0, NAN], [NAN, 30.0]]))
    assert fusion.mean.tolist() == [50, 20]
    assert fusion.std.tolist() == pytest.approx([200**0.5, 200**0.5])
    with torch.no_grad():  # of age, of size, of age unknown, of size unknown
        fusion.coefficients.weight.copy_(torch.tensor([[2.0, 3.0, 5.0, 7.0]]))
    joined = fusion(torch.tensor([[60.0, 30.0], [NAN, 20.0], [50.0, NAN], [NAN, NAN]]))
    expected = [2 * 10 / 200**0.5 + 3 * 10 / 200**0.5, 5, 7, 12]
    assert joined.tolist() == pytest.approx(expected, rel=1e-6)


def test_it_learns_what_the_covariate_says_although_half_is_missing():
    torch.manual_seed(0)
    fusion, age = LateFusion(1), torch.normal(55.0, 10.0, (400, 1))
    labels = (age.squeeze(1) > 55).float()
    age[::2] = NAN
    fusion.standardise_by(age)
    optimizer = torch.optim.SGD(fusion.parameters(), lr=5.0)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(fusion(age), labels).backward()
        optimizer.step()
    right = (fusion(age) > 0) == labels.bool()
    assert right[1::2].float().mean() > 0.95
    assert fusion(torch.tensor([[NAN]])).abs().item() < 0.5


@pytest.mark.parametrize(("column", "number"), [([NAN, NAN], 0), ([7.0, 7.0], 1)])
def test_a_covariate_that_says_nothing_is_refused(column, number):
    values = torch.tensor([[1.0, 2.0], column]).T
    with pytest.raises(ValueError, match=f"covariate number 2 of --data.covariates has {number} different values"):
        LateFusion(2).standardise_by(values)


def test_the_constants_travel_with_the_weights():
    fusion, other = LateFusion(1), LateFusion(1)
    fusion.standardise_by(torch.tensor([[1.0], [3.0]]))
    other.load_state_dict(fusion.state_dict())
    assert other.mean.tolist() == [2]
