use anstream::adapter::strip_str;

use super::text::width;
use super::{Layout, render, sample};

use lowtide_aggregate::report::Report;

fn layout(width: usize) -> Layout {
    Layout { width, top: 20, interval: std::time::Duration::from_secs(60) }
}

fn plain(report: &Report, width: usize) -> String {
    strip_str(&render(report, &layout(width))).to_string()
}

/// The text has a line that holds all of these, in this order.
#[track_caller]
fn has_line(text: &str, parts: &[&str]) {
    let found = text.lines().any(|line| {
        let mut rest = line;
        parts.iter().all(|part| rest.split_once(part).inspect(|(_, after)| rest = after).is_some())
    });
    assert!(found, "no line with {parts:?} in\n{text}");
}

fn samples() -> [Report; 5] {
    [sample::busy(), sample::resolver(), sample::one_way(), sample::nothing(), sample::from_rows()]
}

#[test]
fn no_line_is_longer_than_the_page() {
    for report in samples() {
        for columns in [0, 72, 80, 100, 120, 500] {
            let text = plain(&report, columns);
            for line in text.lines() {
                assert!(width(line) <= columns.clamp(72, 120), "{columns}: {line}\n{text}");
                assert_eq!(line, line.trim_end(), "{columns}");
            }
        }
    }
}

#[test]
fn nothing_but_our_own_colours_reaches_the_terminal() {
    for report in samples() {
        let text = plain(&report, 100);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    }
    has_line(&plain(&sample::busy(), 100), &[r"tues\u{1b}[2Jday.pcap.zst", "pcap+zstd (RAW)", "7 frames"]);
}

#[test]
fn the_opening_says_what_was_read_and_that_it_balances() {
    let text = plain(&sample::busy(), 100);
    has_line(&text, &["2 inputs", "1,058,870 frames", "171.9 MiB"]);
    has_line(&text, &["2026-03-01 09:50:00 UTC to 2026-03-01 09:59:58 UTC", "(9 min 58 s)"]);
    has_line(&text, &["✗ damaged at offset 123,456: record header cut short"]);
    has_line(&text, &["✗ 7,072 packets dropped by the interface, says the file (isb_ifdrop)"]);
    has_line(&text, &["accounts balance: 1,058,870 frames = 1,005,900 udp_message + 52,950 tcp_segment"]);
    has_line(
        &text,
        &["accounts balance: 529,990 queries = 528,873 answered + 1,000 unanswered + 17 pending"],
    );
    has_line(&text, &["malformed frames: 3 udp · 2 ipv4"]);

    let mut lost = sample::busy();
    lost.frame_fates.remove("malformed");
    has_line(&plain(&lost, 120), &["accounts DO NOT balance: 1,058,870 frames"]);
}

#[test]
fn rates_carry_their_denominator() {
    let text = plain(&sample::busy(), 120);
    has_line(&text, &["transactions", "528,873 answered · 1,000 unanswered, 0.19 % of 529,873 transactions"]);
    has_line(&text, &["NXDOMAIN", "52,897", "10.0 %", "█"]);
    has_line(&text, &["shares are of 528,873 responses"]);
    has_line(&text, &["12 malformed, <0.01 % of 1,058,863 messages", "8 pointer"]);
    has_line(&text, &["SERVFAIL ", "up to 1.7 % of 54,286 responses at 09:56:00"]);
}

