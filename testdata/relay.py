#!/usr/bin/env python3
"""A UDP relay before a name server that makes the network as bad as a test needs, the same way each time.

relay.py --listen ADDRESS --to ADDRESS PORT [--slow N MS] [--drop N] [--twice N]

Every Nth query is answered MS milliseconds later, not at all, or twice. It stands in for `tc netem`, which many
kernels are built without. It ends by itself after two minutes.
"""

import argparse
import heapq
import select
import socket
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("--listen", required=True)
arguments.add_argument("--to", nargs=2, metavar=("ADDRESS", "PORT"), required=True)
arguments.add_argument("--slow", nargs=2, type=int, metavar=("N", "MS"), default=(0, 0))
arguments.add_argument("--drop", type=int, default=0)
arguments.add_argument("--twice", type=int, default=0)
options = arguments.parse_args()


def udp(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def every(count, nth):
    return nth > 0 and count % nth == 0


front = udp(options.listen)
front.bind((options.listen, 53))
server = (options.to[0], int(options.to[1]))
waiting = {}  # socket towards the server -> client, delay, copies
later = []  # time, sequence, answer, client
count = sequence = 0
end = time.monotonic() + 120

while time.monotonic() < end:
    pause = max(0.0, min(later[0][0] - time.monotonic(), 1.0)) if later else 1.0
    for ready in select.select([front, *waiting], [], [], pause)[0]:
        if ready is front:
            query, client = front.recvfrom(65535)
            count += 1
            if every(count, options.drop):
                continue
            back = udp(server[0])
            back.connect(server)
            back.send(query)
            delay = options.slow[1] / 1000 if every(count, options.slow[0]) else 0
            waiting[back] = (client, delay, 2 if every(count, options.twice) else 1)
        else:
            client, delay, copies = waiting.pop(ready)
            try:
                answer = ready.recv(65535)
            except OSError:
                answer = None
            ready.close()
            for copy in range(copies if answer else 0):
                sequence += 1
                heapq.heappush(later, (time.monotonic() + delay + copy * 0.002, sequence, answer, client))
    while later and later[0][0] <= time.monotonic():
        _, _, answer, client = heapq.heappop(later)
        front.sendto(answer, client)
