// The official SDK's client of streams. The question is the first argument; each event that it hands
// over is a line of JSON on standard output. It runs until it is killed.

const { DWClient, EventAck } = require("dingtalk-stream");

// The SDK writes what it does beside the events.
console.log = console.info = console.warn = console.debug = () => {};

const question = JSON.parse(process.argv[2]);
const client = new DWClient({ clientId: question.app_key, clientSecret: question.app_secret });

// At our stub instead of DingTalk.
client.getEndpoint = async () => {
  const answer = await fetch(`${question.base_url}/v1.0/gateway/connections/open`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({
      clientId: question.app_key,
      clientSecret: question.app_secret,
      subscriptions: [{ type: "EVENT", topic: "*" }],
    }),
  });
  const { endpoint, ticket } = await answer.json();
  client.config.endpoint = { endpoint, ticket };
  client.dw_url = `${endpoint}?ticket=${encodeURIComponent(ticket)}`;
  return client;
};

client.registerAllEventListener((event) => {
  const { eventType, eventId } = event.headers;
  const line = { type: eventType, id: eventId, data: JSON.parse(event.data) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  return { status: EventAck.SUCCESS };
});
client.connect();
