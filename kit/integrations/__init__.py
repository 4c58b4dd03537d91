"""What brings the kit to where people work: test runners and trainers. Nothing of another package is imported until it is used."""
