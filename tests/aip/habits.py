"""The habits of Google's AIPs, and ours, that buf does not look after. Each yields what is not as it should be."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from google.api import annotations_pb2, field_behavior_pb2, field_info_pb2, resource_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, MethodDescriptorProto

from tests.aip.contract import READS, Contract, in_oneof, is_repeated, local, words

Habit = Callable[[Contract], Iterator[str]]
Rank = tuple[int, ...]
HABITS: list[Habit] = []

DOMAIN = "audiencegateway.internal"
HTTP_VERBS = {"Get": "get", "List": "get", "Create": "post", "Update": "patch", "Delete": "delete"}
OPTIONS = ("csharp_namespace", "go_package", "java_multiple_files", "java_package")
OPEN_DATA = ("custom", "vendor_extras")
"""Struct fields that a common message may have."""


def habit(function: Habit) -> Habit:
    """Add a habit to those that are checked."""
    HABITS.append(function)
    return function


@habit
def requests_and_answers_are_named_after_their_methods(contract: Contract) -> Iterator[str]:
    """AIP-131 to 136: GetX takes GetXRequest; it answers with the resource or with GetXResponse."""
    resources = _resources(contract)
    for name, method in contract.methods().items():
        if local(method.input_type) != f"{method.name}Request":
            yield f"{name} takes {local(method.input_type)}"
        if local(method.output_type) not in {f"{method.name}Response", *resources}:
            yield f"{name} answers with {local(method.output_type)}"


@habit
def lists_come_in_pages(contract: Contract) -> Iterator[str]:
    """AIP-158: page_size and page_token in; the items first, and next_page_token, out."""
    for name, method in contract.methods().items():
        if not method.name.startswith("List"):
            continue
        request, response = _request(contract, method), contract.messages()[local(method.output_type)]
        kinds = {field.name: field.type for field in (*request.field, *response.field)}
        if kinds.get("page_size") != FieldDescriptorProto.TYPE_INT32:
            yield f"{name} has no page_size"
        for token in ("page_token", "next_page_token"):
            if kinds.get(token) != FieldDescriptorProto.TYPE_STRING:
                yield f"{name} has no {token}"
        items = response.field[0]
        if not (is_repeated(items) and items.type == items.TYPE_MESSAGE and items.number == 1):
            yield f"{name} does not answer with its items first"


@habit
def requests_say_what_their_names_name(contract: Contract) -> Iterator[str]:
    """AIP-4231 and 132: name and parent are required references to a resource that there is."""
    types = {f"{DOMAIN}/{name}" for name in _resources(contract)}
    for file in contract.files:
        for element, message, field in file.fields():
            reference = field.options.Extensions[resource_pb2.resource_reference]
            target = reference.type or reference.child_type
            if target and target not in types:
                yield f"{element.name} names {target}, which is no resource"
            if message.name.endswith("Request") and field.name in {"name", "parent"}:
                if not target:
                    yield f"{element.name} does not say what it names"
                if not _is(field, "REQUIRED"):
                    yield f"{element.name} is not REQUIRED"


@habit
def resources_say_what_they_are(contract: Contract) -> Iterator[str]:
    """AIP-123: what a Get answers with has a type, a pattern, singular and plural, and its name first."""
    messages, resources = contract.messages(), _resources(contract)
    for name, method in contract.methods().items():
        if method.name.startswith("Get") and local(method.output_type) not in resources:
            yield f"{name} answers with what is no resource"
    for name in resources:
        resource, first = messages[name].options.Extensions[resource_pb2.resource], messages[name].field[0]
        if resource.type != f"{DOMAIN}/{name}" or not (resource.pattern and resource.singular and resource.plural):
            yield f"{name} is not described whole"
        if (first.name, first.number) != ("name", 1) or not _is(first, "IDENTIFIER"):
            yield f"{name} does not begin with its name"


@habit
def fields_say_how_they_behave(contract: Contract) -> Iterator[str]:
    """AIP-203: every field of what a request can hold, which is all but the answers' own."""
    for file in contract.files:
        for element, message, field in file.fields():
            behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
            if not message.name.endswith("Response") and not behaviors:
                yield f"{element.name} has no field_behavior"
            if in_oneof(field) and _is(field, "REQUIRED"):
                yield f"{element.name} is REQUIRED and one of several"


@habit
def methods_have_an_http_form(contract: Contract) -> Iterator[str]:
    """AIP-127: a verb, and a path and a body made of fields that the request has. A client stream can't have one."""
    for name, method in contract.methods().items():
        rule = method.options.Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        if method.client_streaming:
            if verb:
                yield f"{name} has an HTTP form, and a client stream"
            continue
        path = getattr(rule, verb) if verb else ""
        if not path.startswith("/v1/"):
            yield f"{name} has no HTTP form"
        expected = next((HTTP_VERBS[word] for word in HTTP_VERBS if method.name.startswith(word)), verb)
        if verb != expected:
            yield f"{name} is {verb}, not {expected}"
        variables = re.findall(r"\{([\w.]+)[=}]", path)
        for field in [*variables, *([rule.body] if rule.body not in {"", "*"} else [])]:
            if not _has(contract, _request(contract, method), field):
                yield f"{name} has {field} in its HTTP form, and not in its request"


