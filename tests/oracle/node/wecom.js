// WeCom's callbacks, as its own library `@wecom/crypto` makes and opens them. JSON in, JSON out.

const { readFileSync } = require("node:fs");
const { decrypt, encrypt, getSignature } = require("@wecom/crypto");

const question = JSON.parse(readFileSync(0, "utf8"));
const { token, encoding_aes_key: key, corp_id: corp } = question.app;

function opened({ query, encrypted }) {
  const expected = getSignature(token, query.timestamp, query.nonce, encrypted);
  if (expected !== query.msg_signature) return { refused: "signature" };
  const { message, id } = decrypt(key, encrypted);
  return { message, id };
}

function sealed({ xml, timestamp, nonce }) {
  const encrypted = encrypt(key, xml, corp);
  return { encrypted, signature: getSignature(token, timestamp, nonce, encrypted) };
}

process.stdout.write(
  JSON.stringify({
    opened: question.callbacks.map(opened),
    sealed: question.messages.map(sealed),
  }),
);
