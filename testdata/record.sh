#!/usr/bin/env bash
# Records every capture and dnstap file of this folder again, from nothing: real servers and clients in two network
# namespaces of this machine, no traffic outside them. Takes about two minutes; wants root and, on Debian or Ubuntu,
#
#   apt-get install bind9 bind9-dnsutils dnsdist dnsperf fstrm-bin iproute2 knot knot-dnsutils knot-module-dnstap nsd \
#       openssl python3 tcpdump tshark unbound bzip2 gzip lz4 xz-utils zstd
#
# Afterwards `testdata/expect.py` says what tshark sees in them.
set -euo pipefail
cd "$(dirname "$0")"
out=$PWD
work=$(mktemp -d)
. lab/servers.sh
recorder=
taps=()
trap 'kill $recorder "${taps[@]}" 2>/dev/null || true; lab_down; rm -rf "$work"' EXIT
trap 'echo "record.sh: line $LINENO failed" >&2; tail -20 "$work/servers.log" >&2' ERR

for tool in named nsd knotd unbound dnsdist dnsperf kdig dig nsupdate fstrm_capture tcpdump dumpcap editcap mergecap tshark zstd lz4; do
    command -v "$tool" >/dev/null || { echo "record.sh: $tool is missing; the head of this file names the packages" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "record.sh: network namespaces want root" >&2; exit 1; }

# Slots of the kernel's ring are as large as the snap length: with the default one, bursts are lost.
live=(--immediate-mode -U -Z root -s 16384 -B 32768)
record() { # record FILE [TCPDUMP-OPTION...] : from the client's end of the wire
    local file=$1
    shift
    : >"$work/tcpdump.log"
    ip netns exec lt-client tcpdump "${live[@]}" -i lt-c "$@" -w "$out/$file" 2>"$work/tcpdump.log" &
    recorder=$!
    for _ in {1..50}; do grep -q 'listening on' "$work/tcpdump.log" && return; sleep 0.1; done
    cat "$work/tcpdump.log" >&2
    return 1
}
recorded() { # ends what `record` began
    sleep 0.3
    kill "$recorder" # not INT: what bash starts in the background ignores it
    wait "$recorder" || true
    recorder=
}

# The tools say so when a server does not answer or says no: that is what is recorded here.
kdig_() { client kdig +time=2 +retry=0 "$@" >/dev/null 2>&1 || true; }
dig_() { client dig +time=1 +tries=1 +nocookie "$@" >/dev/null 2>&1 || true; }
perf() { client dnsperf -t 2 -T 1 "$@" >/dev/null 2>&1 || true; }

dns='port 53'
lab_up
write_zones
start_knot
start_nsd
wait_for 192.0.2.53 signed.test
wait_for 192.0.2.54 child.test

echo "authoritative answers"
record auth.pcap $dns
for at in 192.0.2.53 2001:db8::53; do
    for q in "www.test A" "www.test AAAA" "alias.test A" "anything.wild.test TXT" "mail.test MX" "mail.test A" "caa.test CAA" \
        "svc.test HTTPS" "svc.test SVCB" "_dns._udp.test SRV" "rich.test NAPTR" "rich.test SSHFP" "rich.test TLSA" \
        "rich.test ANY" "test SOA" "test NS" "nothere.test A" "nothere.test AAAA" "www.child.test A" "child.test DS" \
        "www.example.invalid A" "expired.test A" "www.signed.test A" "signed.test NSEC3PARAM" "no.signed.test A"; do
        kdig_ "@$at" $q
        kdig_ "@$at" +tcp $q
    done
    kdig_ "@$at" +dnssec no.signed.test A
done
kdig_ @192.0.2.54 www.test A
kdig_ @192.0.2.54 -c CH -t TXT id.server
recorded

echo "EDNS"
start_bind
wait_for 192.0.2.54 child.test
sleep 2
record edns.pcap $dns
for at in 192.0.2.53 2001:db8::54 192.0.2.55; do
    kdig_ "@$at" www.child.test A +edns
    kdig_ "@$at" www.child.test A +dnssec
    kdig_ "@$at" www.child.test A +subnet=198.51.100.0/24
    kdig_ "@$at" www.child.test A +subnet=2001:db8:1::/48
    kdig_ "@$at" www.child.test A +cookie
    kdig_ "@$at" www.child.test A +cookie +subnet=198.51.100.0/24 +dnssec +nsid +padding=128
    kdig_ "@$at" www.child.test A +edns=7
    kdig_ "@$at" www.child.test A +ednsopt=65001:0011223344
    kdig_ "@$at" www.child.test A +noedns
