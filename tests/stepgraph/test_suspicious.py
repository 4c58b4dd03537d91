"""Operations that are rarely meant are told from their neighbours that are."""

import pytest
import torch
import torch.nn.functional as F

from kit.stepgraph.suspicious import kind_of
from kit.stepgraph.tape import Tape

OUT = torch.randn(8, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
FLAT, LABEL = torch.ones(8), torch.zeros(8, dtype=torch.long)
LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("computed", "kind"),
    [
        (lambda: F.mse_loss(OUT, FLAT), "broadcast"),
        (lambda: F.l1_loss(FLAT, OUT), "broadcast"),
        (lambda: (OUT - FLAT).square().mean(), "broadcast"),
        (lambda: (FLAT - OUT).abs().mean(), "broadcast"),
        (lambda: F.mse_loss(OUT, FLAT[:, None]), None),
        (lambda: F.mse_loss(OUT.squeeze(1), FLAT), None),
        (lambda: OUT - OUT.T, None),  # pairs of one with itself
        (lambda: OUT - OUT.squeeze(1), None),
        (lambda: LOGITS - LOGITS.mean(), None),
        (lambda: F.binary_cross_entropy_with_logits(OUT.sigmoid(), FLAT[:, None]), "double_activation"),
        (lambda: F.binary_cross_entropy_with_logits(OUT.sigmoid().squeeze(1), FLAT), "double_activation"),
        (lambda: F.cross_entropy(LOGITS.softmax(1), LABEL), "double_activation"),
        (lambda: F.nll_loss(LOGITS.softmax(1), LABEL), "double_activation"),
        (lambda: OUT.sigmoid().sigmoid(), "double_activation"),
        (lambda: F.cross_entropy(LOGITS.log_softmax(1), LABEL), None),  # changes nothing
        (lambda: F.nll_loss(LOGITS.log_softmax(1), LABEL), None),
        (lambda: F.binary_cross_entropy(OUT.sigmoid(), FLAT[:, None]), None),
        (lambda: F.cross_entropy(LOGITS.softmax(1) @ torch.ones(3, 3), LABEL), None),
        (lambda: F.mse_loss(LOGITS, LOGITS.detach().clone()), "same_pair"),
        (lambda: F.kl_div(LOGITS.log_softmax(1), LOGITS.detach().log_softmax(1), None, None, "sum", True), "same_pair"),
        (lambda: LOGITS + 1 - (LOGITS.detach() + 1), "same_pair"),
        (lambda: LOGITS - LOGITS.detach(), None),  # one tensor: its gradient is passed straight through
        (lambda: F.mse_loss(OUT * 0, torch.zeros_like(OUT)), None),  # met by construction, whatever the sample
        (lambda: F.cross_entropy(OUT, FLAT.clamp(0, 0).long()), "one_choice"),
        (lambda: -(FLAT[:, None] * F.log_softmax(OUT, -1)).sum(), "one_choice"),
        (lambda: OUT.log_softmax(dim=1).sum(), "one_choice"),
        (lambda: OUT.log_softmax(0).sum() + OUT.softmax(1).sum(), None),  # over the samples; attention over one key
        (lambda: (OUT * 0).log().nan_to_num().sum(), "nan_replaced"),
        (lambda: OUT.nan_to_num().sum(), None),
        (lambda: OUT[FLAT > 1].abs().sum(), "selects_nothing"),
        (lambda: (OUT * (FLAT > 1)[:, None]).sum(), "selects_nothing"),
        (lambda: OUT[OUT > -9].sum() + (OUT * (OUT < 9)).sum() + (OUT * 0.0).sum(), None),
        (lambda: (FLAT * 0).log().nan_to_num().sum(), None),  # data
    ],
)
def test_what_is_told(computed, kind):
    tape = Tape()
    tape.start()
    try:
        computed()
    finally:
        tape.stop()
    assert tape.failed is None
    assert {key for key, _ in tape.suspicious} == ({kind} if kind else set())


@pytest.mark.parametrize(("length", "kind"), [(2, "infinity_zeroed"), (8, "")])
@pytest.mark.parametrize("by_name", [True, False])
def test_ctc_whose_targets_are_longer_than_its_input(length, by_name, kind):
    out = torch.randn(length, 4, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1).requires_grad_()
    given = (out, torch.ones(4, 4, dtype=torch.long), torch.full((4,), length), torch.full((4,), 4))
    args, named = (given, {"zero_infinity": True}) if by_name else ((*given, 0, "mean", True), {})
    assert kind_of("ctc_loss", args, named, F.ctc_loss(*args, **named))[0] == kind
    if kind:
        assert F.ctc_loss(*given).isinf()
