import pytest
from spots import BrightnessClassifier, SpotDetector


@pytest.fixture
def detector():
    return SpotDetector()


@pytest.fixture
def classifier():
    return BrightnessClassifier()
