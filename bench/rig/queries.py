"""What PostgreSQL is really asked."""
import subprocess

from .stack import RigError

# Where the clients are: THREADS that each ask EACH times on a connection of their own; all must be answered with 200.
_ASK = """
import http.client, sys, threading
host, path, threads, each = sys.argv[1].removeprefix("http://"), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
wrong = []
def ask():
    try:
        connection = http.client.HTTPConnection(host, timeout=30)
        for _ in range(each):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                wrong.append(f"answers {response.status}")
    except (OSError, http.client.HTTPException) as error:
        wrong.append(f"does not answer: {error!r}")
running = [threading.Thread(target=ask) for _ in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
sys.exit(f"{path} {wrong[0]}" if wrong else 0)
"""


def ask(base_url, path, threads, each, before=()):
    """Requests that come several at a time; `before` are the words that bring a program to where the clients are."""
    words = [*before, "/usr/bin/python3", "-I", "-c", _ASK, base_url, path, str(threads), str(each)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RigError(done.stderr.strip())


def count(stack, before, asking):
    """(statements, the ten most frequent as (calls, text)) that PostgreSQL has executed for the service's role while `asking` ran. `before` runs
    with counting on, too, but is not counted."""
    stack.set_statement_statistics("top")
    try:
        before()
        stack.sql("SELECT pg_stat_statements_reset()")
        asking()
        of_role = "FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = 'asterisk'"
        calls = stack.sql(f"SELECT coalesce(sum(calls), 0) {of_role}")
        most = stack.sql(f"SELECT calls, translate(left(query, 100), E'\\n\\t', '  ') {of_role} ORDER BY calls DESC LIMIT 10")
    finally:
        stack.set_statement_statistics("none")
    return int(calls[0][0]), most


def running_sql(stack, path, asking):
    """The SQL that a path runs, word for word, as the server shows it for the connection that has just run it; `asking` sends a request."""
    asking()
    rows = stack.sql("SELECT translate(query, E'\\n\\t', '  ') FROM pg_stat_activity "
                     "WHERE usename = 'asterisk' AND query ~ 'agentfeatures' "
                     "AND query !~ 'pg_attribute|pg_stat' ORDER BY query_start DESC NULLS LAST LIMIT 1")
    if not rows or len(rows[0][0]) >= 1000:
        raise RigError(f"the server does not show the SQL of {path}")
    return rows[0][0]
