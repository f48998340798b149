"""Does the official SDK accept these deliveries? JSON in, JSON out."""

import json
import logging
import sys

from lark_oapi.core.model import RawRequest
from lark_oapi.event.custom import CustomizedEvent
from lark_oapi.event.dispatcher_handler import EventDispatcherHandler

logging.disable(logging.CRITICAL)
question = json.load(sys.stdin)
answers = []
for delivery in question["deliveries"]:
    events = []

    def keep(event: CustomizedEvent) -> None:
        events.append({"uuid": event.uuid, "event": event.event})

    handler = (
        EventDispatcherHandler.builder(question["encrypt_key"], question["verification_token"])
        .register_p1_customized_event("approval_instance", keep)
        .build()
    )
    request = RawRequest()
    request.uri = "/api/event"
    # The SDK looks headers up by exact case; on the wire they have none.
    request.headers = {
        "-".join(word.capitalize() for word in name.split("-")): value
        for name, value in delivery["headers"].items()
    }
    request.body = delivery["body"].encode()
    response = handler.do(request)
    answers.append(
        {
            "status": response.status_code,
            "body": json.loads(response.content),
            "events": events,
        }
    )
json.dump(answers, sys.stdout)
