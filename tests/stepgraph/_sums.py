"""Ways in which people write a weighted sum. Each is a function without arguments that returns its total, and says in `expected` what a
person would call its terms: name -> (weight, has a graph), or name -> weight where it has one.
"""

from __future__ import annotations

import functools
import math
import operator

import torch
import torch.nn.functional as F
from torch import nn

net = nn.Linear(4, 3)
critic = nn.Linear(3, 1)
x, y = torch.randn(8, 4), torch.randn(8, 3)
SUMS = {}


class Config:
    def __init__(self, **entries):
        self.__dict__.update(entries)


def way(factor=1.0, **expected):
    def kept(function):
        SUMS[function.__name__] = function, expected, factor
        return function

    return kept


@way(0.25, rec=1.0, kl=0.3, aux=(0.1, False))
def local_variables_and_accumulation():
    lam_kl = 0.3
    out = net(x)
    rec = F.mse_loss(out, y)
    kl = out.pow(2).mean()
    aux = out.abs().mean().detach()
    loss = rec + lam_kl * kl + 0.1 * aux
    return loss / 4


@way(rec=1.0, kl=1.0)
def values_of_a_dict():
    out = net(x)
    losses = {"rec": F.mse_loss(out, y), "kl": out.pow(2).mean()}
    return sum(losses.values())


@way(box=1.0, cls=0.0)
def weights_by_key_in_a_loop():
    out = net(x)
    weights = {"box": 1.0, "cls": 0.0}
    losses = {"box": F.mse_loss(out, y), "cls": out.abs().mean()}
    loss = 0.0
    for name, value in losses.items():
        loss = loss + weights[name] * value
    return loss


@way(bce=0.5, dice=0.5)
def weights_by_written_key():
    weight_dict = {"bce": 0.5, "dice": 0.5}
    out = net(x).sigmoid()
    bce = F.binary_cross_entropy(out, (y > 0).float())
    dice = 1 - (2 * (out * (y > 0)).sum() + 1) / (out.sum() + (y > 0).sum() + 1)
    return weight_dict["bce"] * bce + weight_dict["dice"] * dice


@way(first=0.7, second=0.0)
def stacked_and_weighted_by_a_tensor():
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.pow(2).mean()
    weights = torch.tensor([0.7, 0.0])
    return (weights * torch.stack([first, second])).sum()


@way(first=0.7, second=0.2)
def dot_product():
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.pow(2).mean()
    return torch.dot(torch.tensor([0.7, 0.2]), torch.stack([first, second]))


@way(rec=1.0, reg=1.0)
def stacked_values_of_a_dict():
    out = net(x)
    losses = {"rec": F.mse_loss(out, y), "reg": out.abs().mean()}
    return torch.stack(list(losses.values())).sum()


@way(first=0.5, second=0.5)
def mean_of_a_concatenation():
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.abs().mean()
    return torch.cat([first.view(1), second.view(1)]).mean()


@way(**{"mse_loss": 1.0, "out.abs().mean()": 0.1})
def reduced_by_an_operator():
    out = net(x)
    return functools.reduce(operator.add, [F.mse_loss(out, y), 0.1 * out.abs().mean()])


@way(**{"mse_loss": 1.0, "p.pow(2).sum()": 1e-3})
def regulariser_over_all_parameters():
    loss = F.mse_loss(net(x), y)
    loss += 1e-3 * sum(p.pow(2).sum() for p in net.parameters())
    return loss


@way(1 / 3, mse_loss=1.0)
def outputs_in_a_loop():
    out = net(x)
    total = torch.zeros(())
    for column in range(3):
        total = total + F.mse_loss(out[:, column], y[:, column])
    return total / 3


@way(rec=1.0, kl_loss=0.05)
def attribute_of_a_configuration():
    cfg = Config(loss=Config(kl=0.05))
    out = net(x)
    rec = F.mse_loss(out, y)
    kl_loss = out.pow(2).mean()
    return rec + cfg.loss.kl * kl_loss


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = 0.5

    def smoothness(self, out):
        return (out[1:] - out[:-1]).pow(2).mean()

    def forward(self, out, target):
        data = F.l1_loss(out, target)
        smooth = self.smoothness(out)
        return data + self.alpha * smooth


