"""`hotswap trace` with events that a manifest or a message format describes, given with --manifest and --tmf."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from command import called

from support.raw_events import classic, event, file_of, message, perfinfo

PROVIDER = UUID("11223344-5566-7788-99aa-bbccddeeff00")
MESSAGES = UUID("4ed73968-00d8-34f3-557f-85fe0ce17799")
MANIFEST = f"""<?xml version="1.0"?>
<instrumentationManifest xmlns="http://schemas.microsoft.com/win/2004/08/events">
 <instrumentation><events>
  <provider name="Contoso-Driver" guid="{{{PROVIDER}}}">
   <maps>
    <valueMap name="Why"><map value="1" message="$(string.power)"/><map value="2" message="$(string.pnp)"/></valueMap>
   </maps>
   <templates>
    <template tid="request">
     <data name="Reason" inType="win:UInt32" map="Why"/>
     <data name="From" inType="win:UInt32" outType="win:IPv4"/>
     <data name="Code" inType="win:Int32" outType="win:HResult"/>
     <data name="Length" inType="win:UInt16"/>
     <data name="Name" inType="win:UnicodeString" length="Length"/>
    </template>
   </templates>
   <tasks><task name="Request" value="7"/></tasks>
   <events><event value="1" version="2" task="Request" opcode="win:Start" template="request"/></events>
  </provider>
 </events></instrumentation>
 <localization><resources culture="en-US"><stringTable>
  <string id="power" value="Power"/><string id="pnp" value="Plug and Play"/>
 </stringTable></resources></localization>
