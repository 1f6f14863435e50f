# The lab that record.sh records: two network namespaces, joined by a veth pair, and real name servers in one of them.
#
#   lt-client  192.0.2.1-6  2001:db8::1-6      dig, kdig, dnsperf
#   lt-server  192.0.2.53   2001:db8::53       Knot   authoritative: . test. signed.test. (DNSSEC), example.net., ...
#              192.0.2.54   2001:db8::54       NSD    authoritative: child.test., the new provider of the migration
#              192.0.2.55   2001:db8::55       BIND   authoritative: dyn.test., secondary of child.test.
#              192.0.2.60   2001:db8::60       Unbound  resolver from the lab's own root
#              192.0.2.61                      BIND     resolver from the lab's own root
#              192.0.2.62                      dnsdist  before Knot, with DoT and DoH
#              192.0.2.66   silent (a socket nobody reads)    192.0.2.67   closed (ICMP port unreachable)
#
# Sourced. $work is a directory for configurations, zones and sockets; every process started is in $pids.

: "${work:?a folder to work in}"
pids=()
client() { ip netns exec lt-client "$@"; }
server() { ip netns exec lt-server "$@"; }

start() { # start COMMAND... : in the server's namespace, in the background
    ip netns exec lt-server "$@" >>"$work/servers.log" 2>&1 &
    pids+=($!)
}

stop_all() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=()
}

lab_up() {
    local host
    ip netns add lt-client
    ip netns add lt-server
    # One segment per packet: what a real wire carries, not what offloading shows.
    ip link add lt-c netns lt-client mtu 1500 gso_max_segs 1 type veth peer name lt-s netns lt-server
    ip -n lt-server link set lt-s mtu 1500 gso_max_segs 1
    client sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.lt-c.accept_dad=0
    server sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.lt-s.accept_dad=0
    for host in 1 2 3 4 5 6; do
        ip -n lt-client addr add "192.0.2.$host/24" dev lt-c
        ip -n lt-client addr add "2001:db8::$host/64" dev lt-c nodad
    done
    for host in 10 20 53 54 55 60 61 62 66 67; do
        ip -n lt-server addr add "192.0.2.$host/24" dev lt-s
        ip -n lt-server addr add "2001:db8::$host/64" dev lt-s nodad
    done
    ip -n lt-client link set lo up
    ip -n lt-server link set lo up
    ip -n lt-client link set lt-c up
    ip -n lt-server link set lt-s up
    sleep 1
}

lab_down() {
    stop_all
    ip netns del lt-client 2>/dev/null || true
    ip netns del lt-server 2>/dev/null || true
}

zone() { # zone NAME [PRIMARY-NS] : head of a zone file, the rest from stdin
    printf '$ORIGIN %s\n$TTL 300\n@ SOA ns.%s hostmaster.%s 1 3600 900 604800 60\n@ NS ns.%s\n' "$1" "${1#.}" "${1#.}" "${1#.}"
    cat
}

write_zones() {
    local name i
    mkdir -p "$work/zones"
    {
        zone . <<<'ns A 192.0.2.53
ns AAAA 2001:db8::53
test. NS ns.test.
ns.test. A 192.0.2.53
net. NS ns.
com. NS ns.'
    } >"$work/zones/root.zone"
    {
        zone test. <<<'ns A 192.0.2.53
ns AAAA 2001:db8::53
child NS ns.child
ns.child A 192.0.2.54
ns.child AAAA 2001:db8::54
lame NS ns.lame
ns.lame A 192.0.2.55
www A 192.0.2.80
www AAAA 2001:db8::80
alias CNAME www
*.wild TXT "wildcard"
mail MX 10 www
\000\001\255.odd TXT "octets"
with\.dot.odd TXT "dot"
odd TXT "odd"
back\\slash.odd TXT "backslash"
under_score.odd A 192.0.2.81
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.odd A 192.0.2.82
unknown TYPE65280 \# 4 0A000001
svc HTTPS 1 . alpn=h2,h3
svc SVCB 1 www.test. port=853
caa CAA 0 issue "ca.test"
_dns._udp SRV 0 0 53 ns
rich NAPTR 10 10 "u" "E2U+sip" "!^.*$!sip:info@test!" .
rich SSHFP 1 1 0123456789abcdef0123456789abcdef01234567
rich TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
    } >"$work/zones/test.zone"
    {
        zone signed.test. <<<'ns A 192.0.2.53
www A 192.0.2.80
www AAAA 2001:db8::80'
        for i in {1..12}; do
            printf 'big TXT "%02d %s"\n' "$i" "$(head -c 180 < <(yes "record $i " | tr -d '\n'))"
        done
    } >"$work/zones/signed.test.zone"
    for name in child.test. dyn.test.; do
        {
            zone "$name" <<<'ns A 192.0.2.54
www A 192.0.2.83
www AAAA 2001:db8::83'
            for i in {1..900}; do printf 'host%03d A 198.51.100.%d\n' "$i" $((i % 250 + 1)); done
        } >"$work/zones/${name}zone"
    done
    # The zones that move from the old provider to the new one.
    for name in example.net. example.com. shop.test.; do
        {
            zone "$name" <<<'ns A 192.0.2.10
@ A 192.0.2.90
@ MX 10 mail
www A 192.0.2.90
www AAAA 2001:db8::90
api A 192.0.2.91
api AAAA 2001:db8::91
mail A 192.0.2.92
cdn CNAME www
@ TXT "v=spf1 mx -all"'
        } >"$work/zones/${name}zone"
    done
}

