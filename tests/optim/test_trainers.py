"""The recipes for trainers in the reference give what a plain loop gives; for trainers that are installed."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from esgd import ESGD

SIZE, EPOCHS, EXAMPLES = 4, 2, 52  # 13 micro-batches an epoch: three at a time leave one over
Trained = tuple[nn.Module, ESGD]


def needed(name: str) -> ModuleType:
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[trainers]'")
    return importlib.import_module(name)


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(EXAMPLES, 5, generator=generator), torch.randn(EXAMPLES, 2, generator=generator)
    )


def fresh() -> Trained:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    return net, ESGD(net.parameters(), lr=0.05, update_every=2, warmup_probes=3)


def in_a_plain_loop(pieces: int, *, by_length: bool) -> Trained:
    """``by_length``: an epoch's last group is divided by the number that it has, and not by ``pieces``."""
    net, optimizer = fresh()
    micro_batches = list(DataLoader(data(), SIZE))
    for _ in range(EPOCHS):
        for first in range(0, len(micro_batches), pieces):
            group = micro_batches[first : first + pieces]
            optimizer.zero_grad()
            for x, y in group:
                optimizer.probe(mse_loss(net(x), y) / (len(group) if by_length else pieces)).backward()
            optimizer.step()
    return net, optimizer


def under_accelerate(pieces: int) -> Trained:
    accelerate = needed("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=pieces)
    net, optimizer, loader = accelerator.prepare(*fresh(), DataLoader(data(), SIZE))
    for _ in range(EPOCHS):
        for x, y in loader:
            with accelerator.accumulate(net):
                loss = mse_loss(net(x), y)
                loss = pieces * optimizer.optimizer.probe(loss / pieces)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
    return net, optimizer.optimizer


def in_lightning(pieces: int) -> Trained:
    lightning = needed("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.made = fresh()

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return mse_loss(self.net(batch[0]), batch[1])

        def on_before_backward(self, loss: Tensor) -> None:
            self.optimizers().optimizer.probe(loss)

        def configure_optimizers(self) -> ESGD:
            return self.made

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        accumulate_grad_batches=pieces,
        enable_checkpointing=False,
        **quiet,
    )
    module = Module()
    trainer.fit(module, DataLoader(data(), SIZE))
    return module.net, trainer.optimizers[0]


def in_the_trainer_of_hugging_face(pieces: int, folder: str, *, normalizes: bool) -> Trained:
    """``normalizes``: the model divides by the number of items of all micro-batches, as causal models do."""
    transformers = needed("transformers")
    needed("accelerate")
    base = needed("transformers.trainer").Trainer

    class Model(nn.Module):
        def __init__(self, net: nn.Module):
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            out = self.net(x)
            return {"loss": mse_loss(out, labels), "logits": out}

    class NormalizingModel(Model):
        def forward(self, x: Tensor, labels: Tensor, num_items_in_batch=None, **_) -> dict[str, Tensor]:
            out = self.net(x)
            items = labels.numel() if num_items_in_batch is None else num_items_in_batch
            return {"loss": mse_loss(out, labels, reduction="sum") / items, "logits": out}

    class Trainer(base):
        loss_is_scaled_for_ga = True  # divided here, before the probe

        def _get_train_sampler(self, *_):  # in the order of the others
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
            if model.training:
                known = self.model_accepts_loss_kwargs and num_items_in_batch is not None
                if not known and self.compute_loss_func is None:
                    loss = loss / self.current_gradient_accumulation_steps
                loss = self.optimizer.optimizer.probe(loss)
            return (loss, outputs) if return_outputs else loss

    net, optimizer = fresh()
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=SIZE,
        gradient_accumulation_steps=pieces,
        max_grad_norm=0,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    examples = [{"x": x, "labels": y} for x, y in data()]
    kind = NormalizingModel if normalizes else Model
    Trainer(kind(net), arguments, train_dataset=examples, optimizers=(optimizer, schedule)).train()
    return net, optimizer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("trainer", ["accelerate", "lightning", "hugging face", "hugging face, normalized"])
def test_a_trainers_recipe_is_the_plain_loop(trainer, pieces, tmp_path):
    """To the bit, but where the model divides by the number of items: that rounds in another order."""
    normalized = trainer.endswith("normalized")
    if trainer == "accelerate":
        net, optimizer = under_accelerate(pieces)
    elif trainer == "lightning":
        net, optimizer = in_lightning(pieces)
    else:
        net, optimizer = in_the_trainer_of_hugging_face(pieces, str(tmp_path), normalizes=normalized)
    same, plain = in_a_plain_loop(pieces, by_length=trainer.startswith("hugging"))
    steps = EPOCHS * -(-EXAMPLES // SIZE // pieces)
    assert optimizer.num_products == plain.num_products == 3 + (steps - 1) // 2
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if normalized else {"rtol": 0, "atol": 0}
    for p, q in zip(net.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(p, q, **tolerance)
        torch.testing.assert_close(optimizer.diagonal(p), plain.diagonal(q), **tolerance)