</instrumentationManifest>
"""
TMF = f"""{MESSAGES} Sample // SRC=worker.c MJ= MN=
#typev worker_c175 11 "%0Worker %10!d! failed with %11!s!" //   LEVEL=TRACE_LEVEL_ERROR FUNC=Wake
{{
Worker, ItemLong -- 10
Status, ItemNTSTATUS -- 11
}}
"""


def request(tick: int, reason: int, code: int) -> bytes:
    name = "näme"
    payload = struct.pack("<I4siH", reason, bytes([10, 0, 0, reason]), code, len(name)) + name.encode("utf-16-le")
    return event(tick, PROVIDER, 1, payload)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    events = [
        request(10, 1, 0),
        request(20, 2, -2147024891),
        request(30, 9, 0),
        message(11, 0x02, MESSAGES.bytes_le, struct.pack("<iI", -3, 0xC0000120)),
        classic(50, UUID(int=5), 77, b"\x01\x02"),
        perfinfo(60, 0x0F44, struct.pack("<QQ", 59, 0xFFFFF80000001000), version=1),
    ]
    path = tmp_path / "trace.etl"
    path.write_bytes(file_of(events))
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "driver.man"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


@pytest.fixture
def formats(tmp_path: Path) -> Path:
    path = tmp_path / "driver.tmf"
    path.write_text(TMF, encoding="utf-8")
    return path


def test_values_are_shown_as_people_know_them(trace: Path, manifest: Path, formats: Path, runs: Path) -> None:
    done = called("trace", "show", trace, "--manifest", manifest, "--tmf", formats, runs=runs)
    assert (done.code, done.err) == (0, "")
    shown = [" ".join(line.split()[5:]) for line in done.out.splitlines()[2:]]
    assert shown == [
        "Request/Start Reason=Power From=10.0.0.1 Code=0x0 Length=4 Name=näme",
        "Request/Start Reason=Plug and Play From=10.0.0.2 Code=0x80070005 Length=4 Name=näme",
        "Request/Start Reason=9 From=10.0.0.9 Code=0x0 Length=4 Name=näme",
        "worker_c175 Worker -3 failed with STATUS_CANCELLED",
        "type 77 (nothing describes its payload: 2 bytes)",
        "PerfInfo/DPC InitialTime=59 Routine=0xfffff80000001000",
    ]


def test_without_them_provider_and_number_are_shown(trace: Path, runs: Path) -> None:
    done = called("trace", "show", trace, runs=runs)
    assert done.code == 0
    assert " ".join(done.out.splitlines()[2].split()[5:]) == "id 1 (nothing describes its payload: 22 bytes)"
    assert " ".join(done.out.splitlines()[5].split()[5:]) == "message 11 (nothing describes its payload: 8 bytes)"
    stats = called("trace", "stats", trace, runs=runs)
    assert str(PROVIDER) in stats.out
    assert str(MESSAGES) in stats.out


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("Reason=Power", 1),
        ("Reason=Plug and Play", 1),
        ("Reason!=Power", 2),
        ("Reason=9", 1),
        ("From=10.0.0.2", 1),
        ("Code=0x80070005", 1),
        ("Code<0", 1),
        ("Name=näme", 3),
    ],
)
def test_conditions_take_values_as_they_are_shown(
    trace: Path, manifest: Path, runs: Path, condition: str, count: int
) -> None:
    done = called("trace", "show", trace, "--manifest", manifest, "-w", condition, runs=runs)
    assert done.code == 0
    assert len(done.out.splitlines()) == count + 1


def test_json_has_numbers_and_their_names(trace: Path, manifest: Path, formats: Path, runs: Path) -> None:
    done = called("trace", "show", trace, "--json", "--manifest", manifest, "--tmf", formats, runs=runs)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows[2]["fields"] == {
        "Reason": 2, "From": "10.0.0.2", "Code": -2147024891, "Length": 4, "Name": "näme"
    }  # fmt: skip
    assert rows[2]["names"] == {"Reason": "Plug and Play"}
    assert "names" not in rows[3]
    assert (rows[4]["message"], rows[4]["fields"]) == (
        "Worker -3 failed with STATUS_CANCELLED",
        {"Worker": -3, "Status": 0xC0000120},
    )


def test_exported_columns_have_names_and_messages(
    trace: Path, manifest: Path, formats: Path, runs: Path, tmp_path: Path
) -> None:
    into = tmp_path / "events.parquet"
    done = called("trace", "export", trace, into, "--manifest", manifest, "--tmf", formats, runs=runs)
    assert done.code == 0, done.err
    columns = pq.read_table(into).slice(1).to_pydict()
    assert columns["Reason"] == [1, 2, 9, None, None, None]
    assert columns["Reason_name"] == ["Power", "Plug and Play", None, None, None, None]
    assert columns["From"] == ["10.0.0.1", "10.0.0.2", "10.0.0.9", None, None, None]
    assert columns["message"] == [None, None, None, "Worker -3 failed with STATUS_CANCELLED", None, None]
    assert columns["problem"] == [None, None, None, None, "nothing describes its payload", None]
    assert columns["payload"][4] == b"\x01\x02"


def test_sql_asks_for_names(trace: Path, manifest: Path, runs: Path) -> None:
    query = "select count(*) as n from events where Reason_name = 'Power' and \"From\" = '10.0.0.1'"
    done = called("trace", "sql", trace, query, "--json", "--manifest", manifest, runs=runs)
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == [[1]]


def test_info_says_what_describes_the_events(trace: Path, manifest: Path, formats: Path, runs: Path) -> None:
    done = called("trace", "info", trace, "--json", "--manifest", manifest, "--tmf", formats, runs=runs)
    assert json.loads(done.out)["described"] == {str(manifest): 3, "built-in": 2, str(formats): 1, "": 1}


def test_the_first_manifest_that_describes_an_event_counts(
    trace: Path, manifest: Path, runs: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.man"
    other.write_text(MANIFEST.replace('name="From"', 'name="Source"'))
    both = ("--manifest", manifest, "--manifest", other)
    assert "From=" in called("trace", "show", trace, *both, runs=runs).out
    assert "Source=" in called("trace", "show", trace, *both[2:], *both[:2], runs=runs).out


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("</template>", "</tmplate>", 15, "mismatched tag"),
        (MANIFEST, "<a/>", 1, "no instrumentation manifest"),
        (MANIFEST, "", 1, "no element found"),
    ],
)
def test_what_is_no_manifest_is_bad_input_with_its_line(
    trace: Path, manifest: Path, runs: Path, old: str, new: str, line: int, said: str
) -> None:
    manifest.write_text(MANIFEST.replace(old, new))
    done = called("trace", "show", trace, "--manifest", manifest, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert done.complaint().startswith(f"{manifest}:{line}: ")
    assert said in done.complaint()


def test_an_event_that_makes_no_sense_is_told_and_the_others_are_read(trace: Path, manifest: Path, runs: Path) -> None:
    wrong = '<event value="2" version="2" template="nothing"/></events>'
    manifest.write_text(MANIFEST.replace("</events>\n  </provider>", f"\n{wrong}\n  </provider>"))
    done = called("trace", "show", trace, "--manifest", manifest, runs=runs)
    assert done.code == 0
    assert "Reason=Power" in done.out
    assert f"{manifest}:19: " in done.err


def test_what_is_no_format_is_bad_input_with_its_line(trace: Path, formats: Path, runs: Path) -> None:
    formats.write_text("hello")
    done = called("trace", "show", trace, "--tmf", formats, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert done.complaint().startswith(f"{formats}:1: ")


def test_a_file_that_is_not_there_is_bad_input(trace: Path, runs: Path, tmp_path: Path) -> None:
    for option in ("--manifest", "--tmf"):
        done = called("trace", "info", trace, option, tmp_path / "none", runs=runs)
        assert done.code == 2
        assert str(tmp_path / "none") in done.complaint()


def test_rules_are_asked_of_events_that_a_manifest_describes(
    trace: Path, manifest: Path, formats: Path, runs: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text(
        "from hotswap.trace.rules import each, event\n"
        'answered = each(event("Request/Start", Reason=2)).followed_by("worker_c175", within="1 s")\n'
        'named = each("Request/Start").satisfies(Name="näme")\n',
        encoding="utf-8",
    )
    done = called("trace", "check", rules, trace, "--manifest", manifest, "--tmf", formats, runs=runs)
    assert done.code == 0, done.out + done.err
