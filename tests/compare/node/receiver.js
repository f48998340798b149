// The receiver's job with the official Node SDK and the AWS SDK v3: verify, decrypt, parse, send to
// the queue, answer 200. Clients and secret are loaded once, before the first event. The loop
// replaces Lambda's own Node runtime.
"use strict";

const http = require("node:http");
const lark = require("@larksuiteoapi/node-sdk");
const { SecretsManagerClient, GetSecretValueCommand } = require("@aws-sdk/client-secrets-manager");
const { SQSClient, SendMessageCommand } = require("@aws-sdk/client-sqs");

const agent = new http.Agent({ keepAlive: true });

function runtime(method, path, body) {
  const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/${path}`;
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function main() {
  const sqs = new SQSClient({});
  const command = new GetSecretValueCommand({ SecretId: process.env.SECRET_ARN });
  const document = await new SecretsManagerClient({}).send(command);
  const secret = JSON.parse(document.SecretString).sources.feishu;
  const dispatcher = new lark.EventDispatcher({
    encryptKey: secret.encrypt_key,
    verificationToken: secret.verification_token,
    loggerLevel: lark.LoggerLevel.error,
  }).register({
    approval_instance: async (event) => {
      const body = JSON.stringify({ event_id: event.uuid, instance_code: event.instance_code });
      await sqs.send(new SendMessageCommand({ QueueUrl: process.env.QUEUE_URL, MessageBody: body }));
      return "success";
    },
  });
  for (;;) {
    const next = await runtime("GET", "next");
    const event = JSON.parse(next.body);
    const data = Object.assign(Object.create({ headers: event.headers }), JSON.parse(event.body));
    const result = await dispatcher.invoke(data);
    const answer = { statusCode: result === "success" ? 200 : 500, body: JSON.stringify({ msg: result }) };
    await runtime("POST", `${next.headers["lambda-runtime-aws-request-id"]}/response`, JSON.stringify(answer));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
