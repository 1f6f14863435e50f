//! The latency histogram: version 1 of lowtide's buckets, and the pool that keeps one for every name.
//!
//! Buckets are integers and log-linear, of the HdrHistogram family (<https://hdrhistogram.org>): 0 to 255 µs exact,
//! then 128 buckets an octave up to 60 s, so that a bucket's upper bound is at most 0.8 % above any of its values. All
//! sensors agree bit for bit, and merging is integer addition, exact in any order.

/// The version of the bucket layout.
pub const VERSION: u8 = 1;

/// 2^7 = 128 buckets an octave.
const OCTAVE_BITS: u32 = 7;

/// The longest latency with a bucket of its own, in microseconds.
pub const MAX_MICROS: u64 = 60_000_000;

/// The bucket of everything longer than [`MAX_MICROS`].
pub const OVERFLOW: u16 = bucket_unbounded(MAX_MICROS) + 1;

/// How many buckets there are.
pub const BUCKETS: usize = OVERFLOW as usize + 1;

#[inline]
const fn bucket_unbounded(micros: u64) -> u16 {
    let octave = (u64::BITS - (micros | 0xff).leading_zeros()) - (OCTAVE_BITS + 1);
    ((octave << OCTAVE_BITS) + (micros >> octave) as u32) as u16
}

/// The bucket of a latency in microseconds.
#[inline]
pub const fn bucket(micros: u64) -> u16 {
    if micros > MAX_MICROS { OVERFLOW } else { bucket_unbounded(micros) }
}

/// The largest latency that falls into `bucket`, in microseconds; `u64::MAX` for [`OVERFLOW`].
pub const fn upper_bound(bucket: u16) -> u64 {
    if bucket >= OVERFLOW {
        return u64::MAX;
    }
    let bucket = bucket as u64;
    // The first two octaves, 0 to 255 µs, have buckets of 1 µs.
    let octave = (bucket >> OCTAVE_BITS).saturating_sub(1);
    ((bucket - (octave << OCTAVE_BITS) + 1) << octave) - 1
}

/// A sparse entry holds its bucket in the upper 12 bits and its count in the lower 20.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u32 = (1 << COUNT_BITS) - 1;
const _: () = assert!(BUCKETS <= 1 << (u32::BITS - COUNT_BITS), "a bucket fits a sparse entry");

/// Entries that a sparse histogram of each class can hold. Past the last it turns dense: [`BUCKETS`] counters.
const CLASSES: [usize; 7] = [4, 8, 16, 32, 64, 128, MOST_SPARSE];
const MOST_SPARSE: usize = 256;
const DENSE: u8 = CLASSES.len() as u8;

/// One histogram of a [`Pool`]. It starts without memory, then holds 16 octets for up to 4 different buckets, and turns
/// dense when hot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histogram {
    slot: u32,
    len: u16,
    class: u8,
}

/// The memory of many histograms: one arena a size class, with the freed slots kept for reuse.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    sparse: [Slab<u32>; CLASSES.len()],
    dense: Slab<u64>,
    /// Octets of the slots in use.
    used: usize,
}

#[derive(Clone, Debug, Default)]
struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
    used: u32,
}

impl<T: Copy + Default> Slab<T> {
    fn take(&mut self, size: usize) -> u32 {
        if let Some(slot) = self.free.pop() {
            if let Some(items) = self.slot_mut(slot, size) {
                items.fill(T::default());
            }
            return slot;
        }
        let slot = self.used;
        self.used += 1;
        let len = self.used as usize * size;
        let more = len.saturating_sub(self.items.len());
        reserve_quarter(&mut self.items, more);
        self.items.resize(len, T::default());
        slot
    }

    #[inline]
    fn slot(&self, slot: u32, size: usize) -> &[T] {
        let start = slot as usize * size;
        self.items.get(start..start + size).unwrap_or_default()
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32, size: usize) -> Option<&mut [T]> {
        let start = slot as usize * size;
        self.items.get_mut(start..start + size)
    }
}

/// Makes room for `more` items; grows by a quarter at the least, because large arenas that double are half empty.
pub(crate) fn reserve_quarter<T>(items: &mut Vec<T>, more: usize) {
    if more > items.capacity() - items.len() {
        items.reserve_exact(more.max(items.len() / 4));
    }
}

impl Pool {
    /// Adds `count` samples to `bucket` of `histogram`.
    #[inline]
    pub fn add(&mut self, histogram: &mut Histogram, bucket: u16, count: u64) {
        if histogram.class < DENSE && count <= u64::from(COUNT_MASK) {
            if self.add_sparse(histogram, bucket, count as u32) {
                return;
            }
            self.grow(histogram);
            return self.add(histogram, bucket, count);
        }
        while histogram.class < DENSE {
            self.grow(histogram);
        }
        if let Some(counters) = self.dense.slot_mut(histogram.slot, BUCKETS)
            && let Some(counter) = counters.get_mut(usize::from(bucket))
        {
            *counter += count;
        }
    }

