"""Addresses to listen on: HOST:PORT, [IPv6]:PORT or unix:/path, and whether only this machine can reach them."""

import ipaddress
import re
import socket

WANTED = 'HOST:PORT, "[IPv6]:PORT" or "unix:/path"'
MAX_PORT = 65535
_HOST_AND_PORT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


def is_address(text: str) -> bool:
    """Tell whether *text* has one of the forms."""
    if is_socket_file(text):
        return True
    match = _HOST_AND_PORT.fullmatch(text)
    return match is not None and int(match["port"]) <= MAX_PORT


def split(address: str) -> tuple[str, int]:
    """Return host and port of an address; the host without brackets.

    Raises:
        ValueError: It is no such address, or that of a socket file.
    """
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or not is_address(address):
        raise ValueError("must be HOST:PORT")
    return match["six"] or match["host"], int(match["port"])


def is_local(address: str) -> bool:
    """Tell whether only this machine can reach the address. Of host names, only localhost is taken for such."""
    if is_socket_file(address):
        return True
    host, _ = split(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_free(address: str) -> None:
    """Bind once and let go again: gRPC would not say what is wrong with an address.

    Raises:
        OSError: In use, not of this machine, not permitted, or not to be resolved.
    """
    if is_socket_file(address):
        return
    host, port = split(address)
    family, _, _, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    socket.create_server(bound[:2], family=family).close()


def reserve(address: str) -> tuple[socket.socket, str]:
    """Bind without listening, so that others who share the port may: return the socket, and the address with its port.

    Raises:
        OSError: As `check_free`.
    """
    check_free(address)
    host, port = split(address)
    family, kind, _, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(bound)
    except OSError:
        reserved.close()
        raise
    return reserved, f"{address.rpartition(':')[0]}:{reserved.getsockname()[1]}"


def is_socket_file(text: str) -> bool:
    """Tell whether *text* is of the form unix:/path."""
    # Not unix-abstract: whoever may reach a file is told by its permissions.
    return text.startswith("unix:/")
