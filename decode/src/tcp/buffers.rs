//! What must be kept: messages in parts, and segments behind a gap.

use std::collections::VecDeque;

use lowtide_proto::Timestamp;

/// No place: most flows buffer nothing.
pub(super) const NONE: u32 = u32::MAX;

/// Octets of spare buffers that are kept for the next use.
const SPARE_BYTES: usize = 2 << 20;
/// Spare queues that are kept, and how many segments they may have room for.
const SPARE_QUEUES: usize = 64;
const SPARE_QUEUE_ROOM: usize = 32;

/// A segment, or a part of one, behind a gap.
pub(super) struct Held {
    /// Number of its first octet.
    pub sequence: u32,
    /// Its length on the wire; never 0.
    pub wire_len: u32,
    pub time: Timestamp,
    pub octets: Vec<u8>,
}

/// What one flow buffers.
struct Place {
    /// The flow's slot, or [`NONE`] when the place is free.
    flow: u32,
    /// Octets in `held`.
    held_bytes: usize,
    /// When the last octet in `assembly` was captured.
    time: Timestamp,
    /// The octets before the flow's next one that are not read yet: a message in parts, its prefix first.
    assembly: Vec<u8>,
    /// Segments behind a gap: in order, never overlapping, none at the flow's next octet.
    held: VecDeque<Held>,
}

/// The buffers of all flows, in places that are found by number. Flows hold the number; [`NONE`] is an empty place.
pub(super) struct Buffers {
    places: Vec<Place>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
    spare_queues: Vec<VecDeque<Held>>,
    bytes_spare: usize,
    bytes_in_use: usize,
    hand: usize,
}

