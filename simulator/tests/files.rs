//! The files are what lowtide reads, frame by frame, and say the same in both formats.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lowtide_capture::{Record, Timeline};
use lowtide_decode::{Decoder, DecoderLimits, Ports, Sink};
use lowtide_proto::{Observation, Role, Timestamp};
use lowtide_simulator::write::{Format, Written, write};
use lowtide_simulator::{Parameters, SCENARIOS};

#[derive(Default)]
struct Read {
    messages: Vec<(Timestamp, String, String, bool, u16)>,
    roles: BTreeSet<&'static str>,
}

impl Sink for Read {
    fn observe(&mut self, seen: &Observation<'_>) {
        assert_eq!(seen.message.malformed, None);
        let ends = (format!("{:?}", seen.client), format!("{:?}", seen.server));
        if seen.role == Role::Auth && seen.message.is_response {
            assert!(seen.own_latency.unwrap() > 0);
        }
        self.roles.insert(seen.role.as_str());
        self.messages.push((seen.time, ends.0, ends.1, seen.message.is_response, seen.message.id));
    }
}

fn read(files: &[PathBuf]) -> Read {
    let mut timeline = Timeline::open(files).unwrap();
    let mut decoder = Decoder::new(Ports::new(&[53]), DecoderLimits::default());
    let mut read = Read::default();
    while let Some((_, record)) = timeline.next() {
        match record {
            Record::Packet(packet) => decoder.packet(&packet, &mut read),
            Record::Dnstap(frame) => decoder.dnstap(&frame, &mut read),
        }
    }
    assert!(timeline.inputs().iter().all(|input| input.summary.damaged.is_none()));
    read
}

fn small(name: &str) -> Parameters {
    let mut parameters = Parameters::scenario(name, 3).unwrap();
    parameters.population.resolvers = 30;
    parameters.aftermath = 0;
    parameters
}

fn written(parameters: Parameters, directory: &Path, format: Format) -> Written {
    write(parameters, directory, format).unwrap()
}

#[test]
fn lowtide_reads_every_message_in_both_formats() {
    let directory = tempfile::tempdir().unwrap();
    let dnstap = written(small("textbook"), &directory.path().join("dnstap"), Format::Dnstap);
    let pcap = written(small("textbook"), &directory.path().join("pcap"), Format::Pcap);
    let (of_dnstap, of_pcap) = (read(&dnstap.files), read(&pcap.files));
    assert_eq!(dnstap.files.len(), 2);
    assert_eq!(of_dnstap.messages.len() as u64, dnstap.messages);
    assert!(dnstap.messages > 1_000);
    assert!(of_dnstap.messages == of_pcap.messages);
    assert_eq!(Vec::from_iter(of_dnstap.roles), ["auth"]);
    assert_eq!(Vec::from_iter(of_pcap.roles), ["wire"]);
}

#[test]
fn an_outage_is_a_hole_in_the_file_and_in_what_the_sensor_says() {
    let directory = tempfile::tempdir().unwrap();
    let written = written(small("sensor-outage"), directory.path(), Format::Dnstap);
    let hole = &written.truth.holes[0];
    let messages = read(&written.files[..1]).messages;
    assert!(!messages.iter().any(|(time, ..)| (hole.from..hole.to).contains(time)));
    let coverage: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join("coverage.json")).unwrap()).unwrap();
    let truth: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.path().join("truth.json")).unwrap()).unwrap();
    assert_eq!(coverage[0]["alive"][0]["to"], truth["holes"][0]["from"]);
    assert_eq!(coverage[0]["alive"][1]["from"], truth["holes"][0]["to"]);
    assert_eq!(coverage[1]["alive"][0]["to"], truth["end"]);
    assert_eq!(truth["holes"][0]["kind"], "outage");
    assert_eq!(truth["servers"][0]["zone"], "corp.example.");
}

#[test]
fn the_configuration_names_the_migration() {
    for (name, _) in SCENARIOS {
        let parameters = small(name);
        let cutover = parameters.at(parameters.plan.cutover);
        let text = lowtide_simulator::write::configuration(&parameters);
        let table: toml::Table = text.parse().unwrap();
        let migration = table["migration"][0].as_table().unwrap();
        assert_eq!(migration["name"].as_str(), Some(name));
        assert_eq!(migration["zones"].as_array().unwrap().len(), 2);
        assert_eq!(migration["old"].as_array().unwrap().len(), 4);
        let said: jiff::Timestamp = migration["cutover"].as_str().unwrap().parse().unwrap();
        assert_eq!(said.as_nanosecond(), i128::from(cutover.0));
        let apart = migration["set_apart"].as_array().unwrap();
        assert_eq!(apart.is_empty(), name != "own-monitor");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(small("textbook"), &file.join("inside"), Format::Dnstap).unwrap_err();
    assert!(error.to_string().contains("file/inside"), "{error}");
}
