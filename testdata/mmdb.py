#!/usr/bin/env python3
"""Makes the databases in mmdb/: small ones of documentation prefixes, in the fields of MaxMind, DB-IP and IPinfo; and what MaxMind's own
reader (Python) finds in them.

    testdata/mmdb.py             writes mmdb/*.mmdb and mmdb/expected.json
    testdata/mmdb.py --check     compares mmdb/expected.json with the files

Needs pip install maxminddb, and mmdb-writer to write.
"""

import json
import sys
from pathlib import Path

import maxminddb

HERE = Path(__file__).parent / "mmdb"

# Whose it is: RFC 5737, 3849 and 5398. The last network has a country and no system.
NETWORKS = [
    ("192.0.2.0/24", 64496, "Example Access", "DE", "Germany"),
    ("198.51.100.0/25", 64497, "Example Hosting", "US", "United States"),
    ("198.51.100.128/25", 65536, "Example Transit", "NL", "Netherlands"),
    ("2001:db8::/33", 4200000000, "Example Six", "JP", "Japan"),
    ("2001:db8:8000::/33", None, None, "FR", "France"),
]

ADDRESSES = ["192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8::1", "2001:db8:8000::1"]

NONE = {"asn": None, "as_org": None, "country": None}


def maxmind_asn(asn, org, code, country):
    return asn and {"autonomous_system_number": asn, "autonomous_system_organization": org}


def maxmind_country(asn, org, code, country):
    return {"continent": {"code": "XX", "names": {"en": "Nowhere"}},
            "country": {"geoname_id": 4711, "iso_code": code, "names": {"en": country, "de": country}},
            "registered_country": {"iso_code": "AQ"}}


def maxmind_city(asn, org, code, country):
    record = {"city": {"names": {"en": "Town"}}, "location": {"latitude": 1.5, "longitude": -2.25, "accuracy_radius": 100},
              "subdivisions": [{"iso_code": "ZZ", "names": {"en": "Part"}}], "registered_country": {"iso_code": code}}
    if asn:
        record["traits"] = {"autonomous_system_number": asn, "autonomous_system_organization": org, "is_anycast": True}
    return record


def ipinfo_lite(asn, org, code, country):
    record = {"continent": "Nowhere", "continent_code": "XX", "country": country, "country_code": code}
    return record | ({"asn": f"AS{asn}", "as_name": org, "as_domain": "example.net"} if asn else {})


def ipinfo_country_asn(asn, org, code, country):
    return {"country": code, "country_name": country, "asn": f"AS{asn}" if asn else "", "as_name": org or "", "as_domain": ""}


def ipinfo_asn(asn, org, code, country):
    return asn and {"asn": f"AS{asn}", "domain": "example.net", "name": org, "route": "192.0.2.0/24", "type": "isp"}


# File, type, record of a network, and where a reader finds system, organisation and country in it.
FILES = {
    "asn.mmdb": ("GeoLite2-ASN", maxmind_asn,
                 lambda r: (r["autonomous_system_number"], r["autonomous_system_organization"], None)),
    "country.mmdb": ("DBIP-Country-Lite", maxmind_country, lambda r: (None, None, r["country"]["iso_code"])),
    "city.mmdb": ("GeoIP2-Enterprise", maxmind_city,
                  lambda r: (r.get("traits", {}).get("autonomous_system_number"),
                             r.get("traits", {}).get("autonomous_system_organization"), r["registered_country"]["iso_code"])),
    "ipinfo-lite.mmdb": ("ipinfo generic_lite.mmdb", ipinfo_lite,
                         lambda r: (int(r["asn"][2:]) if "asn" in r else None, r.get("as_name"), r["country_code"])),
    "ipinfo-country-asn.mmdb": ("ipinfo generic_country_asn_free.mmdb", ipinfo_country_asn,
                                lambda r: (int(r["asn"][2:]) if r["asn"] else None, r["as_name"] or None, r["country"])),
    "ipinfo-asn.mmdb": ("ipinfo standard_asn.mmdb", ipinfo_asn, lambda r: (int(r["asn"][2:]), r["name"], None)),
}


def write():
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    HERE.mkdir(exist_ok=True)
    for file, (kind, record, _) in FILES.items():
        writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=kind, languages=["en"],
                            description={"en": "documentation prefixes, for tests"})
        for network, *of in NETWORKS:
            if content := record(*of):
                writer.insert_network(IPSet([network]), content)
        writer.to_db_file(str(HERE / file))


def found():
    expected = {}
    for file, (_, _, fields) in FILES.items():
        with maxminddb.open_database(HERE / file) as reader:
            records = {address: reader.get(address) for address in ADDRESSES}
        expected[file] = {address: dict(zip(NONE, fields(record))) if record else NONE for address, record in records.items()}
    return json.dumps(expected, indent=1) + "\n"


def main(arguments):
    if arguments == ["--check"]:
        if (HERE / "expected.json").read_text() != found():
            print("mmdb/expected.json is not what maxminddb reads; testdata/mmdb.py writes it anew")
            return True
        return False
    write()
    (HERE / "expected.json").write_text(found())
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
