//! A query's way: from a client to a server and back, past a sensor, and into the truth.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::authority::{Authority, Manner, Nanos};
use crate::messages::{Learned, Messages, Style, copy};
use crate::parameters::{Parameters, SwitchOff};
use crate::questions::Questions;
use crate::random::Random;
use crate::sensor::{Pending, Sensors, Sight};
use crate::sink::{Asked, Class, Sink};
use crate::truth::Recorder;

/// A host that asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub class: Class,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    pub style: Style,
    /// The period in seconds, of a monitor.
    pub period: Option<u64>,
    pub is_set_apart: bool,
    /// What it does, in words.
    pub behaviour: String,
}

impl Client {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Its address in the family of `server`.
    fn address(&self, server: IpAddr) -> IpAddr {
        let v4 = self.v4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        match server {
            IpAddr::V4(_) => IpAddr::V4(v4),
            IpAddr::V6(_) => IpAddr::V6(self.v6.unwrap_or_else(|| v4.to_ipv6_mapped())),
        }
    }
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Answer(Learned),
    Refused,
    Nothing,
}

/// Clients, servers, and what is between them.
pub(crate) struct Network {
    pub authority: Authority,
    pub questions: Questions,
    pub clients: Vec<Client>,
    pub sensors: Sensors,
    pub recorder: Recorder,
    messages: Messages,
    random: Random,
    /// For each server and place, who watches it.
    watchers: Vec<Vec<Option<usize>>>,
    /// Number of the zone that does not move.
    background: usize,
    end: Nanos,
    /// When the old machines are gone.
    gone: Nanos,
}

impl Network {
    pub(crate) fn new(parameters: &Parameters, clients: Vec<Client>) -> Self {
        let questions = Questions::new(parameters);
        let authority = Authority::new(parameters);
        let messages = Messages::new(parameters, &questions, &authority);
        let servers = parameters.old.iter().chain(&parameters.new);
        let mut watchers: Vec<_> = servers.map(|server| vec![None; server.sites.max(1)]).collect();
        for (sensor, of) in parameters.sensors.iter().enumerate() {
            for watched in &of.watches {
                let server = watched.server + if watched.is_new { parameters.old.len() } else { 0 };
                let site = watchers.get_mut(server).and_then(|sites| sites.get_mut(watched.site));
                if let Some(site) = site {
                    *site = Some(sensor);
                }
            }
        }
        let gone = match parameters.plan.switch_off {
            Some((at, SwitchOff::Down)) => parameters.at(at).0,
            _ => Nanos::MAX,
        };
        Self {
            recorder: Recorder::new(parameters, &clients),
            sensors: Sensors::new(parameters),
            random: Random::new(parameters.seed, 2),
            background: parameters.zones.len(),
            end: parameters.at(parameters.length).0,
            authority,
            questions,
            clients,
            messages,
            watchers,
            gone,
        }
    }

    /// Asks an address, and gives what comes back.
    pub(crate) fn ask(
        &mut self,
        now: Nanos,
        client: usize,
        address: usize,
        question: usize,
        sink: &mut impl Sink,
    ) -> Reply {
        let to = self.authority.addresses[address];
        let of = &self.clients[client];
        let (class, style) = (of.class, of.style);
        let zone = self.questions.all[question].zone;
        let ends = Ends {
            client: SocketAddr::new(of.address(to.ip), 1_024 + self.random.below(64_512) as u16),
            server: SocketAddr::new(to.ip, 53),
            class,
            client_number: client,
        };
        let sites = &self.watchers[to.server];
        let watcher = sites[client % sites.len()];
        let sight = watcher.and_then(|sensor| Some((sensor, self.sensors.sees(sensor, now)?)));
        let asked = Asked {
            time: lowtide_proto::Timestamp(now),
            client: ends.client,
            client_number: client,
            class,
            server: ends.server,
            is_new: to.is_new,
            zone,
            question,
            seen_by: sight.map(|(sensor, _)| sensor),
            is_after_end: now >= self.end,
        };
        self.recorder.asked(&asked, address);
        sink.asked(&asked);
        let (id, case) = (self.random.bits() as u16, self.random.bits());
        if let Some((sensor, sight)) = sight {
            let template = self.messages.query(question, &self.questions, style);
            let mut octets = self.sensors.buffer();
            copy(&template.octets, id, style, case, &mut octets);
            self.sensors.put(sight, ends.pending(sensor, sight, None, octets));
        }
        let version = match self.manner(to.server, zone, now) {
            Manner::Answers(version) => version,
            Manner::Refuses => self.authority.versions[to.server].len(),
            Manner::IsSilent => return Reply::Nothing,
        };
        let known = (&self.questions, &self.authority);
        let template = self.messages.response(to.server, version, question, known, style);
        let learned = template.learned;
        let answered = now + 50_000 + self.random.below(1_500_000);
        if zone != self.background {
            self.recorder.served(now, zone, learned);
        }
        // A response has the time of its query with it, by the same clock.
        if let Some(sensor) = watcher
            && let Some(sight) = self.sensors.sees(sensor, answered)
        {
            let mut octets = self.sensors.buffer();
            copy(&template.octets, id, style, case, &mut octets);
            let query_time = sight.stamp.0.saturating_sub(answered - now);
            self.sensors.put(sight, ends.pending(sensor, sight, Some(query_time), octets));
        }
        if learned.ttl == 0 { Reply::Refused } else { Reply::Answer(learned) }
    }

    fn manner(&self, server: usize, zone: usize, now: Nanos) -> Manner {
        if zone != self.background {
            self.authority.manner(server, now)
        } else if now >= self.gone
            && !self.authority.addresses.iter().any(|to| to.server == server && to.is_new)
        {
            Manner::IsSilent
        } else {
            Manner::Answers(0)
        }
    }
}

#[derive(Clone, Copy)]
struct Ends {
    client: SocketAddr,
    server: SocketAddr,
    class: Class,
    client_number: usize,
}

impl Ends {
    fn pending(self, sensor: usize, sight: Sight, query_time: Option<Nanos>, octets: Vec<u8>) -> Pending {
        Pending {
            sensor,
            time: sight.stamp,
            query_time: query_time.map(lowtide_proto::Timestamp),
            client: self.client,
            server: self.server,
            class: self.class,
            client_number: self.client_number,
            octets,
        }
    }
}
