"""Feishu's side of a long connection, with the frames of the official SDK and the server of the
library `websockets`. The events to send are the first argument. The first line on standard output
is the address of the question for a connection; then each message of the client is a line of JSON.
"""

import asyncio
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from lark_oapi.ws.pb.pbbp2_pb2 import Frame
from websockets.asyncio.server import serve

SERVICE = 33554678
question = json.loads(sys.argv[1])


def tell(line: dict) -> None:
    print(json.dumps(line), flush=True)


def config() -> dict:
    return {
        "ReconnectCount": -1,
        "ReconnectInterval": 1,
        "ReconnectNonce": 0,
        "PingInterval": 90,
    }


def headers_of(frame: Frame) -> list:
    return [[header.key, header.value] for header in frame.headers]


def frame_of(method: int, headers: dict, payload: bytes) -> Frame:
    frame = Frame(SeqID=7, LogID=42, service=SERVICE, method=method, LogIDNew="lognew-1")
    frame.payload = payload
    for key, value in headers.items():
        header = frame.headers.add()
        header.key, header.value = key, value
    return frame


def pieces_of(message_id: str, event: bytes, count: int) -> list[bytes]:
    """In reverse order; a piece may end inside a character."""
    size = -(-len(event) // count)
    pieces = [event[at : at + size] for at in range(0, len(event), size)]
    frames = []
    for seq, piece in enumerate(pieces):
        headers = {
            "type": "event",
            "message_id": message_id,
            "sum": str(len(pieces)),
            "seq": str(seq),
            "trace_id": "tr-1",
            "timestamp": "1700000000000",
        }
        frames.append(frame_of(1, headers, piece).SerializeToString())
    return frames[::-1]


async def connection(socket) -> None:
    tell({"opened": socket.request.path})
    async for message in socket:
        frame = Frame()
        frame.ParseFromString(message)
        payload = frame.payload.decode()
        tell(
            {
                "seq": frame.SeqID,
                "log": frame.LogID,
                "log_new": frame.LogIDNew,
                "service": frame.service,
                "method": frame.method,
                "headers": headers_of(frame),
                "payload": payload,
                "hex": message.hex(),
            }
        )
        if frame.method != 0:
            continue
        pong = frame_of(0, {"type": "pong"}, json.dumps(config()).encode())
        await socket.send(pong.SerializeToString())
        for event in question["events"]:
            body = event["body"].encode()
            for piece in pieces_of(event["id"], body, event["pieces"]):
                await socket.send(piece)


def offer(port: int) -> int:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            tell({"asked": self.path, "body": body})
            url = f"ws://127.0.0.1:{port}/ws/v2?device_id=1&service_id={SERVICE}&ticket=t"
            data = {"URL": url, "ClientConfig": config()}
            answer = json.dumps({"code": 0, "msg": "", "data": data}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


async def main() -> None:
    async with serve(connection, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tell({"url": f"http://127.0.0.1:{offer(port)}"})
        await server.serve_forever()


asyncio.run(main())
