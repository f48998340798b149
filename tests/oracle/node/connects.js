// The official SDK's client of long connections. The question is the first argument; each event that
// it hands over is a line of JSON on standard output. It runs until it is killed.

const lark = require("@larksuiteoapi/node-sdk");

const question = JSON.parse(process.argv[2]);
const handOver = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const silent = { error() {}, warn() {}, info() {}, debug() {}, trace() {} };

const client = new lark.WSClient({
  appId: question.app_id,
  appSecret: question.app_secret,
  domain: question.base_url,
  logger: silent,
});
const handler = { approval_instance: handOver, "contact.user.deleted_v3": handOver };
client.start({ eventDispatcher: new lark.EventDispatcher({ logger: silent }).register(handler) });