start_knot() { # start_knot [DNSTAP-FILE] [RRL] : Knot at .53 and, for the old provider, behind a relay at port 5310
    local modules=
    mkdir -p "$work/knot"
    [ -n "${1-}" ] && modules="mod-dnstap/tap"
    [ -n "${2-}" ] && modules="mod-rrl/limit"
    cat >"$work/knot.conf" <<CONF
server:
    rundir: $work/knot
    listen: [192.0.2.53@53, 2001:db8::53@53, 127.0.0.1@5310, 192.0.2.10@5310, 2001:db8::10@53]
    identity: lab-knot
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    udp-max-payload: 4096
database:
    storage: $work/knot
log:
  - target: stderr
    any: warning
remote:
  - id: bind
    address: 192.0.2.55@53
    via: 192.0.2.53
acl:
  - id: transfer
    address: [192.0.2.0/24, 2001:db8::/64]
    action: transfer
policy:
  - id: big
    algorithm: rsasha256
    ksk-size: 2048
    zsk-size: 2048
    nsec3: on
mod-dnstap:
  - id: tap
    sink: "${1:-none}"
mod-rrl:
  - id: limit
    rate-limit: 5
    slip: 2
template:
  - id: default
    storage: $work/zones
    file: "%s.zone"
    acl: transfer
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
    ${modules:+global-module: $modules}
zone:
  - domain: .
    file: root.zone
  - domain: test
  - domain: signed.test
    dnssec-signing: on
    dnssec-policy: big
  - domain: example.net
  - domain: example.com
  - domain: shop.test
  - domain: expired.test
    master: bind
CONF
    start knotd -c "$work/knot.conf"
}

start_nsd() { # start_nsd [DNSTAP-SOCKET] [RRL]
    mkdir -p "$work/nsd"
    cat >"$work/nsd.conf" <<CONF
server:
    server-count: 1
    ip-address: 192.0.2.54
    ip-address: 2001:db8::54
    ip-address: 192.0.2.20
    ip-address: 2001:db8::20
    username: ""
    chroot: ""
    zonesdir: "$work/zones"
    database: ""
    pidfile: "$work/nsd/nsd.pid"
    xfrdfile: "$work/nsd/xfrd.state"
    zonelistfile: "$work/nsd/zone.list"
    xfrdir: "$work/nsd"
    identity: lab-nsd
    refuse-any: no
    minimal-responses: no
    rrl-ratelimit: ${2:-0}
    rrl-whitelist-ratelimit: 0
    rrl-slip: 2
remote-control:
    control-enable: no
CONF
    if [ -n "${1-}" ]; then
        cat >>"$work/nsd.conf" <<CONF
dnstap:
    dnstap-enable: yes
    dnstap-socket-path: "$1"
    dnstap-send-identity: yes
    dnstap-send-version: yes
    dnstap-log-auth-query-messages: yes
    dnstap-log-auth-response-messages: yes
CONF
    fi
    for name in child.test example.net example.com; do
        printf 'zone:\n    name: %s\n    zonefile: %s.zone\n    provide-xfr: 192.0.2.0/24 NOKEY\n    notify: 192.0.2.55 NOKEY\n' \
            "$name" "$name" >>"$work/nsd.conf"
    done
    start nsd -d -c "$work/nsd.conf"
}

