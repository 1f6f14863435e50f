#!/usr/bin/env python3
"""Says what other tools see in the recordings of this folder, and writes it to NAME.expected.json.

expect.py [--check] [NAME...]

Nothing here comes from lowtide: capinfos counts the frames, tshark dissects the packets and messages, dnstap-read
counts the dnstap messages; dnstap envelopes are opened here and their messages handed to tshark. Queries and
responses are then paired by the rules of the README, written a second time in this file and as plainly as possible.
--check compares with the files that are there instead of writing them. Needs tshark and bind9-dnsutils.
"""

import bisect
import bz2
import gzip
import ipaddress
import json
import lzma
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections import Counter, OrderedDict, namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
QUERY_TIMEOUT = 5_000_000_000
LISTED = 20

# Cases that are not simply "this file": name -> inputs, exit code of lowtide, further arguments.
CASES = {
    "rotated": (["rotated-1.pcap", "rotated-2.pcapng"], 0, []),
    "rotated-reversed": (["rotated-2.pcapng", "rotated-1.pcap"], 0, []),
    "compressed-gzip": (["plain.pcap.gz"], 0, []),
    "compressed-bzip2": (["plain.pcap.bz2"], 0, []),
    "compressed-xz": (["plain.pcap.xz"], 0, []),
    "compressed-zstd": (["plain.pcap.zst"], 0, []),
    "compressed-lz4": (["plain.pcap.lz4"], 0, []),
    "cut": (["cut.pcap"], 1, []),
    "cut-lenient": (["cut.pcap"], 0, ["--lenient"]),
}

TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
         35: "NAPTR", 43: "DS", 44: "SSHFP", 46: "RRSIG", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
         64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA"}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN",
          7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS", 23: "BADCOOKIE"}
OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}

Message = namedtuple("Message", "time role transport client server family header own_latency")
# name is the wire form, lower case; None where tshark shows no question.
Header = namedtuple("Header", "id response opcode authoritative truncated rcode questions name type klass "
                              "answer_types authority_types edns dnssec_ok subnet cookie cut")


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout


