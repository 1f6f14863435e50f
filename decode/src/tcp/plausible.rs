//! Whether octets read as the start of a length-prefixed DNS message.

use lowtide_proto::{Class, Cursor, Opcode, Qtype, Short};

use crate::dns::{HEADER, Header};

/// The fewest octets of a question: the root, type and class.
const MIN_QUESTION: u32 = 5;
/// The fewest octets of a record: the root, type, class, TTL and RDLENGTH.
const MIN_RECORD: u32 = 11;

/// AA, RA and RCODE.
const NOT_IN_QUERIES: u16 = 0x048f;

/// What the octets look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The start of a message.
    Message,
    /// Nothing speaks against it yet, but too few octets are there.
    Open,
    /// Something else.
    Other,
}

/// What ended a walk.
enum End {
    Short,
    Wrong,
}

impl From<Short> for End {
    fn from(_: Short) -> Self {
        End::Short
    }
}

/// Judges octets that may start with a length prefix. Of `wire_len` octets of the segment these were captured.
///
/// At the known start of a stream a message that is odd is still a message: that the lengths fit, up to the end of
/// the segment, is enough. Anywhere else all that can be read must read as DNS.
pub(super) fn judge(octets: &[u8], wire_len: u64, known_start: bool) -> Verdict {
    let mut cursor = Cursor::new(octets);
    let Ok(len) = cursor.u16_be() else { return Verdict::Open };
    if usize::from(len) < HEADER {
        return Verdict::Other;
    }
    let fits = cursor.len() >= HEADER && lengths_fit(octets, wire_len);
    if fits && known_start {
        return Verdict::Message;
    }
    let whole = cursor.len() >= usize::from(len);
    let mut message = Cursor::new(cursor.rest().get(..usize::from(len)).unwrap_or(cursor.rest()));
    let header = match header(&mut message, u32::from(len)) {
        Ok(header) => header,
        Err(End::Short) => return Verdict::Open,
        Err(End::Wrong) => return Verdict::Other,
    };
    let mut believed = false;
    match sections(&mut message, &header, usize::from(len), known_start, &mut believed) {
        Ok(()) if known_start || (whole && message.is_empty()) => Verdict::Message,
        // The header is sane and the lengths fit: a damaged message, not a stranger.
        _ if fits => Verdict::Message,
        Err(End::Short) if !whole && believed => Verdict::Message,
        Err(End::Short) if !whole => Verdict::Open,
        _ => Verdict::Other,
    }
}

/// Where inside a segment whole messages begin, of a stream that lost its step. Octets that merely look like the start of
/// a message are not enough here, because every offset is tried: a message must be there whole, read as DNS to its very
/// end, and be followed by another, by the start of one, or by the end of the segment.
pub(super) fn find_messages(octets: &[u8]) -> Option<usize> {
    let follows = |rest: &[u8]| {
        rest.is_empty()
            || whole_message(rest).is_some()
            || judge(rest, rest.len() as u64, false) == Verdict::Open
    };
    (1..octets.len()).find(|&start| {
        let candidate = octets.get(start..).unwrap_or_default();
        whole_message(candidate).is_some_and(|len| candidate.get(len..).is_some_and(follows))
    })
}

/// The length, prefix included, of the message at the start of `octets`, if it is there whole, has a question and reads
/// as DNS to its very end.
fn whole_message(octets: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(octets);
    let len = cursor.u16_be().ok()?;
    let mut message = cursor.sub(usize::from(len)).ok()?;
    let header = header(&mut message, u32::from(len)).ok().filter(|header| header.questions == 1)?;
    sections(&mut message, &header, usize::from(len), false, &mut false).ok()?;
    message.is_empty().then_some(usize::from(len) + 2)
}

/// Whether messages of at least a header's length follow each other to the very end of the segment.
fn lengths_fit(octets: &[u8], wire_len: u64) -> bool {
    let mut cursor = Cursor::new(octets);
    let mut left = wire_len;
    while left > 0 {
        let Ok(len) = cursor.u16_be() else { return false };
        let framed = u64::from(len) + 2;
        if usize::from(len) < HEADER || framed > left {
            return false;
        }
        left -= framed;
        if cursor.skip(usize::from(len)).is_err() {
            return left == 0;
        }
    }
    true
}

