//! `lowtide.toml`, as the operator of the migration would write it: with the cutover that is believed, not the true one.

use std::fmt::Write as _;

use crate::network::Client;
use crate::parameters::{Naming, Parameters, Server};
use crate::population::Crowd;
use crate::questions::Questions;
use crate::sink::Class;
use crate::time;

/// The text of the configuration file.
pub fn configuration(parameters: &Parameters) -> String {
    let crowd = Crowd::draw(parameters, Questions::new(parameters).cacheable);
    let zones: Vec<String> = parameters.zones.iter().map(|zone| quoted(&zone.origin)).collect();
    let mut text = String::new();
    let mut line = |of: std::fmt::Arguments<'_>| {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{of}");
    };
    line(format_args!("# The migration of scenario {}, seed {}.", parameters.scenario, parameters.seed));
    line(format_args!("[[migration]]"));
    line(format_args!("name = {}", quoted(&parameters.scenario)));
    line(format_args!("zones = [{}]", zones.join(", ")));
    line(format_args!("old = [{}]", servers(parameters, &parameters.old)));
    line(format_args!("new = [{}]", servers(parameters, &parameters.new)));
    line(format_args!("cutover = {}", quoted(&time::text(parameters.at(parameters.plan.cutover)))));
    line(format_args!("parent_ns_ttl = \"{}s\"", parameters.parent.ns_ttl));
    line(format_args!("ds_ttl = \"{}s\"", parameters.parent.ds_ttl));
    line(format_args!("quiet_period = {}", quoted(&duration(parameters.quiet_period))));
    line(format_args!("near_zero = 0"));
    let is_right = !parameters.mistakes.iter().any(|mistake| mistake == "new-serves-old-ns");
    line(format_args!("new_verified = {is_right}"));
    line(format_args!("set_apart = [{}]", set_apart(&crowd.clients).join(", ")));
    text
}

/// Names in the zones are those of both providers, so that only addresses tell their servers apart.
fn servers(parameters: &Parameters, servers: &[Server]) -> String {
    let one = |server: &Server| -> Vec<String> {
        let text = |address: std::net::IpAddr| match parameters.naming {
            Naming::Vanity => quoted(&address.to_string()),
            Naming::Provider => quoted(&format!("{}={address}", server.name)),
        };
        server.addresses().map(text).collect()
    };
    servers.iter().flat_map(one).collect::<Vec<_>>().join(", ")
}

fn set_apart(clients: &[Client]) -> Vec<String> {
    let apart = clients.iter().filter(|client| client.is_set_apart && client.class == Class::Monitor);
    apart.flat_map(Client::addresses).map(|address| quoted(&address.to_string())).collect()
}

fn duration(seconds: u64) -> String {
    if seconds.is_multiple_of(3_600) { format!("{}h", seconds / 3_600) } else { format!("{seconds}s") }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
