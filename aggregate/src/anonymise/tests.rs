use super::*;

/// The key of Crypto-PAn's reference distribution.
const REFERENCE_KEY: [u8; 32] = [
    21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121, 121, 101,
    39, 98, 87, 76, 45, 42, 132, 34, 2,
];

/// A third of the sample trace of Crypto-PAn's reference distribution, before and after.
const REFERENCE_IPV4: [(&str, &str); 24] = [
    ("128.11.68.132", "135.242.180.132"),
    ("129.118.74.4", "134.136.186.123"),
    ("130.132.252.244", "133.68.164.234"),
    ("141.223.7.43", "141.167.8.160"),
    ("141.233.145.108", "141.129.237.235"),
    ("152.163.225.39", "151.140.114.167"),
    ("156.29.3.236", "147.225.12.42"),
    ("165.247.96.84", "162.9.99.234"),
    ("166.107.77.190", "160.132.178.185"),
    ("192.102.249.13", "252.138.62.131"),
    ("192.41.57.43", "252.222.221.184"),
    ("205.188.147.153", "242.96.16.101"),
    ("205.188.248.25", "242.96.88.27"),
    ("207.25.71.27", "241.33.119.156"),
    ("208.147.89.59", "227.237.98.191"),
    ("212.206.130.201", "228.69.242.193"),
    ("216.35.217.178", "235.195.157.81"),
    ("24.0.250.221", "100.15.198.226"),
    ("24.94.26.44", "100.88.228.35"),
    ("38.15.67.68", "64.3.66.187"),
    ("4.3.88.225", "124.60.155.63"),
    ("63.97.7.140", "95.97.9.123"),
    ("64.39.15.238", "0.219.7.41"),
    ("10.185.25.118", "117.161.29.118"),
];

/// The reference is for IPv4 alone. These are of the Go implementation by Yawning Angel (github.com/Yawning/cryptopan), with which the
/// one in Rust by SkuldNorniern agrees.
const REFERENCE_IPV6: [(&str, &str); 5] = [
    ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
    ("::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"),
    ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
    ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
    ("2001:db8::2", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c"),
];

/// The example of the Python implementation by Keiichi Shima (pypi.org/project/yacryptopan).
const OTHER_KEY: &[u8; 32] = b"32-char-str-for-AES-key-and-pad.";
const OTHER: [(&str, &str); 2] =
    [("192.0.2.1", "192.0.125.244"), ("2001:db8::1", "27fe:8bc7:fee:1e:1e1f:f0fe:f0e1:83fd")];

fn address(text: &str) -> Ipv6Addr {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
        std::net::IpAddr::V6(address) => address,
    }
}

/// Addresses of a family from a seed; every other one shares a prefix with the one before.
fn addresses(ipv4: bool, count: usize) -> Vec<Ipv6Addr> {
    let mut state = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
    let mut random = || {
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5_0000_0000_0000_0001).wrapping_add(1);
        state ^ state >> 64
    };
    let mut last = random();
    let mut next = |index: usize| {
        let bits = random();
        last = if index.is_multiple_of(2) { bits } else { last ^ 1 << (bits % if ipv4 { 32 } else { 128 }) };
        if ipv4 { Ipv4Addr::from_bits(last as u32).to_ipv6_mapped() } else { Ipv6Addr::from_bits(last) }
    };
    (0..count).map(&mut next).collect()
}

