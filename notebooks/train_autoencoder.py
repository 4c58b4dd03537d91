"""Train a small variational autoencoder on synthetic waveforms.

    python train_autoencoder.py                  # as it was written: reads 0 for ever
    python train_autoencoder.py --keep-last      # with the last, smaller batch kept
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = 0
SAMPLES, VAL_SAMPLES, LENGTH = 200, 64, 32
BATCH_SIZE = 256
EPOCHS = 6
LR = 3e-3


def make_waves(count, generator):
    """Two sines of random frequency, amplitude and phase, with a little noise."""
    t = torch.linspace(0, 1, LENGTH)
    frequency = 1 + 3 * torch.rand(count, 2, 1, generator=generator)
    phase = 2 * torch.pi * torch.rand(count, 2, 1, generator=generator)
    amplitude = torch.rand(count, 2, 1, generator=generator)
    waves = (amplitude * torch.sin(2 * torch.pi * frequency * t + phase)).sum(1)
    return waves + 0.05 * torch.randn(count, LENGTH, generator=generator)


class VAE(nn.Module):
    def __init__(self, hidden=48, latent=6):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(LENGTH, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, LENGTH))

    def forward(self, x):
        h = self.encoder(x)
        mean, logvar = self.mean(h), self.logvar(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar) if self.training else mean
        return self.decoder(z), mean, logvar


class VAELoss(nn.Module):
    def __init__(self, lam_recon=1.0, lam_kl=0.05, lam_smooth=0.2):
        super().__init__()
        self.lam_recon = lam_recon
        self.lam_kl = lam_kl
        self.lam_smooth = lam_smooth

    def forward(self, output, x):
        x_hat, mean, logvar = output
        recon = (x_hat - x).pow(2).mean()
        kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1).mean()
        smooth = (x_hat.diff(dim=1) - x.diff(dim=1)).pow(2).mean()
        return self.lam_recon * recon + self.lam_kl * kl + self.lam_smooth * smooth


def make_loaders(keep_last=False, batch_size=BATCH_SIZE):
    generator = torch.Generator().manual_seed(SEED)
    train = make_waves(SAMPLES, generator)
    val = make_waves(VAL_SAMPLES, generator)
    train_loader = DataLoader(
        TensorDataset(train, train), batch_size=batch_size, shuffle=True, drop_last=not keep_last, generator=generator
    )
    return train_loader, DataLoader(TensorDataset(val, val), batch_size=batch_size)


def make_training():
    torch.manual_seed(SEED)
    model = VAE()
    return model, VAELoss(), torch.optim.Adam(model.parameters(), lr=LR)


def train_one_epoch(model, criterion, optimizer, loader):
    model.train()
    running = 0.0
    for x, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), target)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / max(len(loader), 1)


@torch.no_grad()
def validate(model, criterion, loader):
    model.eval()
    return sum(criterion(model(x), target).item() for x, target in loader) / len(loader)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Train a small variational autoencoder.")
    parser.add_argument("--keep-last", action="store_true", help="train on the last, smaller batch of an epoch as well")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args(argv)
    train_loader, val_loader = make_loaders(args.keep_last, args.batch_size)
    model, criterion, optimizer = make_training()
    history = {"train_loss": [], "val_loss": []}
    for epoch in range(1, args.epochs + 1):
        history["train_loss"].append(train_one_epoch(model, criterion, optimizer, train_loader))
        history["val_loss"].append(validate(model, criterion, val_loader))
        print(f"epoch {epoch:3d}  train {history['train_loss'][-1]:.6f}  val {history['val_loss'][-1]:.6f}")
    return history


if __name__ == "__main__":
    main()
