//! pcapng files that say themselves that packets were dropped before they were written.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::craft::{MIDNIGHT, option, statistics};
use super::{Case, asked, drained};

/// Microseconds of a minute after midnight.
const fn at(minute: u64) -> u64 {
    (MIDNIGHT + minute * 60) * 1_000_000
}

/// A folder with the same traffic, which was drained, and with statistics behind it.
fn case(name: &str, statistics: &[Vec<u8>]) -> Case {
    let case = Case::new();
    add(&case, name, statistics);
    case
}

fn add(case: &Case, name: &str, statistics: &[Vec<u8>]) {
    fs::write(case.path(name), [drained().pcapng(None), statistics.concat()].concat()).unwrap();
}

#[test]
fn a_file_that_says_packets_were_dropped_proves_nothing() {
    let case = case("whole.pcapng", &[]);
    case.check(&["whole.pcapng"], 0, "drained", "quiet");
    add(&case, "none.pcapng", &[statistics(at(361), &[(4, 99), (5, 0), (7, 0)])]);
    case.check(&["none.pcapng"], 0, "drained", "quiet");
    for (code, who) in
        [(5, "interface, says the file (isb_ifdrop)"), (7, "operating system, says the file (isb_osdrop)")]
    {
        add(&case, "a.pcapng", &[statistics(at(361), &[(code, 1)])]);
        let hole = format!(
            "from 2026-03-01T04:00:00.000000000Z to 2026-03-01T06:00:00.000000000Z: a.pcapng: a.pcapng: 1 packet dropped by the {who}"
        );
        case.check(&["a.pcapng"], 4, "unknown", &hole);
    }
    // dumpcap's clock, that is of 1970 in an interface of nanoseconds.
    add(&case, "b.pcapng", &[statistics(at(361) / 1_000, &[(5, 7_072)])]);
    case.check(&["b.pcapng"], 4, "unknown", "7,072 packets dropped by the interface");
    // What cannot be read may be a loss.
    add(&case, "c.pcapng", &[cut()]);
    case.check(&["c.pcapng"], 4, "unknown", "what the file says of dropped packets cannot be read (1 block)");
}

/// Statistics whose count is not all there.
fn cut() -> Vec<u8> {
    let mut block = statistics(at(361), &[(5, 7)]);
    let len = block.len();
    block.drain(len - 8..len - 4);
    let len = u32::try_from(block.len()).unwrap().to_le_bytes();
    block[4..8].copy_from_slice(&len);
    let end = block.len() - 4;
    block[end..].copy_from_slice(&len);
    block
}

#[test]
fn a_loss_is_of_its_own_time() {
    // Five by 01:00, and none since.
    let case = case("a.pcapng", &[statistics(at(60), &[(5, 5)]), statistics(at(361), &[(5, 5)])]);
    // The block at 01:00 stands behind packets of 06:00: nobody believes its time.
    case.check(&["a.pcapng"], 4, "unknown", "5 packets dropped by the interface");
    let parts = |counts: [u64; 2]| {
        let early = asked().alive(0, 60);
        let whole = drained().pcapng(None);
        // Up to the packets of the first hour the two files are the same but for what was asked later.
        let early = early.until(60).pcapng(None);
        assert_eq!(whole[..early.len()], early);
        [
            &early[..],
            &statistics(at(61), &[(5, counts[0])]),
            &whole[early.len()..],
            &statistics(at(361), &[(5, counts[1])]),
        ]
        .concat()
    };
    fs::write(case.path("early.pcapng"), parts([5, 5])).unwrap();
    case.check(&["early.pcapng"], 0, "drained", "quiet");
    fs::write(case.path("late.pcapng"), parts([5, 8])).unwrap();
    case.check(&["late.pcapng"], 4, "unknown", "late.pcapng: 3 packets dropped by the interface");
    // As of a moment before the end, too.
    case.check(&["--at", "2026-03-01T05:00:00Z", "late.pcapng"], 4, "unknown", "3 packets dropped");
}

#[test]
fn packets_that_say_what_was_lost_before_them_make_holes() {
    let case = Case::new();
    let lost = option(4, &2_u64.to_le_bytes());
    let frames = drained().frames();
    // The last packet is of 06:00, as is the one before it; the third from the end is answered at 06:00 after 05:50.
    let of = |number: usize| drained().pcapng(Some((number, &lost)));
    fs::write(case.path("late.pcapng"), of(frames - 2)).unwrap();
    let hole = "from 2026-03-01T05:50:00.000000000Z to 2026-03-01T06:00:00.000000000Z: late.pcapng: late.pcapng: \
                2 packets dropped in front of others, says the file (epb_dropcount)";
    case.check(&["late.pcapng"], 4, "unknown", hole);
    fs::write(case.path("early.pcapng"), of(2)).unwrap();
    case.check(&["early.pcapng"], 0, "drained", "quiet");
}

#[test]
fn a_replay_tells_of_drops_in_its_report() {
    let said = [statistics(at(361), &[(5, 7), (7, 2)])];
    let case = case("a.pcapng", &said);
    let replay = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .current_dir(case.folder.path())
            .args(["replay", "--quiet"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&replay(&["--json", "a.pcapng"])).unwrap();
    let until = "2026-03-01T06:01:00.000000000Z";
    assert_eq!(
        report["inputs"][0]["dropped"],
        json!([
            {"by": "interface", "count": 7, "from": null, "to": until},
            {"by": "system", "count": 2, "from": null, "to": until}
        ])
    );
    let page = replay(&["a.pcapng"]);
    for line in [
        "✗ 7 packets dropped by the interface, says the file (isb_ifdrop), until 2026-03-01 06:01:00 UTC",
        "✗ 2 packets dropped by the operating system, says the file (isb_osdrop), until",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    add(&case, "b.pcapng", &[]);
    let report: Value = serde_json::from_str(&replay(&["--json", "b.pcapng"])).unwrap();
    assert!(report["inputs"][0].get("dropped").is_none());
}
