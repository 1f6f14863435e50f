//! deploy/lowtide.toml, which documents every option: it may not say anything that is not so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::file;
use super::options::RunOptions;
use super::place::Fault;
use super::settle::settle;
use super::world::{Purpose, World};

const SHIPPED: &str = include_str!("../../../deploy/lowtide.toml");

/// Options without a default, or with one of the machine: what stands in the file is an example.
const EXAMPLES: [&str; 23] = [
    "sensor.name",
    "sensor.threads",
    "dnstap.owner",
    "dnstap.group",
    "dnstap.tls_cert",
    "dnstap.tls_key",
    "dnstap.tls_client_ca",
    "interface.name",
    "interface.filter",
    "migration.name",
    "migration.zones",
    "migration.old",
    "migration.new",
    "migration.cutover",
    "migration.parent_ns_ttl",
    "migration.target_ttl",
    "clickhouse.password_file",
    "clickhouse.ca",
    "clickhouse.cert",
    "clickhouse.key",
    "privacy.key_file",
    "process.user",
    "process.group",
];

fn world() -> World {
    World {
        purpose: Purpose::Reload,
        root: true,
        host: "ns1.example.net".to_owned(),
        state_directory: None,
        cores: 2,
    }
}

/// A line as it is when its option is said: without the `#` of an option or a heading, which has no space behind it.
fn uncommented(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '['))
}

/// The file with those options said that are chosen.
fn said(choose: impl Fn(&str) -> bool) -> String {
    let mut section = String::new();
    let mut text = String::new();
    for line in SHIPPED.lines() {
        let option = uncommented(line).unwrap_or(line);
        if option.starts_with('[') {
            section = option.trim_matches(['[', ']']).to_owned();
        }
        let key = option.split(' ').next().unwrap();
        let chosen =
            uncommented(line).is_none() || option.starts_with('[') || choose(&format!("{section}.{key}"));
        text.push_str(if chosen { option } else { line });
        text.push('\n');
    }
    text
}

fn settled(text: &str) -> Result<RunOptions, Vec<Fault>> {
    let read = file::read(Arc::from("lowtide.toml"), text).map_err(|fault| vec![fault])?;
    settle(read.draft, &world(), read.faults).map(|settled| settled.options)
}

#[test]
fn it_is_right_as_it_is() {
    let options = settled(SHIPPED).unwrap();
    assert_eq!((options.dnstap.len(), options.interfaces.len()), (1, 0));
    assert!(options.connection.is_some());
}

#[test]
fn every_option_is_in_it_and_can_be_said() {
    let text = said(|_| true);
    let read = file::read(Arc::from("lowtide.toml"), &text).unwrap();
    assert_eq!(read.faults, []);
    let table: toml::Table = text.parse().unwrap();
    let mut there = BTreeSet::new();
    for (section, value) in &table {
        let table = match value {
            toml::Value::Array(array) => array[0].as_table().unwrap(),
            value => value.as_table().unwrap(),
        };
        there.extend(table.keys().map(|key| (section.as_str(), key.as_str())));
    }
    assert_eq!(there, read.known);
}

#[test]
fn what_it_calls_defaults_are_the_defaults() {
    let name =
        |key: &str| ["interface.name", "migration.name", "migration.zones", "migration.old"].contains(&key);
    let is_default = |key: &str| !EXAMPLES.contains(&key);
    let truncated = |text: String| text.replace("#clients = \"keep\"", "clients = \"truncate\"");
    for (text, defaults) in [
        (said(name), said(|key| name(key) || is_default(key))),
        // The prefixes mean something only then.
        (
            truncated(said(name)),
            truncated(said(|key| name(key) || (is_default(key) && key != "privacy.clients"))),
        ),
    ] {
        assert_ne!(text, defaults);
        let (plain, defaults) = (settled(&text).unwrap(), settled(&defaults).unwrap());
        // The headings of [[interface]] and [[migration]] are no defaults, and stand in both.
        assert_eq!((plain.interfaces.len(), plain.migrations.len()), (1, 1));
        assert_eq!(format!("{plain:?}"), format!("{defaults:?}"));
    }
}

#[test]
fn every_option_is_explained() {
    let mut explained = false;
    for (number, line) in SHIPPED.lines().enumerate() {
        let option = uncommented(line).unwrap_or(line);
        match option.chars().next() {
            Some('#') => explained = true,
            None => explained = false,
            Some(_) => assert!(explained || option.starts_with('['), "line {}: {line}", number + 1),
        }
    }
}
