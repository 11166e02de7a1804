"""The peers of bench/peers: other applications that answer the same three paths from the same database."""
import json
import os
import subprocess
import tempfile
from pathlib import Path

from .stack import PROJECT, RigError, free_ports, run_quietly

# Their names as in PEERS=django,php-fpm, their folders, and the Debian packages whose versions are told.
FOLDERS = {
    "django": ("django-gunicorn", ("python3", "python3-django", "gunicorn", "python3-psycopg2")),
    "php-fpm": ("php-fpm", ("php8.2-fpm", "php8.2-pgsql", "php8.2-opcache", "nginx")),
    "aiohttp": ("aiohttp-asyncpg", ("python3", "python3-aiohttp", "python3-asyncpg", "python3-uvloop", "python3-ujson")),
    "fastify": ("fastify-pg", ("nodejs",)),
}
PEERS = tuple(FOLDERS)
PATHS = ("index", "agents", "agents_with_orm")
GOLDEN = PROJECT / "tests/golden"


class PeerError(RigError):
    """A peer that does not come up or answers wrongly; `.peer` is its name, so that the caller can go on without it."""

    def __init__(self, peer, message):
        super().__init__(f"{peer}: {message}")
        self.peer = peer


def parse(text):
    """The names in a list with commas, in the order of PEERS; "all" and "none" stand for themselves."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    if "all" in names:
        return list(PEERS)
    names.discard("none")
    for name in sorted(names):
        if name not in PEERS:
            raise RigError(f"PEERS={text}: there is no peer {name}; the peers are: {', '.join(PEERS)} (or all, or none)")
    return [name for name in PEERS if name in names]


def folder(name):
    return PROJECT / "bench/peers" / FOLDERS[name][0]


def forms(name):
    """The configurations that a peer can be measured in, such as ["published", "best"]."""
    return (folder(name) / "forms").read_text(encoding="utf-8").split()


def about(name, form):
    """The paragraph of a form: which configuration, why, and whose manual says so."""
    for paragraph in (folder(name) / "about").read_text(encoding="utf-8").split("\n\n"):
        if paragraph.startswith(f"{form}: "):
            return " ".join(paragraph.split())[len(form) + 2:]
    raise RigError(f"{folder(name)}/about says nothing of {form}")


def _clean_environment():
    """Without what is meant for the service's own stack or for other programs' connections."""
    unwanted = ("PG", "AGENTS_FCGI_", "MAKE", "MFLAGS")
    meant_for_peers = ("PEER_DIR", "PORT", "LISTEN", "WORKERS", "DB_POOL", "THREADS", "KEEP_CONNECTIONS")
    return {key: value for key, value in os.environ.items() if not key.startswith(unwanted) and key not in meant_for_peers}


def install(name, deadline=900):
    """Installs what a peer runs on, when it is not there; its lines of progress are the result."""
    try:
        return run_quietly([str(folder(name) / "install")], _clean_environment(), "cannot be installed", deadline)
    except subprocess.TimeoutExpired as error:
        raise PeerError(name, f"its installation has not ended in {deadline} s") from error
    except RigError as error:
        raise PeerError(name, str(error)) from error


def _debian_versions(packages):
    done = subprocess.run(["/usr/bin/dpkg-query", "-W", "-f", "${Package}\t${Version}\n", *packages], capture_output=True, text=True,
                          check=False)
    return dict(line.split("\t") for line in done.stdout.splitlines() if not line.endswith("\t"))


def _npm_versions(modules):
    """Of the packages that package.json names, as they lie there."""
    wanted = json.loads((folder("fastify") / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return {name: json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["version"] for name in wanted}


class Peer:
    """A peer in one of its forms, reading the cluster of `cluster_stack`. `workers` and `pool` (connections of a process) are the
    peer's own defaults unless given; `launcher` are words before its command, such as those that enter a network
    namespace; `viewer` those before a client's, the same unless given."""

    def __init__(self, rig, name, form, cluster_stack, port=None, *, listen="127.0.0.1", workers=None, pool=None, launcher=(), viewer=None):
        self.name, self.form = name, form
        if name not in PEERS:
            raise RigError(f"there is no peer {name}; the peers are: {', '.join(PEERS)}")
        if form not in forms(name):
            raise RigError(f"the peer {name} has no form {form}; its forms are: {', '.join(forms(name))}")
        self.about = about(name, form)
        self.port = port or free_ports(1)[0]
        # A short name, because sockets lie below; and not the port's, which may come again.
        self.run_dir = Path(tempfile.mkdtemp(prefix="peer-", dir=rig.directory))
        self.run_dir.chmod(0o711)
        self.cluster = cluster_stack.cluster
        self.folder, self.launcher = folder(name), tuple(launcher)
        self.viewer = self.launcher if viewer is None else tuple(viewer)
        self.env = {**_clean_environment(), "PEER_DIR": str(self.run_dir), "PORT": str(self.port), "LISTEN": listen,
                    "PGHOST": f"{self.cluster.run_dir}/pg", "PGPORT": "5432", "PGUSER": "asterisk", "PGDATABASE": "benchmarks",
                    "WORKERS": str(workers or ""), "DB_POOL": str(pool or "")}
        self.rig = rig
        self.clean_up = rig.at_end(self.stop, [self.folder / "down"], self.env)
        try:
            run_quietly([*self.launcher, str(self.folder / "up"), form], self.env, "does not come up", 120)
        except subprocess.TimeoutExpired as error:
            raise PeerError(name, "does not come up in two minutes") from error
        except RigError as error:
            raise PeerError(name, str(error)) from error
        self.base_url = run_quietly([str(self.folder / "url")], self.env, "has no URL").strip()

    def components(self):
        """{"app": pid, …}: the roots of its trees of processes; with the cluster's "postgres"."""
        lines = (self.run_dir / "components").read_text(encoding="ascii").splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines} | {"postgres": self.cluster.pid("postgres")}

    def pid(self, component):
        return self.components()[component]

    def versions(self):
        """{package: version} of what it runs on."""
        found = _debian_versions(FOLDERS[self.name][1])
        if self.name == "fastify":
            found = {"node": os.readlink(f"/proc/{self.pid('app')}/exe")} | found | _npm_versions(self.run_dir / "app/node_modules")
        return found

    def stop(self):
        run_quietly([str(self.folder / "down")], self.env, f"the peer {self.name} does not end")
        self.rig.undone(self.clean_up)


