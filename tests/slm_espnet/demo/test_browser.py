"""The page in a browser, served by the command; left out where chromium and its driver, or Gradio, are not there."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import soundfile
from chromium import browser, needs_chromium

pytest.importorskip("gradio")
pytestmark = needs_chromium
LATE = 180  # seconds until a server that does not say its address is given up
OPEN_TAB = "[...document.querySelectorAll('button[role=tab]')].filter(e => e.innerText == '%s').forEach(e => e.click())"
UPLOADED = "document.querySelector('#slm-upload .waveform-container, #slm-upload audio')"
IN_WORDS = "[...document.querySelectorAll('[role=option]')].find(e => e.innerText.includes('in words'))"
# every text of the answer, from now on
WATCH = """
window.seen = [];
new MutationObserver(() => window.seen.push(document.querySelector('#slm-answer')?.innerText ?? ''))
    .observe(document.body, {subtree: true, childList: true, characterData: true});
"""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def served(folder, *options):
    """The address of a page of the command, which ends with the test; its temporary files go to a folder."""
    command = [sys.executable, "-m", "slm_espnet.bin.demo", "--device", "cpu", "--num_threads", "1", *options]
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(list(map(str, command)), env=environment, **pipes) as server:
        late = threading.Timer(LATE, server.kill)
        late.start()
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if found := re.search(r" is at (http\S+)", line):
                    break
            else:
                raise AssertionError("".join(said))
            late.cancel()
            yield found[1]
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0, "it ends when it is told to"
            assert not list(folder.rglob("*.wav")), "what visitors said is deleted"
        finally:
            late.cancel()
            server.kill()


def upload(session, path):
    """Choose a file in place of what was chosen."""
    session.run(OPEN_TAB % "Choose a file")
    if session.run(f"return Boolean({UPLOADED})"):
        session.run("document.querySelector('#slm-upload button[aria-label=Clear]').click()")
        session.until(f"!{UPLOADED}")
    session.type("#slm-upload input[type=file]", str(path))
    session.until(UPLOADED)


def ask(session, messages):
    """Ask, and wait until the dialog has so many messages and the turn has ended."""
    session.click("#slm-ask")
    chat = f"document.querySelectorAll('#slm-chat .message').length == {messages}"
    session.until(f"{chat} && document.querySelector('#slm-times')")


def test_a_dialog_of_speech_and_text(experiment, slm, noise, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1.5, 22050), 22050)
    (tmp_path / "garbage.wav").write_bytes(b"this is no audio" * 20)
    heard = slm(tmp_path / "a.wav").ctc_hypothesis
    with served(tmp_path / "served", "--model", experiment) as address, browser(tmp_path / "profile") as session:
        session.requests()  # of the browser's own first page
        session.open(address, 1280)
        session.element("#slm-ask")
        upload(session, tmp_path / "a.wav")
        session.run(WATCH)
        ask(session, 2)
        answer = session.text("#slm-answer")
        growing = list(dict.fromkeys(session.run("return window.seen")))
        assert list((tmp_path / "served").rglob("a.wav")), "of this server alone"
        assert session.text("#slm-ctc") == heard and answer and answer in session.text("#slm-chat")
        parts = [text for text in growing if text not in ("", "…", answer)]  # it is shorter where a loop was cut
        assert len(parts) > 1 and all(later.startswith(text) for text, later in itertools.pairwise(parts))
        assert session.run("return document.querySelectorAll('#slm-heard svg').length") == 1

        upload(session, tmp_path / "garbage.wav")
        session.click("#slm-ask")
        session.until("document.querySelector('.slm-error')")
        assert "garbage.wav: cannot be read as audio" in session.text("#slm-error")
        assert answer in session.text("#slm-chat"), "the dialog is still there"

        session.run(OPEN_TAB % "Type instead")
        session.type("#slm-text textarea", "good morning")
        session.click("#slm-task input")
        session.until(IN_WORDS)
        session.run(f"{IN_WORDS}.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}}))")
        session.until("document.querySelector('#slm-words textarea')?.offsetParent")
        session.type("#slm-words textarea", "<b>reply</b> to this")
        ask(session, 4)
        chat = session.text("#slm-chat")
        assert chat.index(answer) < chat.index("good morning") < chat.index("<b>reply</b> to this")
        assert f"The conversation so far: User: {answer}" in session.text("#slm-times")
        assert session.text("#slm-error") == "" and session.text("#slm-heard") == ""

        tab = session.post("/window/new", type="tab")["handle"]  # another visitor
        session.post("/window", handle=tab)
        session.open(address, 400)
        session.element("#slm-ask")
        assert session.run(OVERFLOW) <= 0, "nothing sticks out on a telephone"
        assert session.run("return document.querySelectorAll('#slm-chat .message').length") == 0
        upload(session, tmp_path / "a.wav")
        ask(session, 2)
        assert session.text("#slm-answer") == answer, "what others said plays no part"

        asked = [url for url in session.requests() if url.startswith(("http", "ws"))]
        assert asked and all(url.startswith(address) for url in asked), "nothing comes from elsewhere"
        errors = [entry["message"] for entry in session.post("/se/log", type="browser")]
        assert not [message for message in errors if "Content Security Policy" in message], errors


def test_a_taken_port_and_half_a_certificate_are_said(experiment, tmp_path):
    import socket

    from slm_espnet.bin import demo
    from slm_espnet.errors import UserError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(UserError, match=f"port {port}: .* give another"):
            demo.main(["--model", str(experiment), "--device", "cpu", "--port", port])
    with pytest.raises(UserError, match="belong together"):
        demo.main(["--model", str(experiment), "--ssl_certfile", str(tmp_path)])
