//! Hostile input that broke others, line by line, and where each is tested.
//!
//! | hostile input | tests |
//! |---|---|
//! | self and forward compression pointers | decode `dns::tests::hostile_names_are_refused_with_their_reason`; corpus `dns/self-pointer`, `dns/forward-pointer` |
//! | long legal chains | decode `dns::tests::a_long_legal_chain_of_pointers_is_followed` |
//! | small messages that expand hugely (CVE-2024-55628) | [`names_that_expand_hugely_cost_no_more_than_others`] |
//! | 255-octet names of 127 labels | decode `dns::tests::hostile_names_are_refused_with_their_reason`; [`the_longest_names_come_through_whole`] |
//! | QDCOUNT 0 and 65535 | decode `dns::tests::counts_and_lengths_past_the_end_are_told`; [`thousands_of_questions`] |
//! | RDLENGTH past the end | decode `dns::tests::counts_and_lengths_past_the_end_are_told` |
//! | protobuf with 100k nested groups | proto `dnstap::tests::a_hundred_thousand_nested_groups`; [`nested_groups_end_in_one_fate`] |
//! | frame length 0xFFFFFFFF one octet a second | capture `dnstap::hostile_frames`, `dnstap::slices_whatever_has_come`; what a socket must do about slowness comes with live capture |
//! | interleaved corrupt frames | [`corrupt_frames_cost_only_themselves`] |
//! | a client that connects and says nothing | comes with live capture |
//! | fragments with one IP-ID | decode `layers::fragments::datagrams_interleave_by_every_part_of_their_key`; [`fragments_of_one_id_end_in_one_counter_each`] |
//! | fragments overlapping | decode `layers::fragments::overlap_with_the_same_octets_is_harmless`, `…::overlap_with_other_octets_drops_the_datagram_and_its_rest` |
//! | fragments reordered | decode `layers::fragments::any_order_and_duplicates_make_the_datagram`, `layers::hostile::the_smallest_fragments_in_the_worst_order_come_together` |
//! | fragments never completed | decode `layers::fragments::incomplete_datagrams_leave_by_age_in_traffic_time`, `layers::hostile::a_hundred_thousand_first_fragments_leave_memory_flat` |
//! | TCP: a million half-open streams | decode `tcp::hostile::half_open_connections_cost_nothing`, `…::a_million_flows_of_one_octet_stay_within_the_limits` |
//! | TCP: one-octet segments | decode `tcp::cases::one_octet_a_segment_across_the_wrap_of_sequence_numbers`, `tcp::hostile::one_octet_at_every_other_place_stays_within_the_limits` |
//! | TCP: overlaps and gaps | decode `tcp::cases::the_first_copy_wins`, `tcp::properties::*`, `tcp::hostile::gaps_that_are_never_filled_stay_within_the_limits` |
//! | TCP: two messages in one segment, one in many | decode `tcp::cases::whole_messages_in_one_segment_are_not_buffered`, `tcp::properties::without_loss_exactly_the_messages_come_out_in_order` |
//! | 50M random names (NXDOMAIN, then wildcard) | aggregate `names::above_the_limit_totals_stay_exact_and_the_heavy_names_stay`; [`random_names_leave_memory_flat`] |
//! | 10M spoofed sources | [`spoofed_sources_leave_memory_flat`], [`spoofed_servers_share_an_account`] |
//! | hash-collision names | [`names_of_one_partition_cost_no_more_than_others`], [`one_path_and_id_for_many_names`] |
//! | clock steps of an hour | aggregate `transactions::clock_steps_do_not_stop_the_counting`, decode `tcp::hostile::clocks_that_jump_lose_no_message_that_is_whole`; [`clock_steps_of_an_hour`] |
//! | backlog stamped an hour old | [`a_backlog_stamped_an_hour_old`] (in one piece), [`a_backlog_between_live_frames_still_balances`] |
//! | decompression bombs | `tests/memory.rs` |
//! | a server that commits and loses the reply, a full disk, a segment with flipped bits, a killed process | come with the store |

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use std::io::Cursor;
use std::time::{Duration, Instant};

