"""How does the official SDK read this task, and where would it send it? JSON in, JSON out."""

import json
import sys

import lark_oapi as lark
from lark_oapi.api.task.v2 import CreateTaskRequest, InputTask

question = json.load(sys.stdin)
task = lark.JSON.unmarshal(json.dumps(question["body"]), InputTask)
request = (
    CreateTaskRequest.builder()
    .user_id_type("open_id")
    .request_body(task)
    .build()
)
json.dump(
    {
        "method": request.http_method.name,
        "path": request.uri,
        "query": dict(request.queries),
        "body": json.loads(lark.JSON.marshal(task)),
        "members": [member.id for member in task.members],
        "end": int(task.due.timestamp),
        "minutes": [reminder.relative_fire_minute for reminder in task.reminders],
    },
    sys.stdout,
)
