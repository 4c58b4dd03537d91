"""The lines of code that would decide what a log leaves open."""

from __future__ import annotations

_LINES = {
    "huggingface": """import kit.integrations
trainer = Trainer(..., callbacks=[kit.integrations.HuggingFaceCallback()])
trainer.train()                       # ends with the diagnosis""",
    "lightning": """import kit.integrations
trainer = Trainer(..., callbacks=[kit.integrations.LightningCallback()])
trainer.fit(model)                    # ends with the diagnosis""",
    "keras": """import kit.integrations                # backend torch
model.fit(..., callbacks=[kit.integrations.KerasCallback()])     # ends with the diagnosis""",
    "": """import kit
with kit.watch(model, loss=loss) as run:     # the loop inside stays as it is
    train(model, loss, loader)
run.log(train_loss=[...], val_loss=[...])    # what was displayed, one number an epoch
print(kit.diagnose(run).explain())""",
}


def deciding_lines(trainer: str) -> str:
    """Of a trainer, "" for a loop of one's own."""
    return _LINES[trainer]
