#!/usr/bin/env python3
"""Listens on /ws/alerts with the package websockets: a client independent of ws_client.mjs, with the same
arguments, output and exit statuses. Run by the cache's python.
"""
import argparse
import json
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect


def pair(text):
    key, value = text.split("=", 1)
    return key, value


def end(status, words=None):
    if words:
        print(words, file=sys.stderr)
    sys.exit(status)


parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("--timeout", type=int, default=10000, help="ms")
parser.add_argument("--header", type=pair, action="append", default=[])
options = parser.parse_args()

deadline = time.monotonic() + options.timeout / 1000
changes = 0
try:
    with connect(
        options.url,
        additional_headers=options.header,
        proxy=None,
        open_timeout=options.timeout / 1000,
        close_timeout=1,
        max_size=None,
    ) as socket:
        while True:
            text = socket.recv(timeout=max(0, deadline - time.monotonic()))
            at = time.time_ns() // 1_000_000
            if not isinstance(text, str):
                end(3, "a binary message")
            message = json.loads(text)
            print(json.dumps({"at": at, "message": message}), flush=True)
            changes += "change" in message
            if changes >= options.count:
                end(0)
except TimeoutError:
    end(1, f"{changes} of {options.count} changes in {options.timeout} ms")
except json.JSONDecodeError as error:
    end(3, f"not JSON: {error}")
except ConnectionClosed as error:
    end(3, f"closed by the server: {error}")
except (InvalidHandshake, OSError) as error:
    end(3, f"refused: {error}")
