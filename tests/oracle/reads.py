"""Does the official SDK's client read these answers? JSON in, JSON out."""

import json
import sys

import lark_oapi as lark
from lark_oapi.api.approval.v4 import (
    GetInstanceRequest,
    ListInstanceRequest,
    SubscribeApprovalRequest,
)

from lark_oapi.api.contact.v3 import GetUserRequest

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


def listed() -> list[str]:
    """The iterator of the SDK, by hand: it follows the tokens of the pages."""
    start, end = question["window"]
    codes, token = [], ""
    while True:
        request = (
            ListInstanceRequest.builder()
            .approval_code(question["approval_code"])
            .start_time(str(start))
            .end_time(str(end))
            .page_size(100)
            .page_token(token)
            .build()
        )
        page = client.approval.v4.instance.list(request).data
        codes += page.instance_code_list
        if not page.has_more:
            return codes
        token = page.page_token


def user(open_id: str):
    request = GetUserRequest.builder().user_id(open_id).user_id_type("open_id").build()
    return client.contact.v3.user.get(request)


found = instance(question["instance_code"]).data
json.dump(
    {
        "instance": {
            "status": found.status,
            "approval_code": found.approval_code,
            "form": found.form,
        },
        "has_left": [user(person).data.user.status.is_resigned for person in question["persons"]],
        "stranger": user("ou_stranger").code,
        "listed": listed(),
        "missing": instance("missing").code,
        "subscribe": [subscribe(), subscribe()],
    },
    sys.stdout,
)
