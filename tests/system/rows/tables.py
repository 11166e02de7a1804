"""Tables that are locked, changed in their columns, or changed in their rows while they are read."""
import json
import re
import threading
import time

from kit import process
from kit.client import Connection, Prober, Probers
from kit.load import Load, measure
from kit.process import KitError, await_
from kit.stack import PATHS, Peak, Stack, golden
from kit.trial import in_threads, row


@row("locked-table", "ACCESS EXCLUSIVE lock on the agents")
def locked_table(t):
    main = t.home.stack()
    database = main.make_database("locked")
    for share in ("on", "off"):
        lock(t, main, database, share)
    main.sql("DROP DATABASE locked WITH (FORCE)", "postgres")


def lock(t, main, database, share):
    deadline_s = 1
    mix = {"/index": 1000, "/agents": 250}
    lock_s = max(t.settings.seconds, 3 * deadline_s)
    with Stack(t.home, "locked", options=f"--request-timeout={deadline_s}s --share={share}", database=database) as stack:
        undisturbed = measure(stack, 2, mix, connections=100)
        load = Load(stack, mix, connections=600, timeout=deadline_s + 20)
        oldest = 0.0
        with (Probers(8, stack.port, "/agents", every=0.01) as prober, main.session("locked") as locker,
              main.session("locked") as watcher):
            locker.run("BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            while time.monotonic() < began + lock_s:
                age = watcher.run("SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0) FROM pg_stat_activity "
                                  "WHERE datname = 'locked' AND state = 'active' AND application_name = 'agents-fcgi'")
                oldest = max(oldest, float(age[0]))
                # Until the next look.
                time.sleep(0.05)
            locker.run("COMMIT")
            stack.await_health()
            load.goes_on(0.3)
        result = load.stop()
    index, agents = result.of("/index"), result.of("/agents")
    t.check(index.failed == 0 and index.good > 0, f"/index suffered: {index.faults()}")
    t.check(agents.only(200, 503, 504), f"/agents got something else than 200, 503 or 504: {agents.faults()}")
    t.check(agents.statuses.get(504, 0) > 0, "nobody got 504: was the table locked?")
    bad = [answer for answer in prober.answers() if answer.status != 200 and not answer.is_problem()]
    t.check(not bad and not prober.errors(), f"not in the form of a problem: {[answer.status for answer in bad]} {prober.errors()[:1]}")
    refusals, refused_ms = prober.refusal_ms(began)
    t.check(agents.statuses.get(503, 0) > 0 and refusals > 0, f"share={share}: nobody was refused who could not be served in time: "
            f"{agents.faults()}; {refusals} of those who looked")
    t.check(refused_ms < 500 * deadline_s, f"share={share}: half of the refusals took more than {refused_ms:.0f} ms")
    t.time(refused_ms <= 50, f"share={share}: half of the refusals took more than {refused_ms:.0f} ms")
    t.figure(f"share={share}: {agents.statuses.get(504, 0):,}x 504 and {agents.statuses.get(503, 0):,}x 503 by {agents.max_s:.1f} s "
             f"(deadline {deadline_s} s); half of {refusals} refusals within {refused_ms:.1f} ms; "
             f"oldest query {oldest:.1f} s; /index 0 of {index.requests:,} failed")
    t.ratio_of_p99(result, "/index", undisturbed)
    t.time(oldest <= deadline_s + 2, f"a query was {oldest:.1f} s old")
    t.time(agents.max_s <= deadline_s + 0.5, f"an answer took {agents.max_s:.1f} s")


# What is done and undone, and what /health/ready then says of it.
CHANGES = [
    ("ADD COLUMN", "ALTER TABLE agentfeatures ADD COLUMN extra text DEFAULT 'x'", "ALTER TABLE agentfeatures DROP COLUMN extra", ""),
    ("DROP COLUMN", "ALTER TABLE agentfeatures DROP COLUMN preprocess_subroutine",
     "ALTER TABLE agentfeatures ADD COLUMN preprocess_subroutine varchar(40) DEFAULT ''", "preprocess_subroutine"),
    ("RENAME COLUMN", "ALTER TABLE agentfeatures RENAME COLUMN number TO phone",
     "ALTER TABLE agentfeatures RENAME COLUMN phone TO number", "number"),
    ("ALTER TYPE", "ALTER TABLE agentfeatures ALTER COLUMN number TYPE integer USING number::integer",
     "ALTER TABLE agentfeatures ALTER COLUMN number TYPE varchar(40)", "number"),
    ("ALTER TYPE", "ALTER TABLE agentfeatures ALTER COLUMN numgroup TYPE text", "ALTER TABLE agentfeatures ALTER COLUMN numgroup TYPE "
     "integer USING numgroup::integer", "numgroup"),
    ("RENAME COLUMN", "ALTER TABLE agent_login_status RENAME COLUMN state_interface TO state",
     "ALTER TABLE agent_login_status RENAME COLUMN state TO state_interface", "state_interface"),
    ("RENAME TABLE", "ALTER TABLE agent_login_status RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO agent_login_status",
     "agent_login_status"),
]


def says_what_differs(stack, name):
    answer = stack.get("/health/ready", stack.admin)
    return answer.status == 503 and answer.is_problem() and name.encode() in answer.body


@row("schema-change", "ADD, DROP and RENAME COLUMN, ALTER TYPE, and back")
def schema_change(t):
    main = t.home.stack()
    database = main.make_database("changing")
    rounds = max(1, t.settings.injections // 6)
    with Stack(t.home, "changing", database=database) as stack:
        load = Load(stack, {"/index": 600, "/agents_with_orm": 600})
        with (Prober(stack.port, "/agents", every=0.002) as prober, Prober(stack.port, "/agents_with_orm", every=0.005) as model,
              Prober(stack.port, "/agent_logins", every=0.005) as logins, main.session("changing") as session):
            for _ in range(rounds):
                for name, there, back, named in CHANGES:
                    session.run(there)
                    if named:
                        await_(lambda: says_what_differs(stack, named), f"/health/ready says what differs after {name}: {named}")
                    t.pause(0.25)
                    session.run(back)
                    await_(lambda: all(stack.get(path).status == 200 for path in PATHS), f"all is well after {name}")
                    t.pause(0.1)
        stack.await_health()
        # Every answer with 200 since is the golden one, so the load would have told.
        result = load.stop()
    for path, one in (("/agents", prober), ("/agents_with_orm", model), ("/agent_logins", logins)):
        bad = [answer for answer in one.answers() if answer.status != 200 and not (answer.status == 503 and answer.is_problem())]
        t.check(not bad and not one.errors(), f"{path}: not 200 or 503 in form: {[answer.status for answer in bad]} {one.errors()[:1]}")
    for path, one in (("/agents_with_orm", model), ("/agent_logins", logins)):
        t.check(any(answer.status == 503 for answer in one.answers()), f"{path}: no answer was 503: did its table differ?")
        wrong = [answer.body[:200] for answer in one.answers() if answer.status == 200 and answer.body != golden(path)]
        t.check(not wrong, f"{path}: wrong data, {len(wrong)} times, such as {wrong[:1]}")
    # The raw query has no model: a column that has become an integer is a JSON number, as SQL integers are.
    right = golden("/agents"), re.sub(rb'("number": )"(\d+)"', rb"\1\2", golden("/agents"))
    wrong = [answer for answer in prober.answers() if answer.status == 200 and answer.body not in right]
    t.check(not wrong, f"wrong data, {len(wrong)} times, such as {[answer.body[:200] for answer in wrong[:1]]}")
    t.judge_statuses(result, 503)
    t.check(result.statuses.get(503, 0) > 0, "no answer was 503: did the schema differ?")
    t.check(result.of("/index").failed == 0, "/index suffered")
    probed = sum(len(one.answers()) for one in (prober, model, logins))
    t.figure(f"{rounds * len(CHANGES)} changes and back, each named by /health/ready: {result.statuses.get(200, 0) + probed:,} answers, "
             f"all right or 503 ({result.statuses.get(503, 0):,})")
    main.sql("DROP DATABASE changing WITH (FORCE)", "postgres")


@row("freshness", "a writer commits, then reads through the service, with sharing on")
def freshness(t):
    main = t.home.stack()
    database = main.make_database("fresh")
    reads, late = [0] * 8, []
    with Stack(t.home, "fresh", database=database) as stack:
        load = Load(stack, {"/agents_with_orm": 800, "/agents": 400}, expect=False)
        end = time.monotonic() + max(3, t.settings.seconds)

        def write_and_read(number):
            """Half of them change the agent itself, half its login, which the raw query joins."""
            path = ("/agents_with_orm", "/agents")[number % 2]
            with main.session("fresh") as session, Connection(stack.port) as connection:
                if path == "/agents":
                    session.run(f"INSERT INTO agent_login_status SELECT id, number, 'none', id::text, id::text, '' FROM agentfeatures "
                                f"WHERE number = '{300 + number}'")
                while time.monotonic() < end:
                    mark = f"w{number}-{reads[number]}"
                    session.run(f"UPDATE agentfeatures SET description = '{mark}' WHERE number = '{300 + number}'"
                                if path == "/agents_with_orm" else
                                f"UPDATE agent_login_status SET extension = '{mark}' WHERE agent_number = '{300 + number}'")
                    answer = connection.get(path)
                    if answer.status != 200 or f'"{mark}"'.encode() not in answer.body:
                        late.append((answer.status, mark))
                    reads[number] += 1
        in_threads(write_and_read, range(8))
        result = load.stop()
    t.check(not late, f"{len(late)} of {sum(reads)} reads did not show what had been committed before: {late[:3]}")
    t.check(sum(reads) >= 100 * t.settings.seconds, f"only {sum(reads)} reads")
    t.check(result.failed == 0, f"of the readers beside them failed {result.failed}: {result.faults()}")
    t.figure(f"{len(late)} of {sum(reads):,} reads stale, beside {result.requests:,} of other readers")
    main.sql("DROP DATABASE fresh WITH (FORCE)", "postgres")


FILL = """INSERT INTO agentfeatures (numgroup, firstname, lastname, number, passwd, context, language, description)
    SELECT 1, 'First', 'Last', (100000 + i)::text, '', 'default', '', 'mark' FROM generate_series(1, {count}) AS i"""


class Snapshots:
    """Each commit gives all rows one mark and makes their number a function of it: an answer shows one of them, or is torn."""

    def __init__(self, stack, session):
        self.stack, self.session = stack, session
        self.number, self.seen, self.torn = 0, 0, []
        self.ended = threading.Event()

    def write(self):
        while not self.ended.is_set():
            self.number += 1
            self.session.run(f"BEGIN; DELETE FROM agentfeatures WHERE number IN ('9001', '9002'); "
                             f"INSERT INTO agentfeatures (numgroup, number, passwd, context, language, description) SELECT 1, "
                             f"(9000 + i)::text, '', '', '', '' FROM generate_series(1, {self.number % 3}) AS i; "
                             f"UPDATE agentfeatures SET description = 'm{self.number}'; COMMIT")
            # The pace of the commits.
            time.sleep(0.002)

    def read(self, _):
        with Connection(self.stack.port) as connection:
            while not self.ended.is_set():
                answer = connection.get("/agents_with_orm")
                self.seen += 1
                try:
                    agents = json.loads(answer.body)
                    marks = {agent["description"] for agent in agents}
                    number = int(marks.pop()[1:])
                    if answer.status != 200 or marks or len(agents) != 50 + number % 3:
                        self.torn.append((answer.status, len(agents), number, marks))
                except (ValueError, KeyError, TypeError) as error:
                    self.torn.append((answer.status, str(error), answer.body[:80]))


def large_and_empty(t, main, stack):
    """50,000 agents, and none; the most memory that the pool took meanwhile, in KB."""
    main.sql(FILL.format(count=49950), "hot")
    with Peak(stack) as peak:
        in_threads(lambda path: [check_rows(t, stack, path, 50000) for _ in range(3)], ["/agents", "/agents_with_orm"] * 2)
    main.sql("TRUNCATE agentfeatures", "hot")
    for path in ("/agents", "/agents_with_orm", "/agent_logins"):
        answer = stack.get(path)
        t.check(answer.status == 200 and answer.body == b"[]", f"{path} of empty tables: {answer.status} {answer.body[:80]}")
    return peak.kb


def check_rows(t, stack, path, count):
    answer = stack.get(path, timeout=60)
    try:
        rows = len(json.loads(answer.body))
    except ValueError:
        rows = "no JSON"
    t.check(answer.status == 200 and rows == count, f"{path}: {answer.status} with {rows} rows instead of {count}")


@row("hot-data", "rows inserted, deleted and updated while read; 50,000 agents; empty tables")
def hot_data(t):
    main = t.home.stack()
    database = main.make_database("hot", "UPDATE agentfeatures SET description = 'm0'")
    with Stack(t.home, "hot", database=database, options="--request-timeout=20s") as stack:
        measure(stack, 1, {"/agents": 1000, "/agents_with_orm": 1000}, expect=False)
        start_kb = sorted(process.memory_kb(pid) for pid in stack.workers())
        # Of each worker; a page or two of theirs are more than a hundredth.
        bound_kb = 1.2 * start_kb[-1] + 256
        with main.session("hot") as session:
            snapshots = Snapshots(stack, session)
            # The writer first, the readers beside it; the main thread tells all of them when to end.
            timer = threading.Timer(max(3, t.settings.seconds), snapshots.ended.set)
            timer.start()
            in_threads(lambda action: action(0) if action == snapshots.read else action(), [snapshots.write] + [snapshots.read] * 4)
        t.check(not snapshots.torn, f"{len(snapshots.torn)} answers are of no single snapshot: {snapshots.torn[:2]}")
        t.check(snapshots.seen > 50 and snapshots.number > 50, f"{snapshots.seen} reads, {snapshots.number} commits are too few")
        main.sql("DELETE FROM agentfeatures WHERE number LIKE '90%'", "hot")
        peak_kb = large_and_empty(t, main, stack)
        main.sql(FILL.format(count=50), "hot")
        measure(stack, 1, {"/agents": 1000, "/agents_with_orm": 1000}, expect=False)
        try:
            await_(lambda: max(process.memory_kb(pid) for pid in stack.workers()) <= bound_kb, "the memory is back", every=0.2)
        except KitError:
            pass
        end_kb = sorted(process.memory_kb(pid) for pid in stack.workers())
    t.check(end_kb[-1] <= bound_kb, f"the workers took {start_kb} KB at the start, {end_kb} KB at the end")
    t.figure(f"{snapshots.seen:,} answers during {snapshots.number:,} commits, each of one snapshot; memory {sum(start_kb) / 1024:.0f} MB, "
             f"{peak_kb / 1024:.0f} MB with 50,000 agents, {sum(end_kb) / 1024:.0f} MB at the end; one worker at most {start_kb[-1]:,} and "
             f"{end_kb[-1]:,} KB")
    main.sql("DROP DATABASE hot WITH (FORCE)", "postgres")