use lowtide_aggregate::MatcherLimits;
use lowtide_aggregate::names::{NameTable, partition};
use lowtide_capture::CaptureFile;
use lowtide_decode::layers::{FragmentLimits, Layers};
use lowtide_decode::{Decoder, DecoderLimits, Fate, Ports, dns};
use lowtide_fuzz::craft;
use lowtide_fuzz::input::{Frame, START};
use lowtide_fuzz::observed::Observed;
use lowtide_fuzz::random::Random;
use lowtide_fuzz::replay::{Limits, Outcome, Pipeline};
use lowtide_proto::dnstap::{Dnstap, DnstapFrame, Message as DnstapMessage};
use lowtide_proto::{
    Class, Endpoint, Facts, LinkType, Malformed, Message, Name, NameBuf, Observation, Opcode, Packet, Qtype,
    Rcode, Role, Timestamp, Transport,
};
use prost::Message as _;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

const CLIENT: Endpoint = Endpoint::v4([192, 0, 2, 1], 40_000);
const SERVER: Endpoint = Endpoint::v4([198, 51, 100, 53], 53);

/// How many times as long hostile input may take as harmless input of its size. What goes wrong is quadratic, and takes
/// hundreds of times as long.
const FACTOR: u32 = 12;

fn limits(names: usize, outstanding: usize) -> Limits {
    let matcher = MatcherLimits { outstanding, ..MatcherLimits::default() };
    Limits { names, matcher, interval: 60 * SECOND }
}

fn pipeline(limits: &Limits) -> Pipeline {
    Pipeline::new(DecoderLimits::default(), limits, 1)
}

/// The shorter of two runs: other work on the machine only ever makes one longer.
fn fastest(mut run: impl FnMut()) -> Duration {
    let mut time = || {
        let begin = Instant::now();
        run();
        begin.elapsed()
    };
    time().min(time())
}

#[track_caller]
fn assert_comparable(hostile: Duration, harmless: Duration) {
    assert!(hostile < harmless * FACTOR + Duration::from_millis(20), "{hostile:?} instead of {harmless:?}");
}

/// A message of an observation.
#[derive(Clone, Copy)]
struct Seen<'a> {
    time: u64,
    client: Endpoint,
    server: Endpoint,
    id: u16,
    name: Name<'a>,
    response: Option<Rcode>,
}

fn query(time: u64, name: Name<'_>) -> Seen<'_> {
    Seen { time, client: CLIENT, server: SERVER, id: 1, name, response: None }
}

fn observe(pipeline: &mut Pipeline, seen: Seen<'_>) {
    pipeline.observe(&Observation {
        time: Timestamp(START.0 + seen.time),
        own_latency: None,
        role: Role::Wire,
        transport: Transport::Udp,
        client: seen.client,
        server: seen.server,
        message: &Message {
            id: seen.id,
            is_response: seen.response.is_some(),
            opcode: Opcode::QUERY,
            rcode: seen.response.unwrap_or(Rcode::NOERROR),
            qname: seen.name,
            qtype: Qtype::A,
            qclass: Class::IN,
            facts: Facts::QUESTION,
            udp_payload_size: 0,
            zone_labels: None,
            servers: 0,
            delegation: lowtide_proto::Delegation::default(),
            size: 40,
            octets: &[],
            malformed: None,
        },
    });
}

fn packet(nanos: u64, data: &[u8]) -> Packet<'_> {
    Packet {
        time: Timestamp(START.0 + nanos),
        time_known: true,
        link_type: LinkType(101),
        data,
        wire_len: data.len() as u32,
    }
}

/// A name of a random label below `zone`.
fn random_name(random: &mut Random, zone: &str) -> Vec<u8> {
    craft::name(&format!("{:016x}.{zone}", random.bits()))
}

fn read(octets: &[u8]) -> (Option<Malformed>, Facts) {
    let mut qname = NameBuf::new();
    let message = dns::read(octets, octets.len() as u32, &mut qname).unwrap();
    (message.malformed, message.facts)
}

