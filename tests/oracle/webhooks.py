"""Signs and verifies as the official library for Standard Webhooks does. JSON in, JSON out.

It does not implement v1a, which is signed with the Ed25519 of `cryptography`.
"""

import base64
import datetime
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def accepts(webhook, delivery):
    try:
        webhook.verify(delivery["body"], delivery["headers"])
    except WebhookVerificationError:
        return False
    return True


question = json.load(sys.stdin)
webhook = Webhook(question["secret"])
key = Ed25519PrivateKey.generate()
public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
signed = []
for message in question["messages"]:
    moment = datetime.datetime.fromtimestamp(message["timestamp"], datetime.timezone.utc)
    content = f"{message['id']}.{message['timestamp']}.{message['body']}".encode()
    signed.append(
        {
            "v1": webhook.sign(message["id"], moment, message["body"]),
            "v1a": "v1a," + base64.b64encode(key.sign(content)).decode(),
        }
    )
json.dump(
    {
        "signed": signed,
        "public_key": "whpk_" + base64.b64encode(public).decode(),
        "accepted": [accepts(webhook, delivery) for delivery in question["deliveries"]],
    },
    sys.stdout,
)