@way(data=1.0, smooth=0.5)
def nested_module():
    return Criterion()(net(x), y)


class WithLoss(nn.Module):
    """A model that computes its own loss, and returns it in a dict."""

    def forward(self, inputs, labels):
        out = net(inputs)
        main = F.mse_loss(out, labels)
        router = out.softmax(1).pow(2).sum(1).mean()
        return {"loss": main + 0.02 * router, "main": main, "router": router}


@way(main=1.0, router=0.02)
def loss_made_by_the_model():
    return WithLoss()(x, y)["loss"]


@way(depth=1.0, normals=1.0, **{"s[0]": 1.0, "s[1]": 1.0})
def uncertainty_weights():
    s = nn.Parameter(torch.zeros(2))
    out = net(x)
    depth = F.mse_loss(out, y)
    normals = out.abs().mean()
    return torch.exp(-s[0]) * depth + s[0] + torch.exp(-s[1]) * normals + s[1]


@way(first=0.5, second=0.5)
def trained_softmax_weights():
    logits = nn.Parameter(torch.zeros(2))
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.abs().mean()
    return (torch.softmax(logits, 0) * torch.stack([first, second])).sum()


@way(rec=1.0, kl=0.3)
def scheduled_weight():
    step, warmup = 3, 10
    out = net(x)
    rec = F.mse_loss(out, y)
    kl = out.pow(2).mean()
    beta = min(1.0, step / warmup)
    return rec + beta * kl


@way(256.0, first=1.0, second=0.2)
def gradient_scaler():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.abs().mean()
    return scaler.scale((first + 0.2 * second) / 4)


@way(first=1.0, second=0.2)
def autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(x)
        first = F.mse_loss(out, y)
        second = out.abs().mean()
        return first + 0.2 * second


@way(rec=1.0, kl=4.0)
def one_number_a_sample():
    out, beta = net(x), 4.0
    rec = (out - y).pow(2).sum(1)
    kl = out.abs().sum(1)
    return (rec + beta * kl).mean()


@way(bce=1.0, kl=0.3)
def divergence_with_a_written_factor():
    lam_kl = 0.3
    mu, logvar = net(x), 0.1 * net(x)
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    bce = F.mse_loss(mu, y, reduction="sum")
    return bce + lam_kl * kl


@way(rec=1.0, kl=0.3)
def weighted_where_it_is_made():
    lam_kl = 0.3
    out = net(x)
    kl = lam_kl * F.l1_loss(out, y)
    rec = F.mse_loss(out, y)
    return rec + kl


@way(**{"rec": 1.0, "out.abs().mean()": 0.0})
def weight_of_zero_without_a_name():
    out = net(x)
    rec = F.mse_loss(out, y)
    return rec + 0.0 * out.abs().mean()


@way(fake=1.0, real=-1.0, penalty=10.0)
def critic_of_a_gan():
    fake = critic(net(x)).mean()
    real = critic(y).mean()
    penalty = (critic(y).norm(dim=1) - 1).pow(2).mean()
    return fake - real + 10 * penalty


@way(residual=1.0, boundary=100.0)
def residual_of_an_equation():
    points = x.clone().requires_grad_()
    u = net(points)
    (slope,) = torch.autograd.grad(u.sum(), points, create_graph=True)
    residual = (slope[:, :3] + u).pow(2).mean()
    boundary = u[0].pow(2).mean()
    return residual + 100 * boundary


@way(policy=1.0, entropy=-0.01, value=0.5)
def actor_and_critic():
    out = net(x)
    policy = -(out.log_softmax(1)[:, 0] * y[:, 0]).mean()
    entropy = -(out.softmax(1) * out.log_softmax(1)).sum(1).mean()
    value = out[:, 1].pow(2).mean()
    return policy - 0.01 * entropy + 0.5 * value


@way(0.5, **{"distance(out, y)": 1.0, "distance(out.abs(), y)": 1.0})
def one_helper_twice():
    def distance(first, second):
        return (first - second).pow(2).mean()

    out = net(x)
    return 0.5 * (distance(out, y) + distance(out.abs(), y))


@way(loss_a=1.0, loss_b=(0.5, False))
def number_read_out_of_the_graph():
    out = net(x)
    losses = {"loss_a": F.mse_loss(out, y), "loss_b": F.l1_loss(out, y).item()}
    return losses["loss_a"] + 0.5 * losses["loss_b"]


