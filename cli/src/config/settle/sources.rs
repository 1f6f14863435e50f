//! Sources: sockets of dnstap and interfaces.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Settling, plain, value};
use crate::config::draft::{DnstapDraft, InterfaceDraft, ListenAt};
use crate::config::options::{DnstapListen, InterfaceOptions, Listen, TlsFiles};
use crate::config::place::Place;
use crate::config::world;

/// The interface that is all interfaces.
const ANY: &str = "any";

impl Settling<'_> {
    pub(super) fn dnstap(
        &mut self,
        drafts: Vec<(Place, DnstapDraft)>,
        metrics: Option<(SocketAddr, Option<Place>)>,
    ) -> Vec<DnstapListen> {
        let mut first: HashMap<ListenAt, Place> = HashMap::new();
        if let Some((address, place)) = metrics {
            first
                .insert(ListenAt::Tcp(address), place.unwrap_or(Place::Argument("metrics.listen's default")));
        }
        let mut all = Vec::new();
        for (_, draft) in drafts {
            // One without was complained of when it was read.
            let Some(listen) = draft.listen.clone() else { continue };
            if let Some(before) = first.get(&listen.value) {
                let text =
                    format!("'{}' is listened on already, {}", shown(&listen.value), before.reference());
                self.fault(&listen.place, text);
                continue;
            }
            first.insert(listen.value.clone(), listen.place.clone());
            let at = match listen.value {
                ListenAt::Unix(path) => {
                    self.no_tls(&draft);
                    let owner = draft.owner.and_then(|owner| self.identity(&owner, world::user));
                    let group = draft.group.and_then(|group| self.identity(&group, world::group));
                    Listen::Unix {
                        path,
                        mode: Some(value(draft.mode, 0o660)),
                        owner: owner.map(|owner| owner.id),
                        group: group.map(|group| group.id),
                    }
                }
                ListenAt::Tcp(address) => self.tcp(&listen.place, address, draft.clone()),
            };
            all.push(DnstapListen {
                listen: at,
                max_senders: value(draft.max_senders, 64),
                handshake_timeout: value(draft.handshake_timeout, Duration::from_secs(10)),
                idle_timeout: value(draft.idle_timeout, None),
            });
        }
        all
    }

    fn no_tls(&mut self, draft: &DnstapDraft) {
        for given in [&draft.tls_cert, &draft.tls_key, &draft.tls_client_ca].into_iter().flatten() {
            self.fault(
                &given.place,
                "TLS is for tcp: only; a unix socket does not leave the machine".to_owned(),
            );
        }
    }

    fn tcp(&mut self, place: &Place, address: SocketAddr, draft: DnstapDraft) -> Listen {
        let DnstapDraft { mode, owner, group, tls_cert, tls_key, tls_client_ca, .. } = draft;
        let places =
            [mode.map(|given| given.place), owner.map(|given| given.place), group.map(|given| given.place)];
        for place in places.into_iter().flatten() {
            self.fault(&place, "owner, group and mode are for unix: only".to_owned());
        }
        self.pair(tls_cert.as_ref(), tls_key.as_ref(), "tls_cert", "tls_key");
        if let (Some(ca), None, None) = (&tls_client_ca, &tls_cert, &tls_key) {
            self.fault(&ca.place, "an authority of senders needs tls_cert and tls_key, too".to_owned());
        }
        self.readable(tls_cert.as_ref());
        self.secret_file(tls_key.as_ref());
        self.readable(tls_client_ca.as_ref());
        if !address.ip().is_loopback() {
            if tls_cert.is_none() {
                self.warn(
                    place,
                    format!(
                        "whoever reaches {address} can send frames, and read them on their way: no tls_cert"
                    ),
                );
            } else if tls_client_ca.is_none() {
                self.warn(place, format!("whoever reaches {address} can send frames: no tls_client_ca"));
            }
        }
        let tls = plain(tls_cert).zip(plain(tls_key)).map(|(cert, key)| TlsFiles {
            cert,
            key,
            client_ca: plain(tls_client_ca),
        });
        Listen::Tcp { address, tls }
    }

    pub(super) fn interfaces(
        &mut self,
        drafts: Vec<(Place, InterfaceDraft)>,
        every: &InterfaceDraft,
    ) -> Vec<InterfaceOptions> {
        let mut first: HashMap<String, Place> = HashMap::new();
        let mut all = Vec::new();
        if drafts.is_empty() {
            self.without_interface(every);
        }
        for (_, draft) in drafts {
            let draft = every.clone().or(draft);
            let Some(name) = draft.name else { continue };
            if let Some(before) = first.get(&name.value) {
                let text = format!("interface '{}' is read already, {}", name.value, before.reference());
                self.fault(&name.place, text);
                continue;
            }
            first.insert(name.value.clone(), name.place);
            all.push(InterfaceOptions {
                name: name.value,
                promiscuous: value(draft.promiscuous, true),
                snap_length: value(draft.snap_length, 262_144),
                buffer: value(draft.buffer, 64 << 20),
                filter: plain(draft.filter),
                threads: value(draft.threads, 1),
                allow_xdp: value(draft.allow_xdp, false),
            });
        }
        if let (Some(any), true) = (first.get(ANY), first.len() > 1) {
            let text = "'any' is every interface: the packets of the others are counted twice".to_owned();
            self.warn(any, text);
        }
        all
    }

    /// Options of interfaces where there is none: what was meant is not done.
    fn without_interface(&mut self, every: &InterfaceDraft) {
        let InterfaceDraft { name: _, promiscuous, snap_length, buffer, filter, threads, allow_xdp } =
            every.clone();
        let places = [
            promiscuous.map(|given| given.place),
            snap_length.map(|given| given.place),
            buffer.map(|given| given.place),
            filter.map(|given| given.place),
            threads.map(|given| given.place),
            allow_xdp.map(|given| given.place),
        ];
        for place in places.into_iter().flatten() {
            self.fault(&place, "there is no interface that it is for: --interface names one".to_owned());
        }
    }
}

fn shown(listen: &ListenAt) -> String {
    match listen {
        ListenAt::Unix(path) => format!("unix:{}", path.display()),
        ListenAt::Tcp(address) => format!("tcp:{address}"),
    }
}
