use super::*;

const SECOND: u64 = 1_000_000_000;
const WIDTH: u64 = 60 * SECOND;

fn key(client: u128, qtype: u16) -> Key {
    Key { group: 0, client: Ipv6Addr::from_bits(client), role: Role::Wire, qtype: Qtype(qtype) }
}

const fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

/// Interval, client, type, queries, responses, first and last, visits, gaps: times in seconds.
type Told = (u64, u128, u16, u64, u64, (u64, u64), u64, Option<(u64, u64)>);

fn told(rows: Vec<Row>) -> Vec<Told> {
    let mut rows = rows;
    rows.sort_by_key(Row::order);
    let row = |row: Row| {
        let seconds = |(one, other): (u64, u64)| (one / SECOND, other / SECOND);
        (
            row.number,
            row.key.client.to_bits(),
            row.key.qtype.0,
            row.queries,
            row.responses,
            seconds((row.seen.0.0, row.seen.1.0)),
            row.visits,
            row.gaps.map(seconds),
        )
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn queries_are_counted_by_interval_client_and_type() {
    let mut intervals = Intervals::new(WIDTH, None);
    for (time, client, qtype) in
        [(60, 1, 1), (60, 1, 28), (61, 1, 1), (70, 2, 1), (119, 1, 1), (120, 1, 1), (65, 1, 1)]
    {
        intervals.query(key(client, qtype), at(time), client == 2);
        intervals.response(key(client, qtype), at(time + 2));
    }
    assert_eq!(
        told(intervals.close(at(120))),
        [
            (1, 1, 1, 4, 3, (60, 119), 1, None),
            (1, 1, 28, 1, 1, (60, 60), 0, None),
            (1, 2, 1, 1, 1, (70, 70), 1, None)
        ],
        "a response counts in its own interval"
    );
    // What comes late opens its interval anew, and what is open goes on.
    intervals.query(key(1, 1), at(100), false);
    intervals.query(key(1, 1), at(130), false);
    assert_eq!(
        told(intervals.close(Timestamp(u64::MAX))),
        [(1, 1, 1, 1, 0, (100, 100), 0, None), (2, 1, 1, 2, 2, (120, 130), 0, None)]
    );
    assert!(intervals.close(Timestamp(u64::MAX)).is_empty());
}

#[test]
fn visits_and_the_times_between_them_span_intervals() {
    let mut intervals = Intervals::new(WIDTH, None);
    // Visits begin at 0, 600, 1000, 1060 and 1200: less than a minute of silence is none.
    for time in [1, 30, 600, 659, 1_000, 1_060, 1_119, 1_178, 1_300] {
        intervals.query(key(1, 1), at(time), false);
    }
    let rows = told(intervals.close(Timestamp(u64::MAX)));
    let visits: Vec<_> = rows.iter().map(|row| (row.0, row.6, row.7)).collect();
    assert_eq!(
        visits,
        [
            (0, 1, None),
            (10, 1, Some((599, 599))),
            (16, 1, Some((400, 400))),
            (17, 1, Some((60, 60))),
            (18, 0, None),
            (19, 0, None),
            (21, 1, Some((240, 240)))
        ]
    );
}

#[test]
fn visits_are_those_of_the_whole_run() {
    let times = [5, 6, 70, 71, 200, 500, 540, 560, 700, 3_600, 7_200, 7_210];
    let mut client = crate::drain::client::Client::new(Ipv6Addr::LOCALHOST);
    let mut intervals = Intervals::new(WIDTH, None);
    for time in times {
        client.count(at(time), Qtype(1), false);
        intervals.query(key(1, 1), at(time), false);
    }
    let rows = intervals.close(Timestamp(u64::MAX));
    assert_eq!(rows.iter().map(|row| row.visits).sum::<u64>(), client.visits.count);
    let gaps = || rows.iter().filter_map(|row| row.gaps);
    assert_eq!(gaps().map(|(shortest, _)| shortest).min(), Some(client.visits.shortest));
    assert_eq!(gaps().map(|(_, longest)| longest).max(), Some(client.visits.longest));
}

#[test]
fn many_types_of_one_client_have_a_row_each() {
    let mut intervals = Intervals::new(WIDTH, None);
    for time in [0, 1, 61] {
        for qtype in 0..1_000 {
            intervals.query(key(1, qtype), at(time), false);
            intervals.query(key(2, qtype), at(time), false);
        }
    }
    assert_eq!(intervals.rows(), 4_000);
    let rows = told(intervals.close(at(60)));
    assert_eq!(rows.len(), 2_000);
    assert!(rows.iter().all(|row| row.3 == 2));
    for qtype in 0..1_000 {
        intervals.query(key(1, qtype), at(62), false);
    }
    let rows = told(intervals.close(Timestamp(u64::MAX)));
    assert_eq!(
        rows.iter().map(|row| (row.1, row.3)).collect::<Vec<_>>(),
        [[(1, 2); 1_000], [(2, 1); 1_000]].concat()
    );
}

#[test]
fn rows_of_an_interval_and_clients_are_bounded_and_all_are_counted() {
    let mut intervals = Intervals::new(WIDTH, None);
    let many = u128::from(MAX_ROWS) + 500;
    for client in 1..=many {
        intervals.query(key(client, 1), at(7), true);
        intervals.response(key(client, 1), at(8));
    }
    assert_eq!(intervals.rows(), MAX_ROWS as usize + 1);
    // The next interval has a bound of its own.
    intervals.query(key(many, 1), at(60), false);
    let rows = told(intervals.close(Timestamp(u64::MAX)));
    assert_eq!(rows[0], (0, 0, 1, 500, 500, (7, 7), 0, None));
    assert_eq!(rows.last(), Some(&(1, many, 1, 1, 0, (60, 60), 0, None)));
    assert_eq!(u128::from(rows.iter().map(|row| row.3).sum::<u64>()), many + 1);
}

#[test]
fn a_full_table_forgets_who_was_silent_for_longest() {
    let mut intervals = Intervals::new(SECOND, None);
    let many = MAX_CLIENTS as u128 + 1_000;
    for client in 1..=many {
        // Many intervals, so that their bound is not met.
        intervals.query(key(client, 1), Timestamp(client as u64 * SECOND / 1_000), false);
        if client % 100_000 == 0 {
            intervals.close(Timestamp(u64::MAX));
        }
    }
    assert!(intervals.clients.len() <= MAX_CLIENTS + 1, "and the one for all others");
    let rows = told(intervals.close(Timestamp(u64::MAX)));
    assert_eq!(rows.iter().filter(|row| row.1 == 0).map(|row| row.3).sum::<u64>(), 1_000);
    assert!(intervals.clients.len() <= MAX_CLIENTS / 2);
    // Who came last is still known, who came first is new.
    let late = MAX_CLIENTS as u128 - 10;
    intervals.query(key(late, 1), at(10_000), false);
    intervals.query(key(5, 1), at(10_000), false);
    let rows = told(intervals.close(Timestamp(u64::MAX)));
    assert_eq!(rows.iter().map(|row| (row.6, row.7.is_some())).collect::<Vec<_>>(), [(1, false), (1, true)]);
}
