"""nginx that is told to read its configuration again."""
import signal

from kit import process
from kit.load import Load
from kit.process import await_
from kit.trial import row


@row("nginx-reload", "nginx -s reload again and again")
def nginx_reload(t):
    stack = t.home.stack()
    master = stack.pid("nginx")
    every = 2 if t.settings.injections >= 20 else 0.8
    load = Load(stack, resend=True)
    for _ in range(t.settings.injections):
        t.pause(every)
        before = set(process.children(master))
        process.send(master, signal.SIGHUP)
        await_(lambda: set(process.children(master)) - before, "nginx has new workers")
    load.goes_on(1)
    result = load.stop()
    t.judge(result)
    t.check(process.alive(master), "nginx's master has ended")
    t.check("[emerg]" not in stack.log("nginx-error"), "nginx refused its configuration")
    await_(lambda: len(process.children(master)) <= 2 + len(before), "nginx's old workers end")
    t.figure(f"{t.settings.injections} reloads, {result.resent} requests sent once more on a new connection")
