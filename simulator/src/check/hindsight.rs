//! Verdicts on moments by the whole evidence, as somebody says them who has it when all is over: out of files.

use lowtide_aggregate::drain::report::MigrationReport;
use lowtide_aggregate::drain::{Cover, Watch};
use lowtide_decode::dns;
use lowtide_proto::{NameBuf, Timestamp};

use super::{configured, drawn, judged, names, observation, told_of};
use crate::Simulation;
use crate::parameters::Parameters;
use crate::sink::{CoverageFact, Seen, Sink};

/// What was seen up to each of several moments, and when sensors saw at all.
struct Whole {
    watches: Vec<(Timestamp, Watch)>,
    cover: Cover,
    sensors: Vec<String>,
    qname: NameBuf,
}

impl Sink for Whole {
    fn message(&mut self, seen: &Seen<'_>) {
        let Some(message) = dns::read(seen.octets, seen.octets.len() as u32, &mut self.qname) else { return };
        for (until, watch) in &mut self.watches {
            if seen.time <= *until {
                watch.observe(seen.sensor, &observation(seen, &message));
            }
        }
    }

    fn coverage(&mut self, fact: &CoverageFact) {
        told_of(fact, &self.sensors, &mut self.cover);
    }
}

/// The reports on a migration as of some moments. Messages that were stamped later do not count; sensors say of themselves what they do,
/// which a file of frames cannot.
pub fn hindsight(parameters: &Parameters, moments: &[Timestamp]) -> Vec<MigrationReport> {
    let migration = configured(parameters, &drawn(parameters));
    let watch = |&moment: &Timestamp| (moment, Watch::new(vec![migration.clone()]));
    let mut whole = Whole {
        watches: moments.iter().map(watch).collect(),
        cover: Cover::default(),
        sensors: names(parameters),
        qname: NameBuf::new(),
    };
    let mut simulation = Simulation::new(parameters.clone());
    // Sensors are gone afterwards, and the truth is not asked for.
    simulation.run_until(Timestamp(parameters.at(parameters.length).0 + 1), &mut whole);
    let of = |(moment, watch): &(Timestamp, Watch)| {
        judged(&migration, watch, &whole.sensors, &whole.cover, *moment)
    };
    whole.watches.iter().map(of).collect()
}
