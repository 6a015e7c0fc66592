"""Acme's simulator does what Acme's documentation says, asked by an ordinary HTTP client."""

from adapters.acme.sandbox import AcmeSandbox


def test_every_route_has_a_test_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    routes = AcmeSandbox().routes()

    assert 0 < len(routes) < len(tests), (
        "Step 3: write adapters/acme/sandbox.py from Acme's documentation "
        "(routes, seed, suite, a Switch for each silence), and here a test for each route, "
        "with values typed from the documentation, as tests/sandbox/test_meiro_simulator.py has them"
    )