# Run where the clients are: in their network namespace, if they have one.
_FETCH = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"), timeout=30)
try:
    connection.request("GET", sys.argv[2])
    response = connection.getresponse()
    sys.stdout.buffer.write(b"%d\\n" % response.status + response.read())
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"does not answer: {error!r}")
"""


def fetch(base_url, path, before=()):
    """(status, body) by GET, or a reason; `before` are the words that bring a program to where the clients are."""
    words = [*before, "/usr/bin/python3", "-I", "-c", _FETCH, base_url, path]
    try:
        done = subprocess.run(words, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "does not answer within a minute"
    if done.returncode != 0:
        return done.stderr.decode(errors="replace").strip()
    status, _, body = done.stdout.partition(b"\n")
    return int(status), body


def _canonical(text):
    """JSON of which two texts are the same when their values are: 1, 1.0 and true differ, the order of keys does not count."""
    return json.dumps(json.loads(text), sort_keys=True)


def _reason(peer, path):
    answer = fetch(peer.base_url, f"/{path}", peer.viewer)
    if isinstance(answer, str):
        return answer
    status, body = answer
    if status != 200:
        return f"answers {status}"
    try:
        same = _canonical(body) == _canonical((GOLDEN / f"{path}.json").read_bytes())
    except ValueError:
        return "answers no JSON"
    return None if same else f"answers other values than tests/golden/{path}.json"


def check(peer):
    """Why the peer's answers are not those of tests/golden, as JSON values: a reason for each path that fails, [] when none does."""
    found = ((path, _reason(peer, path)) for path in PATHS)
    return [f"/{path} {reason}" for path, reason in found if reason]


def start(rig, name, form, cluster_stack, port=None, **options):
    """A peer that is up and has answered as it must; else PeerError, and it is down again."""
    peer = Peer(rig, name, form, cluster_stack, port, **options)
    reasons = check(peer)
    if reasons:
        peer.stop()
        raise PeerError(name, "; ".join(reasons))
    return peer