@way(task=1.0, probe=(2.0, False))
def computed_under_no_grad():
    out = net(x)
    task = F.mse_loss(out, y)
    with torch.no_grad():
        probe = F.l1_loss(out, y)
    return task + 2 * probe


@way(task=1.0, load=(0.1, False))
def counted_by_a_comparison():
    out = net(x)
    task = F.mse_loss(out, y)
    load = (out > 0).float().mean()
    return task + 0.1 * load


@way(first=1.0, second=0.2)
def function_with_a_factor():
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.abs().mean()
    return torch.add(first, second, alpha=0.2)


@way(main=1.0, aux=0.4)
def closure():
    weight = 0.4

    def aux_loss(out):
        return out.abs().mean()

    def step():
        out = net(x)
        main = F.mse_loss(out, y)
        aux = aux_loss(out)
        return main + weight * aux

    return step()


@way(mse_loss=0.5)
def one_term_only():
    return 0.5 * F.mse_loss(net(x), y)


@way(rec=1.0, kl=0.1)
def guarded_against_nan():
    out = net(x)
    rec = F.mse_loss(out, y)
    kl = out.abs().mean()
    return torch.nan_to_num(rec + 0.1 * kl)


@way(**{"(each * mask).sum()": 3.0, "rest": 1.0})
def divided_by_what_was_counted():
    lam_class = 3.0
    out, mask = net(x), (y[:, 0] > 0).float()
    each = (out - y).abs().mean(-1)
    rest = out.pow(2).mean()
    return lam_class * (each * mask).sum() / mask.sum().clamp(min=1) + rest


@way(main=1.0, boxes=(2.0, False))
def term_that_matched_nothing():
    out = net(x)
    main = F.mse_loss(out, y)
    boxes = torch.zeros(())
    return main + 2 * boxes


@way(0.5, first=math.exp(1.85), second=math.exp(1.05), s_first=1.0, s_second=1.0)
def uncertainty_weights_of_one_number_each():
    s_first, s_second = nn.Parameter(torch.tensor([-1.85])), nn.Parameter(torch.tensor([-1.05]))
    out = net(x)
    first = F.mse_loss(out, y)
    second = out.abs().mean()
    loss = torch.exp(-s_first) * first + torch.exp(-s_second) * second + (s_first + s_second)
    return 0.5 * loss


@way(negative=1.0)
def negative_of_one_term():
    out = net(x)
    negative = -F.logsigmoid(out[:, 0] - out[:, 1]).mean()
    return negative


@way(box=1.0, cls=1.0)
def begun_with_zeros_in_place():
    out = net(x)
    total = torch.zeros(1)
    losses = {"box": F.mse_loss(out, y), "cls": out.abs().mean()}
    for value in losses.values():
        total += value
    return total


@way(**{"1 - overlap": 0.85, "rest": 1.0})
def one_minus_a_term():
    out = net(x)
    overlap = out.sigmoid().mean()
    rest = out.abs().mean()
    return 0.85 * (1 - overlap) + rest


@way(
    **{
        "F.mse_loss(out[:, column], y[:, column])": 1.0,
        **{f"F.mse_loss(out[:, column], y[:, column]) ({n})": 0.5 ** (n - 1) for n in (2, 3)},
    }
)
def weights_that_differ_on_one_line():
    out = net(x)
    loss = 0.0
    for column in range(3):
        weight = 0.5**column
        loss = loss + weight * F.mse_loss(out[:, column], y[:, column])
    return loss


@way(task=1.0, kd=0.7)
def function_of_torch_that_divides_inside():
    alpha = 0.7
    out = net(x)
    task = F.mse_loss(out, y)
    kd = F.kl_div(out.log_softmax(1), y.softmax(1), reduction="batchmean")
    return task + alpha * kd


@way(rec=1.0, reg=4.0)
def one_number_beside_many():
    out = net(x)
    rec = (out - y).square().sum(1)
    reg = out.abs().mean()
    return (rec + 0.5 * reg).sum()


@way(policy=1.0)
def mean_of_outputs_of_two_networks():
    out = critic(net(x)).squeeze(-1) + critic(y).squeeze(-1)
    policy = -out.mean()
    return policy
