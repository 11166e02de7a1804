#!/usr/bin/python3
"""The rig's clean-up: its order, signals at any time, a rig or a janitor that is killed. Prints `ok NAME`, `not ok NAME` and a count."""
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cases
from cases import process, program

# Three clean-ups, of which the second is undone by hand. An action writes `action N`, a command `command N`.
THREE = '''
notes = pathlib.Path(os.environ["TOLD"]) / "notes"
def clean_up(rig, number, fails=False, sleeps=0):
    def action():
        tell(f"begins-{number}")
        time.sleep(sleeps)
        with open(notes, "a") as f:
            f.write(f"action {number}\\n")
        if fails:
            raise RigError(f"clean-up {number} fails")
    return rig.at_end(action, ["/bin/sh", "-c", 'echo "command $1" >>"$0"', notes, number])
'''


def notes(running):
    file = running.told / "notes"
    return file.read_text(encoding="ascii").split("\n")[:-1] if file.exists() else []


def ended_by(number, text, wait_for="up"):
    """The status and the notes of a program that gets a signal as soon as it is up."""
    with program(THREE + text) as running:
        running.wait_for(wait_for)
        running.send(number)
        status = running.ended()
        running.left_nothing()
        return status, notes(running), running.said()


UP = '''
with Rig() as rig:
    clean_up(rig, 1)
    second = clean_up(rig, 2)
    clean_up(rig, 3)
    rig.undone(second)
    tell("up")
    signal.pause()
'''


def test_orderly_end():
    with program(THREE + UP.replace("signal.pause()", "pass")) as running:
        assert running.ended() == 0, running.said()
        assert notes(running) == ["action 3", "action 1"], notes(running)
        running.left_nothing()
        assert "janitor" not in running.said(), running.said()


