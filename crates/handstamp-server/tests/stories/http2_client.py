"""A client of HTTP/2 for the tests in http2.rs: python http2_client.py SCENARIO PORT CA [ARGUMENT ...]

It is made of the packages h2 and hyperframe, which share no code with the server. Each scenario prints JSON values, one a line.
"""

import json
import socket
import ssl
import sys
from urllib.parse import urlencode

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
)

PATIENCE = 20
PASSWORD = "plum-octave-harbour"


def connect(port, ca, protocols=("h2",)):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(list(protocols))
    tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)
    return context.wrap_socket(tcp, server_hostname="localhost")


def split(data):
    """The frames in these bytes, each with its own bytes, and the rest."""
    frames = []
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + length:
            break
        frame.parse_body(memoryview(data[9:9 + length]))
        frames.append((frame, data[:9 + length]))
        data = data[9 + length:]
    return frames, data


class Client:
    """A connection, and what came on each of its streams."""

    def __init__(self, port, ca):
        self.socket = connect(port, ca)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.streams = {}
        self.buffer = b""
        self.goaway = None
        self.closed = False
        self.order = []
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def send(self, method, path, headers=(), body=None):
        stream = self.connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.connection.send_headers(stream, pseudo + list(headers), end_stream=body is None)
        if body is not None:
            self.connection.send_data(stream, body, end_stream=True)
        self.streams[stream] = {"status": None, "headers": [], "body": "", "ended": False, "reset": None}
        self.flush()
        return stream

    def receive(self):
        """Waits for bytes, and handles all events in them."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.closed = True
            return
        self.buffer += data
        frames, self.buffer = split(self.buffer)
        for frame, whole in frames:
            # The package takes no frame after a GOAWAY, though streams go on.
            if isinstance(frame, GoAwayFrame):
                self.goaway = {"code": int(frame.error_code), "last": frame.last_stream_id}
            else:
                self.take(self.connection.receive_data(whole))
        self.flush()

    def take(self, events):
        for event in events:
            stream = self.streams.get(getattr(event, "stream_id", None))
            if stream is None:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                stream["status"] = int(dict(event.headers)[":status"])
                stream["headers"] = [list(header) for header in event.headers if not header[0].startswith(":")]
            elif isinstance(event, h2.events.DataReceived):
                stream["body"] += event.data.decode()
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                stream["ended"] = True
                self.order.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                stream["reset"] = int(event.error_code)
                self.order.append(event.stream_id)

    def wait(self, condition):
        while not self.closed and not condition():
            self.receive()

    def response(self, stream):
        """The whole response, or what came before a reset."""
        stream = self.streams[stream]
        self.wait(lambda: stream["ended"] or stream["reset"] is not None)
        return stream

    def signs_in(self, register):
        """Signs in, or registers. Returns the session cookie."""
        path = "/account/register" if register else "/account/login"
        fields = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
        headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://localhost"), ("accept", "text/html")]
        response = self.response(self.send("POST", path, headers, urlencode(fields).encode()))
        assert response["status"] == 303, response
        cookies = [value for name, value in response["headers"] if name == "set-cookie" and "handstamp_session" in value]
        assert len(cookies) == 1 and cookies[0].startswith("__Host-handstamp_session=") and "; Secure" in cookies[0], cookies
        return cookies[0].split(";")[0]


def show(value):
    print(json.dumps(value), flush=True)


def cookies(port, ca):
    """A request whose cookies are in several fields, for the app and for a page of ours."""
    client = Client(port, ca)
    session = client.signs_in(register=True)
    split = [("cookie", "theme=dark"), ("cookie", session), ("cookie", "a=b; c=d"), ("te", "trailers"), ("accept", "text/html")]
    show(client.response(client.send("GET", "/notes?a=%2F", split)))
    show(client.response(client.send("GET", "/account", split)))
    show(client.response(client.send("POST", "/account/profile", [("content-type", "application/x-www-form-urlencoded"),
                                                                   ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"),
                                                                   ("referer", "https://localhost/account/profile")], b"name=x")))


def streams(port, ca):
    """Event streams of two sessions on one connection, of which one session signs out on that connection."""
    client = Client(port, ca)
    ada, other = client.signs_in(register=True), client.signs_in(register=False)
    of_ada, of_other = (client.send("GET", "/events", [("cookie", cookie)]) for cookie in (ada, other))
    client.wait(lambda: client.streams[of_ada]["body"] and client.streams[of_other]["body"])
    headers = [("cookie", ada), ("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")]
    sign_out = client.send("POST", "/account/logout", headers, b"")
    signed_out = client.response(sign_out)
    cut = client.response(of_ada)
    before = len(client.streams[of_other]["body"])
    client.wait(lambda: len(client.streams[of_other]["body"]) > before + 100)
    going_on = client.streams[of_other]
    show({"sign_out": signed_out["status"], "cut": cut["reset"], "ended": cut["ended"], "order": client.order[-2:] == [of_ada, sign_out],
          "other": [going_on["status"], going_on["reset"], going_on["ended"]], "closed": client.closed})


def stops(port, ca):
    """A response that is under way when the server is told to stop."""
    client = Client(port, ca)
    session = client.signs_in(register=True)
    slow = client.send("GET", "/slow", [("cookie", session)])
    show("sent")
    response = client.response(slow)
    client.wait(lambda: False)
    show({"response": [response["status"], response["body"]], "goaway": client.goaway, "closed": client.closed})


def many(port, ca):
    """More requests at once than a connection may have."""
    client = Client(port, ca)
    session = client.signs_in(register=True)
    client.wait(lambda: SettingCodes.MAX_CONCURRENT_STREAMS in client.connection.remote_settings)
    allowed = client.connection.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS]
    streams = [client.send("GET", "/events", [("cookie", session)]) for _ in range(allowed)]
    client.wait(lambda: all(client.streams[stream]["body"] for stream in streams))
    # The package refuses to send one more.
    client.connection.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = allowed + 1
    client.connection.remote_settings.acknowledge()
    one_more = client.send("GET", "/events", [("cookie", session)])
    show({"allowed": allowed, "one_more": client.response(one_more)["reset"], "others": all(client.streams[stream]["reset"] is None for stream in streams)})


def stalled(port, ca):
    """A response that the client does not take, while it goes on with other requests."""
    client = Client(port, ca)
    session = client.signs_in(register=True)
    # No more than 64 KiB of it, and no acknowledgement.
    client.connection.acknowledge_received_data = lambda length, stream: None
    endless = client.send("GET", "/endless", [("cookie", session)])
    show("sent")
    taken = lambda: len(client.streams[endless]["body"])
    client.wait(lambda: taken() >= 60000)
    client.connection.increment_flow_control_window(1000000)
    client.flush()
    sys.stdin.readline()
    other = client.response(client.send("GET", "/account", [("cookie", session)]))
    client.connection.increment_flow_control_window(1000000, endless)
    client.flush()
    cut = client.response(endless)
    show({"other": other["status"], "cut": cut["reset"], "ended": cut["ended"]})


def silent(port, ca):
    """Connections whose clients stop: before the handshake, after it, and within the head of a request."""
    tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)
    after = connect(port, ca)
    within = connect(port, ca)
    within.sendall(PREFACE + SettingsFrame(0).serialize() + headers_frame(1, flags=["END_STREAM"]).serialize())
    for connection in (tcp, after, within):
        try:
            while connection.recv(65536):
                pass
        except (ConnectionResetError, ssl.SSLError):
            pass
    show("closed")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/account/login")]


def headers_frame(stream, headers=None, flags=("END_HEADERS", "END_STREAM")):
    return HeadersFrame(stream, Encoder().encode(GET if headers is None else headers, huffman=False), flags=list(flags))


def outcome(port, ca, frames):
    """What the server answers to these frames: the codes of GOAWAY and RST_STREAM, and the status of a response."""
    connection = connect(port, ca)
    found, buffer, acknowledged = set(), b"", False
    # The server may close before it has read everything.
    try:
        connection.sendall(PREFACE + SettingsFrame(0).serialize() + b"".join(frames) + PingFrame(0, b"the last").serialize())
    except (OSError, ssl.SSLError):
        pass
    try:
        while not (acknowledged and found):
            data = connection.recv(65536)
            if not data:
                found.add("closed")
            read, buffer = split(buffer + data)
            for frame, _ in read:
                if isinstance(frame, GoAwayFrame):
                    found.add(f"GOAWAY {ErrorCodes(frame.error_code).name}")
                elif isinstance(frame, RstStreamFrame):
                    found.add(f"RST {ErrorCodes(frame.error_code).name}")
                elif isinstance(frame, HeadersFrame):
                    found.add(f"{dict(Decoder().decode(frame.data))[':status']}")
                elif isinstance(frame, PingFrame) and frame.opaque_data == b"the last":
                    acknowledged = True
                    # A response may come after it.
                    connection.settimeout(1)
            acknowledged |= "closed" in found
    except TimeoutError:
        found.add("alive" if acknowledged else "silent")
    except (ConnectionResetError, ssl.SSLError):
        found.add("closed")
    connection.close()
    return sorted(found)


def with_headers(*extra, without=()):
    return [headers_frame(1, [header for header in GET if header[0] not in without] + list(extra)).serialize()]


def raw(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def faults(port, ca):
    """Frames that RFC 9113 forbids, and floods."""
    big = [Encoder().encode([(f"x-{number}", "x" * 4000)], huffman=False) for number in range(20)]
    cases = {
        "a request": with_headers(),
        "DATA on stream 0": [DataFrame(1, b"x").serialize().replace(b"\0\0\0\1", b"\0\0\0\0", 1)],
        "DATA on an idle stream": [DataFrame(1, b"x").serialize()],
        "HEADERS on stream 0": [raw(1, 5, 0, Encoder().encode(GET))],
        "HEADERS on an even stream": [headers_frame(2).serialize()],
        "HEADERS on a lower stream": [headers_frame(5).serialize(), headers_frame(3).serialize()],
        "HEADERS with too much padding": [raw(1, 0xD, 1, b"\xff" + Encoder().encode(GET))],
        "a field block that is no HPACK": [raw(1, 5, 1, b"\xff\xff\xff\xff\xff\xff")],
        "a table size beyond the setting": [raw(1, 5, 1, b"\x3f\xe1\xff\x03" + Encoder().encode(GET))],
        "CONTINUATION without HEADERS": [ContinuationFrame(1, b"", flags=["END_HEADERS"]).serialize()],
        "PING within HEADERS": [headers_frame(1, flags=[]).serialize(), PingFrame(0, b"12345678").serialize()],
        "a frame beyond the maximum": [raw(0, 0, 1, b"x" * 16385)],
        "PING of 7 bytes": [raw(6, 0, 0, b"1234567")],
        "PING on a stream": [raw(6, 0, 1, b"12345678")],
        "PRIORITY of 4 bytes": [headers_frame(1, flags=["END_HEADERS"]).serialize() + raw(2, 0, 1, b"1234")],
        "RST_STREAM on stream 0": [raw(3, 0, 0, b"\0\0\0\0")],
        "RST_STREAM on an idle stream": [raw(3, 0, 1, b"\0\0\0\0")],
        "SETTINGS on a stream": [raw(4, 0, 1, b"")],
        "SETTINGS of 5 bytes": [raw(4, 0, 0, b"12345")],
        "an acknowledgement with a payload": [raw(4, 1, 0, b"\0\1\0\0\0\0")],
        "a window beyond the maximum": [raw(4, 0, 0, b"\0\4\xff\xff\xff\xff")],
        "PUSH_PROMISE of a client": [raw(5, 4, 1, b"\0\0\0\2" + Encoder().encode(GET))],
        "WINDOW_UPDATE of 0": [raw(8, 0, 0, b"\0\0\0\0")],
        "WINDOW_UPDATE of 0 on a stream": [headers_frame(1, flags=["END_HEADERS"]).serialize() + raw(8, 0, 1, b"\0\0\0\0")],
        "WINDOW_UPDATE beyond the maximum": [raw(8, 0, 0, b"\x7f\xff\xff\xff")],
        "WINDOW_UPDATE on an idle stream": [raw(8, 0, 1, b"\0\0\0\1")],
        "a frame of an unknown type": [raw(0x77, 0, 0, b"anything")],
        "no :path": with_headers(without=[":path"]),
        "no :method": with_headers(without=[":method"]),
        "two :path": with_headers((":path", "/")),
        "an unknown pseudo-header": with_headers((":unknown", "x")),
        ":protocol": [headers_frame(1, [(":method", "CONNECT"), (":protocol", "websocket")] + GET[1:]).serialize()],
        "a pseudo-header after a header": [headers_frame(1, [("accept", "*/*")] + GET).serialize()],
        "a header in upper case": [raw(1, 5, 1, Encoder().encode(GET, huffman=False) + b"\0\x08X-Header\x01x")],
        "connection": with_headers(("connection", "keep-alive")),
        "transfer-encoding": with_headers(("transfer-encoding", "chunked")),
        "upgrade": with_headers(("upgrade", "websocket")),
        "te": with_headers(("te", "gzip")),
        "a body longer than content-length": [headers_frame(1, GET + [("content-length", "1")], flags=["END_HEADERS"]).serialize(), DataFrame(1, b"xx", flags=["END_STREAM"]).serialize()],
        "fields of 80 KB": [headers_frame(1, flags=["END_STREAM"]).serialize(), *(ContinuationFrame(1, block).serialize() for block in big), ContinuationFrame(1, b"", flags=["END_HEADERS"]).serialize()],
        "a flood of CONTINUATION": [headers_frame(1, flags=[]).serialize()] + [ContinuationFrame(1, b"").serialize()] * 20000,
        "a flood of resets": [part for number in range(1, 6001, 2) for part in (headers_frame(number).serialize(), RstStreamFrame(number, 8).serialize())],
        "a flood of invalid requests": [headers_frame(number, GET[:3]).serialize() for number in range(1, 6001, 2)],
    }
    for name, frames in cases.items():
        show([name, " ".join(outcome(port, ca, frames))])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
