"""`PYTHON -m tests.bench.published URL DATASET`: calls by a vendor's published client, aepp for Adobe.

aepp brings pandas and more, so it is in no lock of ours: PYTHON is that of an environment with nothing but aepp in it.
For each line on standard input, a number of calls, prints {"p50_ms": …, "cpu_us": …} of one call.
"""

import json
import sys
import time
from statistics import median

import aepp  # type: ignore[import-not-found]  # in an environment of its own, as said above
from aepp import catalog, config


def serve(url: str, dataset_id: str) -> None:
    """Call as often as told, until there is nothing to read."""
    aepp.configure(org_id="bench@AdobeOrg", client_id="bench", secret="bench", scopes="openid", sandbox="prod")
    config.config_object["oauthTokenEndpointV2"] = f"{url}/ims/token/v3"
    config.endpoints["global"] = url
    datasets = catalog.Catalog()
    for line in sys.stdin:
        times_ms, before_s, count = [], time.process_time(), int(line)
        for _ in range(count):
            started_s = time.perf_counter()
            found = datasets.getDataSet(dataset_id)
            times_ms.append((time.perf_counter() - started_s) * 1000)
            assert dataset_id in found, found
        cpu_us = (time.process_time() - before_s) / count * 1e6
        sys.stdout.write(json.dumps({"p50_ms": median(times_ms), "cpu_us": cpu_us}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