#[test]
fn names_that_expand_hugely_cost_no_more_than_others() {
    // A chain of 8,000 pointers, each to the one before it, down to a name of 255 octets; and 3,000 records whose owners
    // are its far end. To expand every owner would be 24 million hops for 64 KiB.
    let mut long = [63; 255];
    (0..=192).step_by(64).for_each(|at| long[at] = 63);
    long[192] = 61;
    long[254] = 0;
    let mut chain = Vec::new();
    let begin = 12 + 255 + 4 + 1 + 10;
    for hop in 0..8_000_u16 {
        let target = if hop == 0 { 12 } else { begin + (hop - 1) * 2 };
        chain.extend((0xc000 | target).to_be_bytes());
    }
    let far_end = (0xc000 | (begin + 7_999 * 2)).to_be_bytes();
    let message = |owner: &[u8]| {
        let records = craft::record(owner, 6, 0, &[]).repeat(3_000);
        let first = craft::record(&[0], 16, 0, &chain);
        let question = craft::question(&long, 6);
        [craft::header(1, 0x8400, [1, 1, 3_000, 0]), question, first, records].concat()
    };
    let (hostile, harmless) = (message(&far_end), message(&[0xc0, 0x0c]));
    assert_eq!((hostile.len(), harmless.len() < 65_536), (harmless.len(), true));
    assert_eq!(read(&hostile).0, None);
    let time = |octets: &[u8]| fastest(|| (0..20).for_each(|_| assert_eq!(read(octets).0, None)));
    assert_comparable(time(&hostile), time(&harmless));
}

#[test]
fn the_longest_names_come_through_whole() {
    let mut name = [1, b'x'].repeat(127);
    name.push(0);
    let mut pipeline = pipeline(&limits(1_000, 1_000));
    for (nanos, octets) in
        [(0, craft::query(1, &name, 1)), (SECOND, craft::response(1, &name.to_ascii_uppercase(), 1, 3))]
    {
        let (from, to) = if nanos == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        pipeline.frame(&Frame::Packet(packet(nanos, &craft::udp4(from, to, &octets))));
    }
    let outcome = pipeline.finish();
    outcome.check(1_000);
    assert_eq!(outcome.report.transactions.answered, 1);
    assert_eq!(outcome.report.qnames[0].qname, "x.".repeat(127));
}

#[test]
fn thousands_of_questions() {
    let questions = |count: u16, there: usize| {
        [craft::header(1, 0, [count, 0, 0, 0]), craft::question(&[0], 1).repeat(there)].concat()
    };
    assert_eq!(read(&questions(13_000, 13_000)), (None, Facts::QUESTION | Facts::MANY_QUESTIONS));
    assert_eq!(read(&questions(u16::MAX, 13_000)).0, Some(Malformed::NameOverrun));
    assert_eq!(read(&questions(0, 1)), (None, Facts::NO_QUESTION | Facts::TRAILING_OCTETS));
}

#[test]
fn nested_groups_end_in_one_fate() {
    let open = [0xa3, 0x06].repeat(50_000);
    let close = [0xa4, 0x06].repeat(50_000);
    let message = dnstap_query(&craft::query(1, &craft::name("a.example"), 1));
    for (octets, fate) in [
        (open.clone(), Fate::Malformed),
        ([&message[..], &open].concat(), Fate::Malformed),
        ([&message[..], &open, &close].concat(), Fate::DnstapMessage),
        ([&open[..], &close].concat(), Fate::DnstapOther),
    ] {
        let mut decoder = Decoder::new(Ports::default(), DecoderLimits::default());
        let mut observed = Observed::default();
        decoder.dnstap(&DnstapFrame::parse(&octets, START), &mut observed);
        let fates: Vec<_> = decoder.counts().fates().filter(|&(_, count)| count > 0).collect();
        assert_eq!(fates, [(fate, 1)]);
        assert_eq!(observed.total(), u64::from(fate == Fate::DnstapMessage));
    }
}

