"""Clients that are many, slow, or gone."""
import resource
import selectors
import socket
import threading
import time

from kit import fastcgi, process
from kit.load import Load, measure
from kit.process import await_, await_steady
from kit.stack import Peak, Stack, pool_memory_kb, run
from kit.trial import Skip, row

from .tables import FILL

GET = "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"


def client(port, path, receive_buffer=None):
    """A connection that has asked, and reads nothing by itself."""
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(30)
    s.connect(("127.0.0.1", port))
    s.sendall(GET.format(path=path).encode())
    return s


CLIENTS = 10000


@row("ten-thousand", "10,000 client connections on /index and /agents")
def ten_thousand(t):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + 2000:
        raise Skip(f"a hard limit of {CLIENTS + 2000} open files; it is {hard}")
    limit = min(hard, 20000)
    # As a shell leaves it: the stack raises the soft limit itself.
    before = ["/usr/bin/prlimit", f"--nofile=1024:{limit}"]
    with Stack(t.home, "many", database=t.home.stack().conninfo(), before=before) as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        most = 0
        for path in ("/index", "/agents"):
            load = Load(stack, {path: 3000}, seconds=t.settings.seconds, connections=CLIENTS, warmup=1)
            clients = 0
            while load.lasts() < t.settings.seconds:
                pids = process.children(stack.pid("nginx"))
                clients = max(clients, process.connections(stack.port))
                most = max([most] + [process.descriptors(pid) for pid in pids + stack.workers()])
                # Until the next look.
                time.sleep(0.2)
            t.judge(load.result())
            t.check(clients >= CLIENTS, f"nginx had {clients} clients at once, fewer than {CLIENTS}")
        t.figure(f"{clients:,} clients at once; {most:,} descriptors in one process at most (limit {limit:,}, raised from 1,024)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    few = Stack(t.home, "few", database=t.home.stack().conninfo(), start=False)
    status, output = run(["/usr/bin/prlimit", "--nofile=300:300", "deploy/local/start"], few.env)
    t.check(status != 0 and "open files is 300" in output, f"a limit of 300 is not refused clearly: {output}")
    t.check(not process.in_folder(few.run_dir), "something runs after the refusal")
    few.stop()
    t.figure("a limit of 300 refused by name")


class Drip(threading.Thread):
    """Clients that ask one after the other for a large answer and read it slowly, so that none of them ever stalls."""

    def __init__(self, port, count, path):
        super().__init__(daemon=True)
        self.port, self.count, self.path = port, count, path
        self.ended, self.opened, self.closed = threading.Event(), 0, 0

    def run(self):
        selector = selectors.DefaultSelector()
        while not self.ended.is_set():
            if self.opened < self.count:
                try:
                    s = client(self.port, self.path, 4096)
                    s.setblocking(False)
                    selector.register(s, selectors.EVENT_READ)
                    self.opened += 1
                except OSError:
                    self.closed += 1
            for key, _ in selector.select(0):
                try:
                    data = key.fileobj.recv(16384)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    self.closed += 1
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
            self.ended.wait(0.1)
        for key in list(selector.get_map().values()):
            key.fileobj.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


# What one worker may keep for slow readers (--max-unread), and what it takes for answers over 50,000 agents that are being made, or are
# no older than 2 s, in MB.
KEPT_MB, MAKING_MB = 16, 150


@row("slow-reader", "100 clients that never read an answer over 50,000 agents; 120 that read it by drips")
def slow_reader(t):
    main, deadline_s = t.home.stack(), 2
    database = main.make_database("large", FILL.format(count=49950) + "; ANALYZE")
    mix = {"/index": 800, "/agent_logins": 200}
    with Stack(t.home, "large", options=f"--request-timeout={deadline_s}s --max-unread={KEPT_MB}",
               database=database) as stack:
        stalled_s = stall(t, stack)
        undisturbed = measure(stack, 2, mix)
        start_kb = pool_memory_kb(stack)
        descriptors = sum(process.descriptors(pid) for pid in stack.workers())
        bound_kb = start_kb + 1024 * stack.worker_count * (KEPT_MB + MAKING_MB)
        load = Load(stack, mix, timeout=30)
        with Peak(stack) as peak:
            slow = [client(stack.port, "/agents_with_orm", 4096) for _ in range(100)]
            asked = time.monotonic()
            # How long their memory is watched.
            time.sleep(2)
        never_kb = peak.kb
        with Peak(stack) as peak, Drip(stack.port, 120, "/agents_with_orm") as drip:
            # The kernel's and nginx's buffers are filled, and then nothing moves: nginx or the worker gives each up at its deadline.
            await_(lambda: sum(is_closed(s) for s in slow) == len(slow), "those that never read are given up", every=0.1)
            given_up_s = time.monotonic() - asked
            # How long the drips last, at least.
            time.sleep(max(0, asked + 14 - time.monotonic()))
        drip_kb, evicted = peak.kb, stack.log("worker").count('"answer_evicted"')
        await_(lambda: sum(process.descriptors(pid) for pid in stack.workers()) <= descriptors + 64, "their connections are closed")
        for s in slow:
            s.close()
        result = load.stop()
        stack.await_health()
    t.judge(result)
    # 10 s for nginx, from the last byte that its client's socket had room for.
    t.check(given_up_s < 40, f"those that never read were given up after {given_up_s:.0f} s")
    for name, kb in (("never read", never_kb), ("read by drips", drip_kb)):
        t.check(kb <= bound_kb, f"{name}: the workers took {kb // 1024} MB, more than {bound_kb // 1024}")
    t.check(drip.opened > 60 and evicted > 0, f"{drip.opened} slow readers, {evicted} of them given up: too few to show a bound")
    t.figure(f"workers {never_kb / 1024:.0f} MB at most for 100 that never read, given up by nginx after {given_up_s:.0f} s, on the "
             f"pool's socket by the workers after {stalled_s:.0f} s; "
             f"{drip_kb / 1024:.0f} MB for 120 that drip ({evicted} given up for newer ones); bound {bound_kb / 1024:.0f} MB")
    t.ratio_of_p99(result, "/index", undisturbed)
    main.sql("DROP DATABASE large WITH (FORCE)", "postgres")


def stall(t, stack, count=8):
    """On the pool's socket, where no nginx helps: the worker itself gives up who reads nothing. How long that took."""
    opened = []
    for _ in range(count):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(stack.socket)
        s.sendall(fastcgi.request("/agents_with_orm"))
        opened.append(s)
    began = time.monotonic()
    await_(lambda: stack.metric("answers_stalled_total") + stack.metric("answers_evicted_total") >= count,
           "the workers give up who reads nothing", every=0.1)
    took = time.monotonic() - began
    t.check(stack.metric("answers_stalled_total") > 0, "no answer was given up for its stall")
    for s in opened:
        with s, s.makefile("rb") as stream:
            t.check(0 < len(stream.read()) < 1 << 20, "an answer that was given up came whole, or not at all")
    return took


def is_closed(s):
    """Has the peer closed or reset it? Nothing is read for this: TCP_INFO tells the state."""
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1  # TCP_ESTABLISHED


@row("client-aborts", "1,000 clients leave mid-query")
def client_aborts(t):
    main = t.home.stack()
    database = main.make_database("leaving")
    for share in ("on", "off"):
        with Stack(t.home, f"left-{share}", options=f"--share={share}", database=database) as stack:
            measure(stack, 1, {"/index": 500, "/agents": 500})
            rest = [stack.descriptors_at_rest()]
            # The heap keeps what a thousand connections took for the next thousand: the second time must take nothing more.
            first = leave(t, main, stack)
            second = leave(t, main, stack)
            rest.append(stack.descriptors_at_rest())
        t.check(rest[0] >= rest[1], f"share={share}: descriptors at rest went from {rest[0]} to {rest[1]}")
        t.check(second[2][1] <= 1.1 * first[2][1], f"share={share}: memory went from {first[2][1]} to {second[2][1]} KB the second time")
        t.figure(f"share={share}, before, during, after, twice: descriptors {' '.join(f'{one[0]:,}' for one in first + second)}; "
                 f"at rest {rest[0]} to {rest[1]}; memory {' '.join(f'{one[1]:,}' for one in first + second)} KB; "
                 f"active queries {' '.join(f'{one[2]}' for one in first + second)}")
    main.sql("DROP DATABASE leaving WITH (FORCE)", "postgres")


def leave(t, main, stack, count=1000):
    """(descriptors, memory, active queries) before, during and after."""
    def numbers():
        return (sum(process.descriptors(pid) for pid in stack.workers()), pool_memory_kb(stack),
                int(main.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'leaving' AND state = 'active' AND "
                             "query LIKE '%agentfeatures%' AND application_name = 'agents-fcgi'")[0][0]))
    load = Load(stack, {"/index": 1000})
    before = numbers()
    with main.session("leaving") as locker:
        locker.run("BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE")
        clients = [client(stack.port, "/agents") for _ in range(count)]
        await_(lambda: sum(process.descriptors(pid) for pid in stack.workers()) >= before[0] + count / 2, "the clients are there")
        during = numbers()
        for s in clients:
            s.close()
        await_(lambda: numbers()[2] == 0, "nobody's queries end")
        locker.run("COMMIT")
    await_(lambda: sum(process.descriptors(pid) for pid in stack.workers()) <= before[0] + 64, "the descriptors are back", every=0.1)
    t.check(measure(stack, 1, {"/agents": 500}).failed == 0, "requests failed after it")
    t.check(during[2] > 0, "no query was under way when they left")
    # Beside the load, which goes on.
    await_steady(lambda: pool_memory_kb(stack), "the memory is what it is after them", within=256)
    after = numbers()
    t.judge(load.stop())
    return before, during, after
