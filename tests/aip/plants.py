"""Contracts with one habit broken, so that each check is seen to notice."""

from collections.abc import Callable
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2, field_info_pb2, resource_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tests.aip import habits
from tests.aip.contract import Contract
from tests.aip.habits import Habit

Plant = Callable[[Contract], None]
"""Breaks something in a contract."""


def field(contract: Contract, path: str) -> FieldDescriptorProto:
    message, _, name = path.rpartition(".")
    return next(field for field in contract.messages()[message].field if field.name == name)


def renamed(path: str, name: str) -> Plant:
    return lambda contract: setattr(field(contract, path), "name", name)


def typed(path: str, name: str) -> Plant:
    return lambda contract: setattr(field(contract, path), "type_name", name)


def without(path: str, extension: Any) -> Plant:
    return lambda contract: field(contract, path).options.ClearExtension(extension)


def required(path: str) -> Plant:
    behavior = field_behavior_pb2.field_behavior
    return lambda contract: field(contract, path).options.Extensions[behavior].append(field_behavior_pb2.REQUIRED)


def method(name: str, **changes: str) -> Plant:
    def plant(contract: Contract) -> None:
        for change in changes.items():
            setattr(contract.methods()[name], *change)

    return plant


def http(name: str, **changes: str) -> Plant:
    def plant(contract: Contract) -> None:
        rule = contract.methods()[name].options.Extensions[annotations_pb2.http]
        for change in changes.items():
            setattr(rule, *change)

    return plant


def uncommented(name: str) -> Plant:
    def plant(contract: Contract) -> None:
        for file in contract.files:
            places = [element.place for element in file.elements() if element.name == name]
            for location in file.proto.source_code_info.location:
                if tuple(location.path) in places:
                    location.leading_comments = " "

    return plant


def no_resource(contract: Contract) -> None:
    contract.messages()["Subscription"].options.ClearExtension(resource_pb2.resource)


def no_plural(contract: Contract) -> None:
    contract.messages()["Subscription"].options.Extensions[resource_pb2.resource].plural = ""


def no_zero(contract: Contract) -> None:
    next(enum for _, enum in contract.file("export_jobs").enums()).value[0].name = "NONE"


def vendor_value(contract: Contract) -> None:
    next(enum for _, enum in contract.file("connections").enums()).value[1].name = "CAPABILITY_MEIRO"


def taken_value(contract: Contract) -> None:
    next(enum for _, enum in contract.file("export_jobs").enums()).value[1].name = "UNRECOGNIZED"


def other_language(contract: Contract) -> None:
    contract.file("members").proto.options.go_package = "elsewhere"


def other_order(contract: Contract) -> None:
    first, *_ = contract.file("connections").proto.service
    last = first.method.pop()
    first.method.insert(0, last)


PLANTED: list[tuple[Habit, Plant]] = [
    (
        habits.requests_and_answers_are_named_after_their_methods,
        method("ExportJobService.GetExportJob", input_type=".audiencegateway.v1.WaitExportJobRequest"),
    ),
    (
        habits.requests_and_answers_are_named_after_their_methods,
        method("ExportJobService.GetExportJob", output_type=".audiencegateway.v1.LogEntry"),
    ),
    (habits.lists_come_in_pages, renamed("ListSubscriptionsRequest.page_size", "limit")),
    (habits.lists_come_in_pages, renamed("ListSubscriptionsRequest.page_token", "cursor")),
    (habits.lists_come_in_pages, renamed("ListSubscriptionsResponse.next_page_token", "next")),
    (habits.lists_come_in_pages, lambda contract: contract.messages()["ListSubscriptionsResponse"].field.reverse()),
    (habits.requests_say_what_their_names_name, without("GetDestinationRequest.name", resource_pb2.resource_reference)),
    (
        habits.requests_say_what_their_names_name,
        without("GetDestinationRequest.name", field_behavior_pb2.field_behavior),
    ),
    (habits.requests_say_what_their_names_name, no_resource),
    (habits.resources_say_what_they_are, no_resource),
    (habits.resources_say_what_they_are, no_plural),
    (habits.resources_say_what_they_are, without("Destination.name", field_behavior_pb2.field_behavior)),
    (habits.resources_say_what_they_are, renamed("Destination.name", "id")),
    (habits.fields_say_how_they_behave, without("UploadFinish.member_count", field_behavior_pb2.field_behavior)),
    (habits.fields_say_how_they_behave, required("AudienceMember.audience_id")),
    (habits.methods_have_an_http_form, http("ExportJobService.WatchExportJob", get="")),
    (habits.methods_have_an_http_form, http("ExportJobService.GetExportJob", post="/v1/{name=connections/*}")),
    (habits.methods_have_an_http_form, http("ExportJobService.GetExportJob", get="/v1/{parent=connections/*}")),
    (habits.methods_have_an_http_form, http("ExportJobService.CreateExportJob", body="job")),
    (habits.methods_have_an_http_form, http("AudienceMemberService.UploadAudienceMembers", post="/v1/members")),
    (habits.what_changes_something_takes_a_request_id, renamed("CancelExportJobRequest.request_id", "id")),
    (habits.what_changes_something_takes_a_request_id, renamed("GetExportJobRequest.view", "request_id")),
    (habits.what_changes_something_takes_a_request_id, without("UploadHeader.request_id", field_info_pb2.field_info)),
    *(
        (habits.everything_has_a_comment, uncommented(name))
        for name in (
            *("ExportJobService", "ExportJobService.GetExportJob", "ExportJob", "ExportJob.name"),
            *(
                "ExportJob.vendor_spec",
                "ExportJob.State",
                "ExportJob.State.RUNNING",
                "ErrorReason.ERROR_REASON_INTERNAL",
            ),
        )
    ),
    (habits.vendors_stay_in_their_arms, renamed("ExportJob.audiences", "segment_ids")),
    (habits.vendors_stay_in_their_arms, vendor_value),
    (habits.data_without_a_schema_stays_at_the_vendors, typed("ExportJob.audiences", ".google.protobuf.Struct")),
    (habits.data_without_a_schema_stays_at_the_vendors, typed("ExportJob.custom", ".google.protobuf.Any")),
    (habits.enums_begin_with_what_says_nothing, no_zero),
    (habits.names_are_free_in_every_language, taken_value),
    (habits.files_agree_on_their_languages, other_language),
    (habits.files_are_in_order, other_order),
]
"""What each habit must notice."""
