"""What Adobe's README says of keys, states, operations and switches is so."""

import re
from pathlib import Path

import msgspec

from adapters.adobe.adapter import RUNNING_PAGES, AdobeAdapter, AdobeSettings
from adapters.adobe.sandbox import AdobeSandbox
from adapters.adobe.translate import FAULT_KINDS, JOB_STATES
from adapters.secrets import Secret
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import settings

README = (Path(__file__).parents[3] / "adapters/adobe/README.md").read_text()


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_example_of_the_configuration_can_be_used(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", section("Configuration"), re.DOTALL)
    assert example
    (tmp_path / "gateway.toml").write_text(example[1])
    loaded = settings.load(tmp_path / "gateway.toml", {"ADOBE_CLIENT_SECRET": "sandbox-client-secret"})
    (connection,) = loaded.connections
    assert connection.settings == AdobeSettings(
        client_id="0123456789abcdef0123456789abcdef",
        client_secret=Secret("sandbox-client-secret"),
        organization="1BD6382559DF0C130A49422D@AdobeOrg",
        sandbox="prod",
    )


def test_every_key_is_explained_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Configuration"), re.MULTILINE))
    fields = {field.name: field for field in msgspec.structs.fields(AdobeSettings)}
    assert rows.keys() == fields.keys()
    assert {name for name, text in rows.items() if "Required." in text} == {
        name for name, field in fields.items() if field.required
    }
    assert all(
        f"Default `{field.default}`" in rows[name] for name, field in fields.items() if isinstance(field.default, str)
    )


def test_the_states_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \|", section("States"), re.MULTILINE)
    assert rows == [(word, ExportJob.State.Name(state)) for word, state in JOB_STATES.items()]


def test_every_operation_is_explained() -> None:
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \|", section("Operations"), re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    assert {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in named} == AdobeAdapter.verbs()


def test_every_code_that_says_more_than_its_status_is_named() -> None:
    assert set(re.findall(r"\b\d{6}\b", section("Errors"))) == set(FAULT_KINDS)


def test_how_far_running_jobs_are_looked_for_is_so() -> None:
    assert f"the newest {RUNNING_PAGES * AdobeAdapter.limits.max_page_size} jobs" in section("Operations")


def test_every_silence_of_the_documentation_names_its_switch() -> None:
    rows = re.findall(r"\| ([^|]*) \|$", section("Where the documentation is silent"), re.MULTILINE)
    switches = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert switches == AdobeSandbox.switch_table.keys()
