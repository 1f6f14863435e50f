//! Client addresses made less telling before anything is stored.
//!
//! Three ways: as they are; cut to a prefix, which cannot be undone; or by Crypto-PAn (Xu, Fan, Ammar and Moon, "Prefix-Preserving
//! IP Address Anonymization", ICNP 2002), a permutation under a secret key: two clients that share their first *n* bits share
//! exactly *n* bits afterwards, and the same key gives the same pseudonyms on every sensor and in every run. Who holds the key can undo
//! it, and who can send queries from chosen addresses learns about the prefixes he shares with others; where that matters, cut.
//!
//! IPv4 addresses come and go in their IPv4-mapped form and are treated as the 32 bits that they are. The unspecified address stays
//! what it is: rows use it for "the other clients".
//!
//! Only clients' addresses go through here. Servers are what the operator watches, and a report without them says nothing. EDNS
//! client subnets (RFC 7871) also tell of clients, but no row holds any: should one ever, it has to pass here first.

use std::fmt;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr};

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use foldhash::fast::RandomState;

/// Pseudonyms remembered, 32 octets each. An address costs 32 or 128 encryptions, and few clients send most queries.
const REMEMBERED: usize = 1 << 16;

/// How clients' addresses are anonymised.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymisation {
    /// Not at all.
    #[default]
    Keep,
    /// Cut to prefixes of so many bits.
    Truncate {
        /// Bits of an IPv4 address that stay, of 32.
        ipv4: u8,
        /// Bits of an IPv6 address that stay, of 128.
        ipv6: u8,
    },
    /// Crypto-PAn: 16 octets of AES key, then 16 that make the pad, as its reference implementation takes them.
    CryptoPan([u8; 32]),
}

impl Anonymisation {
    /// Cutting as it is usual: an IPv4 network of 256 addresses, an IPv6 site.
    pub const TRUNCATE: Self = Self::Truncate { ipv4: 24, ipv6: 48 };
}

impl fmt::Debug for Anonymisation {
    /// Without the key: what is printed ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anonymisation::Keep => f.write_str("Keep"),
            Anonymisation::Truncate { ipv4, ipv6 } => write!(f, "Truncate(/{ipv4}, /{ipv6})"),
            Anonymisation::CryptoPan(_) => f.write_str("CryptoPan(…)"),
        }
    }
}

/// Anonymises clients' addresses. Each thread has its own; under the same key all of them say the same.
#[derive(Clone, Debug)]
pub struct Anonymiser(Way);

#[derive(Clone, Debug)]
enum Way {
    Keep,
    Truncate { ipv4: u32, ipv6: u128 },
    CryptoPan(Box<Remembering>),
}

impl Anonymiser {
    /// One that does it in the given way.
    pub fn new(anonymisation: &Anonymisation) -> Self {
        Self(match anonymisation {
            Anonymisation::Keep => Way::Keep,
            Anonymisation::Truncate { ipv4, ipv6 } => Way::Truncate {
                ipv4: !u32::MAX.checked_shr(u32::from(*ipv4)).unwrap_or(0),
                ipv6: !u128::MAX.checked_shr(u32::from(*ipv6)).unwrap_or(0),
            },
            Anonymisation::CryptoPan(key) => Way::CryptoPan(Box::new(Remembering::new(CryptoPan::new(key)))),
        })
    }

    /// What is stored in the place of a client's address.
    #[inline]
    pub fn client(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        match &mut self.0 {
            Way::Keep => address,
            _ if address.is_unspecified() => address,
            Way::Truncate { ipv4, ipv6 } => match address.to_ipv4_mapped() {
                Some(address) => Ipv4Addr::from_bits(address.to_bits() & *ipv4).to_ipv6_mapped(),
                // The loopback address tells of nobody, and cut it would be the unspecified one.
                None if address.is_loopback() => address,
                None => Ipv6Addr::from_bits(address.to_bits() & *ipv6),
            },
            Way::CryptoPan(remembering) => remembering.pseudonym(address),
        }
    }
}

/// Crypto-PAn without a memory.
#[derive(Clone)]
struct CryptoPan {
    cipher: Aes128Enc,
    pad: u128,
}

impl fmt::Debug for CryptoPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CryptoPan(…)")
    }
}

impl CryptoPan {
    fn new(key: &[u8; 32]) -> Self {
        let [cipher, pad] = halves(key);
        let cipher = Aes128Enc::new(&Array(cipher));
        let mut pad = Array(pad);
        cipher.encrypt_block(&mut pad);
        Self { cipher, pad: u128::from_be_bytes(pad.0) }
    }

    fn pseudonym(&self, address: Ipv6Addr) -> Ipv6Addr {
        match address.to_ipv4_mapped() {
            Some(address) => {
                let flips = self.flips::<32>(u128::from(address.to_bits()) << 96);
                let [a, b, c, d, ..] = flips.to_be_bytes();
                let flips = u32::from_be_bytes([a, b, c, d]);
                Ipv4Addr::from_bits(address.to_bits() ^ flips).to_ipv6_mapped()
            }
            None => Ipv6Addr::from_bits(address.to_bits() ^ self.flips::<128>(address.to_bits())),
        }
    }

    /// Which of the first `BITS` bits of an address, flush left, are flipped. Whether bit *n* is depends on the *n* bits before it
    /// alone, which is why prefixes are preserved: it is the first bit of the cipher of these bits, with the pad behind them.
    fn flips<const BITS: usize>(&self, address: u128) -> u128 {
        let mut rest = u128::MAX;
        let mut blocks = [Array([0; 16]); BITS];
        for block in &mut blocks {
            block.0 = ((address & !rest) | (self.pad & rest)).to_be_bytes();
            rest >>= 1;
        }
        // All at once: the processor works on several blocks side by side.
        self.cipher.encrypt_blocks(&mut blocks);
        let flips = blocks.iter().fold(0, |flips, &Array([first, ..])| flips << 1 | u128::from(first >> 7));
        flips << (128 - BITS)
    }
}

/// The key's two halves.
fn halves(key: &[u8; 32]) -> [[u8; 16]; 2] {
    let (halves, _) = key.as_chunks::<16>();
    match halves {
        [cipher, pad] => [*cipher, *pad],
        _ => [[0; 16]; 2],
    }
}

/// Crypto-PAn, and the pseudonyms of addresses seen of late: each has one place in the table, and the newer takes it. The hash is
/// seeded at random, so that nobody can choose addresses that chase each other from one place.
#[derive(Clone)]
struct Remembering {
    crypto_pan: CryptoPan,
    hasher: RandomState,
    /// Address and pseudonym; a place is empty while its address is the unspecified one, which has no pseudonym.
    known: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.crypto_pan.fmt(f)
    }
}

impl Remembering {
    fn new(crypto_pan: CryptoPan) -> Self {
        let nothing = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        Self { crypto_pan, hasher: RandomState::default(), known: vec![nothing; REMEMBERED] }
    }

    fn pseudonym(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        let place = self.hasher.hash_one(address.to_bits()) % REMEMBERED as u64;
        let place = usize::try_from(place).ok().and_then(|place| self.known.get_mut(place));
        match place {
            Some((known, pseudonym)) if *known == address => *pseudonym,
            place => {
                let pseudonym = self.crypto_pan.pseudonym(address);
                if let Some(place) = place {
                    *place = (address, pseudonym);
                }
                pseudonym
            }
        }
    }
}

#[cfg(test)]
mod tests;
