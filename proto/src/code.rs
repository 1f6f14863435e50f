//! DNS code points that are kept as they came, and named on display (IANA DNS Parameters registry).
//!
//! Unknown code points are never an error: they round-trip and print as `TYPE65280` (RFC 3597), `CLASS64`,
//! `RCODE3841`, `OPCODE7`.

use std::fmt;

macro_rules! code_points {
    ($(#[$meta:meta])* $name:ident($int:ty), $unknown:literal, { $($konst:ident = $value:literal => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $(#[doc = concat!("`", $text, "`")] pub const $konst: Self = Self($value);)*

            /// The registry's mnemonic, where it has one.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.mnemonic() {
                    Some(mnemonic) => f.pad(mnemonic),
                    None => f.pad(&format!(concat!($unknown, "{}"), self.0)),
                }
            }
        }
    };
}

code_points!(
    /// An RR TYPE or QTYPE.
    Qtype(u16), "TYPE", {
        A = 1 => "A", NS = 2 => "NS", MD = 3 => "MD", MF = 4 => "MF", CNAME = 5 => "CNAME", SOA = 6 => "SOA",
        MB = 7 => "MB", MG = 8 => "MG", MR = 9 => "MR", NULL = 10 => "NULL", WKS = 11 => "WKS", PTR = 12 => "PTR",
        HINFO = 13 => "HINFO", MINFO = 14 => "MINFO", MX = 15 => "MX", TXT = 16 => "TXT", RP = 17 => "RP",
        AFSDB = 18 => "AFSDB", X25 = 19 => "X25", ISDN = 20 => "ISDN", RT = 21 => "RT", NSAP = 22 => "NSAP",
        NSAP_PTR = 23 => "NSAP-PTR", SIG = 24 => "SIG", KEY = 25 => "KEY", PX = 26 => "PX", GPOS = 27 => "GPOS",
        AAAA = 28 => "AAAA", LOC = 29 => "LOC", NXT = 30 => "NXT", EID = 31 => "EID", NIMLOC = 32 => "NIMLOC",
        SRV = 33 => "SRV", ATMA = 34 => "ATMA", NAPTR = 35 => "NAPTR", KX = 36 => "KX", CERT = 37 => "CERT",
        A6 = 38 => "A6", DNAME = 39 => "DNAME", SINK = 40 => "SINK", OPT = 41 => "OPT", APL = 42 => "APL",
        DS = 43 => "DS", SSHFP = 44 => "SSHFP", IPSECKEY = 45 => "IPSECKEY", RRSIG = 46 => "RRSIG",
        NSEC = 47 => "NSEC", DNSKEY = 48 => "DNSKEY", DHCID = 49 => "DHCID", NSEC3 = 50 => "NSEC3",
        NSEC3PARAM = 51 => "NSEC3PARAM", TLSA = 52 => "TLSA", SMIMEA = 53 => "SMIMEA", HIP = 55 => "HIP",
        NINFO = 56 => "NINFO", RKEY = 57 => "RKEY", TALINK = 58 => "TALINK", CDS = 59 => "CDS",
        CDNSKEY = 60 => "CDNSKEY", OPENPGPKEY = 61 => "OPENPGPKEY", CSYNC = 62 => "CSYNC", ZONEMD = 63 => "ZONEMD",
        SVCB = 64 => "SVCB", HTTPS = 65 => "HTTPS", DSYNC = 66 => "DSYNC", HHIT = 67 => "HHIT", BRID = 68 => "BRID",
        SPF = 99 => "SPF", UINFO = 100 => "UINFO", UID = 101 => "UID", GID = 102 => "GID",
        UNSPEC = 103 => "UNSPEC", NID = 104 => "NID", L32 = 105 => "L32", L64 = 106 => "L64", LP = 107 => "LP",
        EUI48 = 108 => "EUI48", EUI64 = 109 => "EUI64", NXNAME = 128 => "NXNAME", TKEY = 249 => "TKEY",
        TSIG = 250 => "TSIG", IXFR = 251 => "IXFR", AXFR = 252 => "AXFR", MAILB = 253 => "MAILB",
        MAILA = 254 => "MAILA", ANY = 255 => "ANY", URI = 256 => "URI", CAA = 257 => "CAA", AVC = 258 => "AVC",
        DOA = 259 => "DOA", AMTRELAY = 260 => "AMTRELAY", RESINFO = 261 => "RESINFO", WALLET = 262 => "WALLET",
        CLA = 263 => "CLA", IPN = 264 => "IPN", TA = 32768 => "TA", DLV = 32769 => "DLV",
    }
);

code_points!(
    /// An RR CLASS or QCLASS.
    Class(u16), "CLASS", {
        IN = 1 => "IN", CH = 3 => "CH", HS = 4 => "HS", NONE = 254 => "NONE", ANY = 255 => "ANY",
    }
);

code_points!(
    /// A response code with the upper eight bits of EDNS (RFC 6891 §6.1.3) in place; 16 is read as `BADVERS`.
    Rcode(u16), "RCODE", {
        NOERROR = 0 => "NOERROR", FORMERR = 1 => "FORMERR", SERVFAIL = 2 => "SERVFAIL", NXDOMAIN = 3 => "NXDOMAIN",
        NOTIMP = 4 => "NOTIMP", REFUSED = 5 => "REFUSED", YXDOMAIN = 6 => "YXDOMAIN", YXRRSET = 7 => "YXRRSET",
        NXRRSET = 8 => "NXRRSET", NOTAUTH = 9 => "NOTAUTH", NOTZONE = 10 => "NOTZONE",
        DSOTYPENI = 11 => "DSOTYPENI", BADVERS = 16 => "BADVERS", BADKEY = 17 => "BADKEY", BADTIME = 18 => "BADTIME",
        BADMODE = 19 => "BADMODE", BADNAME = 20 => "BADNAME", BADALG = 21 => "BADALG", BADTRUNC = 22 => "BADTRUNC",
        BADCOOKIE = 23 => "BADCOOKIE",
    }
);

code_points!(
    /// What a message asks for (RFC 1035 §4.1.1).
    Opcode(u8), "OPCODE", {
        QUERY = 0 => "QUERY", IQUERY = 1 => "IQUERY", STATUS = 2 => "STATUS", NOTIFY = 4 => "NOTIFY",
        UPDATE = 5 => "UPDATE", DSO = 6 => "DSO",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_code_points_print() {
        assert_eq!(Qtype(65).to_string(), "HTTPS");
        assert_eq!(Qtype(65280).to_string(), "TYPE65280");
        assert_eq!(Rcode(23).to_string(), "BADCOOKIE");
        assert_eq!(Rcode(3841).to_string(), "RCODE3841");
        assert_eq!(Opcode(5).to_string(), "UPDATE");
        assert_eq!(format!("{:<6}|", Qtype::A), "A     |");
    }
}
