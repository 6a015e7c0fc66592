"""A document as small as it gets, and a simulator that is wrong in every operation of it but the first two."""

from collections.abc import Mapping
from typing import Any

from adapters.sandbox import Call, Handler, Invalid, Reply, Sandbox, json_reply
from tests.contract.documents import Document

BOOK = {
    "type": "object",
    "required": ["title"],
    "properties": {"title": {"type": "string", "minLength": 1}, "pages": {"type": "integer"}},
}
PAGING = {
    "type": "object",
    "required": ["count"],
    "additionalProperties": False,
    "properties": {"count": {"type": "integer", "minimum": 1, "maximum": 1000}, "cursor": {"type": "string"}},
}
ANSWERS = {
    "200": {"description": "A book", "content": {"application/json": {"schema": BOOK}}},
    **{status: {"description": "No book"} for status in ("400", "401", "500")},
}
BODY = {"required": True, "content": {"application/json": {"schema": BOOK}}}
QUERY = [
    {"name": "paging", "in": "query", "style": "deepObject", "explode": True, "schema": PAGING},
    {"name": "X-Reader", "in": "header", "schema": {"type": "string"}},
]
WRONG = {
    "GET /without-title": "JsonSchemaError",
    "GET /numbered": "JsonSchemaError",
    "GET /elsewhere": "UndefinedStatusCode",
    "GET /plain": "UndefinedContentType",
    "GET /broken": "ServerError",
    "POST /takes-all": "AcceptedNegativeData",
    "POST /takes-none": "RejectedPositiveData",
}
"""What notices it, by operation."""
RIGHT = ("GET /books", "POST /books")

DOCUMENT = Document(
    {
        "openapi": "3.0.3",
        "info": {"title": "Library", "version": "1"},
        "servers": [{"url": "https://library.example"}],
        "security": [{"card": []}],
        "paths": {
            "/books": {
                "get": {"parameters": QUERY, "responses": ANSWERS},
                "post": {"requestBody": BODY, "responses": ANSWERS},
            },
            **{
                path: {method.lower(): {"responses": ANSWERS} | ({"requestBody": BODY} if method == "POST" else {})}
                for method, path in map(str.split, WRONG)
            },
        },
        "components": {"securitySchemes": {"card": {"type": "http", "scheme": "bearer"}}},
    }
)


class Library(Sandbox):
    """Gives the same book to whoever has a card."""

    vendor = "library"

    def routes(self) -> Mapping[str, Handler]:
        return {
            "GET /books": self.find,
            "POST /books": self.add,
            "GET /without-title": lambda _: json_reply({"pages": 7}),
            "GET /numbered": lambda _: json_reply({"title": 7}),
            "GET /elsewhere": lambda _: json_reply({"title": "A"}, 203),
            "GET /plain": lambda _: Reply(b"A", 200, {"Content-Type": "text/plain"}),
            "GET /broken": lambda _: json_reply({}, 500),
            "POST /takes-all": lambda _: json_reply({"title": "A"}),
            "POST /takes-none": lambda _: json_reply({"message": "we are full"}, 400),
        }

    def seed(self) -> None:
        pass

    def authorize(self, call: Call) -> None:
        if call.headers.get("Authorization") != "Bearer card":
            raise self.error(401)

    def find(self, call: Call) -> Reply:
        names = {name for name in call.query if name.startswith("paging")}
        if names and (
            not names <= {"paging[count]", "paging[cursor]"} or not call.integer("paging[count]", 0, 1, 1000)
        ):
            raise Invalid("no page")
        return json_reply({"title": "A"})

    def add(self, call: Call) -> Reply:
        book: Any = call.json()
        if not isinstance(book, dict) or not isinstance(book.get("title"), str) or not book["title"]:
            raise Invalid("no title")
        if not isinstance(book.get("pages", 0), int) or isinstance(book.get("pages"), bool):
            raise Invalid("no pages")
        return json_reply(book)
