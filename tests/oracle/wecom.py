"""WeCom's callbacks and API, as the library `wechatpy` knows them. JSON in, JSON out."""

import json
import sys
import time

import xmltodict
from wechatpy.enterprise import WeChatClient
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException, WeChatException

question = json.load(sys.stdin)
app = question["app"]
crypto = WeChatCrypto(app["token"], app["encoding_aes_key"], app["corp_id"])


def opened(callback: dict) -> dict:
    """What the library reads in a callback of ours."""
    query = callback["query"]
    try:
        if "echostr" in query:
            text = crypto.check_signature(
                query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"]
            )
            return {"challenge": text.decode() if isinstance(text, bytes) else text}
        message = crypto.decrypt_message(
            callback["body"], query["msg_signature"], query["timestamp"], query["nonce"]
        )
        return {"message": xmltodict.parse(message)["xml"]}
    except (InvalidSignatureException, WeChatException) as error:
        return {"refused": type(error).__name__}


def sealed(message: dict) -> str:
    return crypto.encrypt_message(message["xml"], message["nonce"], message["timestamp"])


class Client(WeChatClient):
    """At our stub instead of WeCom."""

    API_BASE_URL = question["base_url"] + "/cgi-bin/"

    def fetch_access_token(self):
        return self._fetch_access_token(
            url=f"{question['base_url']}/cgi-bin/gettoken",
            params={"corpid": self.corp_id, "corpsecret": self.secret},
        )


def detail(sp_no: str) -> dict:
    # A token that has expired: the library logs in and asks again.
    client = Client(app["corp_id"], app["secret"], access_token="expired")
    client.session.set(client.access_token_key, "expired")
    client.expires_at = int(time.time()) + 7200
    return client.OA.get_approval_detail(sp_no)


json.dump(
    {
        "detail": detail(question["sp_no"]),
        "opened": [opened(callback) for callback in question["callbacks"]],
        "sealed": [sealed(message) for message in question["messages"]],
    },
    sys.stdout,
)
