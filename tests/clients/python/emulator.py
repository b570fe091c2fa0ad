"""A program in a terminal: a pseudo-terminal of this system, and pyte, which emulates what stands on its screen."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte

WAIT_S = 30
ALTERNATE, MAIN = b"\x1b[?1049h", b"\x1b[?1049l"
HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"
# Foreground and background of the palette, in either half, or of any other kind; 39 and 49 are the terminal's own.
COLOR = re.compile(rb"\x1b\[(?:[0-9]*;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")


class Terminal:
    """The command in a terminal of its own, as a session that it leads."""

    def __init__(self, command, size=(100, 32), env=None):
        self.size, self.raw, self.lock = size, bytearray(), threading.Lock()
        self.emulated = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.emulated)
        self.master, inner = pty.openpty()
        self.inner = inner
        self.set_size(size)
        self.modes = termios.tcgetattr(inner)
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TASKTALLY_TOKEN")}
        env = plain | {"TERM": "xterm-256color", "TZ": "UTC"} | (env or {})
        whole = ["setsid", "--ctty", *map(str, command)]
        self.process = subprocess.Popen(whole, stdin=inner, stdout=inner, stderr=inner, env=env)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self.lock:
                self.raw += data
                self.stream.feed(data)

    def set_size(self, size):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def resize(self, size):
        """As a window does: the system tells the program with SIGWINCH."""
        with self.lock:
            self.size = size
            self.emulated.resize(size[1], size[0])
        self.set_size(size)

    def type(self, text):
        os.write(self.master, text.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def lines(self):
        with self.lock:
            return [line.rstrip() for line in self.emulated.display]

    def text(self):
        return "\n".join(self.lines())

    def cells(self, text):
        """The cells that show this text, where it stands first."""
        with self.lock:
            for y, line in enumerate(self.emulated.display):
                x = line.find(text)
                if x >= 0:
                    return [self.emulated.buffer[y][x + at] for at in range(len(text))]
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text()}")

    def bytes(self):
        with self.lock:
            return bytes(self.raw)

    def until(self, check, what):
        """Waits for what the check gives once it neither fails nor gives nothing."""
        end, trouble = time.monotonic() + WAIT_S, None
        while time.monotonic() < end:
            try:
                found = check(self.text())
                if found:
                    return found
            except Exception as error:  # a screen that is half painted can be read in many wrong ways
                trouble = error
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {WAIT_S} s ({trouble})\n{self.text()}")

    def shows(self, *wanted):
        return self.until(lambda text: all(one in text for one in wanted), f"{wanted} on the screen")

    def exit_code(self):
        code = self.process.wait(timeout=WAIT_S)
        # What it said last may still be on its way.
        tail = "end of what the terminal was sent"
        os.write(self.inner, tail.encode())
        self.until(lambda _: tail.encode() in self.bytes(), "the last bytes")
        return code

    def is_given_back(self):
        """The main screen, the cursor and the line discipline are as they were."""
        raw = self.bytes()
        assert raw.rfind(MAIN) > raw.rfind(ALTERNATE) >= 0, "the alternate screen was not left"
        assert raw.rfind(SHOWN) > raw.rfind(HIDDEN) >= 0, "the cursor is hidden"
        assert termios.tcgetattr(self.inner) == self.modes, "the modes are not those of before"

    def after(self):
        """What stands on the main screen after the board."""
        raw = self.bytes()
        return raw[raw.rfind(MAIN) + len(MAIN) :].decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        os.close(self.inner)
        self.reader.join(WAIT_S)
        os.close(self.master)
