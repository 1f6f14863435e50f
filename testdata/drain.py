#!/usr/bin/env python3
"""Says who asked the old servers of a migration for its zones, as tshark sees it: queries, first and last, per zone, server and client;
and which names and types since the cutover.

    testdata/drain.py             writes migration.drain.json of migration.pcapng.zst
    testdata/drain.py --check     compares with it instead
    testdata/drain.py LOWTIDE FOLDER   compares `lowtide drain` with tshark on FOLDER/load/dns-1m.pcap.zst

Needs tshark and zstd.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Since 2026-11-21T05:34:38Z, as migration.toml says.
CUTOVER = "1795239278"
TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS", 48: "DNSKEY", 65: "HTTPS",
         255: "ANY", 257: "CAA"}
LAB = (["example.net", "example.com", "shop.test", "expired.test"], ["192.0.2.10", "2001:db8::10"])
LOAD = (["corp.example", "legacy.example", "media.example", "shop.example"], ["192.0.2.53", "2001:db8:53::53"])
# The cutover is before the first packet, so that every client is one that asked since.
LOAD_PLAN = """[[migration]]
name = "load"
zones = {0}
old = {1}
new = ["198.51.100.53", "2001:db8:c0::53"]
cutover = "2026-11-21T03:00:00Z"
parent_ns_ttl = "30s"
"""


def queries(capture):
    """Time, client, server, name and type of each query. Queries that ICMP errors quote were not sent again."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain"
        subprocess.run(["zstd", "-dqf", capture, "-o", plain], check=True)
        fields = ["frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "dns.flags.response", "dns.qry.name",
                  "dns.qry.type"]
        command = ["tshark", "-n", "-r", plain, "-Y", "dns.flags.response == 0 && !icmp && !icmpv6", "-T", "fields",
                   "-E", "separator=/t", *(option for field in fields for option in ("-e", field))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tshark:
            for line in tshark.stdout:
                time, source_4, source_6, target_4, target_6, responses, names, types = line.rstrip("\n").split("\t")
                if not len(responses.split(",")) == len(names.split(",")) == len(types.split(",")):
                    raise SystemExit(f"{capture}: a frame with messages of which not each has one name: {line}")
                for name, of_type in zip(names.split(","), types.split(",")):
                    of_type = TYPES.get(int(of_type), f"TYPE{of_type}")
                    yield time, source_4 or source_6, target_4 or target_6, name.lower(), of_type
        if tshark.returncode:
            raise SystemExit(f"tshark failed on {capture}")


def rfc3339(epoch):
    seconds, fraction = epoch.split(".")
    date = subprocess.run(["date", "-u", "-d", f"@{seconds}", "+%Y-%m-%dT%H:%M:%S"], check=True, capture_output=True, text=True)
    return f"{date.stdout.strip()}.{fraction.ljust(9, '0')[:9]}Z"


def seen(capture, zones, servers, cutover=None):
    found = {f"{zone}. {server}": {} for zone in zones for server in servers}
    wanted = {key: {} for key in found}
    for time, client, server, name, of_type in queries(capture):
        zone = next((zone for zone in zones if name == zone or name.endswith("." + zone)), None)
        clients = found.get(f"{zone}. {server}")
        if clients is not None:
            count, first, last = clients.get(client, (0, time, time))
            clients[client] = (count + 1, min(first, time), max(last, time))
            if cutover and time >= cutover:
                names = wanted[f"{zone}. {server}"]
                count, last = names.get(f"{name}. {of_type}", (0, time))
                names[f"{name}. {of_type}"] = (count + 1, max(last, time))
    return {key: {
        "queries": sum(count for count, _, _ in clients.values()),
        "last_query": rfc3339(max(last for _, _, last in clients.values())) if clients else None,
        "clients": {client: [count, rfc3339(first), rfc3339(last)] for client, (count, first, last) in sorted(clients.items())},
    } | ({"wanted": {name: [count, rfc3339(last)] for name, (count, last) in sorted(wanted[key].items())}} if cutover else {})
        for key, clients in found.items()}


def of_lowtide(lowtide, capture, zones, servers):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as plan:
        plan.write(LOAD_PLAN.format(json.dumps(zones), json.dumps(servers)))
        plan.flush()
        run = subprocess.run([lowtide, "drain", "--json", "--config", plan.name, capture], capture_output=True, text=True)
    if run.returncode != 3:
        raise SystemExit(f"exit code {run.returncode}: {run.stderr}")
    return {f"{server['zone']} {server['address']}": {
        "queries": server["queries"],
        "last_query": server["last_query"],
        "clients": {client["address"]: [client["queries"], client["first_seen"], client["last_seen"]]
                    for client in sorted(server["residual_clients"], key=lambda client: client["address"])},
    } for server in json.loads(run.stdout)["migrations"][0]["servers"]}


def main(arguments):
    if len(arguments) == 2:
        lowtide, folder = arguments
        capture = Path(folder) / "load" / "dns-1m.pcap.zst"
        tshark, ours = seen(capture, *LOAD), of_lowtide(lowtide, capture, *LOAD)
        wrong = [key for key in tshark if tshark[key] != ours.get(key)]
        for key in wrong:
            print(f"{key}: tshark {json.dumps(tshark[key])[:300]} … lowtide {json.dumps(ours.get(key))[:300]} …")
        clients = sum(len(found["clients"]) for found in tshark.values())
        total = sum(found["queries"] for found in tshark.values())
        print(f"{len(tshark)} zones and servers, {clients} clients of them, {total} queries: {len(wrong)} differences")
        return bool(wrong)
    expected = HERE / "migration.drain.json"
    text = json.dumps(seen(HERE / "migration.pcapng.zst", *LAB, CUTOVER), indent=1) + "\n"
    if arguments == ["--check"]:
        if expected.read_text() != text:
            print(f"{expected} is not what tshark sees; testdata/drain.py writes it anew")
            return True
        return False
    expected.write_text(text)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
