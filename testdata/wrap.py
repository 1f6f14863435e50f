#!/usr/bin/env python3
"""Puts a link layer or tunnel around every packet of a recorded capture.

wrap.py KIND IN.pcap OUT.pcap

IN has Ethernet frames. It stands in for `ip link add type vlan|gre|geneve|sit ...` where the kernel has none of them,
and for links that no network namespace has (MPLS, PPPoE, 802.11, GTP-U). Times and inner packets stay as recorded.
"""

import ipaddress
import struct
import sys

kind, source, target = sys.argv[1:]
MACS = bytes.fromhex("02000000000b02000000000a")
V4 = tuple(ipaddress.ip_address(a).packed for a in ("198.51.100.1", "198.51.100.2"))
V6 = tuple(ipaddress.ip_address(a).packed for a in ("2001:db8:ffff::1", "2001:db8:ffff::2"))


def ipv4(protocol, payload):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0, *V4)
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack(">H", total) + header[12:] + payload


def ipv6(protocol, payload):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), protocol, 64, *V6) + payload


def udp(port, payload):
    return struct.pack(">HHHH", 49152, port, 8 + len(payload), 0) + payload


def over_ethernet(packet):
    return MACS + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def ppp_protocol(ethertype):
    return {b"\x08\x00": b"\x00\x21", b"\x86\xdd": b"\x00\x57"}[ethertype]


def llc(ethertype):
    return b"\xaa\xaa\x03\x00\x00\x00" + ethertype


# KIND: link type of OUT, and what becomes of a frame: MAC addresses, EtherType, packet.
KINDS = {
    "vlan": (1, lambda m, t, p: m + b"\x81\x00\x00\x0a" + t + p),
    "qinq": (1, lambda m, t, p: m + b"\x88\xa8\x00\x14\x81\x00\x00\x0a" + t + p),
    "mpls": (1, lambda m, t, p: m + b"\x88\x47" + struct.pack(">II", 100 << 12 | 64, 200 << 12 | 1 << 8 | 64) + p),
    "pppoe": (1, lambda m, t, p: m + b"\x88\x64\x11\x00\x00\x07"
              + struct.pack(">H", 2 + len(p)) + ppp_protocol(t) + p),
    "gre": (1, lambda m, t, p: over_ethernet(ipv4(47, b"\x20\x00" + t + b"\x00\x00\x00\x01" + p))),
    "gre-ethernet": (1, lambda m, t, p: over_ethernet(ipv6(47, b"\x00\x00\x65\x58" + m + t + p))),
    "erspan": (1, lambda m, t, p: over_ethernet(ipv4(47, b"\x10\x00\x88\xbe\x00\x00\x00\x01"
                                                     + b"\x10\x0a\x00\x01\x00\x00\x00\x00" + m + t + p))),
    "geneve": (1, lambda m, t, p: over_ethernet(ipv4(17, udp(6081, b"\x00\x00\x65\x58\x00\x00\x05\x00" + m + t + p)))),
    "gtpu": (1, lambda m, t, p: over_ethernet(ipv4(17, udp(2152, b"\x30\xff" + struct.pack(">HI", len(p), 7) + p)))),
    "teredo": (1, lambda m, t, p: over_ethernet(ipv4(17, udp(3544, p))) if t == b"\x86\xdd" else m + t + p),
    "ip-in-ip": (1, lambda m, t, p: over_ethernet(ipv4(4 if t == b"\x08\x00" else 41, p))),
    "ip-in-ipv6": (1, lambda m, t, p: over_ethernet(ipv6(4 if t == b"\x08\x00" else 41, p))),
    "raw": (101, lambda m, t, p: p),
    "null": (0, lambda m, t, p: struct.pack("<I", 2 if t == b"\x08\x00" else 30) + p),
    "loop": (108, lambda m, t, p: struct.pack(">I", 2 if t == b"\x08\x00" else 24) + p),
    "ppp": (9, lambda m, t, p: b"\xff\x03" + ppp_protocol(t) + p),
    "wifi": (105, lambda m, t, p: b"\x08\x02\x00\x00" + m + m[:6] + b"\x10\x00" + llc(t) + p),
    "radiotap": (127, lambda m, t, p: b"\x00\x00\x08\x00\x00\x00\x00\x00"
                 + b"\x88\x02\x00\x00" + m + m[:6] + b"\x10\x00\x00\x00" + llc(t) + p),
}

link_type, wrap = KINDS[kind]
with open(source, "rb") as file:
    data = file.read()
if data[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack_from("<I", data, 20)[0] != 1:
    sys.exit(f"{source}: not a little-endian microsecond pcap of Ethernet frames")
out = bytearray(data[:20] + struct.pack("<I", link_type))
at = 24
while at < len(data):
    seconds, micros, captured, length = struct.unpack_from("<IIII", data, at)
    frame = data[at + 16 : at + 16 + captured]
    at += 16 + captured
    if captured != length:
        sys.exit(f"{source}: has a cut packet")
    if frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
        frame = wrap(frame[:12], frame[12:14], frame[14:])
        out += struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame
with open(target, "wb") as file:
    file.write(out)