    /// False when the entry or its count does not fit.
    #[inline]
    fn add_sparse(&mut self, histogram: &mut Histogram, bucket: u16, count: u32) -> bool {
        let class = usize::from(histogram.class);
        let Some((slab, &size)) = self.sparse.get_mut(class).zip(CLASSES.get(class)) else { return false };
        if histogram.len == 0 {
            histogram.slot = slab.take(size);
            self.used += size * 4;
        }
        let used = usize::from(histogram.len);
        let Some(entries) = slab.slot_mut(histogram.slot, size) else { return false };
        let Some(sorted) = entries.get(..used) else { return false };
        let key = u32::from(bucket) << COUNT_BITS;
        let at = sorted.partition_point(|&entry| entry < key);
        match sorted.get(at) {
            Some(&entry) if entry >> COUNT_BITS == u32::from(bucket) => {
                if (entry & COUNT_MASK) + count > COUNT_MASK {
                    return false;
                }
                if let Some(entry) = entries.get_mut(at) {
                    *entry += count;
                }
            }
            _ => {
                if used == size {
                    return false;
                }
                entries.copy_within(at..used, at + 1);
                if let Some(entry) = entries.get_mut(at) {
                    *entry = key | count;
                }
                histogram.len += 1;
            }
        }
        true
    }

    #[cold]
    fn grow(&mut self, histogram: &mut Histogram) {
        let class = usize::from(histogram.class);
        let mut held = [0; MOST_SPARSE];
        let entries = self.sparse_entries(*histogram);
        let Some(entries) = held.get_mut(..entries.len()).map(|held| {
            held.copy_from_slice(entries);
            &*held
        }) else {
            return;
        };
        if let Some(slab) = self.sparse.get_mut(class)
            && histogram.len > 0
        {
            slab.free.push(histogram.slot);
            self.used -= CLASSES.get(class).copied().unwrap_or_default() * 4;
        }
        // A count that does not fit 20 bits needs a dense histogram at once.
        let saturated = entries.len() < CLASSES.get(class).copied().unwrap_or_default();
        let class = if saturated { DENSE } else { histogram.class + 1 };
        let slot = match self.sparse.get_mut(usize::from(class)).zip(CLASSES.get(usize::from(class))) {
            Some((slab, &size)) => {
                let slot = slab.take(size);
                self.used += size * 4;
                if let Some(room) = slab.slot_mut(slot, size).and_then(|room| room.get_mut(..entries.len())) {
                    room.copy_from_slice(entries);
                }
                slot
            }
            None => {
                let slot = self.dense.take(BUCKETS);
                self.used += BUCKETS * 8;
                let counters = self.dense.slot_mut(slot, BUCKETS).unwrap_or_default();
                for entry in entries {
                    if let Some(counter) = counters.get_mut((entry >> COUNT_BITS) as usize) {
                        *counter = u64::from(entry & COUNT_MASK);
                    }
                }
                slot
            }
        };
        *histogram = Histogram { slot, class, len: entries.len() as u16 };
    }

