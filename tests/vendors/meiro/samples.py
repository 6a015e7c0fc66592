"""The samples of Meiro's documentation, typed as valid JSON."""

from typing import Any

DESTINATION: dict[str, Any] = {
    "id": 100,
    "user_id": 200,
    "name": "example segment",
    "description": "segment description",
    "settings": {
        "mandatory_attributes_operator": "and",
        "mi_workspace_variables": [
            {
                "name": "port",
                "title": "Port",
                "values": {"port_home": "1234"},
                "required": True,
                "can_be_empty": False,
                "input_mode": "value_from_list",
            }
        ],
    },
    "frontend_settings": {},
    "attribute_ids": ["id1", "id2"],
    "disabled": 0,
    "icon": "",
    "mandatory_attribute_ids": ["3"],
    "created": "2017-01-01 15:35:00",
    "mi_workspace_id": 300,
    "last_export": "2018-01-01 15:00:00",
    "data_load_start_time": None,
    "data_load_end_time": None,
}
CONDITIONS = {
    "operation": "and",
    "operands": [
        {"attribute_id": "attribute_1", "condition": {"operation": "contains", "value": "foo"}, "negation": False}
    ],
    "negation": False,
}
EXPORT: dict[str, Any] = {
    "id": 100,
    "user_id": 200,
    "segment_id": 300,
    "segment_export_destination_id": 400,
    "name": "export example",
    "settings": {"conditions_operation": CONDITIONS},
    "frontend_settings": {},
    "status": "running",
    "stats": {
        "statuses_history": {
            "waiting": "2017-01-01 15:35:00",
            "running": "2017-01-01 15:36:00",
            "finished": "2017-01-01 15:37:00",
        }
    },
    "file_download_token": "1234567890abcdef",
    "created": "2017-01-01 15:35:00",
}
HISTORY: dict[str, Any] = {
    "id": "100",
    "segment_export": {
        "id": 200,
        "user_id": 200,
        "segment_id": 300,
        "segment_export_destination_id": 400,
        "name": "export example",
        "settings": {},
        "frontend_settings": {},
        "status": "running",
        "stats": None,
        "created": "2017-01-01 15:35:00",
    },
    "diff": {"status": {"from": "waiting", "to": "running"}},
}