def plain(path, folder):
    """The file itself, or its unpacked copy in `folder`."""
    target = os.path.join(folder, os.path.splitext(os.path.basename(path))[0])
    if path.endswith((".zst", ".lz4")):
        run("zstd" if path.endswith(".zst") else "lz4", "-dqf", path, *(["-o", target] if path.endswith(".zst") else [target]))
        return target
    for end, opener in ((".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)):
        if path.endswith(end):
            with opener(path) as packed, open(target, "wb") as file:
                file.write(packed.read())
            return target
    return path


# --- packets ---------------------------------------------------------------------------------------------------------

def fields(element):
    """All fields below an element, in the order of the packet."""
    return [(f.get("name"), f.get("show"), f.get("value") or "") for f in element.iter("field")]


def lower_wire(value):
    """A name's wire form, from hexadecimal, with ASCII letters in lower case; None when it is compressed or cut."""
    octets, out, at = bytes.fromhex(value), bytearray(), 0
    while at < len(octets):
        length = octets[at]
        if length > 63 or at + 1 + length > len(octets):
            return None
        out += octets[at : at + 1] + octets[at + 1 : at + 1 + length].lower()
        at += 1 + length
        if length == 0:
            return bytes(out)
    return None


def dns_header(element, cut=False):
    values = fields(element)
    first = {}
    for name, show, value in values:
        first.setdefault(name, (show, value))
    if "dns.flags" not in first or "dns.count.add_rr" not in first:
        return None
    flags = int(first["dns.flags"][1], 16)
    number = lambda name: int(first[name][0], 0) if name in first else 0
    options = {int(show, 0) for name, show, _ in values if name == "dns.opt.code"}
    edns = "dns.resp.ext_rcode" in first
    sections = {"answer": [], "authority": []}
    for part in element.findall("field"):
        kind = {"Answers": "answer", "Authoritative nameservers": "authority"}.get(part.get("show"))
        if kind:
            sections[kind] = [int(show) for name, show, _ in fields(part) if name == "dns.resp.type"]
    question = "dns.qry.class" in first
    return Header(
        id=int(first["dns.id"][1], 16), response=bool(flags & 0x8000), opcode=flags >> 11 & 15,
        authoritative=bool(flags & 0x400), truncated=bool(flags & 0x200),
        rcode=flags & 15 | (number("dns.resp.ext_rcode") << 4 if edns else 0),
        questions=number("dns.count.queries") if "dns.count.queries" in first else number("dns.count.zones"),
        name=lower_wire(first["dns.qry.name"][1]) if question else None,
        type=int(first["dns.qry.type"][0], 0) if question else 0, klass=int(first["dns.qry.class"][0], 0) if question else 0,
        answer_types=sections["answer"], authority_types=sections["authority"], edns=edns,
        dnssec_ok=any(name == "dns.resp.z.do" and show in ("1", "True") for name, show, _ in values),
        subnet=8 in options, cookie=10 in options, cut=cut,
    )


def packets(path):
    """tshark's frames: time in nanoseconds, and the protocols of the frame from the outside in."""
    process = subprocess.Popen(["tshark", "-n", "-r", path, "-T", "pdml"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for _, element in xml.iterparse(process.stdout):
        if element.tag == "packet":
            stamp = next(f.get("value") for f in element.iter("field") if f.get("name") == "timestamp")
            seconds, _, nanos = stamp.partition(".")
            yield int(seconds) * 10**9 + int(nanos.ljust(9, "0")[:9]), element
            element.clear()
    process.wait()


def packet_messages(path):
    messages = []
    for time, packet in packets(path):
        addresses = ports = transport = None
        lengths = {name: show for name, show, _ in fields(packet.find("proto[@name='frame']"))}
        cut = lengths["frame.cap_len"] != lengths["frame.len"]
        for proto in packet.findall("proto"):
            name = proto.get("name")
            if name in ("icmp", "icmpv6"):
                break  # an error quotes the packet it is about: nobody sent that message again
            if name in ("ip", "ipv6"):
                get = {n: s for n, s, _ in reversed(fields(proto))}
                addresses = get[name + ".src"], get[name + ".dst"]
            elif name in ("udp", "tcp"):
                get = {n: s for n, s, _ in reversed(fields(proto))}
                transport, ports = name, (int(get[name + ".srcport"]), int(get[name + ".dstport"]))
            elif name == "dns":
                header = dns_header(proto, cut)
                if header is None:
                    continue
                ends = [(addresses[0], ports[0]), (addresses[1], ports[1])]
                client, server = reversed(ends) if header.response else ends
                family = "ipv6" if ":" in client[0] else "ipv4"
                messages.append(Message(time, "wire", transport, client, server, family, header, None))
    return messages


def frames(path):
    process = subprocess.run(["capinfos", "-MrcT", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    last = process.stdout.decode().strip().splitlines()
    return int(last[-1].split("\t")[-1]) if last and last[-1].split("\t")[-1].isdigit() else sum(1 for _ in packets(path))


# --- dnstap ----------------------------------------------------------------------------------------------------------

ROLES = ["", "auth", "auth", "resolver", "resolver", "client", "client", "forwarder", "forwarder", "stub", "stub",
         "tool", "tool", "update", "update"]
MNEMONICS = ["", "AQ", "AR", "RQ", "RR", "CQ", "CR", "FQ", "FR", "SQ", "SR", "TQ", "TR", "UQ", "UR"]
PROTOCOLS = {1: "udp", 2: "tcp", 3: "dot", 4: "doh", 5: "dnscrypt_udp", 6: "dnscrypt_tcp", 7: "doq"}


def data_frames(data):
    at = 0
    while at + 4 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        at += 4
        if length == 0:  # a control frame
            at += 4 + struct.unpack_from(">I", data, at)[0]
        else:
            yield data[at : at + length]
            at += length


def protobuf(data):
    """The last value of each field."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            octet = data[at]
            at += 1
            value |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            found[tag >> 3] = varint()
        elif kind == 2:
            length = varint()
            found[tag >> 3] = data[at : at + length]
            at += length
        else:
            size = {1: 8, 5: 4}[kind]
            found[tag >> 3] = int.from_bytes(data[at : at + size], "little")
            at += size
    return found


def dnstap_messages(path, folder):
    with open(path, "rb") as file:
        envelopes = [protobuf(frame) for frame in data_frames(file.read())]
    taps = [protobuf(envelope[14]) for envelope in envelopes]
    counted = Counter(line.split()[2] for line in run("dnstap-read", path).decode().splitlines())
    own = Counter(MNEMONICS[tap[1]] for tap in taps)
    if counted != own:
        sys.exit(f"{path}: dnstap-read counts {dict(counted)}, expect.py {dict(own)}")
    # The DNS messages go to tshark as UDP datagrams.
    wires = [tap[14] if ROLES[tap[1]] and tap[1] % 2 == 0 else tap[10] for tap in taps]
    capture = os.path.join(folder, "messages.pcap")
    with open(capture, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 101))
        for wire in wires:
            datagram = struct.pack(">4H", 5300, 53, 8 + len(wire), 0) + wire
            packet = struct.pack(">IHBB16s16s", 6 << 28, len(datagram), 17, 64, bytes(15) + b"\1", bytes(15) + b"\1") + datagram
            file.write(struct.pack("<4I", 0, 0, len(packet), len(packet)) + packet)
    messages = []
    # BIND says CLIENT_RESPONSE of what an authoritative server answers to an AUTH_QUERY.
    if {"AQ", "CR"} <= own.keys() and "CQ" not in own:
        taps = [{**tap, 1: 2} if tap[1] == 6 else tap for tap in taps]
    headers = [dns_header(packet.find("proto[@name='dns']")) for _, packet in packets(capture)]
    assert len(headers) == len(taps)
    for tap, header in zip(taps, headers):
        query, response = (tap[at] * 10**9 + tap.get(at + 1, 0) if at in tap else None for at in (8, 12))
        assert header.response == (tap[1] % 2 == 0)
        client, server = (
            (str(ipaddress.ip_address(tap[address])) if address in tap else None, tap.get(port, 0)) for address, port in ((4, 6), (5, 7)))
        if ROLES[tap[1]] in ("resolver", "forwarder"):
            client = client[0], 0  # Unbound names other ports in responses than in their queries.
        latency = response - query if header.response and None not in (query, response) else None
        messages.append(Message(response if header.response else query, ROLES[tap[1]], PROTOCOLS.get(tap.get(3), "unknown"),
                                client, server, {1: "ipv4", 2: "ipv6"}[tap[2]], header, latency))
    return messages


# --- the account -----------------------------------------------------------------------------------------------------

def presentation(wire):
    """RFC 1035 §5.1; None for names with characters that tools escape differently."""
    labels, at = [], 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        if set(label) & set(b'"()@$; '):
            return None
        labels.append("".join(
            "\\" + chr(o) if o in b".\\" else chr(o) if 0x21 <= o <= 0x7E else f"\\{o:03}" for o in label))
        at += 1 + len(label)
    return ".".join(labels) + "."


class Transaction:
    def __init__(self, first):
        self.first, self.queries, self.responses, self.latency = first, 1, 0, None


def pair(messages):
    """Queries and responses by the rules of DESIGN: returns the transactions' figures and all transactions."""
    keyed, transactions, orphans, retransmissions, duplicates = {}, [], 0, 0, 0
    for message in sorted(messages, key=lambda m: (m.time, m.header.response)):
        header = message.header
        key = (message.transport, message.client, message.server, header.id, header.name, header.type, header.klass)
        if header.response and header.questions == 0:
            matches = [k for k in keyed if k[:4] == key[:4]]
            key = min(matches, key=lambda k: (keyed[k].responses, keyed[k].first.time), default=key)
        current = keyed.get(key)
        if current and message.time - current.first.time > QUERY_TIMEOUT:
            current = None
        if not header.response:
            if current and not current.responses:
                current.queries += 1
                retransmissions += 1
            else:
                keyed[key] = Transaction(message)
                transactions.append(keyed[key])
        elif current and not current.responses:
            current.responses = 1
            current.latency = message.own_latency if message.own_latency is not None else message.time - current.first.time
        elif current and current.responses < current.queries:
            current.responses += 1
            duplicates += 1
        else:
            orphans += 1
    end = max((m.time for m in messages), default=0)
    open_ = [t for t in transactions if not t.responses]
    pending = sum(end - t.first.time <= QUERY_TIMEOUT for t in open_)
    return {"answered": len(transactions) - len(open_), "unanswered": len(open_) - pending, "pending": pending,
            "retransmissions": retransmissions, "duplicate_responses": duplicates, "orphan_responses": orphans}, transactions


def latency(transactions):
    values = sorted(t.latency for t in transactions if t.latency is not None and t.latency >= 0)
    if not values:
        return {"count": 0, "min": None, "mean": None, "p50": None, "p99": None, "max": None}
    rank = lambda q: values[max(0, math.ceil(q * len(values)) - 1)] / 1000
    return {"count": len(values), "min": values[0] / 1000, "mean": round(sum(values) / len(values) / 1000, 6),
            "p50": rank(0.5), "p99": rank(0.99), "max": values[-1] / 1000}


def tally(names):
    return dict(sorted(Counter(names).items()))


def kinds(header):
    """NODATA and referral of a response."""
    if header.rcode or header.opcode or header.truncated or not header.questions:
        return False, False
    asked = header.answer_types and (header.type in header.answer_types or header.type in (251, 252, 255))
    soa, ns = 6 in header.authority_types, 2 in header.authority_types
    alias = 5 in header.answer_types or 39 in header.answer_types
    return (not asked and (soa or (header.authoritative and not alias)),
            not header.authoritative and ns and not soa and not header.answer_types)


def account(messages, count):
    queries = [m for m in messages if not m.header.response]
    responses = [m for m in messages if m.header.response]
    report = OrderedDict()
    report["frames"] = count
    report["messages"] = {
        "queries": len(queries), "responses": len(responses), "edns": sum(m.header.edns for m in messages),
        "dnssec_ok": sum(m.header.dnssec_ok for m in messages), "client_subnet": sum(m.header.subnet for m in messages),
        "cookie": sum(m.header.cookie for m in messages)}
    report["transports"] = tally(m.transport for m in messages)
    report["families"] = {f: sum(m.family == f for m in messages) for f in ("ipv4", "ipv6")}
    report["opcodes"] = tally(OPCODES.get(m.header.opcode, f"OPCODE{m.header.opcode}") for m in messages)
    report["truncated_responses"] = sum(m.header.truncated for m in responses)
    if any(m.header.cut for m in messages):  # the snap length cut the records that would tell
        report["messages"] = {field: report["messages"][field] for field in ("queries", "responses")}
        if any(m.header.questions and m.header.name is None for m in messages):
            return report
    report["rcodes"] = tally(RCODES.get(m.header.rcode, f"RCODE{m.header.rcode}") for m in responses)
    report["qtypes"] = tally(TYPES.get(m.header.type, f"TYPE{m.header.type}") for m in queries if m.header.questions)
    if not any(m.header.cut for m in messages):
        report["nodata"] = sum(kinds(m.header)[0] for m in responses)
        report["referrals"] = sum(kinds(m.header)[1] for m in responses)
    report["distinct_qnames"] = len({m.header.name for m in messages if m.header.questions})
    report["transactions"], transactions = pair(messages)
    report["latency_us"] = latency(transactions)
    report["servers"] = [
        {"address": address, "queries": sum(m.server[0] == address for m in queries),
         "responses": sum(m.server[0] == address for m in responses),
         "rcodes": tally(RCODES.get(m.header.rcode, f"RCODE{m.header.rcode}") for m in responses if m.server[0] == address),
         "latency_us": latency([t for t in transactions if t.first.server[0] == address])}
        for address in sorted({m.server[0] for m in messages if m.server[0]}, key=lambda a: ipaddress.ip_address(a).packed)]
    asked = Counter((m.header.name, m.header.type) for m in queries if m.header.questions)
    # Of equals, which one is listed is lowtide's choice: only what is surely among the first is expected.
    edge = sorted(asked.values(), reverse=True)[LISTED] if len(asked) > LISTED else 0
    report["qnames"] = [
        {"qname": presentation(name), "qtype": TYPES.get(kind, f"TYPE{kind}"), "queries": number,
         **{word: sum(m.header.rcode == code and (m.header.name, m.header.type) == (name, kind) for m in responses)
            for code, word in ((3, "nxdomain"), (2, "servfail"), (5, "refused"))}}
        for (name, kind), number in sorted(asked.items()) if number > edge and presentation(name)]
    return report


def roles(report, messages):
    """dnstap: roles are different traffic, and accounts are per role."""
    present = [r for r in dict.fromkeys(ROLES) if any(m.role == r for m in messages)]
    report["roles"] = [{"role": role, "queries": sum(m.role == role and not m.header.response for m in messages),
                        "responses": sum(m.role == role and m.header.response for m in messages)} for role in present]
    if len(present) > 1:  # a server and a name then have a row in each role
        del report["servers"], report["qnames"]
    return report


def expectation(name):
    inputs, code, arguments = CASES.get(name, (None, 0, []))
    if inputs is None:
        inputs = [next(f for f in recordings() if case_of(f) == name)]
    with tempfile.TemporaryDirectory() as folder:
        messages, count, dnstap = [], 0, False
        for path in inputs:
            path = plain(os.path.join(HERE, path), folder)
            if ".dnstap" in path:
                dnstap = True
                found = dnstap_messages(path, folder)
                count += len(found)
            else:
                found = packet_messages(path)
                count += frames(path)
            messages += found
    report = account(messages, count)
    if dnstap:
        report = roles(report, messages)
    return {"args": arguments + inputs, "exit": code, "report": report}


def recordings():
    """The recordings that are a case by themselves."""
    named = {f for inputs, _, _ in CASES.values() for f in inputs}
    return sorted(f for f in os.listdir(HERE) if re.search(r"\.(pcap|pcapng|dnstap)(\.zst)?$", f) and f not in named)


def case_of(file):
    return re.sub(r"\.(pcap|pcapng|dnstap)(\.zst)?$", lambda m: "-dnstap" if m[1] == "dnstap" else "", file)


def main():
    names = [a for a in sys.argv[1:] if a != "--check"] or sorted([*map(case_of, recordings()), *CASES])
    check, wrong = "--check" in sys.argv, 0
    for name in names:
        text = json.dumps(expectation(name), indent=1) + "\n"
        # Short lists and objects on one line.
        text = re.sub(r"[\[{]\s[^\[\]{}]{0,220}?[\]}]", lambda m: re.sub(r"\s+", " ", m[0]).replace("{ ", "{").replace(" }", "}").replace("[ ", "[").replace(" ]", "]"), text)
        path = os.path.join(HERE, name + ".expected.json")
        if check:
            with open(path) as file:
                if json.load(file) != json.loads(text):
                    wrong += 1
                    print(f"expect.py: {name}.expected.json is not what the tools say now", file=sys.stderr)
        else:
            with open(path, "w") as file:
                file.write(text)
    print(f"expect.py: {len(names)} cases, {wrong} differ" if check else f"expect.py: {len(names)} cases written")
    sys.exit(1 if wrong else 0)


main()