    fn sparse_entries(&self, histogram: Histogram) -> &[u32] {
        let class = usize::from(histogram.class);
        match self.sparse.get(class).zip(CLASSES.get(class)) {
            Some((slab, &size)) if histogram.len > 0 => {
                slab.slot(histogram.slot, size).get(..usize::from(histogram.len)).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The buckets that are not empty, in order, with their counts.
    pub fn buckets(&self, histogram: Histogram) -> impl Iterator<Item = (u16, u64)> {
        let dense: &[u64] =
            if histogram.class == DENSE { self.dense.slot(histogram.slot, BUCKETS) } else { &[] };
        let sparse = self.sparse_entries(histogram);
        let sparse = sparse.iter().map(|entry| ((entry >> COUNT_BITS) as u16, u64::from(entry & COUNT_MASK)));
        sparse.chain((0..).zip(dense.iter().copied()).filter(|&(_, count)| count > 0))
    }

    /// Loads the first counter, so that a later [`Self::add`] finds it in the cache.
    #[inline]
    pub fn touch(&self, histogram: Histogram) -> u64 {
        let class = usize::from(histogram.class);
        match self.sparse.get(class).zip(CLASSES.get(class)) {
            Some((slab, size)) => {
                slab.items.get(histogram.slot as usize * size).map_or(0, |&entry| u64::from(entry))
            }
            None => 0,
        }
    }

    /// Adds every bucket of another histogram of this pool.
    pub fn add_histogram(&mut self, into: &mut Histogram, from: Histogram) {
        if from.class == DENSE {
            for bucket in 0..BUCKETS {
                let count = self.dense.slot(from.slot, BUCKETS).get(bucket).copied().unwrap_or_default();
                if count > 0 {
                    self.add(into, bucket as u16, count);
                }
            }
            return;
        }
        let mut held = [0; MOST_SPARSE];
        let entries = self.sparse_entries(from);
        let held = held.get_mut(..entries.len()).unwrap_or_default();
        held.copy_from_slice(entries);
        for entry in held {
            self.add(into, (*entry >> COUNT_BITS) as u16, u64::from(*entry & COUNT_MASK));
        }
    }

    /// Adds every bucket of a histogram of another pool.
    pub fn merge(&mut self, into: &mut Histogram, other: &Pool, from: Histogram) {
        for (bucket, count) in other.buckets(from) {
            self.add(into, bucket, count);
        }
    }

    /// Gives a histogram's memory back for reuse and empties it.
    pub fn release(&mut self, histogram: &mut Histogram) {
        let class = usize::from(histogram.class);
        match self.sparse.get_mut(class).zip(CLASSES.get(class)) {
            Some((slab, size)) if histogram.len > 0 => {
                slab.free.push(histogram.slot);
                self.used -= size * 4;
            }
            Some(_) => {}
            None => {
                self.dense.free.push(histogram.slot);
                self.used -= BUCKETS * 8;
            }
        }
        *histogram = Histogram::default();
    }

    /// Octets of the histograms that are in use. It depends on what was counted alone, not on how memory grew.
    #[inline]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Octets of memory held.
    pub fn memory(&self) -> usize {
        let sparse: usize =
            self.sparse.iter().map(|slab| (slab.items.capacity() + slab.free.capacity()) * 4).sum();
        sparse + self.dense.items.capacity() * 8 + self.dense.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram as Hdr;

    /// A small generator (xorshift64*), so that tests need no seed from outside.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[test]
    fn buckets_are_those_of_hdrhistogram_with_two_digits() {
        let hdr = Hdr::<u64>::new_with_bounds(1, MAX_MICROS, 2).unwrap();
        let mut state = 7;
        let edges = (0..=26).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for micros in edges.chain((0..100_000).map(|_| random(&mut state) % MAX_MICROS)).chain([MAX_MICROS]) {
            if micros > MAX_MICROS {
                continue;
            }
            let upper = upper_bound(bucket(micros));
            assert_eq!(upper, hdr.highest_equivalent(micros), "at {micros} µs");
            assert!(upper >= micros && upper - micros <= micros / 128, "at {micros} µs: {upper}");
        }
        assert_eq!(bucket(MAX_MICROS + 1), OVERFLOW);
    }

    #[test]
    fn every_bucket_starts_where_the_one_before_ends() {
        for at in 1..OVERFLOW {
            assert_eq!(bucket(upper_bound(at - 1) + 1), at.min(bucket(MAX_MICROS)));
            assert_eq!(bucket(upper_bound(at).min(MAX_MICROS)), at);
        }
    }

    #[test]
    fn sparse_and_dense_count_alike() {
        let mut pool = Pool::default();
        let mut state = 99;
        for spread in [1, 3, 4, 5, 17, 65, 255, 256, 257, 2000] {
            let mut truth = std::collections::BTreeMap::new();
            let mut histogram = Histogram::default();
            for _ in 0..5000 {
                let bucket = (random(&mut state) % spread) as u16;
                let count = random(&mut state) % 3000 + 1;
                pool.add(&mut histogram, bucket, count);
                *truth.entry(bucket).or_insert(0u64) += count;
            }
            assert!(pool.buckets(histogram).eq(truth.clone()), "spread {spread}");
            let mut other = Pool::default();
            let mut copy = Histogram::default();
            let mut twin = Histogram::default();
            pool.add_histogram(&mut twin, histogram);
            assert!(pool.buckets(twin).eq(truth.clone()), "within the pool, spread {spread}");
            pool.release(&mut twin);
            other.merge(&mut copy, &pool, histogram);
            assert!(other.buckets(copy).eq(truth), "merged, spread {spread}");
            assert!(pool.used() > 0);
            pool.release(&mut histogram);
            assert_eq!((pool.buckets(histogram).count(), pool.used()), (0, 0));
        }
    }

    #[test]
    fn counts_past_20_bits_are_kept() {
        let mut pool = Pool::default();
        let mut histogram = Histogram::default();
        pool.add(&mut histogram, 9, u64::from(COUNT_MASK));
        pool.add(&mut histogram, 9, 1);
        pool.add(&mut histogram, 2533, 1 << 40);
        assert!(pool.buckets(histogram).eq([(9, 1 << COUNT_BITS), (2533, 1 << 40)]));
    }
}
