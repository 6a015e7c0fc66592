"""What keys may hold: addresses that paths can be added to, and whether calls there go in clear."""

import pytest

from adapters.keys import is_address, is_in_clear


@pytest.mark.parametrize(
    "text", ["https://acme.example", "https://acme.example:8443/v1/", "http://127.0.0.1:80", "HTTPS://[::1]/x"]
)
def test_an_address_is_what_paths_can_be_added_to(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "acme.example", "acme.example/v1", "ftp://acme.example", "https://", "https:///v1", "//acme.example"),
        *("https://acme.example/?a=1", "https://acme.example/#a", "https://me:secret@acme.example"),
        *("https://acme.example:port", "https://acme.example:0", "https://[::1/"),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("address", "in_clear"),
    [
        ("https://acme.example", False),
        ("http://acme.example", True),
        ("HTTP://acme.example", True),
        ("http://10.0.0.1", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:80", False),
        ("http://localhost", False),
        ("http://localhost.acme.example", True),
        ("http://127.0.0.1.acme.example", True),
    ],
)
def test_http_is_in_clear_but_on_this_machine(address: str, in_clear: bool) -> None:
    assert is_in_clear(address) is in_clear
