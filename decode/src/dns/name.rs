//! Names in messages: compression pointers strictly backwards, 255 octets, no recursion.
//!
//! A pointer must point before the start of the labels that end in it. So each hop goes further back, and a name
//! costs at most one step per octet of the message, whatever the message says.

use lowtide_proto::{Cursor, Malformed, NameBuf};

/// What stands at the start of a label (RFC 1035 §4.1.4).
enum Label {
    /// That many octets follow; 0 is the root.
    Octets(u8),
    /// The name goes on at this offset.
    Pointer(u16),
}

#[inline]
fn take_label(cursor: &mut Cursor<'_>) -> Result<Label, Malformed> {
    let first = cursor.u8().map_err(|_| Malformed::NameOverrun)?;
    match first >> 6 {
        0 => Ok(Label::Octets(first)),
        3 => {
            let low = cursor.u8().map_err(|_| Malformed::NameOverrun)?;
            Ok(Label::Pointer(u16::from(first & 0x3f) << 8 | u16::from(low)))
        }
        _ => Err(Malformed::LabelType),
    }
}

/// A cursor at `target`, when that lies before `limit`; `limit` becomes `target`.
#[inline]
fn follow<'a>(octets: &'a [u8], target: u16, limit: &mut usize) -> Result<Cursor<'a>, Malformed> {
    let target = usize::from(target);
    if target >= *limit {
        return Err(Malformed::Pointer);
    }
    *limit = target;
    Ok(Cursor::new(octets.get(target..).unwrap_or_default()))
}

/// Takes a name from `cursor`, which walks `octets`, and leaves its uncompressed wire form, lower-cased, in `name`.
///
/// # Errors
/// Why it is no name; `name` then holds nothing.
#[inline]
pub fn read_name<'a>(octets: &'a [u8], cursor: &mut Cursor<'a>, name: &mut NameBuf) -> Result<(), Malformed> {
    name.clear();
    if let Some(len) = plain_len(cursor.rest())
        && name.push_lowercase(cursor.rest(), len)
    {
        return cursor.skip(len).map_err(|_| Malformed::NameOverrun);
    }
    read_labels(octets, cursor, name).inspect_err(|_| name.clear())
}

/// Octets of the name at the start of `octets`, if it ends in the root without a pointer. What it is otherwise,
/// [`read_labels`] finds out.
#[inline]
fn plain_len(octets: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        match *octets.get(end)? {
            0 => return Some(end + 1),
            len @ ..64 => end += usize::from(len) + 1,
            _ => return None,
        }
    }
}

fn read_labels<'a>(octets: &'a [u8], cursor: &mut Cursor<'a>, name: &mut NameBuf) -> Result<(), Malformed> {
    name.clear();
    let mut limit = octets.len() - cursor.len();
    // Until the first pointer the caller's own cursor moves, because what follows the name stands there.
    let mut elsewhere: Option<Cursor<'a>> = None;
    loop {
        let labels = elsewhere.as_mut().unwrap_or(&mut *cursor);
        let start = *labels;
        let mut run = 0;
        let target = loop {
            match take_label(labels)? {
                Label::Octets(0) => break None,
                Label::Octets(len) => {
                    labels.skip(usize::from(len)).map_err(|_| Malformed::NameOverrun)?;
                    run += usize::from(len) + 1;
                }
                Label::Pointer(target) => break Some(target),
            }
        };
        let end = run + usize::from(target.is_none());
        if !name.push_lowercase(start.rest(), end) {
            return Err(Malformed::NameTooLong);
        }
        match target {
            None => return Ok(()),
            Some(target) => elsewhere = Some(follow(octets, target, &mut limit)?),
        }
    }
}

/// Passes over a name without decompressing it. A pointer must point backwards; where it leads is not looked at.
#[inline]
pub(super) fn skip_name(octets: &[u8], cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    let start = octets.len() - cursor.len();
    let mut run = 1;
    loop {
        match take_label(cursor)? {
            Label::Octets(0) => return Ok(()),
            Label::Octets(len) => {
                cursor.skip(usize::from(len)).map_err(|_| Malformed::NameOverrun)?;
                run += usize::from(len) + 1;
                if run > lowtide_proto::name::MAX_NAME {
                    return Err(Malformed::NameTooLong);
                }
            }
            Label::Pointer(target) if usize::from(target) < start => return Ok(()),
            Label::Pointer(_) => return Err(Malformed::Pointer),
        }
    }
}

/// How many labels the name at `owner` has, when it is `qname` (lower-cased wire form) or an ancestor of it.
///
/// `plain` is the offset at which `qname` stands in the message, when it stands there uncompressed: most owners are a
/// pointer into it.
#[inline]
pub(super) fn labels_shared(octets: &[u8], owner: usize, qname: &[u8], plain: Option<usize>) -> Option<u8> {
    let mut cursor = Cursor::new(octets.get(owner..)?);
    if let Ok(Label::Pointer(target)) = take_label(&mut cursor)
        && let Some(at) = plain.and_then(|plain| usize::from(target).checked_sub(plain))
        && at < qname.len()
        && let Some(count) = labels_from(qname, at)
    {
        return Some(count);
    }
    // A pointer into the middle of a label is another name, if one at all.
    labels_compared(octets, owner, qname)
}

/// How many labels of `qname` stand at and behind the label that begins at `at`; `None` when none begins there.
#[inline]
fn labels_from(qname: &[u8], at: usize) -> Option<u8> {
    let mut rest = qname;
    let mut count = None;
    loop {
        if rest.len() == qname.len() - at {
            count = Some(0);
        }
        let (&len, tail) = rest.split_first()?;
        if len == 0 {
            return count;
        }
        count = count.map(|count| count + 1);
        rest = tail.get(usize::from(len)..)?;
    }
}

#[cold]
fn labels_compared(octets: &[u8], owner: usize, qname: &[u8]) -> Option<u8> {
    let mut name = NameBuf::new();
    let mut cursor = Cursor::new(octets.get(owner..)?);
    read_labels(octets, &mut cursor, &mut name).ok()?;
    let count = name.as_name().label_count();
    // The suffix is taken by labels, not by octets: a label's content may look like the rest of a name.
    (lowtide_proto::Name(qname).suffix(count).0 == name.wire()).then_some(count as u8)
}
