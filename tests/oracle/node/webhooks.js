// Signs and verifies as the official library for Standard Webhooks does. JSON in, JSON out.

const { readFileSync } = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const question = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(question.secret);

function accepts({ body, headers }) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

const signed = question.messages.map(({ id, timestamp, body }) => ({
  v1: webhook.sign(id, new Date(timestamp * 1000), body),
}));
const accepted = question.deliveries.map(accepts);
process.stdout.write(JSON.stringify({ signed, accepted }));
