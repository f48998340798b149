"""The receiver's job with the official Python SDK and boto3, as a handler for awslambdaric: verify,
decrypt, parse, send to the queue, answer 200. Clients and secret are loaded once, before the first
event."""

import json
import logging
import os

import boto3
from lark_oapi.core.model import RawRequest
from lark_oapi.event.custom import CustomizedEvent
from lark_oapi.event.dispatcher_handler import EventDispatcherHandler

logging.disable(logging.CRITICAL)
sqs = boto3.client("sqs")
document = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET_ARN"])
secret = json.loads(document["SecretString"])["sources"]["feishu"]


def enqueue(event: CustomizedEvent) -> None:
    body = json.dumps({"event_id": event.uuid, "instance_code": event.event["instance_code"]})
    sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=body)


dispatcher = (
    EventDispatcherHandler.builder(secret["encrypt_key"], secret["verification_token"])
    .register_p1_customized_event("approval_instance", enqueue)
    .build()
)


def handler(event: dict, _context: object) -> dict:
    request = RawRequest()
    request.uri = event["rawPath"]
    # The SDK looks headers up by exact case; API Gateway lower-cases them.
    request.headers = {
        "-".join(word.capitalize() for word in name.split("-")): value
        for name, value in event["headers"].items()
    }
    request.body = event["body"].encode()
    response = dispatcher.do(request)
    return {"statusCode": response.status_code, "body": response.content.decode()}
