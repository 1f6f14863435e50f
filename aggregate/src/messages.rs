//! Counts of messages, before they are paired.

use lowtide_proto::{Facts, Malformed, Observation, Opcode, Transport};

/// What is counted of every message that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// QR clear.
    pub queries: u64,
    /// QR set.
    pub responses: u64,
    /// By reason, those that could not be read to their end; in the order of [`Malformed::ALL`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// By transport, in the order of [`Transport::ALL`].
    pub transports: [u64; Transport::ALL.len()],
    /// By opcode.
    pub opcodes: [u64; 16],
    /// Over IPv4.
    pub ipv4: u64,
    /// Messages of each fact in [`COUNTED`], by bit number of [`Facts`].
    facts: [u64; 32],
}

/// The facts that are counted.
const COUNTED: Facts = Facts::EDNS
    .union(Facts::DNSSEC_OK)
    .union(Facts::CLIENT_SUBNET)
    .union(Facts::COOKIE)
    .union(Facts::NO_QUESTION)
    .union(Facts::MANY_QUESTIONS)
    .union(Facts::TRAILING_OCTETS)
    .union(Facts::CUT);

impl MessageCounts {
    /// Counts a message.
    #[inline]
    pub fn count(&mut self, observation: &Observation<'_>) {
        let message = &observation.message;
        if message.is_response {
            self.responses += 1;
        } else {
            self.queries += 1;
        }
        if let Some(counter) = message.malformed.and_then(|reason| self.malformed.get_mut(reason as usize)) {
            *counter += 1;
        }
        if let Some(counter) = self.transports.get_mut(observation.transport as usize) {
            *counter += 1;
        }
        let Opcode(opcode) = message.opcode;
        if let Some(counter) = self.opcodes.get_mut(usize::from(opcode)) {
            *counter += 1;
        }
        // dnstap may name one of the two alone.
        self.ipv4 += u64::from(observation.server.is_ipv4() || observation.client.is_ipv4());
        let mut facts = message.facts.intersection(COUNTED).bits();
        while facts != 0 {
            if let Some(counter) = self.facts.get_mut(facts.trailing_zeros() as usize) {
                *counter += 1;
            }
            facts &= facts - 1;
        }
    }

    /// Messages of which a fact is true: one of EDNS, its options and DO, of those about questions, and of trailing
    /// octets or a cut.
    pub fn with(&self, fact: Facts) -> u64 {
        self.facts.get(fact.bits().trailing_zeros() as usize).copied().unwrap_or_default()
    }
}
