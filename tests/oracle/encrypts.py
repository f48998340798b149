"""Encrypts and signs an event with the SDK's own key derivation and cipher. JSON in, JSON out."""

import base64
import hashlib
import json
import secrets
import sys

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from lark_oapi.core.utils.decryptor import AESCipher

question = json.load(sys.stdin)
iv = secrets.token_bytes(AES.block_size)
digest = AESCipher(question["encrypt_key"]).digest
plain = pad(question["event"].encode(), AES.block_size)
encrypted = base64.b64encode(iv + AES.new(digest, AES.MODE_CBC, iv).encrypt(plain)).decode()
assert AESCipher(question["encrypt_key"]).decrypt_str(encrypted) == question["event"]
body = json.dumps({"encrypt": encrypted})
nonce = secrets.token_hex(8)
signed = question["timestamp"] + nonce + question["encrypt_key"] + body
json.dump(
    {
        "body": body,
        "headers": {
            "X-Lark-Request-Timestamp": question["timestamp"],
            "X-Lark-Request-Nonce": nonce,
            "X-Lark-Signature": hashlib.sha256(signed.encode()).hexdigest(),
        },
    },
    sys.stdout,
)
