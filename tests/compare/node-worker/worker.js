// The worker's job with the official Node SDK, the AWS SDK v3 and Powertools for AWS Lambda, as its
// documentation shows it: a batch of queue messages, all concurrently, each processed once by the
// idempotency utility; read the approval instance, put its device on the whitelist. The loop
// replaces Lambda's own Node runtime.
"use strict";

const http = require("node:http");
const lark = require("@larksuiteoapi/node-sdk");
const { BatchProcessor, EventType, processPartialResponse } = require("@aws-lambda-powertools/batch");
const { IdempotencyConfig, makeIdempotent } = require("@aws-lambda-powertools/idempotency");
const { DynamoDBPersistenceLayer } = require("@aws-lambda-powertools/idempotency/dynamodb");
const { SecretsManagerClient, GetSecretValueCommand } = require("@aws-sdk/client-secrets-manager");

const agent = new http.Agent({ keepAlive: true });

function call(method, url, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent, headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () =>
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

function runtime(method, path, body) {
  const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/${path}`;
  return call(method, url, {}, body);
}

async function main() {
  const command = new GetSecretValueCommand({ SecretId: process.env.SECRET_ARN });
  const document = await new SecretsManagerClient({}).send(command);
  const secret = JSON.parse(document.SecretString);
  const client = new lark.Client({
    appId: secret.sources.feishu.app_id,
    appSecret: secret.sources.feishu.app_secret,
    domain: process.env.FEISHU_BASE_URL,
    loggerLevel: lark.LoggerLevel.error,
  });
  const headers = { authorization: `Bearer ${secret.targets.nac.token}`, "content-type": "application/json" };
  const act = async (request) => {
    const instance = await client.approval.instance.get({ path: { instance_id: request.instance_id } });
    if (instance.data.status !== "APPROVED") throw new Error("not approved");
    const table = JSON.parse(instance.data.form).find((widget) => widget.type === "fieldList");
    for (const row of table.value) {
      const mac = row.find((cell) => cell.name === "MAC").value;
      const answer = await call("POST", `${process.env.NAC_URL}/api/macs`, headers, JSON.stringify({ mac }));
      if (answer.status !== 201 && answer.status !== 409) throw new Error(`HTTP ${answer.status}`);
    }
    return {};
  };
  const config = new IdempotencyConfig({ eventKeyJmesPath: "instance_id" });
  const persistenceStore = new DynamoDBPersistenceLayer({ tableName: process.env.LEDGER_TABLE });
  const once = makeIdempotent(act, { persistenceStore, config, dataIndexArgument: 0 });
  const processor = new BatchProcessor(EventType.SQS);
  for (;;) {
    const next = await runtime("GET", "next");
    const id = next.headers["lambda-runtime-aws-request-id"];
    const deadline = Number(next.headers["lambda-runtime-deadline-ms"]);
    const context = { awsRequestId: id, getRemainingTimeInMillis: () => deadline - Date.now() };
    config.registerLambdaContext(context);
    const handler = (record) => once(JSON.parse(record.body));
    const answer = await processPartialResponse(JSON.parse(next.body), handler, processor, { context });
    await runtime("POST", `${id}/response`, JSON.stringify(answer));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
