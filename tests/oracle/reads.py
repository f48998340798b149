"""Does the official SDK's client read these answers? JSON in, JSON out."""

import json
import sys

import lark_oapi as lark
from lark_oapi.api.approval.v4 import GetInstanceRequest, SubscribeApprovalRequest

question = json.load(sys.stdin)
client = (
    lark.Client.builder()
    .domain(question["base_url"])
    .app_id(question["app_id"])
    .app_secret(question["app_secret"])
    .log_level(lark.LogLevel.CRITICAL)
    .build()
)


def instance(code: str):
    return client.approval.v4.instance.get(GetInstanceRequest.builder().instance_id(code).build())


def subscribe() -> int:
    request = SubscribeApprovalRequest.builder().approval_code(question["approval_code"]).build()
    return client.approval.v4.approval.subscribe(request).code


found = instance(question["instance_code"]).data
json.dump(
    {
        "instance": {
            "status": found.status,
            "approval_code": found.approval_code,
            "form": found.form,
        },
        "missing": instance("missing").code,
        "subscribe": [subscribe(), subscribe()],
    },
    sys.stdout,
)
