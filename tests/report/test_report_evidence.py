"""What a run folder holds of evidence stands in its report: files as links, what is missing with its reason."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.machine.evidence import Evidence
from hotswap.report.browser import Browser
from hotswap.report.evidence import evidence_view
from hotswap.report.html import write_report
from support.reports import failed, result_of


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PICTURE = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\0" + bytes(6)))
    + chunk(b"IEND", b"")
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    evidence = Evidence(folder, Deadline.after(10))
    for name, content in (("logs/qemu.log", b"words"), ("screens/000.png", PICTURE), ("<odd> & name", b"x" * 3000)):
        with evidence.step(name, "a test") as path:
            path.write_bytes(content)
    evidence.missing("memory.kdump", "QEMU", "no space <left>")
    evidence.finish(state="panicked", cause="the guest panicked")
    (folder / "preflight.json").write_text("[]\n")
    return tmp_path


def test_files_have_links_and_what_is_missing_has_its_reason(run: Path) -> None:
    view = evidence_view(run)
    assert (view.state, view.cause) == ("panicked", "the guest panicked")
    assert [(piece.name, piece.size) for piece in view.there] == [
        ("preflight.json", "3 B"),
        ("logs/qemu.log", "5 B"),
        ("screens/000.png", f"{len(PICTURE)} B"),
        ("<odd> & name", "3 KiB"),
    ]
    assert [(piece.name, piece.problem) for piece in view.missing] == [("memory.kdump", "no space <left>")]
    assert view.screen.startswith("data:image/png;base64,")


def test_a_folder_without_a_list_shows_what_lies_in_it(tmp_path: Path) -> None:
    assert evidence_view(tmp_path).there == ()
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "evidence.json").write_text("{broken")
    (tmp_path / "evidence" / "processes.json").write_text("[]")
    assert [piece.name for piece in evidence_view(tmp_path).there] == ["processes.json"]


def test_the_report_shows_screen_links_and_reasons(run: Path) -> None:
    made = failed()
    etl = made.etl()
    page = run / "report.html"
    page.write_text(write_report(dataclasses.replace(result_of(made, etl), run_folder=run), etl, made.witnesses))
    browser = Browser()
    try:
        browser.open(page)
        told = str(browser.evaluate("document.getElementById('evidence').innerText"))
        assert "panicked" in told
        assert "no space <left>" in told
        assert "<odd> & name" in told
        assert browser.evaluate("document.querySelector('#evidence img').naturalWidth") == 2
        links = str(browser.evaluate("[...document.querySelectorAll('.pieces a')].map(a => a.href).join(' ')"))
        assert all((run / "evidence" / name).exists() for name in ("logs/qemu.log", "preflight.json"))
        assert "evidence/%3Codd%3E%20%26%20name" in links
        assert browser.complaints() == []
    finally:
        browser.close()