done
recorded

echo "names and types that are rare"
record names.pcap $dns
for q in '\000\001\255.odd.test TXT' 'with\.dot.odd.test TXT' 'back\\slash.odd.test TXT' 'under_score.odd.test A' \
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.odd.test A' 'unknown.test TYPE65280' \
    'unknown.test TYPE65281' 'www.test TYPE1' '. NS' '. SOA' 'WwW.TeSt A' 'wWw.tEsT A' 'www.test A' 'ALIAS.TEST A' '*.wild.test TXT' \
    "$(printf 'a.%.0s' {1..125})aa A" "$(printf 'b%.0s' {1..63}).$(printf 'c%.0s' {1..63}).$(printf 'd%.0s' {1..63}).$(printf 'e%.0s' {1..61}) A"; do
    kdig_ @192.0.2.53 $q
    kdig_ @2001:db8::54 +tcp $q
done
kdig_ @192.0.2.53 -c CH -t TXT version.bind
kdig_ @192.0.2.53 -c CLASS64 www.test A
recorded

echo "truncation, then TCP"
record truncation.pcap $dns
for q in "big.signed.test TXT" "signed.test DNSKEY" "big.signed.test ANY" "www.signed.test A"; do
    dig_ @192.0.2.53 +dnssec +bufsize=512 $q
    dig_ @2001:db8::53 +dnssec +bufsize=1232 $q
    dig_ @192.0.2.53 +dnssec +bufsize=512 +ignore $q
done
recorded

echo "IP fragments"
record fragments.pcap '(ip and udp) or ip6'
for q in "big.signed.test TXT" "signed.test DNSKEY" "www.signed.test A"; do
    dig_ @192.0.2.53 +dnssec +bufsize=4096 $q
    dig_ @2001:db8::53 +dnssec +bufsize=4096 $q
done
recorded

echo "TCP: pipelines, transfers, octet by octet"
awk 'BEGIN { for (i = 1; i <= 120; i++) printf "host%03d.child.test A\n", i * 9 }' >"$work/queries"
record tcp-pipeline.pcap $dns
perf -s 192.0.2.54 -d "$work/queries" -m tcp -c 2 -q 40 -n 1
perf -s 2001:db8::54 -f inet6 -d "$work/queries" -m tcp -c 1 -q 10 -n 1 
kdig_ @192.0.2.53 +tcp +keepopen www.test A www.test AAAA mail.test MX nothere.test A www.signed.test A
client python3 - <<'PYTHON'
import socket, struct, time
message = struct.pack(">6H", 4242, 0, 1, 0, 0, 0) + b"\x03www\x04test\x00" + struct.pack(">2H", 1, 1)
with socket.create_connection(("192.0.2.53", 53)) as tcp:
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in struct.pack(">H", len(message)) + message:
        tcp.send(bytes([octet]))
        time.sleep(0.002)
    tcp.recv(4096)
PYTHON
recorded

record transfer.pcap 'tcp port 53'
kdig_ @192.0.2.54 child.test AXFR
kdig_ @2001:db8::53 signed.test AXFR
kdig_ @192.0.2.53 nothere.invalid AXFR
kdig_ @192.0.2.54 child.test IXFR=1
recorded

echo "NOTIFY and UPDATE"
record notify-update.pcap $dns
kdig_ @192.0.2.55 +cookie child.test +notify=1
dig_ @192.0.2.55 +opcode=notify child.test SOA
dig_ @192.0.2.53 +opcode=notify test SOA
dig_ @192.0.2.53 +opcode=status test SOA
dig_ @192.0.2.53 +opcode=iquery test SOA
dig_ @192.0.2.53 +opcode=15 test SOA
for i in 1 2 3; do
    printf 'server 192.0.2.55\nzone dyn.test\nupdate add new%d.dyn.test 60 A 198.51.100.%d\nsend\n' $i $i | client nsupdate >/dev/null 2>&1 || true
done
printf 'server 192.0.2.55\nzone dyn.test\nprereq yxdomain nothere.dyn.test\nupdate add x.dyn.test 60 A 198.51.100.9\nsend\n' |
    client nsupdate >/dev/null 2>&1 || true