impl Buffers {
    pub fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            spare_queues: Vec::new(),
            bytes_spare: 0,
            bytes_in_use: 0,
            hand: 0,
        }
    }

    /// Octets allocated for what flows buffer, their places and queues included.
    pub fn bytes_in_use(&self) -> usize {
        self.bytes_in_use
    }

    /// Octets of free places, spare buffers and queues.
    pub fn bytes_spare(&self) -> usize {
        self.bytes_spare + self.free.len() * size_of::<Place>()
    }

    /// The flow that has the next place in turn, if one has.
    #[inline]
    pub fn next_flow(&mut self) -> Option<u32> {
        if self.hand >= self.places.len() {
            self.hand = 0;
        }
        let place = self.places.get(self.hand)?;
        self.hand += 1;
        (place.flow != NONE).then_some(place.flow)
    }

    /// Octets of the message in parts.
    #[inline]
    pub fn assembly(&self, place: u32) -> &[u8] {
        self.get(place).map_or(&[], |place| &place.assembly)
    }

    /// Adds octets to the message in parts.
    pub fn append(&mut self, place: &mut u32, flow: u32, octets: &[u8], time: Timestamp) {
        if octets.is_empty() {
            return;
        }
        self.occupy(place, flow);
        let Self { places, spare, bytes_spare, bytes_in_use, .. } = self;
        let Some(place) = places.get_mut(*place as usize) else { return };
        if place.assembly.capacity() == 0 {
            place.assembly = take_spare(spare, bytes_spare);
            *bytes_in_use += place.assembly.capacity();
        }
        place.time = if place.assembly.is_empty() { time } else { place.time.max(time) };
        let before = place.assembly.capacity();
        place.assembly.extend_from_slice(octets);
        *bytes_in_use += place.assembly.capacity() - before;
    }

    /// Takes the message in parts out; give it back with [`Buffers::give_assembly`].
    pub fn take_assembly(&mut self, place: u32) -> (Vec<u8>, Timestamp) {
        let Some(place) = self.places.get_mut(place as usize) else { return Default::default() };
        let octets = std::mem::take(&mut place.assembly);
        self.bytes_in_use -= octets.capacity();
        (octets, place.time)
    }

    /// Gives the memory of a message back to its flow, whose next message most likely comes in parts, too.
    pub fn give_assembly(&mut self, place: u32, mut octets: Vec<u8>) {
        match self.places.get_mut(place as usize) {
            Some(place) if place.assembly.capacity() == 0 => {
                octets.clear();
                self.bytes_in_use += octets.capacity();
                place.assembly = octets;
            }
            _ => self.give(octets),
        }
    }

    /// Takes back memory that is not used any more.
    pub fn give(&mut self, mut octets: Vec<u8>) {
        let bytes = octets.capacity();
        if bytes > 0 && self.bytes_spare + bytes <= SPARE_BYTES {
            octets.clear();
            self.bytes_spare += bytes;
            self.spare.push(octets);
        }
    }

    /// Whether segments wait behind a gap.
    #[inline]
    pub fn holds(&self, place: u32) -> bool {
        self.get(place).is_some_and(|place| !place.held.is_empty())
    }

    /// Segments behind gaps, and their octets.
    pub fn held(&self, place: u32) -> (usize, usize) {
        self.get(place).map_or((0, 0), |place| (place.held.len(), place.held_bytes))
    }

    /// Sequence number and time of the first segment behind the first gap.
    pub fn first_held(&self, place: u32) -> Option<(u32, Timestamp)> {
        self.get(place)?.held.front().map(|held| (held.sequence, held.time))
    }

    /// Takes out the first segment when it is at `next`; its memory goes back with [`Buffers::give`].
    pub fn take_held(&mut self, place: u32, next: u32) -> Option<Held> {
        let place = self.places.get_mut(place as usize)?;
        let held = place.held.pop_front_if(|held| held.sequence == next)?;
        place.held_bytes -= held.octets.len();
        self.bytes_in_use -= held.octets.capacity();
        Some(held)
    }

    /// Keeps a segment that starts `ahead` octets after `next`, without the octets that are held already. Returns how
    /// many of its captured octets these are.
    pub fn hold(&mut self, place: &mut u32, flow: u32, next: u32, ahead: u32, segment: Segment<'_>) -> u64 {
        self.occupy(place, flow);
        let Self { places, spare, spare_queues, bytes_spare, bytes_in_use, .. } = self;
        let Some(place) = places.get_mut(*place as usize) else { return 0 };
        let queue = &mut place.held;
        if queue.capacity() == 0
            && let Some(spare) = spare_queues.pop()
        {
            *queue = spare;
            *bytes_spare -= queue_bytes(queue);
            *bytes_in_use += queue_bytes(queue);
        }
        let before = queue_bytes(queue);
        let mut at = u64::from(ahead);
        let end = at + u64::from(segment.wire_len);
        let mut rest = segment.octets;
        let mut overlapping = 0;
        let range = |held: &Held| {
            let start = u64::from(held.sequence.wrapping_sub(next));
            (start, start + u64::from(held.wire_len))
        };
        let mut index = queue.partition_point(|held| range(held).1 <= at);
        while at < end {
            let (start, stop) = queue.get(index).map_or((end, end), range);
            let fresh = start.min(end).saturating_sub(at);
            let len = if fresh > 0 { fresh } else { stop.min(end) - at };
            let (octets, tail) = rest.split_at(rest.len().min(len as usize));
            if fresh > 0 {
                let mut buffer = take_spare(spare, bytes_spare);
                buffer.extend_from_slice(octets);
                *bytes_in_use += buffer.capacity();
                place.held_bytes += octets.len();
                let sequence = next.wrapping_add(at as u32);
                queue.insert(
                    index,
                    Held { sequence, wire_len: len as u32, time: segment.time, octets: buffer },
                );
            } else {
                overlapping += octets.len() as u64;
            }
            rest = tail;
            at += len;
            index += 1;
        }
        *bytes_in_use += queue_bytes(queue) - before;
        overlapping
    }

    /// Frees the place when nothing is in it.
    #[inline]
    pub fn release(&mut self, place: &mut u32) {
        if *place != NONE {
            self.release_place(place);
        }
    }

    fn release_place(&mut self, number: &mut u32) {
        let Some(place) = self.places.get_mut(*number as usize) else { return };
        if !place.assembly.is_empty() || !place.held.is_empty() {
            return;
        }
        place.flow = NONE;
        let assembly = std::mem::take(&mut place.assembly);
        let queue = std::mem::take(&mut place.held);
        let bytes = queue_bytes(&queue);
        self.bytes_in_use -= size_of::<Place>() + assembly.capacity() + bytes;
        self.give(assembly);
        if (1..=SPARE_QUEUE_ROOM).contains(&queue.capacity()) && self.spare_queues.len() < SPARE_QUEUES {
            self.bytes_spare += bytes;
            self.spare_queues.push(queue);
        }
        self.free.push(*number);
        *number = NONE;
    }

    /// Gives the flow a place when it has none.
    fn occupy(&mut self, number: &mut u32, flow: u32) {
        if *number != NONE {
            return;
        }
        self.bytes_in_use += size_of::<Place>();
        *number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                flow,
                held_bytes: 0,
                time: Timestamp(0),
                assembly: Vec::new(),
                held: VecDeque::new(),
            });
            (self.places.len() - 1) as u32
        });
        if let Some(place) = self.places.get_mut(*number as usize) {
            place.flow = flow;
        }
    }

    #[inline]
    fn get(&self, place: u32) -> Option<&Place> {
        self.places.get(place as usize)
    }
}

/// The octets of a segment that have not been read.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub octets: &'a [u8],
    pub wire_len: u32,
    pub time: Timestamp,
}

fn queue_bytes(queue: &VecDeque<Held>) -> usize {
    queue.capacity() * size_of::<Held>()
}

fn take_spare(spare: &mut Vec<Vec<u8>>, bytes_spare: &mut usize) -> Vec<u8> {
    let buffer = spare.pop().unwrap_or_default();
    *bytes_spare -= buffer.capacity();
    buffer
}
