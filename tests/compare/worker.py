"""The worker's job with the official Python SDK, boto3 and Powertools for AWS Lambda, as its
documentation shows it: a batch of queue messages, each processed once by the idempotency utility;
read the approval instance, put its device on the whitelist."""

import json
import logging
import os

import boto3
import lark_oapi as lark
import requests
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from lark_oapi.api.approval.v4 import GetInstanceRequest

logging.disable(logging.CRITICAL)
document = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET_ARN"])
secret = json.loads(document["SecretString"])
client = (
    lark.Client.builder()
    .app_id(secret["sources"]["feishu"]["app_id"])
    .app_secret(secret["sources"]["feishu"]["app_secret"])
    .domain(os.environ["FEISHU_BASE_URL"])
    .build()
)
nac = requests.Session()
nac.headers["authorization"] = f"Bearer {secret['targets']['nac']['token']}"
ledger = DynamoDBPersistenceLayer(table_name=os.environ["LEDGER_TABLE"])
config = IdempotencyConfig(event_key_jmespath="instance_id")
processor = BatchProcessor(event_type=EventType.SQS)


@idempotent_function(data_keyword_argument="request", config=config, persistence_store=ledger)
def act(*, request: dict) -> dict:
    asked = GetInstanceRequest.builder().instance_id(request["instance_id"]).build()
    instance = client.approval.v4.instance.get(asked)
    if instance.data.status != "APPROVED":
        raise ValueError("not approved")
    rows = next(widget for widget in json.loads(instance.data.form) if widget["type"] == "fieldList")
    for row in rows["value"]:
        mac = next(cell["value"] for cell in row if cell["name"] == "MAC")
        answer = nac.post(f"{os.environ['NAC_URL']}/api/macs", json={"mac": mac}, timeout=10)
        if answer.status_code not in (201, 409):
            answer.raise_for_status()
    return {}


def record_handler(record) -> None:
    act(request=json.loads(record.body))


def handler(event: dict, context) -> dict:
    config.register_lambda_context(context)
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