/// Takes a header that a message of `len` octets may have.
fn header(message: &mut Cursor<'_>, len: u32) -> Result<Header, End> {
    let header = Header::take(message).ok_or(End::Short)?;
    let [answers, authorities, additionals] =
        [header.answers, header.authorities, header.additionals].map(u32::from);
    let records = answers + authorities + additionals;
    let least = HEADER as u32 + MIN_QUESTION * u32::from(header.questions) + MIN_RECORD * records;
    // In a query, OPT and TSIG or SIG(0) are the only additional records, IXFR's SOA the only one in authority (RFC
    // 1995 §3), and nothing has an answer or an RCODE but UPDATE and NOTIFY, which may have anything.
    let bare = answers == 0 && authorities == 0 && additionals <= 2;
    let asks = answers == 0 && authorities <= 1 && additionals <= 2 && header.flags & NOT_IN_QUERIES == 0;
    let sane = match (header.opcode(), header.is_response(), header.questions) {
        (Opcode::QUERY, false, 1) => asks,
        // For a cookie alone (RFC 7873 §5.4).
        (Opcode::QUERY, false, 0) => asks && bare && additionals > 0,
        // A zone transfer's later messages, and some errors, have no question (RFC 5936 §2.2).
        (Opcode::QUERY | Opcode::NOTIFY | Opcode::UPDATE, true, 0 | 1) => true,
        (Opcode::NOTIFY, false, 1) => answers <= 1 && authorities == 0 && additionals <= 2,
        (Opcode::UPDATE, false, 1) => true,
        (Opcode::STATUS | Opcode::IQUERY, _, 0 | 1) => bare,
        (Opcode::DSO, _, 0) => records == 0,
        _ => false,
    };
    // A bit that must be zero (RFC 1035 §4.1.1).
    let reserved = header.flags & 0x0040 != 0;
    if !sane || reserved || least > len { Err(End::Wrong) } else { Ok(header) }
}

/// Walks question and records as far as they are there; `believed` is set when enough of them was read.
fn sections(
    message: &mut Cursor<'_>,
    header: &Header,
    wire_len: usize,
    question_only: bool,
    believed: &mut bool,
) -> Result<(), End> {
    let captured = message.len() + HEADER;
    if header.questions == 1 {
        name(message, None)?;
        message.skip(2)?;
        class(message.u16_be()?)?;
        *believed = true;
    }
    if question_only {
        return Ok(());
    }
    if header.opcode() == Opcode::DSO {
        // TLVs, not records, stand behind the header (RFC 8490 §5.4).
        while !message.is_empty() {
            message.skip(2)?;
            let len = usize::from(message.u16_be()?);
            if captured - message.len() + len > wire_len {
                return Err(End::Wrong);
            }
            *believed = true;
            message.skip(len)?;
        }
        return if captured == wire_len { Ok(()) } else { Err(End::Short) };
    }
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additionals);
    for _ in 0..records {
        let root = message.rest().first() == Some(&0);
        name(message, Some(captured - message.len()))?;
        let rtype = Qtype(message.u16_be()?);
        if rtype == Qtype::OPT {
            if !root {
                return Err(End::Wrong);
            }
            message.skip(2)?;
        } else {
            class(message.u16_be()?)?;
        }
        message.skip(4)?;
        let rdata = usize::from(message.u16_be()?);
        if captured - message.len() + rdata > wire_len {
            return Err(End::Wrong);
        }
        *believed = true;
        message.skip(rdata)?;
    }
    Ok(())
}

fn class(class: u16) -> Result<(), End> {
    match Class(class) {
        Class::IN | Class::CH | Class::HS | Class::NONE | Class::ANY => Ok(()),
        _ => Err(End::Wrong),
    }
}

/// Passes over a name; it may end in a pointer to before `start`, its own offset, when that is given.
fn name(message: &mut Cursor<'_>, start: Option<usize>) -> Result<(), End> {
    let mut octets = 1;
    loop {
        let len = usize::from(message.u8()?);
        match len {
            0 => return Ok(()),
            1..=63 => {
                octets += len + 1;
                if octets > lowtide_proto::name::MAX_NAME {
                    return Err(End::Wrong);
                }
                message.skip(len)?;
            }
            0xc0.. => {
                let target = (len & 0x3f) << 8 | usize::from(message.u8()?);
                let backwards = start.is_some_and(|start| (HEADER..start).contains(&target));
                return if backwards { Ok(()) } else { Err(End::Wrong) };
            }
            _ => return Err(End::Wrong),
        }
    }
}
