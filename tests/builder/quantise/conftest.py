"""Small random BERTs as fixtures."""

import pytest
import torch
from torch import nn
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from tests.builder.quantise.small_models import bert_config, with_outliers


@pytest.fixture(scope="session")
def classifier() -> nn.Module:
    """A classifier with three labels."""
    torch.manual_seed(0)
    return with_outliers(BertForSequenceClassification(bert_config()))


@pytest.fixture(scope="session")
def span_model() -> nn.Module:
    """A span QA model."""
    torch.manual_seed(0)
    return with_outliers(BertForQuestionAnswering(bert_config(num_labels=2)))