#[test]
fn the_four_questions_are_asked_in_order() {
    let text = plain(&sample::busy(), 100);
    let places: Vec<_> =
        ["Traffic", "Reachable?", "Correct?", "Slower or failing?", "Drained?", "Most asked names", "Zones"]
            .into_iter()
            .map(|title| {
                text.find(&format!("\n{title}  ")).unwrap_or_else(|| panic!("{title} is missing in\n{text}"))
            })
            .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn servers_and_names_have_their_figures() {
    let text = plain(&sample::busy(), 120);
    has_line(
        &text,
        &["198.51.100.53", "230,000", "460", "0.20 %", "229,540", "1.2 %", "0.60 %", "91 µs", "38.1 ms"],
    );
    has_line(&text, &["192.0.2.99", "1,000", "1,000", "100 %", "0", "–", "–", "–", "–"]);
    has_line(&text, &["Reachable?", "1 of 3 servers never answered"]);
    has_line(&text, &["www.example.org.", "A", "31,415", "1.83 s"]);
    has_line(&plain(&sample::busy(), 80), &["a-very-l", "…", ".example.net.", "HTTPS", "2,718"]);
}

#[test]
fn the_histogram_is_in_steps_of_one_two_five() {
    let text = plain(&sample::busy(), 100);
    has_line(&text, &["≤  10 µs", "12", "<0.01 %"]);
    has_line(&text, &["≤ 100 µs", "270,000", "51.1 %", "█████"]);
    has_line(&text, &["≤   5 ms", "90,000"]);
    has_line(&text, &["≤ 500 ms", "861", "100 %"]);
    let mut slow = sample::busy();
    slow.latency_histogram_us.push((70_000_000, 3));
    has_line(&plain(&slow, 100), &[">   50 s", "3", "<0.01 %"]);
    assert!(!text.contains("≤    1 s") && !text.contains("≤   5 µs"), "{text}");
}

#[test]
fn roles_are_never_added_together() {
    let text = plain(&sample::resolver(), 100);
    assert_eq!(text.matches("  role client").count(), 3, "{text}");
    has_line(&text, &["accounts balance: 70,000 client queries = 69,860 answered + 140 unanswered"]);
    has_line(&text, &["192.0.2.1", "client", "70,000"]);
    has_line(&text, &["203.0.113.5", "resolver", "11,000"]);
    assert!(!text.contains("81,000") && !text.contains("529,990"), "{text}");
}

#[test]
fn a_one_way_capture_is_no_outage() {
    let text = plain(&sample::one_way(), 100);
    let note = text.find("▲ one-way capture").unwrap();
    assert!(note < text.find("accounts balance").unwrap());
    has_line(&text, &["Reachable?", "not told by a one-way capture"]);
    has_line(&text, &["192.0.2.99", "1,000", "–", "–"]);
    assert!(!text.contains("Failing names") && !text.contains("never answered"), "{text}");
}

#[test]
fn a_capture_without_dns_says_so_and_leaves_the_rest_out() {
    let text = plain(&sample::nothing(), 100);
    has_line(&text, &["standard input", "pcapng", "3 frames", "400 bytes"]);
    has_line(&text, &["accounts balance: 3 frames = 3 not_dns"]);
    has_line(&text, &["no DNS message was seen"]);
    assert!(!text.contains("Reachable?") && !text.contains("Zones"), "{text}");
}

#[test]
fn tables_hold_no_more_rows_than_asked_for() {
    let few = Layout { width: 100, top: 1, interval: std::time::Duration::from_secs(60) };
    let text = strip_str(&render(&sample::busy(), &few)).to_string();
    has_line(&text, &["… and 2 more"]);
    assert!(text.contains("198.51.100.53") && !text.contains("192.0.2.99"), "{text}");
}

#[test]
fn colours_are_there_to_be_stripped() {
    for report in samples() {
        let text = render(&report, &layout(100));
        println!("{text}\n{}", "=".repeat(100));
        assert!(text.contains("\x1b["));
    }
}

#[test]
fn a_report_from_rows_says_what_was_not_seen_and_claims_nothing_else() {
    let text = plain(&sample::from_rows(), 100);
    has_line(&text, &["lowtide  http://ch.example:8123/lowtide"]);
    has_line(&text, &["2026-03-01 00:00:00 UTC to 2026-03-02 00:00:00 UTC", "(1 d)"]);
    has_line(&text, &["only  zone example.org.", "sensor ns2"]);
    has_line(&text, &["Coverage", "2 sensors · 2 runs"]);
    has_line(&text, &["eth0", "ns1", "2,000,000", "1,058,863", "1,234"]);
    has_line(&text, &["ns2", "unknown"]);
    has_line(&text, &["✗ lost: 1,234 kernel_drop"]);
    has_line(&text, &["run 2026-03 of ns1 could not deliver 12 queue_full"]);
    has_line(&text, &["ns1 eth0: nobody looked from 2026-03-01 10:00:00 UTC to", "(1 h)"]);
    for untold in ["frames =", "known by", "damaged"] {
        assert!(!text.contains(untold), "{untold} in\n{text}");
    }
    let mut whole = sample::from_rows();
    whole.coverage.truncate(1);
    whole.coverage[0].lost.clear();
    if let Some(source) = &mut whole.source {
        source.gaps.clear();
        source.seen[0].dropped.clear();
    }
    has_line(&plain(&whole, 100), &["no loss was counted, and no live sensor has a gap"]);
    whole.coverage.clear();
    has_line(&plain(&whole, 100), &["no sensor covered any of this range"]);
}
