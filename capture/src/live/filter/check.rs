//! What a compiled filter does with golden frames.

use lowtide_proto::LinkType;
use pcap::BpfProgram;

use super::golden::{self, Addresses, CLIENT_4, CLIENT_6, Golden, SERVER_4, SERVER_6};
use super::machine::{Instruction, accepts, instructions};
use super::{FilterDefect, all_ports};

/// Tests our filter, without a user's: DNS passes in every shape, other traffic does not. Whether it could be tested.
pub(super) fn dns_passes(
    program: &BpfProgram,
    ports: &[u16],
    link_type: LinkType,
) -> Result<bool, FilterDefect> {
    let Some(program) = instructions(program) else { return Ok(false) };
    let ports: Vec<u16> = all_ports(ports).collect();
    let verdicts = |golden: &Golden, expected: bool| {
        let name = golden.name;
        for (shape, frame) in golden.shapes(link_type)? {
            match accepts(&program, &frame) {
                Err(_) => return None,
                Ok(passes) if passes == expected => {}
                Ok(true) => return Some(Err(FilterDefect::Passes(name, shape))),
                Ok(false) => return Some(Err(FilterDefect::Drops(name, shape))),
            }
        }
        Some(Ok(()))
    };
    let must = golden::dns(&ports).into_iter().map(|golden| (golden, true));
    let must_not = golden::other(&ports).into_iter().map(|golden| (golden, false));
    for (golden, expected) in must.chain(must_not) {
        match verdicts(&golden, expected) {
            None => return Ok(false),
            Some(verdict) => verdict?,
        }
    }
    Ok(true)
}

/// Whether a filter with a user's in it is found to accept a response whole and to drop one of its fragments. The
/// addresses that are tried are those of the golden frames and the constants of `users_own`, which is to be compiled
/// without optimization, so that they stand in it one behind the other.
pub(super) fn drops_fragments(
    program: &BpfProgram,
    users_own: &BpfProgram,
    ports: &[u16],
    link_type: LinkType,
) -> bool {
    let (Some(program), Some(users_own)) = (instructions(program), instructions(users_own)) else {
        return false;
    };
    let candidates = candidates(&users_own);
    let passes = |golden: &Golden| -> Option<Vec<bool>> {
        golden.shapes(link_type)?.iter().map(|(_, frame)| accepts(&program, frame).ok()).collect()
    };
    let witness = |addresses| {
        all_ports(ports).take(MOST_PORTS).any(|port| {
            let Some(whole) = passes(&golden::whole(addresses, port)) else { return false };
            whole.contains(&true)
                && golden::fragments(addresses, port).iter().any(|fragment| {
                    passes(fragment).is_some_and(|fragment| {
                        whole.iter().zip(fragment).any(|(whole, fragment)| *whole && !fragment)
                    })
                })
        })
    };
    candidates.into_iter().any(witness)
}

/// More constants than this are not tried.
const MOST_CONSTANTS: usize = 16;
/// Nor with more ports than this.
const MOST_PORTS: usize = 8;

fn candidates(users_own: &[Instruction]) -> Vec<Addresses> {
    let constants: Vec<[u8; 4]> = users_own
        .iter()
        .filter(|instruction| instruction.is_equality() && instruction.k > 0xffff)
        .take(MOST_CONSTANTS)
        .map(|instruction| instruction.k.to_be_bytes())
        .collect();
    let mut of_4 = constants.clone();
    of_4.extend([CLIENT_4, SERVER_4]);
    of_4.sort_unstable();
    of_4.dedup();
    // An IPv6 address is compared by words; a net by as many as it has, the last of them masked. A word of 0 is below
    // the limit above, so that it is looked for again: all equalities in a row.
    let words: Vec<[u8; 4]> = users_own
        .iter()
        .filter(|instruction| instruction.is_equality())
        .take(4 * MOST_CONSTANTS)
        .map(|instruction| instruction.k.to_be_bytes())
        .collect();
    let mut of_6: Vec<[u8; 16]> = Vec::new();
    for start in 0..words.len() {
        for count in 1..=4 {
            let Some(words) = words.get(start..start + count) else { continue };
            // Global unicast and unique local addresses; else ports and protocols would be tried as well.
            if !matches!(words.first(), Some([0x20..=0x3f | 0xfc | 0xfd | 0xfe, ..])) {
                continue;
            }
            let mut address = [0; 16];
            for (to, from) in address.iter_mut().zip(words.concat()) {
                *to = from;
            }
            of_6.push(address);
        }
    }
    of_6.extend([CLIENT_6, SERVER_6]);
    of_6.sort_unstable();
    of_6.dedup();
    of_6.truncate(MOST_CONSTANTS);

    let pairs_4 = of_4.iter().flat_map(|a| of_4.iter().map(|b| Addresses::V4(*a, *b)));
    let pairs_6 = of_6.iter().flat_map(|a| of_6.iter().map(|b| Addresses::V6(*a, *b)));
    pairs_4.chain(pairs_6).collect()
}

