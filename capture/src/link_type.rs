//! Names of link types.

use std::borrow::Cow;

use lowtide_proto::LinkType;

/// The name of a link type: that of the `LINKTYPE_` registry (<https://www.tcpdump.org/linktypes.html>) without the
/// prefix for those that carry IP, else `LINKTYPE n`.
pub fn link_type_name(link_type: LinkType) -> Cow<'static, str> {
    Cow::Borrowed(match link_type.0 {
        0 => "NULL",
        1 => "ETHERNET",
        6 => "IEEE802_5",
        7 => "ARCNET_BSD",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        12 | 14 | 101 => "RAW",
        50 => "PPP_HDLC",
        51 => "PPP_ETHER",
        100 => "ATM_RFC1483",
        104 => "C_HDLC",
        105 => "IEEE802_11",
        107 => "FRELAY",
        108 => "LOOP",
        113 => "LINUX_SLL",
        117 => "PFLOG",
        119 => "IEEE802_11_PRISM",
        122 => "IP_OVER_FC",
        127 => "IEEE802_11_RADIOTAP",
        129 => "ARCNET_LINUX",
        138 => "APPLE_IP_OVER_IEEE1394",
        163 => "IEEE802_11_AVS",
        166 => "PPP_PPPD",
        192 => "PPI",
        204 => "PPP_WITH_DIR",
        205 => "C_HDLC_WITH_DIR",
        228 => "IPV4",
        229 => "IPV6",
        239 => "NFLOG",
        242 => "IPOIB",
        253 => "NETLINK",
        258 => "PKTAP",
        274 => "ETHERNET_MPACKET",
        276 => "LINUX_SLL2",
        _ => return Cow::Owned(format!("LINKTYPE {}", link_type.0)),
    })
}
