"""What Meiro's README says of keys, states and switches is so."""

import re
from pathlib import Path

import msgspec

from adapters.meiro.adapter import MeiroAdapter, MeiroSettings
from adapters.meiro.sandbox import MeiroSandbox
from adapters.meiro.translate import JOB_STATES
from adapters.secrets import Secret
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import settings

README = (Path(__file__).parents[3] / "adapters/meiro/README.md").read_text()


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_example_of_the_configuration_can_be_used(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", section("Configuration"), re.DOTALL)
    assert example
    (tmp_path / "gateway.toml").write_text(example[1])
    loaded = settings.load(tmp_path / "gateway.toml", {"MEIRO_PASSWORD": "sandbox-password"})
    (connection,) = loaded.connections
    assert connection.settings == MeiroSettings(
        base_url="https://acme.meiro.io/api/", email="gateway@acme.example", password=Secret("sandbox-password")
    )


def test_every_key_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", section("Configuration"), re.MULTILINE)
    explained = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert explained == {field.name for field in msgspec.structs.fields(MeiroSettings)}


def test_the_states_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \|", section("States"), re.MULTILINE)
    assert rows == [(word, ExportJob.State.Name(state)) for word, state in JOB_STATES.items()]


def test_every_operation_is_explained() -> None:
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \|", section("Operations"), re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    assert {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in named} == MeiroAdapter.verbs()


def test_every_silence_of_the_documentation_names_its_switch() -> None:
    rows = re.findall(r"\| ([^|]*) \|$", section("Where the documentation is silent"), re.MULTILINE)
    switches = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert switches == MeiroSandbox.switch_table.keys() - {"download_rows"}
