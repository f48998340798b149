"""Decrypts what our login for Weaver encrypts, with PyPI's `cryptography`."""

import base64
import json
import sys

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_private_key

question = json.load(sys.stdin)
key = load_der_private_key(base64.b64decode(question["private_key"]), password=None)
opened = [
    key.decrypt(base64.b64decode(sealed), padding.PKCS1v15()).decode()
    for sealed in question["sealed"]
]
print(json.dumps(opened))
