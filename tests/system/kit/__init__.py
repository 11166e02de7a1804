"""What the rows of the system tests share: stacks, load, clients, and the trial that a row reports to."""
