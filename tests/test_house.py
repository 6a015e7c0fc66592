"""The house is in order; and each rule that says so would notice if it were not."""

import subprocess
from pathlib import Path

import pytest

from tests.house import what_is_written, what_needs_a_reason, what_stands_where
from tests.house.tree import RULES, Rule, Tree
from tests.house.who_imports_whom import (
    adapters_know_no_grpc,
    gateway_knows_no_vendor,
    imports_go_one_way,
    nothing_branches_on_a_vendor,
    vendors_are_listed_in_the_registry_alone,
)

ROOT = Path(__file__).parent.parent


def the_project() -> Tree:
    """Read every text file that is, or could be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    tree: Tree = {}
    for path in filter(None, listed):
        file = ROOT / path
        if file.is_file() and b"\0" not in (data := file.read_bytes()):
            tree[path] = data.decode()
    return tree


@pytest.fixture(scope="module")
def project() -> Tree:
    return the_project()


# A house in order, as small as it gets: one vendor, one service.
SAMPLE: Tree = {
    "Makefile": ".PHONY: test\ntest: install  ## every test\n",
    "pyproject.toml": """\
[project]
dependencies = ["msgspec>=0.19"]
[tool.ruff.lint]
ignore = [
    "EM",  # reads best where it is raised
]
[[tool.mypy.overrides]]
# No types are published.
module = ["google.rpc.*"]
ignore_missing_imports = true
""",
    "requirements.lock": f"msgspec==0.22.0 \\\n    --hash=sha256:{'0' * 64}\n    # via audience-gateway\n",
    "protos/audiencegateway/v1/destinations.proto": "service DestinationService {}\n",
    "protos/gen/audiencegateway/v1/destinations_pb2_grpc.py": "import grpc\nfrom audiencegateway.v1 import x_pb2\n",
    "gateway/errors.py": '"""Table."""\nimport grpc\nfrom google.rpc import code_pb2\nfrom adapters import names\n',
    "gateway/connections.py": '"""Opens."""\nfrom adapters import registry\nfrom gateway import errors\n',
    "gateway/interceptors/catch_all.py": '"""Outermost."""\ntry:\n    pass\nexcept BaseException:\n    pass\n',
    "gateway/services/destinations.py": '"""Answers."""\nfrom audiencegateway.v1 import destinations_pb2_grpc\n',
    "adapters/names.py": '"""Names."""\nimport re\n',
    "adapters/http.py": '"""HTTP."""\nimport aiohttp\nfrom adapters import names\n',
    "adapters/registry.py": '"""Vendors."""\nBUILT_IN = {"acme": "adapters.acme.adapter:AcmeAdapter"}\n',
    "adapters/sandbox.py": '"""Toolkit."""\nfrom aiohttp import web\n',
    "adapters/acme/__init__.py": '"""Acme."""\n',
    "adapters/acme/README.md": "# Acme\n",
    "adapters/acme/wire.py": '"""JSON."""\nimport msgspec\n',
    "adapters/acme/translate.py": """\
'''Acme's words.'''
from google.protobuf.timestamp_pb2 import Timestamp
from adapters import names
from adapters.acme import wire
from audiencegateway.v1.destinations_pb2 import Destination

# https://docs.acme.example/rest/v2/runs#lifecycle
# (as read)
JOB_STATES = {"queued": 1}
""",
    "adapters/acme/adapter.py": """\
'''Acme CDP over REST v2.

Docs:   https://docs.acme.example/rest/v2 (read 2026-01-10)
Auth:   static bearer token.
Paging: opaque `after` cursor, at most 200 items a page.
Limits: 10 requests/second per token.
'''
from adapters.acme import translate, wire
from adapters.http import Http
class AcmeAdapter:
    '''Drives Acme.'''
    def get_destination(self): ...
