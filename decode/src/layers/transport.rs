//! UDP (RFC 768) and TCP (RFC 9293) headers.

use lowtide_proto::Endpoint;

use super::Stop;
use super::ip::Network;
use super::view::View;
use crate::{Defect, Tcp, TcpFlags, Udp};

/// The ports, with which both headers begin.
pub(super) fn ports(view: &View, defect: Defect) -> Result<(u16, u16), Stop> {
    let mut ahead = *view;
    Ok((ahead.u16_be(defect)?, ahead.u16_be(defect)?))
}

/// A datagram. Lengths are read as tshark does: one below 8 ends it, one past the end of the IP payload stands for what is
/// there.
pub(super) fn udp<'a>(view: &mut View<'a>, network: &Network) -> Result<Udp<'a>, Stop> {
    let [s0, s1, d0, d1, l0, l1, _, _] = view.array(Defect::Udp)?;
    let wire_len = match usize::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram (RFC 2675 §4).
        0 if network.ipv6 => view.wire_len(),
        length => {
            let length = length.checked_sub(8).ok_or(Stop::malformed(Defect::Udp))?;
            view.limit(length);
            if network.first_fragment { length } else { view.wire_len() }
        }
    };
    let source = Endpoint::v6(network.source, u16::from_be_bytes([s0, s1]));
    let destination = Endpoint::v6(network.destination, u16::from_be_bytes([d0, d1]));
    Ok(Udp { source, destination, payload: view.rest(), wire_len: octets(wire_len) })
}

/// A segment. Options that the snap length cut leave a segment whose payload was not captured.
pub(super) fn tcp<'a>(view: &mut View<'a>, network: &Network) -> Result<Tcp<'a>, Stop> {
    let [s0, s1, d0, d1, q0, q1, q2, q3, _, _, _, _, offset, flags, _, _, _, _, _, _] =
        view.array(Defect::Tcp)?;
    let options = (usize::from(offset >> 4) * 4).checked_sub(20).ok_or(Stop::malformed(Defect::Tcp))?;
    view.skip_wire(options, Defect::Tcp)?;
    Ok(Tcp {
        source: Endpoint::v6(network.source, u16::from_be_bytes([s0, s1])),
        destination: Endpoint::v6(network.destination, u16::from_be_bytes([d0, d1])),
        sequence: u32::from_be_bytes([q0, q1, q2, q3]),
        flags: TcpFlags::from_bits_truncate(flags),
        payload: view.rest(),
        wire_len: octets(view.wire_len()),
    })
}

fn octets(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