/// A dnstap frame of a client's query.
fn dnstap_query(message: &[u8]) -> Vec<u8> {
    let message = DnstapMessage {
        r#type: 5,
        query_time_sec: Some(START.0 / SECOND),
        query_message: Some(message.to_vec()),
        ..DnstapMessage::default()
    };
    Dnstap { r#type: 1, message: Some(message), ..Dnstap::default() }.encode_to_vec()
}

#[test]
fn corrupt_frames_cost_only_themselves() {
    let mut random = Random(5);
    let mut whole = Vec::new();
    let (mut pcap, mut stream) = (craft::pcap_header(101), craft::control(2));
    for id in 0..2_000 {
        let message = craft::query(id, &craft::name("good.example"), 1);
        let (packet, frame) = (craft::udp4(CLIENT, SERVER, &message), dnstap_query(&message));
        // Corrupt inside, sane outside: lengths of the files hold.
        let corrupt = |random: &mut Random, octets: &[u8]| {
            let mut octets = octets.to_vec();
            octets.iter_mut().for_each(|octet| *octet = random.bits() as u8);
            octets
        };
        pcap.extend(craft::pcap_record(START.0, &packet));
        pcap.extend(craft::pcap_record(START.0, &corrupt(&mut random, &packet)));
        stream.extend(craft::data(&frame));
        stream.extend(craft::data(&corrupt(&mut random, &frame)));
        whole.push(id);
    }
    for file in [pcap, stream] {
        let mut file = CaptureFile::from_reader(Cursor::new(file)).unwrap();
        let mut decoder = Decoder::new(Ports::default(), DecoderLimits::default());
        let mut observed = Observed::default();
        while let Some(record) = file.next().unwrap() {
            match record {
                lowtide_capture::Record::Packet(packet) => decoder.packet(&packet, &mut observed),
                lowtide_capture::Record::Dnstap(frame) => decoder.dnstap(&frame, &mut observed),
            }
        }
        let count = |wanted| decoder.counts().fates().find(|(fate, _)| *fate == wanted).unwrap().1;
        let messages = count(Fate::UdpMessage) + count(Fate::DnstapMessage);
        assert_eq!((observed.total(), messages), (2_000, 2_000));
        assert_eq!(decoder.counts().fates().map(|(_, count)| count).sum::<u64>(), 4_000);
    }
}

#[test]
fn fragments_of_one_id_end_in_one_counter_each() {
    // One sender, one IP-ID, ever other datagrams, first and last fragments in any order: what comes together may be wrong,
    // but nothing is held for long and nothing is counted twice.
    let mut layers = Layers::new(Ports::default(), FragmentLimits::default());
    let mut random = Random(1);
    let (mut frames, mut complete, mut malformed) = (0_u64, 0_u64, 0_u64);
    for _ in 0..50_000 {
        let more = random.below(2) == 0;
        let payload = vec![random.below(3) as u8; 8 * (1 + random.below(180))];
        let frame = craft::fragment4(CLIENT, SERVER, 17, 7, 8 * random.below(180), more, &payload);
        frames += 1;
        match layers.peel(&packet(frames * SECOND / 1_000, &frame)) {
            Ok(peeled) => complete += u64::from(peeled.reassembled),
            Err(stop) => malformed += u64::from(stop.defect.is_some()),
        }
    }
    let counters = layers.reassembly();
    assert!(counters.pending <= 1, "{counters:?}");
    assert!(complete <= counters.completed && counters.conflicting <= malformed);
    assert!(counters.completed + counters.conflicting + counters.expired + counters.evicted <= frames);
}

#[test]
fn random_names_leave_memory_flat() {
    const LIMIT: usize = 8_000;
    let mut pipeline = pipeline(&limits(LIMIT, 10_000));
    let mut random = Random(2);
    let honest = craft::name("www.example.org");
    let mut most = 0;
    for number in 0..150_000_u64 {
        // First NXDOMAIN, then a wildcard answers.
        let rcode = if number < 75_000 { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        let flood = random_name(&mut random, "flood.example");
        for (name, wanted) in [(&flood, true), (&honest, number % 50 == 0)] {
            if wanted {
                let asked = Seen { id: number as u16, ..query(number * 20_000, Name(name)) };
                observe(&mut pipeline, asked);
                observe(&mut pipeline, Seen { time: asked.time + 9_000, response: Some(rcode), ..asked });
            }
        }
        if number % 1_000 == 0 {
            most = most.max(pipeline.names_memory());
        }
    }
    assert!(most < LIMIT * 512, "{most} octets for {LIMIT} rows");
    let outcome = pipeline.finish();
    outcome.check(LIMIT);
    assert_eq!(outcome.report.transactions.answered, 153_000);
    assert_eq!(
        (outcome.report.qnames[0].qname.as_str(), outcome.report.qnames[0].queries),
        ("www.example.org.", 3_000)
    );
    // All of the flood is in its zone, none of it lost.
    let flood = outcome.report.zones.iter().find(|zone| zone.zone == "flood.example.").unwrap();
    assert_eq!((flood.queries, flood.nxdomain), (150_000, 75_000));
    let names = flood.other_names as f64
        + outcome.names.tables().iter().map(NameTable::distinct_names).sum::<usize>() as f64;
    assert!((names / 150_000.0 - 1.0).abs() < 0.05, "{names} of 150,000 names");
}

#[test]
fn spoofed_sources_leave_memory_flat() {
    const OUTSTANDING: usize = 20_000;
    let mut pipeline = pipeline(&limits(1_000, OUTSTANDING));
    let mut random = Random(3);
    let name = craft::name("victim.example");
    for number in 0..300_000 {
        let client =
            Endpoint::v6((u128::from(random.bits()) << 64 | u128::from(random.bits())).to_be_bytes(), 53);
        observe(&mut pipeline, Seen { client, ..query(number * 1_000, Name(&name)) });
        assert!(pipeline.outstanding() <= OUTSTANDING);
    }
    let outcome = pipeline.finish();
    outcome.check(1_000);
    assert_eq!(
        (outcome.report.transactions.pending, outcome.report.transactions.evicted),
        (300_000, 280_000)
    );
}

#[test]
fn spoofed_servers_share_an_account() {
    let mut pipeline = pipeline(&limits(1_000, 1_000));
    let name = craft::name("victim.example");
    for number in 0..60_000_u32 {
        let server = Endpoint::v4(number.to_be_bytes(), 53);
        observe(&mut pipeline, Seen { server, ..query(0, Name(&name)) });
    }
    let outcome = pipeline.finish();
    outcome.check(1_000);
    let servers = outcome.accounts.servers().count();
    assert!(servers < 17_000, "{servers} servers");
    let (_, others) = outcome.accounts.other_servers().next().unwrap();
    assert_eq!(others.account.queries, 60_000 - servers as u64);
}

#[test]
fn names_of_one_partition_cost_no_more_than_others() {
    const LIMIT: usize = 16_000;
    let mut random = Random(4);
    let spread: Vec<_> = (0..20_000).map(|_| random_name(&mut random, "collide.example")).collect();
    // The partition's hash has no key, so that anyone can choose it.
    let chosen: Vec<_> = std::iter::repeat_with(|| random_name(&mut random, "collide.example"))
        .filter(|name| partition(name) == 0)
        .take(20_000)
        .collect();
    let run = |names: &[Vec<u8>]| -> (Outcome, usize) {
        let mut pipeline = pipeline(&limits(LIMIT, 1_000));
        for (number, name) in names.iter().enumerate() {
            observe(&mut pipeline, Seen { id: number as u16, ..query(number as u64 * SECOND, Name(name)) });
        }
        let memory = pipeline.names_memory();
        (pipeline.finish(), memory)
    };
    let time = |names: &[Vec<u8>]| fastest(|| drop(run(names)));
    assert_comparable(time(&chosen), time(&spread));
    let ((hostile, memory), (_, usual)) = (run(&chosen), run(&spread));
    hostile.check(LIMIT);
    assert_eq!(hostile.report.messages.queries, 20_000);
    assert!(memory <= usual, "{memory} octets instead of {usual}");
}

#[test]
fn one_path_and_id_for_many_names() {
    // Equal addresses, ports and ids have equal hashes: a lookup must not walk over all that wait under one.
    let mut random = Random(6);
    let names: Vec<_> = (0..20_000).map(|_| random_name(&mut random, "one.example")).collect();
    let time = |response: Option<Rcode>, same: bool| {
        fastest(|| {
            let mut pipeline = pipeline(&limits(1_000, 1 << 18));
            for (number, name) in names.iter().enumerate() {
                let client = if same { CLIENT } else { Endpoint::v4((number as u32).to_be_bytes(), 1) };
                observe(&mut pipeline, Seen { response, client, ..query(number as u64, Name(name)) });
            }
            pipeline.finish().check(1_000);
        })
    };
    for response in [None, Some(Rcode::NOERROR)] {
        assert_comparable(time(response, true), time(response, false));
    }
}

/// A second of traffic from `begin` on: 100 queries, each answered after 3 ms.
fn traffic(pipeline: &mut Pipeline, begin: u64, name: &[u8]) {
    for number in 0..100 {
        let asked = Seen { id: number as u16, ..query(begin + number * SECOND / 100, Name(name)) };
        observe(pipeline, asked);
        let response = Some(Rcode::NOERROR);
        observe(pipeline, Seen { time: asked.time + SECOND / 333, response, ..asked });
    }
}

#[test]
fn clock_steps_of_an_hour() {
    let name = craft::name("clock.example");
    for step in [HOUR.wrapping_neg(), HOUR] {
        let mut pipeline = pipeline(&limits(1_000, 1_000));
        let mut begin = 100 * HOUR;
        for _ in 0..20 {
            traffic(&mut pipeline, begin, &name);
            // One query has its answer behind the step.
            let asked = Seen { id: 777, ..query(begin + SECOND, Name(&name)) };
            observe(&mut pipeline, asked);
            begin = begin.wrapping_add(step);
            observe(&mut pipeline, Seen { time: begin, response: Some(Rcode::NOERROR), ..asked });
        }
        let outcome = pipeline.finish();
        outcome.check(1_000);
        assert!((2_000..=2_020).contains(&outcome.report.transactions.answered));
        let max = outcome.report.latency_us.max.unwrap();
        assert!(max < 6_000_000.0, "an hour is no latency: {max} µs");
    }
}

#[test]
fn a_backlog_stamped_an_hour_old() {
    // A tap comes back and first delivers what it kept.
    let name = craft::name("backlog.example");
    let mut pipeline = pipeline(&limits(1_000, 1_000));
    traffic(&mut pipeline, HOUR, &name);
    for second in 0..30 {
        traffic(&mut pipeline, second * SECOND, &name);
    }
    traffic(&mut pipeline, HOUR + SECOND, &name);
    let outcome = pipeline.finish();
    outcome.check(1_000);
    assert_eq!((outcome.report.transactions.answered, outcome.report.messages.queries), (3_200, 3_200));
    assert_eq!(outcome.report.intervals.len(), 2);
    assert_eq!(outcome.report.notes.iter().filter(|note| note.code == "clock-steps").count(), 1);
}

#[test]
fn a_backlog_between_live_frames_still_balances() {
    // Two taps write to one stream, and one of them delivers what it kept: the clock goes back and forth. Which of these
    // messages find each other is another matter than that each of them is counted.
    let name = craft::name("backlog.example");
    let mut pipeline = pipeline(&limits(1_000, 1_000));
    for number in 0..1_000_u16 {
        for response in [None, Some(Rcode::NOERROR)] {
            for (id, begin) in [(2 * number, HOUR), (2 * number + 1, 0)] {
                let time =
                    begin + u64::from(number) * SECOND / 100 + u64::from(response.is_some()) * SECOND / 333;
                observe(&mut pipeline, Seen { id, response, ..query(time, Name(&name)) });
            }
        }
    }
    let outcome = pipeline.finish();
    outcome.check(1_000);
    assert_eq!((outcome.report.messages.queries, outcome.report.messages.responses), (2_000, 2_000));
}
