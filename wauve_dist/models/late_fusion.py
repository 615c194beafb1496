"""Late fusion: what is known of a patient beside the video, added to a clip's logit.

Shapes: N clips, F covariates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LateFusion(nn.Module):
    """A logistic regression on covariates whose sum joins the network's logit.

    Covariates are standardised; a missing one counts as the mean and has a coefficient of its own (the method of
    missing indicators), so that "not measured" may mean something and no video is dropped. All coefficients start at 0:
    an untrained fusion changes nothing.

    Args:
        num_covariates: F.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_covariates: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_covariates))
        self.register_buffer("std", torch.ones(num_covariates))
        self.coefficients = nn.Linear(2 * num_covariates, 1, bias=False)
        nn.init.zeros_(self.coefficients.weight)

    def standardise_by(self, values_VF: Tensor) -> None:
        """Take mean and standard deviation from the training videos.

        Args:
            values_VF: float32, one row a video, NaN where missing.

        Raises:
            ValueError: a covariate is missing everywhere, or is the same in all videos.
        """
        for number, values in enumerate(values_VF.T):
            known = values[~values.isnan()]
            if len(known.unique()) < 2:
                raise ValueError(
                    f"covariate number {number + 1} of --data.covariates has {len(known.unique())} different values in "
                    "the training videos, so nothing can be learned from it. Fill in its column, or leave it out."
                )
            self.mean[number], self.std[number] = known.mean(), known.std()

    def forward(self, values_NF: Tensor) -> Tensor:
        """Compute what joins the logits: float32 [N, F], NaN where missing, to float32 [N]."""
        is_missing_NF = values_NF.isnan()
        standardised_NF = ((values_NF - self.mean) / self.std).masked_fill(is_missing_NF, 0.0)
        joined: Tensor = self.coefficients(torch.cat([standardised_NF, is_missing_NF.float()], dim=1))
        return joined.squeeze(1)