printf 'server 192.0.2.54\nzone child.test\nupdate add x.child.test 60 A 198.51.100.9\nsend\n' | client nsupdate >/dev/null 2>&1 || true
printf 'server 192.0.2.55\nzone dyn.test\nupdate delete new1.dyn.test\nsend\n' | client nsupdate -v >/dev/null 2>&1 || true
recorded

echo "a resolver and its clients"
start_unbound
wait_for 192.0.2.60 test
record resolver.pcap $dns
for q in "www.child.test A" "WWW.child.test A" "www.child.test AAAA" "alias.test A" "nothere.test A" "www.lame.test A" "mail.test A" \
    "expired.test A" "www.signed.test A" "host007.child.test A" "host901.child.test A"; do
    kdig_ @192.0.2.60 $q
    kdig_ @2001:db8::60 +tcp $q
done
recorded

echo "no answers, retransmissions, duplicates"
start python3 "$out/relay.py" --listen 192.0.2.66 --to 127.0.0.1 9 --drop 1
start python3 "$out/relay.py" --listen 192.0.2.61 --to 127.0.0.1 5310 --twice 3 --drop 5 --slow 4 60
sleep 0.5
record unanswered.pcap "$dns or icmp or icmp6"
client dig +time=1 +tries=3 @192.0.2.66 www.test A >/dev/null 2>&1 || true
client kdig +time=1 +retry=2 @192.0.2.66 www.test AAAA >/dev/null 2>&1 || true
dig_ @192.0.2.67 www.test A
dig_ @192.0.2.67 www.test AAAA
client python3 - <<'PYTHON'
import socket, struct, time
# The same query from the same socket, before the answer and after it.
def query(ident, label):
    return struct.pack(">6H", ident, 256, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\x04test\x00" + struct.pack(">2H", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("192.0.2.3", 5301))
    udp.settimeout(1)
    for ident, server, pauses in ((1, "192.0.2.66", (0, 0.5, 1)), (2, "192.0.2.53", (0,)), (3, "192.0.2.53", (0.2, 0.2)), (4, "192.0.2.66", (5.5, 5.5))):
        for pause in (0, *pauses):
            time.sleep(pause)
            udp.sendto(query(ident, b"www"), (server, 53))
PYTHON
dig_ @192.0.2.53 www.test A
dig_ @192.0.2.66 last.test A
recorded
awk 'BEGIN { for (i = 1; i <= 60; i++) printf "%s.test %s\n", (i % 3 ? "www" : "nothere"), (i % 2 ? "A" : "AAAA") }' >"$work/queries"
record duplicates.pcap $dns
perf -s 192.0.2.61 -d "$work/queries" -n 1 -Q 60 -q 20
client python3 - <<'PYTHON'
import socket, struct
# Every query twice at once, so that both are answered.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("192.0.2.3", 5302))
    for ident in range(20):
        query = struct.pack(">6H", ident, 256, 1, 0, 0, 0) + b"\x03www\x04test\x00" + struct.pack(">2H", 28, 1)
        udp.sendto(query, ("192.0.2.61", 53))
        udp.sendto(query, ("192.0.2.61", 53))
PYTHON
sleep 0.3
recorded
stop_all

echo "response rate limiting"
start_knot "" rrl
start_nsd "" 4
wait_for 192.0.2.54 child.test
wait_for 192.0.2.53 test
sleep 1.5
awk 'BEGIN { for (i = 1; i <= 100; i++) print "www.child.test A" }' >"$work/queries"
record rate-limit.pcap "$dns and udp"
perf -s 192.0.2.53 -d "$work/queries" -n 1 -Q 200 -q 100
perf -s 192.0.2.54 -d "$work/queries" -n 1 -Q 200 -q 100
recorded
stop_all

echo "links, file formats"
start_knot
start_nsd
wait_for 192.0.2.53 signed.test
wait_for 192.0.2.54 child.test
mixed() {
    for at in 192.0.2.53 2001:db8::53; do
        for q in "www.test A" "nothere.test A" "mail.test AAAA" "unknown.test TYPE65280"; do
            kdig_ "@$at" $q
        done
        kdig_ "@$at" +tcp www.test AAAA
        dig_ "@$at" +dnssec +bufsize=4096 big.signed.test TXT
    done
}
record plain.pcap '(ip and (udp or port 53)) or (ip6 and (port 53 or ip6[6] = 44))'
mixed
recorded
record nanoseconds.pcap --time-stamp-precision=nano $dns
mixed
recorded
record snaplen-70.pcap -s 70 $dns
mixed
recorded
record snaplen-96.pcap -s 96 $dns
mixed
recorded
for type in SLL SLL2; do
    ip netns exec lt-client tcpdump "${live[@]}" -i any -y LINUX_$type -w "$out/linux-${type,,}.pcap" $dns 2>"$work/any.log" &
    recorder=$!
    sleep 1
    mixed
    recorded
done
ip netns exec lt-client dumpcap -q -s 16384 -B 32 -i lo -i lt-c -f "$dns" -w "$out/interfaces.pcapng" 2>"$work/dumpcap.log" &
recorder=$!
sleep 1.5
mixed
recorded

# The same frames inside other links and tunnels, and a real VXLAN.
for kind in vlan qinq mpls pppoe gre gre-ethernet erspan geneve gtpu teredo ip-in-ip ip-in-ipv6 raw null loop ppp wifi radiotap; do
    python3 wrap.py $kind plain.pcap "link-$kind.pcap"
done
ip -n lt-client link add lt-v type vxlan id 5 local 192.0.2.1 remote 192.0.2.53 dstport 4789
ip -n lt-server link add lt-v type vxlan id 5 local 192.0.2.53 remote 192.0.2.1 dstport 4789
ip -n lt-client addr add 192.0.2.129/30 dev lt-v
ip -n lt-server addr add 192.0.2.130/30 dev lt-v
ip -n lt-client link set lt-v up
ip -n lt-server link set lt-v up
start python3 "$out/relay.py" --listen 192.0.2.130 --to 127.0.0.1 5310
sleep 0.5
record link-vxlan.pcap 'udp port 4789'
for q in "www.test A" "nothere.test A" "mail.test MX" "alias.test A"; do kdig_ @192.0.2.130 $q; done
recorded
ip -n lt-client link del lt-v
ip -n lt-server link del lt-v

# One recording in every compression, as rotated files that part a query from its response, cut short, and without its first packets.
gzip -9nkf plain.pcap && bzip2 -9kf plain.pcap && xz -9kf plain.pcap && zstd -19qkf plain.pcap && lz4 -9qkf plain.pcap plain.pcap.lz4
query=$(tshark -n -r plain.pcap -Y 'tcp and dns.flags.response == 0' -T fields -e frame.number 2>/dev/null | sed -n 1p)
editcap -F pcap -r plain.pcap rotated-1.pcap "1-$query"
editcap -F pcapng plain.pcap rotated-2.pcapng "1-$query"
editcap -F pcap tcp-pipeline.pcap mid-stream.pcap 1-8
mergecap -F pcapng -w merged.pcapng auth.pcap link-raw.pcap nanoseconds.pcap
head -c $(($(stat -c %s plain.pcap) - 31)) plain.pcap >cut.pcap
head -c 24 plain.pcap >empty.pcap
stop_all

echo "a migration"
start_knot
start_nsd
wait_for 192.0.2.54 example.net
wait_for 2001:db8::10 shop.test
# The old provider: some answers are slow, some do not come. One of the zones, expired.test, it can no longer serve.
start python3 "$out/relay.py" --listen 192.0.2.10 --to 127.0.0.1 5310 --slow 7 85 --drop 61
sleep 0.5
awk 'BEGIN {
    split("example.net example.com shop.test expired.test", zones); split("A AAAA A MX A AAAA TXT A", types)
    split("www api www @ cdn www mail www wpad _dmarc", hosts)
    srand(53)
    for (i = 1; i <= 900; i++) {
        zone = zones[rand() < 0.04 ? 4 : int(rand() * 3) + 1]; host = hosts[int(rand() * 10) + 1]; type = types[int(rand() * 8) + 1]
        print (host == "@" ? "" : host ".") zone, type
    }
}' >"$work/all"
sed -n 1,330p "$work/all" >"$work/old4"
sed -n 331,430p "$work/all" >"$work/old6"
sed -n 431,480p "$work/all" >"$work/oldtcp"
sed -n 481,780p "$work/all" >"$work/new4"
sed -n 781,900p "$work/all" >"$work/new6"
ip netns exec lt-client dumpcap -q -s 16384 -B 32 -i lt-c -f "$dns" -w "$work/migration.pcapng" 2>"$work/dumpcap.log" &
recorder=$!
sleep 1.5
loads=()
perf -s 192.0.2.10 -a 192.0.2.1 -d "$work/old4" -n 1 -Q 55 -q 60 & loads+=($!)
perf -s 2001:db8::10 -f inet6 -a 2001:db8::2 -d "$work/old6" -n 1 -Q 10 -D & loads+=($!)
perf -s 2001:db8::10 -f inet6 -a 2001:db8::3 -d "$work/oldtcp" -m tcp -n 1 -Q 8 & loads+=($!)
perf -s 192.0.2.20 -a 192.0.2.4 -d "$work/new4" -n 1 -Q 50 -e -D & loads+=($!)
perf -s 2001:db8::20 -f inet6 -a 2001:db8::5 -d "$work/new6" -n 1 -Q 10 -e & loads+=($!)
wait "${loads[@]}"
recorded
zstd -19qf "$work/migration.pcapng" -o "$out/migration.pcapng.zst"
stop_all

