"""The host's end of the control port: a guest that loses the first answer of a connection is asked again."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired
from hotswap.machine import standin_control
from hotswap.machine.standin_control import StandinControl
from hotswap.machine.unix_socket import listen_unix


def answer(server: socket.socket, lost: int) -> None:
    """Answers requests for the clock, but for the first ones."""
    stream, _ = server.accept()
    with stream, stream.makefile("r") as lines:
        seen = 0
        for line in lines:
            if line.strip():
                seen += 1
                if seen > lost:
                    stream.sendall(f"{line.split()[0]} ok 1 2\n".encode())


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_answer_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    monkeypatch.setattr(standin_control, "_GREETING_SECONDS", 0.2)
    with listen_unix(tmp_path / "port.sock") as server:
        guest = threading.Thread(target=answer, args=(server, lost), daemon=True)
        guest.start()
        control = StandinControl(tmp_path / "port.sock", Deadline.after(5), lambda: None)
        control.greet(deadline=Deadline.after(20))
        control.close()
        guest.join(5)


def test_a_guest_that_never_answers_is_told_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin_control, "_GREETING_SECONDS", 0.1)
    with listen_unix(tmp_path / "port.sock") as server:
        threading.Thread(target=answer, args=(server, 1000), daemon=True).start()
        control = StandinControl(tmp_path / "port.sock", Deadline.after(5), lambda: None)
        with pytest.raises(DeadlineExpired):
            control.greet(deadline=Deadline.after(0.5))
        control.close()
