"""The official SDK's client of streams. The question is the first argument; each event that it hands
over is a line of JSON on standard output. It runs until it is killed.
"""

import json
import os
import sys

question = json.loads(sys.argv[1])
os.environ["DINGTALK_OPENAPI_ENDPOINT"] = question["base_url"]

import dingtalk_stream  # noqa: E402  the address is read from the environment at the import
from dingtalk_stream import AckMessage  # noqa: E402


class Handler(dingtalk_stream.EventHandler):
    async def process(self, event: dingtalk_stream.EventMessage):
        line = {"type": event.headers.event_type, "id": event.headers.event_id, "data": event.data}
        print(json.dumps(line), flush=True)
        return AckMessage.STATUS_OK, "OK"


credential = dingtalk_stream.Credential(question["app_key"], question["app_secret"])
client = dingtalk_stream.DingTalkStreamClient(credential)
client.register_all_event_handler(Handler())
client.start_forever()
