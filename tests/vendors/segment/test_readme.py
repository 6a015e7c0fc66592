"""What Segment's README says of keys, operations, states and switches is so."""

import re
from pathlib import Path

import msgspec

from adapters.secrets import Secret
from adapters.segment import wire
from adapters.segment.adapter import SegmentAdapter, SegmentSettings
from adapters.segment.sandbox import SegmentSandbox
from adapters.segment.translate import JOB_STATES
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import settings

README = (Path(__file__).parents[3] / "adapters/segment/README.md").read_text()
OF_THE_SIMULATOR = {"rate_limits", "syncs_end_in", "cancelling_s"}
"""Switches that no page of the vendor's could answer."""


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_example_of_the_configuration_can_be_used(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", section("Configuration"), re.DOTALL)
    assert example
    (tmp_path / "gateway.toml").write_text(example[1])
    loaded = settings.load(tmp_path / "gateway.toml", {"SEGMENT_TOKEN": "sandbox-token"})
    (connection,) = loaded.connections
    assert connection.settings == SegmentSettings(token=Secret("sandbox-token"))


def test_every_key_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Configuration"), re.MULTILINE)
    fields = {field.name: field.default for field in msgspec.structs.fields(SegmentSettings)}
    assert {key for key, _ in rows} == fields.keys()
    for key, text in rows:
        assert "Required." in text if fields[key] is msgspec.NODEFAULT else str(fields[key]) in text


def test_every_operation_is_explained_with_its_version() -> None:
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \| .* \| (v1\w*) \|$", section("Operations"), re.MULTILINE)
    named = {name for row, _ in rows for name in row.split(", ")}
    assert {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in named} == SegmentAdapter.verbs()
    versions = {"v1": wire.STABLE, "v1beta": wire.BETA, "v1alpha": wire.ALPHA}
    assert all(version == f"application/vnd.segment.{word}+json" for word, version in versions.items())
    assert {word for _, word in rows} == versions.keys()


def test_the_states_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \|", section("States"), re.MULTILINE)
    assert rows == [(word.upper(), ExportJob.State.Name(state)) for word, state in JOB_STATES.items()]


def test_every_silence_of_the_documentation_names_its_switch() -> None:
    rows = re.findall(r"\| ([^|]*) \|$", section("Where the documentation is silent"), re.MULTILINE)
    switches = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert switches == SegmentSandbox.switch_table.keys() - OF_THE_SIMULATOR