fn shared_bits(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

#[test]
fn crypto_pan_gives_the_published_pseudonyms() {
    let check = |key: &[u8; 32], vectors: &[(&str, &str)]| {
        let mut anonymiser = Anonymiser::new(&Anonymisation::CryptoPan(*key));
        for _ in ["computed", "remembered"] {
            for &(client, pseudonym) in vectors {
                assert_eq!(anonymiser.client(address(client)), address(pseudonym), "{client}");
            }
        }
    };
    check(&REFERENCE_KEY, &REFERENCE_IPV4);
    check(&REFERENCE_KEY, &REFERENCE_IPV6);
    check(OTHER_KEY, &OTHER);
}

#[test]
fn crypto_pan_preserves_every_prefix_exactly() {
    let mut anonymiser = Anonymiser::new(&Anonymisation::CryptoPan(*OTHER_KEY));
    for ipv4 in [true, false] {
        let clients = addresses(ipv4, 400);
        let pseudonyms: Vec<_> = clients.iter().map(|&client| anonymiser.client(client)).collect();
        let mut lengths = std::collections::BTreeSet::new();
        for (a, pseudonym_a) in clients.iter().zip(&pseudonyms) {
            assert_eq!(pseudonym_a.to_ipv4_mapped().is_some(), ipv4, "{a} stays in its family");
            for (b, pseudonym_b) in clients.iter().zip(&pseudonyms) {
                let shared = shared_bits(*a, *b);
                assert_eq!(shared, shared_bits(*pseudonym_a, *pseudonym_b), "{a} and {b}");
                lengths.insert(shared);
            }
        }
        let whole = if ipv4 { 32 } else { 128 };
        assert!(lengths.len() > whole / 2, "too few lengths of prefixes were tried: {lengths:?}");
        assert!(clients.iter().zip(&pseudonyms).all(|(client, pseudonym)| client != pseudonym));
    }
}

#[test]
fn what_the_memory_forgot_is_computed_again() {
    let clients = addresses(true, REMEMBERED + REMEMBERED / 2);
    let crypto_pan = CryptoPan::new(&REFERENCE_KEY);
    let mut anonymiser = Anonymiser::new(&Anonymisation::CryptoPan(REFERENCE_KEY));
    let first: Vec<_> = clients.iter().map(|&client| anonymiser.client(client)).collect();
    let again: Vec<_> = clients.iter().map(|&client| anonymiser.client(client)).collect();
    assert_eq!(first, again);
    for (client, pseudonym) in clients.iter().zip(&first).step_by(97) {
        assert_eq!(crypto_pan.pseudonym(*client), *pseudonym);
    }
    let Anonymiser(Way::CryptoPan(remembering)) = &anonymiser else { panic!("not Crypto-PAn") };
    assert_eq!(remembering.known.len(), REMEMBERED, "however many clients there are");
    let held = remembering.known.iter().filter(|(known, _)| !known.is_unspecified()).count();
    assert!(held > REMEMBERED / 2, "{held} places in use");
}

#[test]
fn truncation_keeps_the_prefix_and_nothing_else() {
    let check = |ipv4, ipv6, client: &str, expect: &str| {
        let mut anonymiser = Anonymiser::new(&Anonymisation::Truncate { ipv4, ipv6 });
        assert_eq!(anonymiser.client(address(client)), address(expect), "{client} to /{ipv4}, /{ipv6}");
    };
    check(24, 48, "192.0.2.129", "192.0.2.0");
    check(24, 48, "2001:db8:1:2:3:4:5:6", "2001:db8:1::");
    check(20, 56, "198.51.255.255", "198.51.240.0");
    check(20, 56, "2001:db8:1:ffff::1", "2001:db8:1:ff00::");
    check(0, 1, "203.0.113.7", "0.0.0.0");
    check(0, 1, "fe80::1", "8000::");
    check(32, 128, "203.0.113.7", "203.0.113.7");
    check(32, 128, "2001:db8::7", "2001:db8::7");
    check(255, 255, "203.0.113.7", "203.0.113.7");
    check(255, 255, "2001:db8::7", "2001:db8::7");
    check(24, 48, "::1", "::1");
    let mut usual = Anonymiser::new(&Anonymisation::TRUNCATE);
    for ipv4 in [true, false] {
        for client in addresses(ipv4, 200) {
            let cut = usual.client(client);
            assert!(shared_bits(client, cut) >= if ipv4 { 96 + 24 } else { 48 });
            assert_eq!(usual.client(cut), cut, "cutting twice is cutting once");
            assert_eq!(cut.to_ipv4_mapped().is_some(), ipv4);
        }
    }
}

#[test]
fn the_unspecified_address_stays_and_so_does_all_that_is_kept() {
    let ways = [Anonymisation::Keep, Anonymisation::TRUNCATE, Anonymisation::CryptoPan(REFERENCE_KEY)];
    for way in &ways {
        assert_eq!(Anonymiser::new(way).client(Ipv6Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED);
    }
    let mut keep = Anonymiser::new(&Anonymisation::default());
    for client in addresses(true, 20).into_iter().chain(addresses(false, 20)) {
        assert_eq!(keep.client(client), client);
    }
}

#[test]
fn no_key_is_printed() {
    let way = Anonymisation::CryptoPan(*OTHER_KEY);
    assert_eq!(
        format!("{way:?} {:?}", Anonymiser::new(&way)),
        "CryptoPan(…) Anonymiser(CryptoPan(CryptoPan(…)))"
    );
}
