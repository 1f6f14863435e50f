//! What happened to segments and their octets.

macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: u64,)*
        }

        impl $name {
            /// All counters by name, in the order of reports.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Counters of the TCP streams. When no octet is buffered, after [`super::Streams::finish`] that is,
    /// `payload_octets` = `message_octets` + `retransmitted_octets` + `overlapping_octets` + `skipped_octets`.
    StreamCounters {
        /// Segments, with or without payload.
        segments,
        /// Payload octets that were captured.
        payload_octets,
        /// Messages delivered, cut ones included.
        messages,
        /// Octets of delivered messages, length prefixes included.
        message_octets,
        /// Messages delivered without their end.
        messages_cut,
        /// Messages whose length prefix says fewer than the 12 octets of a header; they are passed over.
        messages_short,
        /// Octets that came again after they had been read: retransmissions and keep-alives.
        retransmitted_octets,
        /// Octets that came again while their first copy waited behind a gap.
        overlapping_octets,
        /// Octets in which no message could be found: not DNS, before the first start of a message, behind a gap,
        /// the rest of a cut message, a message too short for a header.
        skipped_octets,
        /// Octets not captured because of the snap length.
        snapped_octets,
        /// Segments that came before the segment they follow.
        out_of_order_segments,
        /// Gaps given up.
        gaps,
        /// Octets lost in these gaps.
        lost_octets,
        /// Times the start of a message was found in a flow of which nothing was known before.
        resyncs,
        /// Flows opened; one for each direction in which payload was sent.
        flows,
        /// Flows begun anew: the same addresses and ports with other sequence numbers.
        flows_restarted,
        /// Flows forgotten because they were idle.
        flows_idle,
        /// Open flows forgotten because there were too many.
        flows_evicted,
        /// Times a flow lost what it had buffered because all flows had too much.
        buffers_evicted,
    }
}
