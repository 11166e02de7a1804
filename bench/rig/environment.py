"""What a figure means depends on: machine, kernel, packages, settings, commit."""
import os
import platform
import subprocess
import time
from pathlib import Path

from .stack import PROJECT

PACKAGES = ("nginx", "spawn-fcgi", "multiwatch", "postgresql-15", "libpq5", "libfcgi0ldbl", "libev4", "libjansson4", "libxxhash0",
            "libc6", "gcc", "wrk")
SYSCTLS = ("net/core/somaxconn", "net/ipv4/tcp_max_syn_backlog", "net/ipv4/ip_local_port_range", "net/unix/max_dgram_qlen",
           "kernel/sched_autogroup_enabled", "vm/overcommit_memory")


def _output(*words):
    try:
        done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return (done.stdout or done.stderr).rstrip()


def _read(path):
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def nginx_config(stack, before=()):
    """nginx -T; `before` are the words that bring it to where the stack's addresses are."""
    return _output(*before, "/usr/sbin/nginx", "-T", "-q", "-e", "stderr", "-p", str(stack.run_dir), "-c", str(stack.nginx_config()))


def describe(stack, others=()):
    """Everything but the figures; nginx -T of each that serves in the run."""
    configs = {str(s.run_dir.name): nginx_config(s) for s in (stack, *others)}
    return machine() | {"pg_settings": pg_settings(stack), "nginx": configs}


def pg_settings(stack):
    return dict(row for row in stack.sql("SELECT name, setting FROM pg_settings WHERE source <> 'default' ORDER BY 1") if len(row) == 2)


def machine():
    """What is known without anything running."""
    packages = _output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES)
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average": os.getloadavg(),
        "cpus": os.cpu_count(),
        "kernel": platform.uname()._asdict(),
        "lscpu": _output("lscpu"),
        "memory": _read("/proc/meminfo").splitlines()[:3],
        "packages": dict(line.split(" ", 1) for line in packages.splitlines() if " " in line and not line.startswith("dpkg")),
        "commit": _output("git", "rev-parse", "HEAD"),
        "uncommitted": _output("git", "status", "--porcelain", "--", ".", ":!bench/results").splitlines(),
        "worker": _output("build/agents-fcgi", "--version"),
        "sysctls": {name.replace("/", "."): _read(f"/proc/sys/{name}") for name in SYSCTLS},
    }


def as_markdown(env):
    cpu = next((line.split(":", 1)[1].strip() for line in env["lscpu"].splitlines() if line.startswith("Model name")), "unknown")
    lines = ["", "## Environment", "",
             f"- {env['time']}, load average at the start {' '.join(f'{n:.2f}' for n in env['load_average'])}",
             f"- {env['cpus']} CPUs, {cpu}; {env['memory'][0]}; {env['kernel']['system']} {env['kernel']['release']}",
             f"- commit {env['commit'] or 'unknown'}{', with uncommitted changes' if env['uncommitted'] else ''}; {env['worker']}",
             "- " + ", ".join(f"{name} {version}" for name, version in env["packages"].items())]
    return "\n".join(lines) + "\n"
