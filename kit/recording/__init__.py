"""What happened in this training run? Recorded around anyone's loop, which stays as it is.

with watch(model, loss=loss) as run:           # both optional
    trainer.fit(...)
run.log(epoch=[...], train_loss=[...], val_loss=[...])     # what was displayed
run.trace                                      # -> Trace: .steps, .epochs, .facts
"""

from __future__ import annotations

from kit.recording.on_finding import FindingError, FindingWarning
from kit.recording.trace import Trace
from kit.recording.watching import Watch, watch

__all__ = ["FindingError", "FindingWarning", "Trace", "Watch", "watch"]