def test_signals_run_the_actions_last_first():
    for number, wanted in ((signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        status, noted, said = ended_by(number, UP)
        assert noted == ["action 3", "action 1"], (number, noted, said)
        assert status == wanted, (number, status, said)


def test_killed_rig_is_cleaned_up_by_commands_last_first():
    _, noted, said = ended_by(signal.SIGKILL, UP)
    assert noted == ["command 3", "command 1"], noted
    assert said.count("done in ") == 2 and "is removed" in said, said


def test_quit_is_no_way_around_it():
    _, noted, _ = ended_by(signal.SIGQUIT, UP)
    assert noted == ["command 3", "command 1"], noted


def test_error_in_the_block():
    with program(THREE + UP.replace("signal.pause()", "raise RigError('broken')")) as running:
        assert running.ended() == 1 and "broken" in running.said(), running.said()
        assert notes(running) == ["action 3", "action 1"], notes(running)
        running.left_nothing()


def test_action_that_fails_is_tried_by_command_after_the_others():
    text = UP.replace("clean_up(rig, 3)", "clean_up(rig, 3, fails=True)").replace("signal.pause()", "pass")
    with program(THREE + text) as running:
        assert running.ended() == 0, running.said()
        assert notes(running) == ["action 3", "action 1", "command 3"], notes(running)
        assert "clean-up 3 fails" in running.said(), running.said()
        running.left_nothing()


SLOW = UP.replace("clean_up(rig, 3)", "clean_up(rig, 3, sleeps=1)")


def impatient(running):
    """Somebody who asks ten times a second."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        running.send(number)
        time.sleep(0.1)


def test_more_signals_during_the_clean_up():
    with program(THREE + SLOW) as running:
        running.wait_for("up")
        running.send(signal.SIGINT)
        running.wait_for("begins-3")
        impatient(running)
        status = running.ended()
        assert notes(running) == ["action 3", "action 1"], (notes(running), running.said())
        assert status == -signal.SIGINT and "janitor" not in running.said(), (status, running.said())
        running.left_nothing()


def test_more_signals_on_the_way_to_the_clean_up():
    text = UP.replace("signal.pause()", """try:
        signal.pause()
    finally:
        tell("unwinds")
        time.sleep(1)
        tell("unwound")""")
    with program(THREE + text) as running:
        running.wait_for("up")
        running.send(signal.SIGINT)
        running.wait_for("unwinds")
        impatient(running)
        assert running.ended() == -signal.SIGINT, running.said()
        assert (running.told / "unwound").exists(), running.said()
        assert notes(running) == ["action 3", "action 1"], (notes(running), running.said())
        running.left_nothing()


def test_signals_during_an_orderly_clean_up():
    with program(THREE + SLOW.replace("signal.pause()", "pass")) as running:
        running.wait_for("begins-3")
        impatient(running)
        assert running.ended() == 0, running.said()
        assert notes(running) == ["action 3", "action 1"], (notes(running), running.said())
        running.left_nothing()


def test_killed_during_the_clean_up():
    text = SLOW.replace("clean_up(rig, 1)", "clean_up(rig, 1, sleeps=3600)")
    with program(THREE + text) as running:
        running.wait_for("up")
        running.send(signal.SIGTERM)
        running.wait_for("begins-1")
        running.send(signal.SIGKILL)
        running.ended()
        assert notes(running) == ["action 3", "command 1"], notes(running)
        running.left_nothing()


def test_signals_to_the_janitor_do_not_end_it():
    with program(THREE + UP) as running:
        running.wait_for("up")
        janitor = int(running.wait_for("janitor"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(janitor, number)
        assert os.getsid(janitor) == janitor, "the janitor is in the rig's session"
        running.send(signal.SIGKILL)
        running.ended()
        assert notes(running) == ["command 3", "command 1"], (notes(running), running.said())
        running.left_nothing()


def test_killed_janitor_leaves_the_rig_to_clean_up():
    with program(THREE + UP) as running:
        running.wait_for("up")
        os.kill(int(running.wait_for("janitor")), signal.SIGKILL)
        running.send(signal.SIGTERM)
        assert running.ended() == 143, running.said()
        assert notes(running) == ["action 3", "action 1"], (notes(running), running.said())
        assert "janitor was killed" in running.said(), running.said()
        running.left_nothing()


def test_nothing_is_made_when_the_janitor_is_gone():
    text = '''
with Rig() as rig:
    os.kill(rig.janitor.pid, signal.SIGKILL)
    rig.janitor.wait()
    clean_up(rig, 1)
    tell("made")
'''
    with program(THREE + text) as running:
        assert running.ended() == 1 and "the rig's janitor was killed: start again" in running.said(), running.said()
        assert not (running.told / "made").exists()
        running.left_nothing()


def test_deadline_of_a_command():
    text = '''
with Rig() as rig:
    clean_up(rig, 1)
    rig.at_end(lambda: None, ["/bin/sh", "-c", "trap '' TERM; sleep 3600"], deadline=0.5)
    rig.at_end(lambda: None, ["/nonexistent/command"])
    clean_up(rig, 4)
    tell("up")
    signal.pause()
'''
    _, noted, said = ended_by(signal.SIGKILL, text)
    assert noted == ["command 4", "command 1"], (noted, said)
    assert "has not ended in 0.5 s" in said and "cannot run /nonexistent/command" in said, said


def test_killed_while_it_registers():
    text = '''
with Rig() as rig:
    clean_up(rig, 1)
    os.write(rig.janitor.stdin.fileno(), b'{"number": 9, "argv": ["/bin/sh", "-c", "')
    tell("up")
    signal.pause()
'''
    _, noted, said = ended_by(signal.SIGKILL, text)
    assert noted == ["command 1"] and "Traceback" not in said, (noted, said)


def test_environment_and_folder_of_a_command():
    text = '''
with Rig() as rig:
    odd = "\\udce9 \\n \\" \\u20ac"
    rig.at_end(lambda: None, ["/bin/sh", "-c", 'echo "$ODD" >note; env >names'], {"ODD": odd}, os.environ["TOLD"])
    tell("up")
    signal.pause()
'''
    with program(text) as running:
        running.wait_for("up")
        running.send(signal.SIGKILL)
        running.ended()
        assert (running.told / "note").read_bytes() == b'\xe9 \n " \xe2\x82\xac\n', (running.told / "note").read_bytes()
        assert b"HOME=" not in (running.told / "names").read_bytes()


def test_what_works_in_the_folder_is_ended():
    text = '''
with Rig() as rig:
    rig.at_end(lambda: None)
    (rig.directory / "below").mkdir()
    stubborn = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; touch ready; while :; do sleep 1; done"], cwd=rig.directory / "below",
                                start_new_session=True)
    await_((rig.directory / "below/ready").exists, "the stubborn one does not come")
    tell("stubborn", stubborn.pid)
    signal.pause()
'''
    with program(text) as running, tempfile.TemporaryDirectory() as beside:
        stubborn = int(running.wait_for("stubborn"))
        folder = running.wait_for("directory")
        # Neither a process in a folder with a longer name, nor somebody who has a look at a terminal.
        other = subprocess.Popen(["/usr/bin/sleep", "3600"], cwd=shutil.copytree(beside, f"{folder}.other"), start_new_session=True)
        visitor, terminal = pty.fork()
        if visitor == 0:
            os.chdir(folder)
            os.execv("/usr/bin/sleep", ["sleep", "3600"])
        try:
            cases.await_(lambda: os.readlink(f"/proc/{visitor}/cwd") == folder, "the visitor does not come")
            running.send(signal.SIGKILL)
            running.ended()
            assert not process.alive(stubborn) and "SIGKILL to process" in running.said(), running.said()
            assert process.alive(other.pid) and process.alive(visitor), "a process that is not the rig's was ended"
            assert not os.path.exists(folder)
        finally:
            for pid in (other.pid, visitor):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(terminal)


def test_nohup():
    with program(THREE + UP, before=["/usr/bin/env", "--ignore-signal=HUP"]) as running:
        running.wait_for("up")
        # The first that is not ignored tells the status: it would be 129.
        running.send(signal.SIGHUP)
        running.send(signal.SIGTERM)
        assert running.ended() == 143, running.said()
        running.left_nothing()


def test_handlers_come_back():
    text = '''
handlers = [signal.getsignal(number) for number in stack.SIGNALS]
for _ in range(2):
    with Rig() as rig:
        pass
    assert handlers == [signal.getsignal(number) for number in stack.SIGNALS]
'''
    with program(text) as running:
        assert running.ended() == 0, running.said()
        running.left_nothing()


# --- what is tied to the rig ------------------------------------------------------------------------------------------------------


def test_load_generator_dies_with_the_rig():
    for number in (signal.SIGTERM, signal.SIGKILL):
        with program('''
with Rig() as rig:
    child = load.start(["/usr/bin/sleep", "3600"])
    await_(lambda: pathlib.Path(f"/proc/{child.pid}/comm").read_text() == "sleep\\n", "the load generator does not come")
    tell("child", child.pid)
    signal.pause()
''') as running:
            child = int(running.wait_for("child"))
            running.send(number)
            running.ended()
            cases.await_(lambda: not process.alive(child), f"the load generator outlives {number!r}", 10)


def test_script_gets_time_to_undo_itself():
    """run_quietly's child is told to end when the rig is killed, and is not killed itself."""
    with program('''
script = """trap 'echo undone >"$TOLD/undone"; exit' TERM
echo "$$" >"$TOLD/script.new"; mv "$TOLD/script.new" "$TOLD/script"
while :; do sleep 0.05; done"""
with Rig() as rig:
    stack.run_quietly(["/bin/bash", "-c", script], None, "fails")
''') as running:
        script = int(running.wait_for("script"))
        running.send(signal.SIGKILL)
        running.ended()
        cases.await_(lambda: not process.alive(script), "the script outlives the rig", 10)
        assert (running.told / "undone").exists()


def test_nothing_begins_when_the_rig_has_died_before():
    """A child that gets the CPU only after the rig's end."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        words = process.tied(["/usr/bin/touch", made])
        subprocess.run(words, check=True)
        assert made.exists()
        made.unlink()
        # Another parent than the one that it was meant for.
        done = subprocess.run(["/bin/sh", "-c", '"$@"; exit "$?"', "sh", *words], check=False)
        assert done.returncode == 1 and not made.exists(), done


def test_janitor_waits_for_what_the_rig_was_running():
    """rig.run's command may be slow to die; what it makes then must be undone, too."""
    with program('''
slow = """trap '' TERM; echo "$$" >"$TOLD/running.new"; mv "$TOLD/running.new" "$TOLD/running"; sleep 1; echo >"$TOLD/thing" """
with Rig() as rig:
    rig.at_end(lambda: None, ["/bin/rm", "-f", f"{os.environ['TOLD']}/thing"])
    rig.run(["/bin/sh", "-c", slow], None, "fails")
''') as running:
        slow = int(running.wait_for("running"))
        running.send(signal.SIGKILL)
        running.ended()
        cases.await_(lambda: not process.alive(slow), "the command does not end")
        assert not (running.told / "thing").exists(), running.said()


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
