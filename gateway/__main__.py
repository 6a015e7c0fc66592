"""The command line: audience-gateway sandbox, simulate, serve and check.

Exit status: 0 all is well, also after SIGTERM or SIGINT; 1 it can't listen, a worker does not come up or a check fails;
2 the command line or the configuration is wrong; 130 interrupted twice, or before there was anything to stop.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from adapters import registry
from gateway import addresses, checks, logs, sandbox, workers
from gateway.connections import Connections
from gateway.running import run
from gateway.serving import CanNotListen, serve, signalled
from gateway.settings import LedgerSettings, Settings, SettingsError, load

LOG = logging.getLogger("gateway")

FAILED = 1
WRONG = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(argv)
    logs.configure(form=options.log_format, level=options.log_level)
    # What gRPC's core prints by itself is not JSON, and a port scan is enough to make it print. Read when loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        status: int = run(options.command(options))
        return status
    except SettingsError as error:
        print(error, file=sys.stderr)
        return WRONG
    except (CanNotListen, workers.WorkerFailed) as error:
        print(f"audience-gateway: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


async def run_sandbox(options: argparse.Namespace) -> int:
    """Serve a gateway over the simulators of all vendors."""
    with TemporaryDirectory() as folder:
        async with sandbox.simulated(registry.adapters()) as running:
            settings = sandbox.settings(options.listen, running)
            if options.workers > 1:  # memory is one process's
                settings = replace(settings, ledger=LedgerSettings(directory=folder))

            def ready(address: str) -> None:
                print(json.dumps({"grpc": address, "simulators": sandbox.urls(running)}), flush=True)

            await _served(options, settings, ready)
    return 0


async def run_simulate(options: argparse.Namespace) -> int:
    """Run one simulator alone."""
    if options.vendor not in registry.adapters():
        print(f"audience-gateway: no such vendor; there are {', '.join(registry.adapters())}", file=sys.stderr)
        return WRONG
    host, port = addresses.split(options.listen)
    try:
        async with sandbox.simulated([options.vendor], host, port) as running:
            stop = signalled()
            print(json.dumps({"simulators": sandbox.urls(running)}), flush=True)
            await stop.wait()
    except OSError as error:
        raise CanNotListen(options.listen, error) from None
    return 0


async def run_serve(options: argparse.Namespace) -> int:
    """Serve the configured connections."""
    settings = load(options.config, os.environ)

    def ready(address: str) -> None:
        fields = {"address": address, "tls": settings.tls is not None, "connections": len(settings.connections)}
        fields["workers"] = options.workers
        LOG.info("ready", extra={"fields": fields})
        if not settings.callers:
            LOG.warning("no callers are configured: whoever reaches %s may do everything", address)

    await _served(options, settings, ready)
    return 0


async def run_check(options: argparse.Namespace) -> int:
    """Check the configuration, then the ledger and every connection."""
    settings = load(options.config, os.environ)
    connections = await Connections.open(settings.connections, redis=settings.redis)
    try:
        results = [await checks.ledger(settings.ledger), *await checks.check(connections)]
    finally:
        await connections.close()
    print(checks.table(results), checks.policies(connections), sep="\n\n")
    return 0 if all(result.ok for result in results) else FAILED


async def _served(options: argparse.Namespace, settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve by this process, or by as many others as were asked for."""
    if options.workers == 1:
        await serve(settings, ready)
    else:
        form, level = options.log_format, options.log_level
        await workers.launch(settings, options.workers, ready, log_format=form, log_level=level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="audience-gateway", description="One gRPC API over the audience destinations of several vendors."
    )
    parser.add_argument("--version", action="version", version=version("audience-gateway"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    one = commands.add_parser(
        "sandbox",
        help="a gateway over simulators of every vendor; needs no credentials and no files",
        description="Run the simulators of all vendors on free loopback ports, and a gateway over them with one "
        "connection per vendor, of the vendor's id. Prints one JSON line when it is ready: "
        '{"grpc": HOST:PORT, "simulators": {VENDOR: URL}}. Ends on SIGTERM or SIGINT, and keeps nothing.',
    )
    one.add_argument("--listen", metavar="HOST:PORT", type=_local, default="127.0.0.1:50051", help=_LISTEN_HELP)
    _workers(one)
    _logging(one, form="text")
    one.set_defaults(command=run_sandbox)

    one = commands.add_parser(
        "simulate",
        help="the simulator of one vendor, alone",
        description='Run one simulator. Prints one JSON line when it is ready: {"simulators": {VENDOR: URL}}. '
        "POST /_sandbox/reset, /clock and /faults, GET /_sandbox/journal control it.",
    )
    one.add_argument("vendor", metavar="VENDOR", help="a vendor's id, as in the sandbox's line")
    one.add_argument("--listen", metavar="HOST:PORT", type=_local_port, default="127.0.0.1:0", help=_LISTEN_HELP)
    _logging(one, form="text")
    one.set_defaults(command=run_simulate)

    one = commands.add_parser(
        "serve",
        help="the gateway over the configured connections",
        description="Serve the connections of the configuration file. On SIGTERM or SIGINT health says NOT_SERVING, "
        "calls under way end within server.shutdown_grace_s, then the process does. A second signal ends it at once.",
    )
    _config(one)
    _workers(one)
    _logging(one, form="json")
    one.set_defaults(command=run_serve)

    one = commands.add_parser(
        "check",
        help="what is wrong with a configuration, and whether every vendor takes its credentials",
        description="Print every mistake of the configuration file; or, where there is none, call every vendor once "
        "and print a table, then the policy that each is called by. Exit status: 0 all is well, 1 a vendor refused or "
        "did not answer, 2 the file is wrong.",
    )
    _config(one)
    _logging(one, form="text")
    one.set_defaults(command=run_check)
    return parser


_LISTEN_HELP = "an address of this machine alone; port 0 picks a free one (default: %(default)s)"


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the configuration, TOML")


def _workers(parser: argparse.ArgumentParser) -> None:
    text = "processes that share the address, each started anew when it ends (default: %(default)s)"
    parser.add_argument("--workers", metavar="N", type=_positive, default=1, help=text)


def _logging(parser: argparse.ArgumentParser, *, form: str) -> None:
    parser.add_argument("--log-format", choices=logs.FORMATS, default=form, help="on stderr (default: %(default)s)")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info", help="the least (default: %(default)s)")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _local(text: str) -> str:
    if not addresses.is_address(text):
        raise argparse.ArgumentTypeError(f"must be {addresses.WANTED}")
    if not addresses.is_local(text):
        raise argparse.ArgumentTypeError("simulators and what serves them without credentials stay on loopback")
    return text


def _local_port(text: str) -> str:
    try:
        addresses.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return _local(text)


if __name__ == "__main__":
    sys.exit(main())
