"""The rows, in the order of the table."""
from kit.trial import ROWS

from . import clients, limits, nginx, postgres, soak, tables, upgrades, workers, wrong  # noqa: F401

ORDER = ("ten-thousand kill-worker stuck-worker kill-multiwatch kill-all-workers upgrade broken-upgrade crash-upgrade large-upgrade "
         "nginx-reload drain postgres-restart postgres-away postgres-silent few-connections locked-table schema-change slow-reader "
         "dns-silent client-aborts freshness bad-records bad-http exhaustion overload hot-data soak").split()
ROWS.sort(key=lambda row: ORDER.index(row.name))
