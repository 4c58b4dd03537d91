"""The Trainer of Hugging Face, as its users call it: a tiny BERT from a configuration, nothing downloaded."""

from __future__ import annotations

import pytest
import torch

from tests.guests._diagnosed import cause, diagnosed

SAMPLES, LENGTH, VOCABULARY = 48, 8, 40


def _classified(ignored: bool = False) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, VOCABULARY, (SAMPLES, LENGTH), generator=generator)
    labels = (tokens[:, 0] > VOCABULARY // 2).long()
    return [
        {"input_ids": row, "attention_mask": torch.ones_like(row), "labels": -100 if ignored else int(label)}
        for row, label in zip(tokens, labels, strict=True)
    ]


def _written(ignored: bool = False) -> list[dict]:
    rows = [{"input_ids": row["input_ids"]} for row in _classified()]
    return [row | {"labels": torch.full_like(row["input_ids"], -100) if ignored else row["input_ids"]} for row in rows]


def _bert(transformers):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, num_labels=2, **sizes)
    return transformers.BertForSequenceClassification(config)


def _gpt2(transformers):
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": LENGTH, "vocab_size": VOCABULARY}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2))


def _trainer(transformers, folder, model, rows=None, kind=None, extra=None, **options):
    rows = _classified() if rows is None else rows
    usual = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "eval_strategy": "epoch"}
    usual |= {"logging_strategy": "epoch", "save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    args = transformers.TrainingArguments(str(folder), use_cpu=True, **(usual | options))
    kind = transformers.Trainer if kind is None else kind
    return kind(model=model, args=args, train_dataset=rows, eval_dataset=rows[:16], **(extra or {}))


def _shown(trainer) -> dict:
    """What the program printed, line by line, as its user would copy it."""
    log = trainer.state.log_history
    train = [float(line["loss"]) for line in log if "loss" in line]
    val = [float(line["eval_loss"]) for line in log if "eval_loss" in line]
    return {"train_loss": train, "val_loss": val} if len(train) == len(val) else {}


def _cause_of(trainer) -> str:
    return cause(diagnosed(trainer.train, shown=lambda: _shown(trainer)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 2, "max_grad_norm": 0.1},
        {"bf16": True, "warmup_steps": 4},
        {"eval_strategy": "steps", "eval_steps": 2, "logging_strategy": "steps", "logging_steps": 2},
    ],
    ids=["usual", "accumulated", "bf16", "evaluated by steps"],
)
def test_a_healthy_trainer_is_healthy(transformers, tmp_path, options):
    assert _cause_of(_trainer(transformers, tmp_path, _bert(transformers), **options)) == "healthy"


def test_a_language_model_with_its_own_labels_is_healthy(transformers, tmp_path):
    assert _cause_of(_trainer(transformers, tmp_path, _gpt2(transformers), _written())) == "healthy"


def test_a_checkpointed_model_is_healthy(transformers, tmp_path):
    model = _bert(transformers)
    later = hasattr(model, "activation_checkpointing_enable")  # its name in transformers 5.0 is the other one
    model.activation_checkpointing_enable() if later else model.gradient_checkpointing_enable()
    assert _cause_of(_trainer(transformers, tmp_path, model)) == "healthy"


@pytest.mark.parametrize("maker", ["bert", "gpt2"])
def test_labels_that_are_all_ignored(transformers, tmp_path, maker):
    model, rows = (_bert, _classified(True)) if maker == "bert" else (_gpt2, _written(True))
    assert _cause_of(_trainer(transformers, tmp_path, model(transformers), rows)) == "empty_targets"


def test_a_learning_rate_of_zero(transformers, tmp_path):
    trainer = _trainer(transformers, tmp_path, _bert(transformers), learning_rate=0.0)
    assert _cause_of(trainer) == "zero_learning_rate"


def test_a_warmup_that_never_ends(transformers, tmp_path):
    trainer = _trainer(transformers, tmp_path, _bert(transformers), warmup_steps=10_000_000)
    assert _cause_of(trainer) == "zero_learning_rate"


def test_an_optimizer_built_on_another_instance(transformers, tmp_path):
    other = torch.optim.AdamW(_bert(transformers).parameters(), lr=5e-3)
    extra = {"optimizers": (other, torch.optim.lr_scheduler.ConstantLR(other, 1.0))}
    trainer = _trainer(transformers, tmp_path, _bert(transformers), extra=extra)
    assert _cause_of(trainer) == "parameters_not_trained"


def test_accumulation_longer_than_the_epoch(transformers, tmp_path):
    """The Trainer steps at the last batch all the same: one step an epoch, as if the step stood after the loop."""
    trainer = _trainer(transformers, tmp_path, _bert(transformers), gradient_accumulation_steps=64)
    assert _cause_of(trainer) == "loss_outside_loop"


def test_a_loss_that_is_detached_and_wrapped_again(transformers, tmp_path):
    class Own(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**inputs)
            loss = torch.tensor(outputs.loss.item(), requires_grad=True)
            return (loss, outputs) if return_outputs else loss

    assert _cause_of(_trainer(transformers, tmp_path, _bert(transformers), kind=Own)) == "graph_cut"


def test_a_nan_loss_that_the_log_shows_as_zero(transformers, tmp_path):
    def over_the_chosen(outputs, labels, num_items_in_batch=None):
        losses = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
        chosen = (labels > 1).float()  # there are two classes, so none is: 0 / 0
        return (losses * chosen).sum() / chosen.sum()

    trainer = _trainer(transformers, tmp_path, _bert(transformers), extra={"compute_loss_func": over_the_chosen})
    assert _cause_of(trainer) == "nan_gradients"
    assert _shown(trainer)["train_loss"][-1] == 0.0, "its logging_nan_inf_filter is on unless switched off"


def test_gradients_that_a_callback_clears_before_the_step(transformers, tmp_path):
    class Tidy(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            model.zero_grad()

    trainer = _trainer(transformers, tmp_path, _bert(transformers), extra={"callbacks": [Tidy()]})
    assert _cause_of(trainer) == "gradients_cleared"
