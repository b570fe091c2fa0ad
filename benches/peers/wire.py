"""A gRPC call with next to no client: HTTP/2 on a blocking socket, one call at a time.

Python's grpcio hands each call from thread to thread, which takes several times as long as the whole service does; what
is compared here is the service, as the peers are asked through C.
"""

import socket
import struct

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WINDOW_BYTES = 1 << 30


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header that is not indexed; HPACK writes short lengths as they are."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream, self.read, self.taken = -1, b"", 0
        # SETTINGS_INITIAL_WINDOW_SIZE, and as much for the connection.
        hello = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW_BYTES)) + self.window()
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hello)

    def window(self):
        return frame(WINDOW, 0, 0, struct.pack(">I", WINDOW_BYTES - 65_535))

    def request(self, path, message):
        """What call() takes: headers and message, ready but for their stream's number."""
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        pairs += [("content-type", "application/grpc"), ("te", "trailers")]
        return b"".join(literal(*pair) for pair in pairs), b"\0" + struct.pack(">I", len(message)) + message

    def call(self, request):
        headers, body = request
        self.stream += 2
        stream = self.stream
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, body))
        answer = b""
        while True:
            kind, flags, of, payload = self.next_frame()
            if kind == DATA and of == stream:
                answer += payload
                self.taken += len(payload)
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == GOAWAY or (kind == RESET and of == stream):
                raise ConnectionError(f"the call was ended: frame {kind}, {payload!r}")
            if of == stream and kind in (DATA, HEADERS) and flags & END_STREAM:
                break
        if self.taken > WINDOW_BYTES // 2:
            self.socket.sendall(frame(WINDOW, 0, 0, struct.pack(">I", self.taken)))
            self.taken = 0
        if len(answer) < 5:
            raise ConnectionError("no message: the call failed")
        return answer[5:]

    def next_frame(self):
        while len(self.read) < 9 or len(self.read) < 9 + int.from_bytes(self.read[:3], "big"):
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError("the service closed the connection")
            self.read += more
        length = int.from_bytes(self.read[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.read[3:9])
        payload, self.read = self.read[9 : 9 + length], self.read[9 + length :]
        return kind, flags, stream, payload

    def close(self):
        self.socket.close()
