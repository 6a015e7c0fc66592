"""What mediarithmics' README says of keys, operations, members, states and switches is so."""

import re
from pathlib import Path

import msgspec

from adapters.mediarithmics import wire
from adapters.mediarithmics.adapter import MAX_FILE_BYTES, NEWEST_RESULTS, MediarithmicsAdapter, MediarithmicsSettings
from adapters.mediarithmics.sandbox import MediarithmicsSandbox
from adapters.mediarithmics.translate import JOB_STATES
from adapters.secrets import Secret
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import settings

README = (Path(__file__).parents[3] / "adapters/mediarithmics/README.md").read_text()
OF_THE_SIMULATOR = {"check_rows", "keep_bodies", "executions_end_in"}
"""Switches that no page of the vendor's could answer."""


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_example_of_the_configuration_can_be_used(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", section("Configuration"), re.DOTALL)
    assert example
    (tmp_path / "gateway.toml").write_text(example[1])
    loaded = settings.load(tmp_path / "gateway.toml", {"MEDIARITHMICS_TOKEN": "sandbox-token"})
    (connection,) = loaded.connections
    assert connection.settings == MediarithmicsSettings(token=Secret("sandbox-token"), datamart_id="1509")


def test_every_key_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Configuration"), re.MULTILINE)
    fields = {field.name: field.default for field in msgspec.structs.fields(MediarithmicsSettings)}
    assert {key for key, _ in rows} == fields.keys()
    for key, text in rows:
        assert fields[key] is msgspec.NODEFAULT or str(fields[key]).lower() in text


def test_every_operation_is_explained() -> None:
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \|", section("Operations"), re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")} - {"IngestAudienceMembers"}
    assert {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in named} == MediarithmicsAdapter.verbs()
    assert f"the newest {NEWEST_RESULTS}" in section("Operations")


def test_every_field_of_a_command_is_explained() -> None:
    there = set(re.findall(r"`(\w+)`", section("Members")))
    fields = set(wire.Command.__struct_fields__)
    assert fields <= there
    assert f"{MAX_FILE_BYTES // 2**20} MiB" in section("Members")


def test_the_states_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \|", section("States"), re.MULTILINE)
    assert rows == [(word.upper(), ExportJob.State.Name(state)) for word, state in JOB_STATES.items()]


def test_every_silence_of_the_documentation_names_its_switch() -> None:
    rows = re.findall(r"\| ([^|]*) \|$", section("Where the documentation is silent"), re.MULTILINE)
    switches = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert switches == MediarithmicsSandbox.switch_table.keys() - OF_THE_SIMULATOR