""",
    "adapters/acme/sandbox.py": '"""Simulator."""\nfrom aiohttp import web\nfrom adapters.sandbox import Sandbox\n',
    "tests/conformance/test_pages.py": (
        '"""Pages."""\nasync def test_pages_end(vendor):\n    await asyncio.sleep(0)\n    assert vendor == "umbrella"\n'
    ),
}

# What each rule must notice: the rule, a file, and what is appended to it (or its content, if it is new).
PLANTED: list[tuple[Rule, str, str]] = [
    (imports_go_one_way, "protos/gen/audiencegateway/v1/x_pb2.py", "import adapters"),
    (imports_go_one_way, "adapters/acme/wire.py", "from adapters import names"),
    (imports_go_one_way, "adapters/acme/translate.py", "import aiohttp"),
    (imports_go_one_way, "adapters/acme/translate.py", "import asyncio"),
    (imports_go_one_way, "adapters/acme/translate.py", "from http import HTTPStatus"),
    (imports_go_one_way, "adapters/acme/translate.py", "from adapters.http import Http"),
    (imports_go_one_way, "adapters/acme/translate.py", "from .adapter import AcmeAdapter"),
    (imports_go_one_way, "adapters/acme/adapter.py", "from gateway import errors"),
    (imports_go_one_way, "adapters/acme/adapter.py", "from ..umbrella import wire"),
    (imports_go_one_way, "adapters/acme/adapter.py", "def f():\n    import aiohttp"),
    (imports_go_one_way, "adapters/acme/adapter.py", "from adapters.acme.sandbox import AcmeSandbox"),
    (imports_go_one_way, "adapters/acme/adapter.py", "from audiencegateway.v1 import x_pb2_grpc"),
    (imports_go_one_way, "adapters/acme/sandbox.py", "from adapters.acme.wire import Run"),
    (imports_go_one_way, "adapters/acme/sandbox.py", "from . import translate"),
    (imports_go_one_way, "adapters/acme/sandbox.py", "from audiencegateway.v1 import x_pb2"),
    (imports_go_one_way, "adapters/acme/sandbox.py", "from adapters import names"),
    (imports_go_one_way, "adapters/acme/__init__.py", "from adapters.acme import adapter"),
    (imports_go_one_way, "adapters/sandbox.py", "from adapters.http import Http"),
    (imports_go_one_way, "adapters/http.py", "from grpc_status import rpc_status"),
    (imports_go_one_way, "adapters/http.py", "from adapters.acme import wire"),
    (imports_go_one_way, "adapters/http.py", "from adapters import registry"),
    (imports_go_one_way, "gateway/errors.py", "from adapters import registry"),
    (imports_go_one_way, "gateway/errors.py", "from aiohttp import ClientError"),
    (imports_go_one_way, "gateway/errors.py", "from tests.house import tree"),
    (imports_go_one_way, "gateway/connections.py", "from adapters import sandbox"),
    (imports_go_one_way, "gateway/__main__.py", "from adapters.acme import adapter"),
    (adapters_know_no_grpc, "adapters/README.md", "Never import grpc."),
    (gateway_knows_no_vendor, "gateway/README.md", "Try it with Acme."),
    (gateway_knows_no_vendor, "gateway/errors.py", "class AcmeError: ..."),
    (gateway_knows_no_vendor, "gateway/errors.py", "get_acme_token = 1"),
    (vendors_are_listed_in_the_registry_alone, "adapters/http.py", 'SLOW = {"acme"}'),
    (vendors_are_listed_in_the_registry_alone, "tests/conformance/test_a.py", 'ALL = ["acme"]'),
    (nothing_branches_on_a_vendor, "gateway/errors.py", 'x = 1 if self.vendor == "umbrella" else 2'),
    (nothing_branches_on_a_vendor, "gateway/errors.py", 'if vendor in ("umbrella", "acme"): ...'),
    (nothing_branches_on_a_vendor, "tests/test_a.py", 'match a.vendor:\n    case "umbrella": ...'),
    (what_stands_where.top_level_is_swept, "notes.txt", "Buy milk."),
    (what_stands_where.top_level_is_swept, "scripts/release.sh", "true"),
    (what_stands_where.vendors_have_the_same_five_files, "adapters/umbrella/adapter.py", ""),
    (what_stands_where.vendors_have_the_same_five_files, "adapters/acme/paging.py", ""),
    (what_stands_where.services_stand_beside_their_protos, "gateway/services/members.py", ""),
    (what_stands_where.services_stand_beside_their_protos, "protos/audiencegateway/v1/x.proto", "service X {}"),
    (what_stands_where.modules_have_telling_names, "gateway/grpc_utils.py", ""),
    (what_stands_where.modules_have_telling_names, "tests/helpers/names.py", ""),
    (what_is_written.modules_say_what_they_are, "tests/test_a.py", "import re"),
    (what_is_written.modules_say_what_they_are, "adapters/empty.py", ""),
    (what_is_written.public_things_are_documented, "gateway/errors.py", "def status(): ..."),
    (what_is_written.public_things_are_documented, "adapters/http.py", "class Http: ..."),
    (what_is_written.adapters_carry_their_card, "adapters/umbrella/adapter.py", '"""Umbrella."""'),
    (
        what_is_written.adapters_carry_their_card,
        "adapters/umbrella/adapter.py",
        '"""Umbrella.\n\nDocs: https://umbrella.example (read 2026-01-10)\nAuth: none.\nLimits: none.\n"""',
    ),
    (what_is_written.state_tables_name_their_source, "adapters/acme/translate.py", "RUN_STATES = {}"),
    (what_is_written.state_tables_name_their_source, "adapters/acme/translate.py", "# As read.\nA_STATES: dict = {}"),
    (what_is_written.makefile_documents_its_verbs, "Makefile", ".PHONY: lint\nlint:\n\truff check"),
    (what_is_written.makefile_documents_its_verbs, "Makefile", "lint:  ## lint\n\truff check"),
    (what_is_written.no_file_names_a_host_or_a_machine, "README.md", "cd " + what_is_written.MACHINE_PATHS[0]),
    (what_is_written.no_file_names_a_host_or_a_machine, ".npmrc", "//" + what_is_written.REGISTRY_HOSTS[2]),
    (what_is_written.nothing_catches_everything, "gateway/errors.py", "try: ...\nexcept Exception: ..."),
    (what_is_written.nothing_catches_everything, "adapters/http.py", "try: ...\nexcept: ..."),
    (what_is_written.nothing_catches_everything, "tests/a.py", "try: ...\nexcept (OSError, BaseException): ..."),
    (what_is_written.nothing_catches_everything, "adapters/http.py", "with contextlib.suppress(Exception): ..."),
    (
        what_is_written.nothing_catches_everything,
        "gateway/interceptors/catch_all.py",
        "try: ...\nexcept Exception: ...",
    ),
    (what_is_written.tests_do_not_sleep, "tests/test_a.py", "time.sleep(0.1)"),
    (what_is_written.tests_do_not_sleep, "tests/test_a.py", "await asyncio.sleep(delay)"),
    (what_is_written.tests_do_not_sleep, "tests/bench/test_a.py", "time.sleep(0.1)"),
    (what_is_written.tests_leave_aiohttp_as_it_is, "tests/test_a.py", "from aioresponses import aioresponses"),
    (what_is_written.tests_leave_aiohttp_as_it_is, "tests/test_a.py", "m.setattr(aiohttp.ClientSession, 'get', 1)"),
    (
        what_is_written.tests_leave_aiohttp_as_it_is,
        "tests/test_a.py",
        "with mock.patch('aiohttp.ClientSession.get'): ...",
    ),
    (what_is_written.tests_assert, "tests/test_a.py", "def test_nothing():\n    list(range(3))"),
    (what_needs_a_reason.exceptions_to_a_tool_have_a_reason, "adapters/http.py", "import a  # noqa"),
    (what_needs_a_reason.exceptions_to_a_tool_have_a_reason, "adapters/http.py", "import a  # noqa: F401, E402"),
    (what_needs_a_reason.exceptions_to_a_tool_have_a_reason, "adapters/http.py", "a = 1  # type: ignore[assignment]"),
    (what_needs_a_reason.exceptions_to_a_tool_have_a_reason, "adapters/http.py", "a = 1  # pragma: no cover"),
    (what_needs_a_reason.exceptions_to_a_tool_have_a_reason, "pyproject.toml", '[tool.ruff.lint]\nignore = ["D"]'),
    (
        what_needs_a_reason.exceptions_to_a_tool_have_a_reason,
        "pyproject.toml",
        '[tool.ruff.lint]\nignore = [\n    "D",\n]',
    ),
    (
        what_needs_a_reason.exceptions_to_a_tool_have_a_reason,
        "pyproject.toml",
        '[tool.pytest.ini_options]\nfilterwarnings = [\n    "ignore:old:DeprecationWarning",\n]',
    ),
    (
        what_needs_a_reason.exceptions_to_a_tool_have_a_reason,
        "pyproject.toml",
        '[[tool.mypy.overrides]]\nmodule = ["a"]\nignore_errors = true',
    ),
    (
        what_needs_a_reason.lock_is_whole_and_names_no_place,
        "pyproject.toml",
        '[project.optional-dependencies]\na = ["b>1"]',
    ),
    (what_needs_a_reason.lock_is_whole_and_names_no_place, "requirements.lock", "yarl==1.25.1"),
    (what_needs_a_reason.lock_is_whole_and_names_no_place, "requirements.lock", "--index-url https://index.example"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_is_in_order(rule: Rule, project: Tree) -> None:
    assert "\n".join(rule(project)) == ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_house_in_order_breaks_no_rule(rule: Rule) -> None:
    assert list(rule(SAMPLE)) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"), PLANTED, ids=[f"{n}-{row[0].__name__}" for n, row in enumerate(PLANTED)]
)
def test_a_rule_notices_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    broken = SAMPLE | {path: SAMPLE.get(path, "") + text + "\n"}
    assert list(rule(broken))


def test_every_rule_has_been_seen_to_notice_something() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_make_alone_prints_every_verb(project: Tree) -> None:
    printed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = next(line for line in project["Makefile"].splitlines() if line.startswith(".PHONY:"))
    assert [line.split()[1] for line in printed.splitlines()] == phony.removeprefix(".PHONY:").split()
