"""The samples of Adobe's documentation, typed as valid JSON."""

from typing import Any

# https://experienceleague.adobe.com/en/docs/experience-platform/segmentation/api/export-jobs: the first of the list.
SUCCEEDED: dict[str, Any] = {
    "id": 100,
    "jobType": "BATCH",
    "destination": {
        "datasetId": "5b7c86968f7b6501e21ba9df",
        "segmentPerBatch": False,
        "batchId": "da5cfb4de32c4b93a09f7e37fa53ad52",
    },
    "fields": "identities.id,personalEmail.address",
    "schema": {"name": "_xdm.context.profile"},
    "imsOrgId": "1BD6382559DF0C130A49422D@AdobeOrg",
    "status": "SUCCEEDED",
    "filter": {
        "segments": [
            {"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "segmentNs": "ups", "status": ["realized"]},
        ],
    },
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "profileInstanceId": "ups",
    "errors": [
        {
            "code": "0100000003",
            "msg": "Error in Export Job",
            "callStack": "com.adobe.aep.unifiedprofile.common.logging.Logger",
        },
    ],
    "metrics": {
        "totalTime": {"startTimeInMs": 123456789000, "endTimeInMs": 123456799000, "totalTimeInMs": 10000},
        "profileExportTime": {"startTimeInMs": 123456789000, "endTimeInMs": 123456799000, "totalTimeInMs": 10000},
        "totalExportedProfileCounter": 20,
        "exportedProfileByNamespaceCounter": {"namespace1": 10, "namespace2": 5},
    },
    "computeGatewayJobId": {"exportJob": "f3058161-7349-4ca9-807d-212cee2c2e94"},
    "creationTime": 1538615973895,
    "updateTime": 1538616233239,
    "requestId": "d995479c-8a08-4240-903b-af469c67be1f",
}
# The second of that list.
FAILED: dict[str, Any] = {
    "profileInstanceId": "test_xdm_latest_profile_20_e2e_1538573005395",
    "errors": [
        {
            "code": "0090000009",
            "msg": "Error writing profiles to output path 'adl://va7devprofilesnapshot.azuredatalakestore.net/snapshot/722'",
            "callStack": "com.adobe.aep.unifiedprofile.common.logging.Logger",
        },
        {
            "code": "unknown",
            "msg": "Job aborted.",
            "callStack": "org.apache.spark.SparkException: Job aborted.",
        },
    ],
    "jobType": "BATCH",
    "filter": {
        "segments": [
            {
                "segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff",
                "segmentNs": "AAM",
                "status": ["realized", "existing"],
            },
        ],
    },
    "id": 722,
    "schema": {"name": "_xdm.context.profile"},
    "mergePolicy": {"id": "7972e3d6-96ea-4ece-9627-cbfd62709c5d", "version": 1},
    "status": "FAILED",
    "requestId": "KbOAsV7HXmdg262lc4yZZhoml27UWXPZ",
    "computeGatewayJobId": {"exportJob": "15971e0f-317c-4390-9038-1a0498eb356f"},
    "metrics": {
        "totalTime": {"startTimeInMs": 1538573416687, "endTimeInMs": 1538573922551, "totalTimeInMs": 505864},
        "profileExportTime": {"startTimeInMs": 1538573872211, "endTimeInMs": 1538573918809, "totalTimeInMs": 46598},
    },
    "destination": {
        "datasetId": "5bb4c46757920712f924a3eb",
        "segmentPerBatch": False,
        "batchId": "IWEQ6920712f9475762D",
    },
    "updateTime": 1538573922551,
    "imsOrgId": "1BD6382559DF0C130A49422D@AdobeOrg",
    "creationTime": 1538573416687,
}
# …/profile/api/export-jobs: what a POST answers, with the other spelling of the dataset's id.
NEW: dict[str, Any] = {
    "profileInstanceId": "ups",
    "jobType": "BATCH",
    "id": 24115,
    "schema": {"name": "_xdm.context.profile"},
    "mergePolicy": {"id": "0bf16e61-90e9-4204-b8fa-ad250360957b", "version": 1},
    "status": "NEW",
    "requestId": "IwkVcD4RupdSmX376OBVORvcvTdA4ypN",
    "computeGatewayJobId": {},
    "metrics": {"totalTime": {"startTimeInMs": 1559674261657}},
    "destination": {
        "dataSetId": "5cf6bcf79ecc7c14530fe436",
        "segmentPerBatch": False,
        "batchId": "da5cfb4de32c4b93a09f7e37fa53ad52",
    },
    "updateTime": 1559674261868,
    "imsOrgId": "{ORG_ID}",
    "creationTime": 1559674261657,
}
# …/segmentation/api/export-jobs, "Create a new export job": the request with every property there is.
REQUEST: dict[str, Any] = {
    "fields": "identities.id,personalEmail.address",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "filter": {
        "segments": [
            {"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "segmentNs": "ups", "status": ["realized"]},
        ],
        "segmentQualificationTime": {"startTime": "2018-01-01T00:00:00Z", "endTime": "2018-02-01T00:00:00Z"},
        "fromIngestTimestamp": "2018-01-01T00:00:00Z",
        "emptyProfiles": True,
    },
    "additionalFields": {
        "eventList": {
            "fields": "string",
            "filter": {"fromIngestTimestamp": "2018-01-01T00:00:00Z", "toIngestTimestamp": "2020-01-01T00:00:00Z"},
        },
    },
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "segmentPerBatch": False},
    "schema": {"name": "_xdm.context.profile"},
    "evaluationInfo": {"segmentation": True},
}
# The same page, "Alternatively, if destination.segmentPerBatch had been set to true".
BATCHES: dict[str, Any] = {
    "dataSetId": "{DATASET_ID}",
    "segmentPerBatch": True,
    "batches": [
        {
            "segmentId": "segment1",
            "segmentNs": "ups",
            "status": ["realized"],
            "batchId": "da5cfb4de32c4b93a09f7e37fa53ad52",
        },
        {"segmentId": "segment2", "segmentNs": "AdCloud", "status": "exited", "batchId": "df4gssdfb93a09f7e37fa53ad52"},
    ],
}
# The OpenAPI document of Segmentation Service, ExportJobResponse: batches as an object.
ONE_BATCH: dict[str, Any] = {
    "datasetId": "5b7c86968f7b6501e21ba9df",
    "segmentPerBatch": False,
    "batchId": "da5cfb4de32c4b93a09f7e37fa53ad52",
    "batches": {
        "segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff",
        "segmentNs": "ups",
        "status": ["realized"],
        "batchId": "da5cfb4de32c4b93a09f7e37fa53ad52",
    },
}
# …/catalog/datasets/enable-upsert, with the schema of …/profile/api/export-jobs: what a GET answers below the id.
DATASET: dict[str, Any] = {
    "name": "Profile Data Export",
    "description": "A dataset for accounts held by Acme.",
    "imsOrg": "{ORG_ID}",
    "tags": {
        "adobe/pqs/table": ["unifiedprofileingestiontesteventsdataset"],
        "unifiedIdentity": ["enabled:true"],
        "unifiedProfile": ["enabled:true", "isUpsert:true"],
    },
    "version": "1.0.1",
    "created": 1536536917382,
    "updated": 1539793978215,
    "createdClient": "{CLIENT_CREATED}",
    "createdUser": "{CREATED_BY}",
    "updatedUser": "{CREATED_BY}",
    "viewId": "{VIEW_ID}",
    "files": "@/dataSets/5b020a27e7040801dedbf46e/views/5b020a27e7040801dedbf46f/files",
    "schemaRef": {
        "id": "https://ns.adobe.com/xdm/context/profile__union",
        "contentType": "application/vnd.adobe.xed+json;version=1",
    },
}
