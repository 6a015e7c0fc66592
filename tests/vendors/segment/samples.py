"""Answers of Segment as its documentation and its clients' models have them, typed as valid JSON."""

from typing import Any

METADATA: dict[str, Any] = {
    "id": "54521fd525e721e32a72ee91",
    "name": "Amplitude",
    "slug": "amplitude",
    "description": "Amplitude is an event tracking and segmentation platform.",
    "logos": {"default": "https://cdn.example/amplitude.svg", "mark": None},
    "options": [
        {"name": "apiKey", "type": "string", "defaultValue": "", "required": True, "label": "API Key"},
        {"name": "trackReferrer", "type": "boolean", "defaultValue": False, "required": False},
    ],
    "status": "PUBLIC",
    "categories": ["Analytics"],
}
DESTINATION: dict[str, Any] = {
    "id": "fP7qoQw2HTWt9WdMr718gn",
    "name": "my destination v1",
    "enabled": True,
    "metadata": METADATA,
    "sourceId": "rh5BDZp6QDHvXFCkibm1pR",
    "settings": {
        "apiKey": "••••••••••dada",
        "retarget": True,
        "eventUploadThreshold": 30,
        "mapQueryParams": {},
        "versionName": "",
    },
}
SUBSCRIPTION: dict[str, Any] = {
    "id": "kyMKN6LUgMvF8dwRMEz3cX",
    "name": "Example Subscription",
    "actionId": "jiMz7MfHNeHmUckzRnUGkU",
    "actionSlug": "track",
    "destinationId": "fP7qoQw2HTWt9WdMr718gn",
    "enabled": False,
    "settings": {"event": {"@path": "$.event"}, "signingKey": "••••••••••1234"},
    "trigger": 'type = "track"',
    "modelId": "aow61ZsjXFRsUqB5wWmZES",
    "reverseETLSchedule": {"strategy": "PERIODIC", "config": {"interval": "15m"}},
}
SYNC: dict[str, Any] = {
    "syncId": "rsync_1",
    "modelId": "aow61ZsjXFRsUqB5wWmZES",
    "sourceId": "qQEHquLrjRDN9j1ByrChyn",
    "syncStatus": "PARTIAL_SUCCESS",
    "duration": "1m30s",
    "startedAt": "2024-05-02T10:00:00.000Z",
    "finishedAt": "2024-05-02T10:01:30.500Z",
    "extractPhase": {
        "addedCount": "700",
        "updatedCount": "290",
        "deletedCount": "10",
        "extractCount": "1000",
        "errorCode": "",
        "startedAt": "2024-05-02T10:00:00.000Z",
        "finishedAt": "2024-05-02T10:00:40.000Z",
    },
    "loadPhase": {
        "deliverSuccessCount": "980",
        "deliverFailureCount": "20",
        "errorCode": "DeliveryFailed",
        "startedAt": "2024-05-02T10:00:40.000Z",
        "finishedAt": "2024-05-02T10:01:30.500Z",
    },
    "error": "some records were refused",
    "errorCode": "PartialDelivery",
}
METRICS: list[dict[str, Any]] = [
    {
        "metricName": "successes",
        "total": 9,
        "breakdown": [
            {"metricName": "successes_on_first_attempt", "value": 7},
            {"metricName": "successes_after_retry", "value": 2},
        ],
    },
    {"metricName": "expired", "total": 0},
    {"metricName": "time_to_success", "total": 10.5, "breakdown": None},
]