@habit
def what_changes_something_takes_a_request_id(contract: Contract) -> Iterator[str]:
    """AIP-155: in the request, or in the header of a stream, as a UUID4; reads take none."""
    for name, method in contract.methods().items():
        request = _request(contract, method)
        arms = [
            contract.messages()[local(field.type_name)]
            for field in request.field
            if in_oneof(field) and field.type_name
        ]
        ids = [field for message in (request, *arms) for field in message.field if field.name == "request_id"]
        if method.name.startswith(READS):
            if ids:
                yield f"{name} reads, and takes a request_id"
        elif [field.options.Extensions[field_info_pb2.field_info].format for field in ids] != [
            field_info_pb2.FieldInfo.UUID4
        ]:
            yield f"{name} takes no request_id, or one that is no UUID4"


@habit
def everything_has_a_comment(contract: Contract) -> Iterator[str]:
    """AIP-192."""
    for file in contract.files:
        comments = file.comments
        yield from (f"{element.name} has no comment" for element in file.elements() if element.place not in comments)


@habit
def vendors_stay_in_their_arms(contract: Contract) -> Iterator[str]:
    """No vendor's name in a name that all vendors share."""
    vendors = {
        field.name
        for file in contract.files
        for _, message, field in file.fields()
        if _vendor_arm(message, field) and field.name != "custom"
    }
    for file in contract.files:
        if file.stem == "vendor_config":
            continue
        arms = {element.name for element, message, field in file.fields() if _vendor_arm(message, field)}
        for element in file.elements():
            if element.name not in arms and vendors.intersection(words(element.name.rpartition(".")[2])):
                yield f"{element.name} names a vendor"


@habit
def data_without_a_schema_stays_at_the_vendors(contract: Contract) -> Iterator[str]:
    """No Any; a Struct only where the vendor's own schema is data."""
    for file in contract.files:
        for element, _, field in file.fields():
            kind = local(field.type_name)
            if kind == "google.protobuf.Any":
                yield f"{element.name} is an Any"
            if kind == "google.protobuf.Struct" and not (file.stem == "vendor_config" or field.name in OPEN_DATA):
                yield f"{element.name} is a Struct"


@habit
def enums_begin_with_what_says_nothing(contract: Contract) -> Iterator[str]:
    """AIP-126."""
    for file in contract.files:
        for element, enum in file.enums():
            expected = "_".join([*words(enum.name), "unspecified"]).upper()
            if (enum.value[0].name, enum.value[0].number) != (expected, 0):
                yield f"{element.name} does not begin with {expected}"


@habit
def names_are_free_in_every_language(contract: Contract) -> Iterator[str]:
    """Java and TypeScript give every enum a value UNRECOGNIZED of their own, and do not compile with a second one."""
    for file in contract.files:
        yield from (f"{value.name} is taken" for value in file.values() if value.proto.name == "UNRECOGNIZED")


@habit
def files_agree_on_their_languages(contract: Contract) -> Iterator[str]:
    """AIP-191: the same package in each language, and a class of its own for each file in Java."""
    first = contract.files[0].proto.options
    for file in contract.files:
        options = file.proto.options
        for name in OPTIONS:
            if not getattr(options, name) or getattr(options, name) != getattr(first, name):
                yield f"{file.stem} has another {name}"
        if options.java_outer_classname != "".join(map(str.capitalize, words(file.stem))) + "Proto":
            yield f"{file.stem} has java_outer_classname {options.java_outer_classname}"


@habit
def files_are_in_order(contract: Contract) -> Iterator[str]:
    """AIP-191: services, resources, requests and answers in the order of the methods, other messages, enums."""
    resources = _resources(contract)
    for file in contract.files:
        ranks: dict[str, Rank] = {service.name: (0,) for _, service in file.services()}
        ranks |= {enum.name: (4,) for _, enum in file.enums()}
        ranks |= dict.fromkeys(resources, (1,))
        for at, (_, method) in enumerate(file.methods()):
            ranks |= {f"{method.name}Request": (2, at, 0), f"{method.name}Response": (2, at, 1)}
        pairs = (file.services(), file.messages(), file.enums())
        top_level = [element for elements in pairs for element, _ in elements if "." not in element.name]
        lines = file.lines
        top_level.sort(key=lambda element: lines[element.place])
        for element, following in pairwise(top_level):
            if ranks.get(following.name, (3,)) < ranks.get(element.name, (3,)):
                yield f"{file.stem}: {following.name} belongs before {element.name}"


def _resources(contract: Contract) -> list[str]:
    return [
        name for name, message in contract.messages().items() if message.options.HasExtension(resource_pb2.resource)
    ]


def _request(contract: Contract, method: MethodDescriptorProto) -> DescriptorProto:
    return contract.messages().get(local(method.input_type), DescriptorProto())


def _is(field: FieldDescriptorProto, behavior: str) -> bool:
    return (
        field_behavior_pb2.FieldBehavior.Value(behavior) in field.options.Extensions[field_behavior_pb2.field_behavior]
    )


def _has(contract: Contract, message: DescriptorProto, path: str) -> bool:
    first, _, rest = path.partition(".")
    field = next((field for field in message.field if field.name == first), None)
    if field is None or not rest:
        return field is not None
    return _has(contract, contract.messages()[local(field.type_name)], rest)


def _vendor_arm(message: DescriptorProto, field: FieldDescriptorProto) -> bool:
    return in_oneof(field) and message.oneof_decl[field.oneof_index].name.startswith("vendor_")
