"""The official SDK's client of long connections. The question is the first argument; each event that
it hands over is a line of JSON on standard output. It runs until it is killed.
"""

import json
import sys

import lark_oapi as lark

question = json.loads(sys.argv[1])


def hand_over(event) -> None:
    print(lark.JSON.marshal(event), flush=True)


handler = (
    lark.EventDispatcherHandler.builder("", "")
    .register_p1_customized_event("approval_instance", hand_over)
    .register_p2_contact_user_deleted_v3(hand_over)
    .build()
)
client = lark.ws.Client(
    question["app_id"],
    question["app_secret"],
    event_handler=handler,
    domain=question["base_url"],
    log_level=lark.LogLevel.CRITICAL,
)
client.start()