start_bind() { # start_bind [DNSTAP-FILE]
    local tap=
    [ -n "${1-}" ] && tap="dnstap { auth; update; client; }; dnstap-output file \"$1\";"
    mkdir -p "$work/bind"
    cp "$work/zones/dyn.test.zone" "$work/bind/"
    cat >"$work/bind.conf" <<CONF
options {
    directory "$work/bind";
    pid-file "$work/bind/named.pid";
    session-keyfile "$work/bind/session.key";
    listen-on { 192.0.2.55; };
    listen-on-v6 { 2001:db8::55; };
    recursion no;
    require-server-cookie yes;
    allow-transfer { any; };
    notify explicit;
    dnssec-validation no;
    version "lab";
    $tap
};
controls {};
zone "dyn.test" { type primary; file "dyn.test.zone"; allow-update { any; }; };
zone "child.test" { type secondary; primaries { 192.0.2.54; }; allow-notify { any; }; };
CONF
    start named -g -n 1 -U 1 -c "$work/bind.conf"
}

start_bind_resolver() { # start_bind_resolver DNSTAP-FILE
    mkdir -p "$work/resolver"
    printf '. 3600 NS ns.\nns. 3600 A 192.0.2.53\nns. 3600 AAAA 2001:db8::53\n' >"$work/resolver/root.hints"
    cat >"$work/resolver.conf" <<CONF
options {
    directory "$work/resolver";
    pid-file "$work/resolver/named.pid";
    session-keyfile "$work/resolver/session.key";
    listen-on { 192.0.2.61; };
    listen-on-v6 { none; };
    query-source address 192.0.2.61;
    recursion yes;
    allow-query { any; };
    dnssec-validation no;
    empty-zones-enable no;
    dnstap { all; };
    dnstap-output file "$1";
};
controls {};
zone "." { type hint; file "root.hints"; };
CONF
    start named -g -n 1 -U 1 -c "$work/resolver.conf"
}

start_unbound() { # start_unbound [DNSTAP-SOCKET]
    mkdir -p "$work/unbound"
    printf '. 3600 NS ns.\nns. 3600 A 192.0.2.53\nns. 3600 AAAA 2001:db8::53\n' >"$work/unbound/root.hints"
    cat >"$work/unbound.conf" <<CONF
server:
    interface: 192.0.2.60
    interface: 2001:db8::60
    outgoing-interface: 192.0.2.60
    outgoing-interface: 2001:db8::60
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    root-hints: "$work/unbound/root.hints"
    module-config: "iterator"
    local-zone: "test." nodefault
    domain-insecure: "."
    use-caps-for-id: yes
    username: ""
    chroot: ""
    directory: "$work/unbound"
    pidfile: "$work/unbound/unbound.pid"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
remote-control:
    control-enable: no
CONF
    if [ -n "${1-}" ]; then
        cat >>"$work/unbound.conf" <<CONF
forward-zone:
    name: "signed.test"
    forward-addr: 192.0.2.53
dnstap:
    dnstap-enable: yes
    dnstap-bidirectional: yes
    dnstap-socket-path: "$1"
    dnstap-send-identity: yes
    dnstap-send-version: yes
    dnstap-log-resolver-query-messages: yes
    dnstap-log-resolver-response-messages: yes
    dnstap-log-client-query-messages: yes
    dnstap-log-client-response-messages: yes
    dnstap-log-forwarder-query-messages: yes
    dnstap-log-forwarder-response-messages: yes
CONF
    fi
    start unbound -d -c "$work/unbound.conf"
}

start_dnsdist() { # start_dnsdist DNSTAP-SOCKET
    mkdir -p "$work/dnsdist"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dnsdist.test -keyout "$work/dnsdist/key.pem" \
        -out "$work/dnsdist/cert.pem" 2>/dev/null
    cat >"$work/dnsdist.conf" <<CONF
setLocal("192.0.2.62:53")
addTLSLocal("192.0.2.62:853", "$work/dnsdist/cert.pem", "$work/dnsdist/key.pem")
addDOHLocal("192.0.2.62:443", "$work/dnsdist/cert.pem", "$work/dnsdist/key.pem", "/dns-query")
setACL("0.0.0.0/0")
newServer({address="192.0.2.53:53", checkInterval=60})
pc = newPacketCache(1000)
getPool(""):setCache(pc)
tap = newFrameStreamUnixLogger("$1")
addAction(AllRule(), DnstapLogAction("lab-dnsdist", tap))
addResponseAction(AllRule(), DnstapLogResponseAction("lab-dnsdist", tap))
addCacheHitResponseAction(AllRule(), DnstapLogResponseAction("lab-dnsdist", tap))
CONF
    start dnsdist --supervised --disable-syslog -C "$work/dnsdist.conf"
}

wait_for() { # wait_for ADDRESS NAME : until the server answers, at most about 30 s
    for _ in {1..30}; do
        client kdig +time=1 +retry=0 +short SOA "$2" "@$1" 2>/dev/null | grep -q . && return
        sleep 0.2
    done
    echo "no answer from $1 for $2; see $work/servers.log" >&2
    return 1
}
