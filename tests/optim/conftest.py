"""What the tests of the optimizers share: one thread for each test, so that two cores are enough."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded(request, monkeypatch):
    """Every test starts from the same global generator, on one thread.

    The cases with low-rank vectors take rank 1: at 16 the small matrices of these tests would have dense ones.
    """
    if "-low-rank" in request.node.name:
        monkeypatch.setattr("esgd.low_rank.RANK", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
