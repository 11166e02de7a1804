"""The rows, in the order of the table."""
from . import workers, upgrades, nginx, postgres, tables, clients