echo "dnstap"
tap() { # tap NAME : a collector for a server that speaks to a socket
    ip netns exec lt-server fstrm_capture -t protobuf:dnstap.Dnstap -u "$work/$1.sock" -w "$work/$1.dnstap" 2>>"$work/servers.log" &
    taps+=($!)
    for _ in {1..50}; do [ -S "$work/$1.sock" ] && return; sleep 0.1; done
}
tap nsd
tap unbound
tap dnsdist
mkdir -p "$work/bind" "$work/resolver"
start_knot "$work/knot.dnstap"
start_nsd "$work/nsd.sock"
start_bind "$work/bind.dnstap"
start_bind_resolver "$work/bind-resolver.dnstap"
start_unbound "$work/unbound.sock"
start_dnsdist "$work/dnsdist.sock"
for at in 192.0.2.53 192.0.2.60 192.0.2.61 192.0.2.62; do wait_for $at test; done
wait_for 192.0.2.54 child.test
sleep 1
authoritative() { # authoritative ADDRESS ZONE
    for q in "www.$2 A" "www.$2 AAAA" "nothere.$2 A" "$2 SOA" "nothere.invalid A" "WWW.$2 TYPE65280"; do
        kdig_ "@$1" $q
        kdig_ "@$1" +tcp +dnssec $q
        kdig_ "@$1" +subnet=198.51.100.0/24 $q
    done
    awk -v zone="$2" 'BEGIN { for (i = 1; i <= 60; i++) printf "host%03d.%s A\n", i * 7, zone }' >"$work/queries"
    perf -s "$1" -d "$work/queries" -n 1 -Q 300
}
authoritative 192.0.2.53 test
authoritative 2001:db8::53 signed.test
dig_ @192.0.2.53 +dnssec +bufsize=512 big.signed.test TXT
kdig_ @192.0.2.53 signed.test AXFR
authoritative 192.0.2.54 child.test
authoritative 2001:db8::54 child.test
authoritative 192.0.2.55 dyn.test
printf 'server 192.0.2.55\nzone dyn.test\nupdate add tap.dyn.test 60 A 198.51.100.1\nsend\n' | client nsupdate >/dev/null 2>&1 || true
for at in 192.0.2.60 192.0.2.61 192.0.2.62; do
    authoritative $at child.test
    authoritative $at signed.test
    kdig_ @$at www.lame.test A
    kdig_ @$at expired.test A
done
for q in "www.test A" "mail.test MX" "nothere.test AAAA"; do
    kdig_ @192.0.2.62 +tls $q
    kdig_ @192.0.2.62 +https $q
done
authoritative 2001:db8::60 child.test
sleep 5 # dnsdist ends without writing what it holds, which may be seconds old
stop_all
for pid in "${taps[@]}"; do
    kill -TERM "$pid"
    wait "$pid" || true
done
taps=()
for name in knot nsd bind bind-resolver unbound dnsdist; do
    zstd -19qf "$work/$name.dnstap" -o "$out/$name.dnstap.zst"
done
chmod 644 "$out"/*.pcap* "$out"/*.zst
du -bc "$out"/*.pcap* "$out"/*.zst | sed -n '$p'
