"""The recipes for trainers in the reference give what a plain loop gives, to the bit; where they are installed."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from esgd import ESGD

SIZE, EPOCHS = 4, 2
Trained = tuple[nn.Module, ESGD]


def needed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # an import may fail by more than a missing package
        pytest.skip(f"{name} cannot be imported ({error}); pip install -e '.[trainers]'")


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(48, 5, generator=generator), torch.randn(48, 2, generator=generator))


def fresh() -> Trained:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    return net, ESGD(net.parameters(), lr=0.05, update_every=2, warmup_probes=3)


def in_a_plain_loop(pieces: int) -> Trained:
    net, optimizer = fresh()
    micro_batches = list(DataLoader(data(), SIZE)) * EPOCHS
    for first in range(0, len(micro_batches), pieces):
        optimizer.zero_grad()
        for x, y in micro_batches[first : first + pieces]:
            optimizer.probe(mse_loss(net(x), y) / pieces).backward()
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


def in_the_trainer_of_hugging_face(pieces: int, folder: str) -> Trained:
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

    class Trainer(base):
        def _get_train_sampler(self, *_):  # in the order of the others
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def compute_loss(self, model, inputs, return_outputs=False, **_):
            out = model(**inputs)
            loss = out["loss"]
            if model.training:
                n = self.args.gradient_accumulation_steps
                loss = n * self.optimizer.optimizer.probe(loss / n)
            return (loss, out) if return_outputs else loss

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
    Trainer(Model(net), arguments, train_dataset=examples, optimizers=(optimizer, schedule)).train()
    return net, optimizer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("trainer", ["accelerate", "lightning", "hugging face"])
def test_a_trainers_recipe_is_the_plain_loop(trainer, pieces, tmp_path):
    if trainer == "accelerate":
        net, optimizer = under_accelerate(pieces)
    elif trainer == "lightning":
        net, optimizer = in_lightning(pieces)
    else:
        net, optimizer = in_the_trainer_of_hugging_face(pieces, str(tmp_path))
    same, plain = in_a_plain_loop(pieces)
    steps = EPOCHS * len(data()) // SIZE // pieces
    assert optimizer.num_products == plain.num_products == 3 + (steps - 1) // 2
    for p, q in zip(net.parameters(), same.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(optimizer.diagonal(p), plain.diagonal(q))
