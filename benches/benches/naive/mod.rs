//! The yardstick: the same account of names, made straight with the crates that are there for it, one message at a
//! time. Only reading the file is ours. TCP segments count when they hold a whole message; fragments do not.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use hdrhistogram::Histogram;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use lowtide_capture::{CaptureFile, Record};

/// Addresses, ports, id and question.
type Key = (IpAddr, u16, IpAddr, u16, u16, Name, RecordType);

struct Row {
    queries: u64,
    responses: HashMap<ResponseCode, u64>,
    /// Two digits, as ours.
    latency: Histogram<u32>,
}

/// Reads the whole file and says how many names there are.
pub(crate) fn run(path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut file = CaptureFile::open(path)?;
    let mut outstanding: HashMap<Key, u64> = HashMap::new();
    let mut names: HashMap<(Name, RecordType), Row> = HashMap::new();
    while let Some(record) = file.next()? {
        let Record::Packet(packet) = record else { continue };
        let Ok(sliced) = SlicedPacket::from_ethernet(packet.data) else { continue };
        let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            Some(NetSlice::Ipv6(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            _ => continue,
        };
        let (from, to, payload) = match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port(), udp.payload()),
            Some(TransportSlice::Tcp(tcp)) => {
                (tcp.source_port(), tcp.destination_port(), tcp.payload().get(2..).unwrap_or_default())
            }
            _ => continue,
        };
        if from != 53 && to != 53 {
            continue;
        }
        let Ok(message) = Message::from_vec(payload) else { continue };
        let Some(query) = message.queries.first() else { continue };
        let question = (query.name().to_lowercase(), query.query_type());
        let id = message.metadata.id;
        let row = names.entry(question.clone()).or_insert_with(|| Row {
            queries: 0,
            responses: HashMap::new(),
            latency: histogram(),
        });
        if message.metadata.message_type == MessageType::Query {
            row.queries += 1;
            outstanding.insert((source, from, destination, to, id, question.0, question.1), packet.time.0);
        } else {
            *row.responses.entry(message.metadata.response_code).or_default() += 1;
            let key = (destination, to, source, from, id, question.0, question.1);
            if let Some(asked) = outstanding.remove(&key) {
                row.latency.saturating_record(packet.time.0.saturating_sub(asked) / 1000);
            }
        }
    }
    Ok(names.len() as u64)
}

fn histogram() -> Histogram<u32> {
    // Two digits are within the crate's bounds.
    Histogram::new(2).unwrap_or_else(|_| unreachable!())
}
