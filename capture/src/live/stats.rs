//! What the kernel counted for a handle.

use super::link::Link;

/// Counted since the handle was opened, over all its re-openings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStats {
    /// Frames that passed the filter: those that were lent and those in `kernel_dropped`.
    pub received: u64,
    /// Frames that found the ring full.
    pub kernel_dropped: u64,
    /// Frames lost by the network card or its driver before any filter, so that some of them may not have been DNS.
    /// In a fanout group the first handle alone counts them.
    pub interface_dropped: u64,
}

/// Adds up counters that wrap or begin anew.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    total: LiveStats,
    last: (u32, u32),
    /// By interface, the counter when it was last read.
    interfaces: Vec<(u32, u64)>,
}

impl Accumulator {
    pub(super) fn total(&self) -> LiveStats {
        self.total
    }

    /// What a newly opened handle shows: counts from before its capture began.
    pub(super) fn begin(&mut self, received: u32, dropped: u32) {
        self.last = (received, dropped);
    }

    /// libpcap's counters of 32 bits, which it adds up from those that the kernel clears when they are read. They
    /// wrap.
    pub(super) fn handle(&mut self, received: u32, dropped: u32) {
        self.total.received += u64::from(received.wrapping_sub(self.last.0));
        self.total.kernel_dropped += u64::from(dropped.wrapping_sub(self.last.1));
        self.last = (received, dropped);
    }

    /// Interfaces as they are now. One that was not there before counts from now on: what it lost earlier was not
    /// lost to this capture.
    pub(super) fn interfaces(&mut self, links: &[Link]) {
        for link in links {
            match self.interfaces.iter_mut().find(|(index, _)| *index == link.index) {
                // Some drivers clear their counters when they are reset: all of it is new then.
                Some((_, last)) => {
                    self.total.interface_dropped += link.dropped.checked_sub(*last).unwrap_or(link.dropped);
                    *last = link.dropped;
                }
                None => self.interfaces.push((link.index, link.dropped)),
            }
        }
        self.interfaces.retain(|(index, _)| links.iter().any(|link| link.index == *index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Xdp;

    #[test]
    fn counters_wrap_and_begin_anew() {
        let mut stats = Accumulator::default();
        stats.begin(7, 1);
        stats.handle(u32::MAX, 3);
        stats.handle(9, 5);
        assert_eq!(stats.total().received, u64::from(u32::MAX) - 7 + 10);
        assert_eq!(stats.total().kernel_dropped, 4);
        stats.begin(0, 0);
        stats.handle(2, 1);
        assert_eq!(stats.total().received, u64::from(u32::MAX) - 7 + 12);
        assert_eq!(stats.total().kernel_dropped, 5);
    }

    #[test]
    fn an_interface_counts_from_when_it_is_first_seen() {
        let link = |index, dropped| Link {
            name: String::new(),
            index,
            up: true,
            bridge: false,
            xdp: Xdp::None,
            dropped,
        };
        let mut stats = Accumulator::default();
        stats.interfaces(&[link(1, 100)]);
        stats.interfaces(&[link(1, 103), link(2, 50)]);
        assert_eq!(stats.total().interface_dropped, 3);
        stats.interfaces(&[link(2, 52)]);
        // Number 1 was away, so that its counter says nothing about what was lost in between.
        stats.interfaces(&[link(1, 9), link(2, 1)]);
        assert_eq!(stats.total().interface_dropped, 6);
    }
}
