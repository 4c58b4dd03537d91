"""Two processes that train one network with gloo: one trace a rank."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed

from kit.recording import Trace

ROOT = Path(__file__).resolve().parents[2]

# one pair of processes trains all of it, one after the other: starting a pair takes far longer than training
PROGRAM = """
import sys, warnings
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from kit.recording import watch
from tests.recording._loops import batches, data, mlp, sgd

torch.set_num_threads(1)
rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{store}", rank=rank, world_size=2)

def parallel(given):
    plain = mlp()
    model = DistributedDataParallel(plain)
    loss, optimizer = torch.nn.CrossEntropyLoss(), sgd(plain)
    with watch({"wrapped": model, "plain": plain}[given]) as run:
        for epoch in range(2):
            model.train()
            for number, (x, y) in enumerate(batches()):
                optimizer.zero_grad()
                loss(model(x[rank::2]), y[rank::2]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                loss(plain(data()[0]), data()[1])
        if rank == 0:
            run.log(epoch=1, train_loss=0.25)
    run.trace.save(f"{out}/{given}{rank}.npz")

with warnings.catch_warnings():
    warnings.simplefilter("error")
    # DDP looks for its reducer's device through a deprecated name in some releases; not what is tested here
    warnings.filterwarnings("ignore", category=FutureWarning)
    parallel("wrapped")
    parallel("plain")

mesh = init_device_mesh("cpu", (2,))

def sharded(given, watched):
    torch.manual_seed(1)
    # three outputs over two ranks and one bias: uneven and empty parts
    model = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3), nn.Linear(3, 1))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters())
    run = watch(model if given == "given" else None)
    if watched:
        run.__enter__()
    for _ in range(4):
        x, y = torch.randn(8, 6), torch.randn(8, 1)
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    if watched:
        run.__exit__(None, None, None)
    values = [p.to_local().clone() for p in model.parameters()]
    return run, values

for given in ("given", "found"):
    _, bare = sharded(given, False)
    run, watched = sharded(given, True)
    assert all(map(torch.equal, bare, watched)), given
    run.trace.save(f"{out}/{given}{rank}.npz")
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the traces that two ranks have saved of all they trained."""
    if not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    out = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(port), str(out)],
            cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in ranks:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    return out


@pytest.mark.parametrize("given", ["given", "found"])
def test_sharded_parameters_are_trained_as_without_a_watch(folder, given):
    for rank in range(2):
        trace = Trace.load(folder / f"{given}{rank}.npz")
        assert trace.epochs[["batches", "reached", "backwards", "steps"]].to_numpy().tolist() == [[4, 4, 4, 4]]
        assert trace.facts["not_in_optimizer_count"] == trace.facts["foreign_in_optimizer_count"] == 0
        assert trace.steps["loss_graph"].all() and trace.steps["loss"].notna().all()
        assert (trace.steps["grad_none"] == 0).all()
        for name in ("grad_norm", "grad_zero", "grad_nonfinite", "seen_norm", "update_norm", "param_norm"):
            assert trace.steps[name].isna().all(), f"{name} of a part is not that of the whole"
        assert any("sharded over the ranks" in note for note in trace.facts["not_seen"])
        assert not [note for note in trace.facts["not_seen"] if "could not be recorded" in note]


@pytest.mark.parametrize("given", ["wrapped", "plain"])
def test_two_ranks(folder, given):
    traces = [Trace.load(folder / f"{given}{rank}.npz") for rank in range(2)]
    for rank, trace in enumerate(traces):
        assert (trace.facts["rank"], trace.facts["world"]) == (rank, 2)
        assert (
            trace.epochs[["batches", "reached", "backwards", "steps", "eval_forwards"]].to_numpy().tolist()
            == [[3, 3, 3, 3, 1]] * 2
        )
        assert trace.facts["not_in_optimizer_count"] == trace.facts["foreign_in_optimizer_count"] == 0
        assert trace.steps["loss_graph"].all()
        assert not [note for note in trace.facts["not_seen"] if "could not be recorded" in note]
    merged = Trace.merge(traces)
    assert merged.facts["ranks_differ"] == []  # DDP keeps the parameters the same, bit for bit
    assert merged.epochs["steps"].tolist() == [6, 6]
    assert merged.epochs["train_loss"].iloc[1] == 0.25
    # the gradient after the reduction is one; the losses before it are two
    norms = merged.steps.pivot_table(index="turn", columns="rank", values=["grad_norm", "loss"])
    assert norms["grad_norm"][0].tolist() == pytest.approx(norms["grad_norm"][1].tolist())
    assert (norms["loss"][0] != norms["loss"][1]).all()
