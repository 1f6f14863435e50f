#!/usr/bin/env python3
"""Compares lowtide with tshark's counts of captures that are not part of the project.

    testdata/shared.py LOWTIDE FOLDER

FOLDER holds captures/manifest.tsv with the captures that it names, and load/truth-1m.json with load/dns-1m.pcap.zst.
Where lowtide rightly differs, the table "Captures of other projects" in testdata/README.md says so: file, figure, what
tshark says, what lowtide says, why. A difference that is not in the table fails, and so does a row that is not needed.
"""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

RCODES = ("NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE DSOTYPENI "
          "RCODE12 RCODE13 RCODE14 RCODE15").split()
QTYPES = {"1": "A", "2": "NS", "6": "SOA", "15": "MX", "16": "TXT", "28": "AAAA", "33": "SRV", "43": "DS",
          "48": "DNSKEY", "65": "HTTPS", "255": "ANY", "257": "CAA"}
QUANTILE_ERROR = 0.008


def replay(lowtide, file, *options):
    run = subprocess.run([lowtide, "replay", "--json", *options, file], capture_output=True, text=True, timeout=300)
    if run.returncode not in (0, 1) or "panicked" in run.stderr:
        raise SystemExit(f"{file}: exit code {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def balance(report):
    """What must hold of every report, whatever was read."""
    frames = sum(entry["frames"] for entry in report["inputs"])
    messages, paired = report["messages"], report["transactions"]
    if sum(report["frame_fates"].values()) != frames:
        yield "frame fates do not add up to the frames"
    queries = paired["answered"] + paired["unanswered"] + paired["pending"] + paired["retransmissions"]
    if queries != messages["queries"]:
        yield "transactions do not add up to the queries"
    if paired["answered"] + paired["duplicate_responses"] + paired["orphan_responses"] != messages["responses"]:
        yield "transactions do not add up to the responses"


def figures(report):
    figures = {"queries": report["messages"]["queries"], "responses": report["messages"]["responses"]}
    return {name: str(count) for name, count in (figures | report["rcodes"]).items() if count}


def of_manifest(row):
    figures = {"queries": row["queries"], "responses": row["responses"]}
    for code in filter(None, row["rcodes"].split(",")):
        number, count = code.split(":")
        figures[RCODES[int(number)]] = count
    return {name: count for name, count in figures.items() if count != "0"}


def known_differences():
    text = (Path(__file__).parent / "README.md").read_text()
    section = text.split("## Captures of other projects", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| (\d+) \| (\d+) \|", section, re.M)
    return {(file, figure): (tshark, ours) for file, figure, tshark, ours in rows}


def captures(lowtide, folder):
    known, met = known_differences(), set()
    files = 0
    with open(folder / "manifest.tsv") as manifest:
        for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE):
            files += 1
            report = replay(lowtide, folder / row["file"])
            for wrong in balance(report):
                yield f"{row['file']}: {wrong}"
            frames = sum(entry["frames"] for entry in report["inputs"])
            if frames != int(row["packets"]):
                yield f"{row['file']}: {frames} frames, capinfos says {row['packets']}"
            if row["queries"] == "-" or row["nonstd_ports"]:
                continue
            ours, theirs = figures(report), of_manifest(row)
            for figure in sorted(set(ours) | set(theirs)):
                pair = theirs.get(figure, "0"), ours.get(figure, "0")
                if pair[0] == pair[1]:
                    continue
                met.add((row["file"], figure))
                if known.get((row["file"], figure)) != pair:
                    yield f"{row['file']}: {figure}: tshark {pair[0]}, lowtide {pair[1]}"
    for file, figure in known.keys() - met:
        yield f"{file}: {figure}: the table names a difference that is none"
    print(f"{files} captures, {len(met)} figures differ as the table says")


def load(lowtide, folder):
    truth = json.loads((folder / "truth-1m.json").read_text())
    reports = [replay(lowtide, folder / "dns-1m.pcap.zst", "--threads", threads) for threads in ("1", "2", "4")]
    if any(report != reports[0] for report in reports):
        yield "the report depends on the number of threads"
    report = reports[0]
    yield from balance(report)
    paired = report["transactions"]
    exact = {
        "queries": (report["messages"]["queries"], truth["queries"]),
        "responses": (report["messages"]["responses"], truth["responses"]),
        "answered": (paired["answered"], truth["responses"] - truth["unmatched_responses"]),
        "unanswered and pending": (paired["unanswered"] + paired["pending"], truth["unanswered"]),
        "distinct names": (report["distinct_qnames"], truth["distinct_qnames_lower"]),
        "rcodes": (report["rcodes"], {RCODES[int(code)]: count for code, count in truth["rcodes"].items()}),
        "qtypes": (report["qtypes"], {QTYPES[number]: count for number, count in truth["qtypes"].items()}),
        "IPv6 messages": (report["families"]["ipv6"], truth["ipv6_messages"]),
        "servers": (len(report["servers"]), len(truth["per_server"])),
    }
    servers = {server["address"]: server for server in report["servers"]}
    for address, server in truth["per_server"].items():
        ours = servers[address]
        exact[f"queries of {address}"] = ours["queries"], server["q"]
        exact[f"responses of {address}"] = ours["responses"], server["r"]
        rcodes = {RCODES[int(code)]: count for code, count in server["rcodes"].items()}
        exact[f"rcodes of {address}"] = ours["rcodes"], rcodes
    for what, (ours, theirs) in exact.items():
        if ours != theirs:
            yield f"{what}: {ours}, the truth is {theirs}"

    latencies = {"all": (report["latency_us"], truth["latency_us_all"])}
    for address, latency in truth["latency_us_by_server"].items():
        latencies[address] = servers[address]["latency_us"], latency
    for whose, (ours, theirs) in latencies.items():
        for figure in ("min", "max", "mean"):
            if abs(ours[figure] - theirs[figure]) > 0.001:
                yield f"{figure} latency of {whose}: {ours[figure]} µs, the truth is {theirs[figure]} µs"
        for figure in ("p50", "p90", "p95", "p99", "p999"):
            if abs(ours[figure] - theirs[figure]) > max(1, theirs[figure] * QUANTILE_ERROR):
                yield f"{figure} latency of {whose}: {ours[figure]} µs, the truth is {theirs[figure]} µs"
    print(f"{truth['dns_messages']} messages of the load: {len(exact)} exact figures, {len(latencies)} sets of latencies")


def main():
    lowtide, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    wrong = [*captures(lowtide, folder / "captures"), *load(lowtide, folder / "load")]
    for line in wrong:
        print(f"shared.py: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
