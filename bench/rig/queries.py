"""What PostgreSQL is really asked."""
from .stack import RigError


def running_sql(lab, system, path):
    """The SQL that a path runs, word for word, as the server shows it for the connection that has just run it."""
    lab.fetch(lab.system(system), path)
    rows = lab.database.sql("SELECT translate(query, E'\\n\\t', '  ') FROM pg_stat_activity "
                            "WHERE usename = 'asterisk' AND query ~ 'agentfeatures' "
                            "AND query !~ 'pg_attribute|pg_stat' ORDER BY query_start DESC NULLS LAST LIMIT 1")
    if not rows or len(rows[0][0]) >= 1000:
        raise RigError(f"the server does not show the SQL of {path}")
    return rows[0][0]
