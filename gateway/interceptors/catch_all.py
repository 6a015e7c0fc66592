"""The outermost interceptor: whatever happens inside, the caller gets one of our statuses, and nothing internal."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError

from adapters.errors import ApiError, InvalidRequest, TimedOut
from gateway import errors
from gateway.interceptors.access_log import Record

LOG = logging.getLogger(__name__)
T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


async def guarded(answer: Callable[[], Awaitable[T]], context: Context, record: Record) -> T:
    """Serve the call, and end it with the status that its error stands for.

    Everything is caught, since any BaseException that leaves a handler leaves its client hanging. Only the end of the
    call itself (the client went away, its deadline passed) goes on as it is: nobody listens any more.
    """
    try:
        reply = await answer()
        context.set_trailing_metadata(record.trailers())
        return reply
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            record.code = "CANCELLED"
            raise
        await _refuse(error, context, record)
    except BaseException as error:
        await _refuse(error, context, record)
    finally:
        record.write()


async def _refuse(error: BaseException, context: Context, record: Record) -> NoReturn:
    answer = _answer(error)
    if answer.reason == "INVALID_RESOURCE_NAME":
        # An adapter gets ids, and does not know in which field the name stood that they are of.
        answer.violations = tuple(
            each._replace(field=record.method.named) if each.field == "name" else each for each in answer.violations
        )
    code, status = errors.code_of(answer), errors.status_of(answer)
    record.code, record.reason = code.name, answer.reason
    details = ("grpc-status-details-bin", status.SerializeToString())
    # What was set before is lost by abort().
    await context.abort(code, status.message, trailing_metadata=(details, *record.trailers()))


def _answer(error: BaseException) -> ApiError:
    match error:
        case ApiError():
            if error.reason == "INTERNAL":
                LOG.error("%s", error.message)
            return error
        case TimeoutError():
            return TimedOut("not done within the server's default deadline; set one of your own")
        case DecodeError():
            return InvalidRequest("the request is not a message of the type that this method takes")
        case _:
            reference = secrets.token_hex(4)
            LOG.error("internal error %s", reference, exc_info=error)
            return errors.internal(reference)