#[cfg(test)]
mod tests {
    use pcap::{Capture, Linktype};

    use super::super::{ETHERNET, Filter, SLL, SLL2, expression};
    use super::*;
    use crate::live::{LiveError, Warning};

    fn filter(link_type: i32, ports: &[u16], user: Option<&str>) -> Result<Filter, LiveError> {
        Filter::new(&Capture::dead(Linktype(link_type)).unwrap(), ports, user)
    }

    #[test]
    fn ours_passes_for_every_link_type() {
        for link_type in [1, 12, 113, 276] {
            for ports in [&[][..], &[853, 5353, 80, 8853]] {
                let filter = filter(link_type, ports, None).unwrap();
                assert_eq!(filter.warnings, [], "{link_type} {ports:?}");
            }
        }
        // PPP can be compiled, but there are no golden frames for it; netlink cannot.
        assert_eq!(filter(9, &[], None).unwrap().warnings, [Warning::Untested(LinkType(9))]);
        let netlink = filter(253, &[], None).unwrap();
        assert!(
            matches!(netlink.warnings[..], [Warning::Unfiltered(_) | Warning::Untested(_)]),
            "{netlink:?}"
        );
    }

    /// The filters that people write are found wanting.
    #[test]
    fn filters_that_lose_dns_are_found() {
        let handle = Capture::dead(Linktype::ETHERNET).unwrap();
        let ours = expression(&[], None, ETHERNET);
        for (wrong, frame, shape) in [
            ("udp port 53".to_owned(), "a query by UDP over IPv4", "a tag in the frame"),
            ("port 53 or (vlan and port 53)".to_owned(), "a query by UDP over IPv4", "two tags in the frame"),
            (ours.replace("ip[6:2] & 0x1fff != 0", "ip[0] = 0"), "a middle fragment over IPv4", "untagged"),
            (ours.replace("ip6[6] = 44", "ip[0] = 0"), "a first fragment over IPv6", "untagged"),
            (ours.replace("udp or tcp", "udp"), "a query by TCP over IPv4", "untagged"),
            (ours.replace("udp or tcp", "tcp"), "a query by UDP over IPv4", "untagged"),
        ] {
            let program = handle.compile(&wrong, true).unwrap();
            let verdict = dns_passes(&program, &[], ETHERNET);
            assert_eq!(verdict, Err(FilterDefect::Drops(frame, shape)), "{wrong}");
        }
        let all =
            handle.compile("ip or ip6 or (vlan and (ip or ip6)) or (vlan and (ip or ip6))", true).unwrap();
        let verdict = dns_passes(&all, &[], ETHERNET);
        assert_eq!(verdict, Err(FilterDefect::Passes("UDP of another port over IPv4", "untagged")));
    }

    #[test]
    fn a_users_filter_that_drops_fragments_is_told() {
        for (user, drops) in [
            ("host 203.0.113.9", false),
            ("src host 203.0.113.9 or dst host 203.0.113.9", false),
            ("net 10.0.0.0/8 or ip6 net 2001:db8:77::/48", false),
            ("not host 203.0.113.9", false),
            ("udp", false),
            ("not port 5300", false),
            ("port 53", true),
            ("udp port 53 and host 203.0.113.9", true),
            ("dst net 10.0.0.0/8 and src host 10.1.2.3 and udp src port 53", true),
            ("ip6 host fd00::53 and port 53", true),
            ("ip6 net 2001:db8:77::/48 and udp port 53", true),
            ("ip[6:2] & 0x3fff = 0", true),
        ] {
            for link_type in [1, 113, 276] {
                let warnings = filter(link_type, &[], Some(user)).unwrap().warnings;
                assert_eq!(warnings.contains(&Warning::DropsFragments), drops, "{user} at {link_type}");
            }
        }
    }

    #[test]
    fn tagged_frames_pass_at_cooked_link_types() {
        for (link_type, protocol_at) in [(SLL, 14), (SLL2, 0)] {
            let handle = Capture::dead(Linktype(i32::from(link_type.0))).unwrap();
            let program = handle.compile(&expression(&[], None, link_type), true).unwrap();
            let mut octets = vec![0; 60];
            assert!(!program.filter(&octets));
            octets[protocol_at] = 0x81;
            assert!(program.filter(&octets));
        }
    }
}
