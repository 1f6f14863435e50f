//! When a client came, over days, restarts and sensors: from the rows of its days to visits and the times between them.

use lowtide_aggregate::drain::client::{VISIT, Visits};
use lowtide_proto::Timestamp;

/// A client's day, as one run of one sensor saw it in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// Its first query, nanoseconds.
    pub first: u64,
    /// Its last.
    pub last: u64,
    /// Visits that began on it.
    pub visits: u64,
    /// The shortest and longest time from one visit to the next which began on it, as the sensor knows; `None` = it knows of none before.
    pub gaps: Option<(u64, u64)>,
    /// Tells the sensor's run and role from others.
    pub run: u64,
}

/// Days that overlap, or are not a minute apart: what is of several sensors is taken for the same visits.
#[derive(Debug, Default)]
struct Group {
    first: u64,
    last: u64,
    gaps: Option<(u64, u64)>,
    /// Visits by run.
    runs: Vec<(u64, u64)>,
}

impl Group {
    fn add(&mut self, day: &Day) {
        if self.runs.is_empty() {
            self.first = day.first;
        }
        self.last = self.last.max(day.last);
        self.gaps = widened(self.gaps, day.gaps);
        match self.runs.iter_mut().find(|(run, _)| *run == day.run) {
            Some((_, visits)) => *visits += day.visits,
            None => self.runs.push((day.run, day.visits)),
        }
    }

    fn visits(&self) -> u64 {
        self.runs.iter().map(|&(_, visits)| visits).max().unwrap_or_default()
    }
}

fn widened(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

/// The visits of a client from its days, in order of their first queries.
///
/// A sensor tells the times between visits that it saw. The time from the last visit before a restart, or at another sensor, to the next is
/// from the beginning of that visit where it is known, and from its last query where it is not.
pub fn visits(days: &[Day]) -> Visits {
    let mut groups: Vec<Group> = Vec::new();
    for day in days {
        match groups.last_mut() {
            Some(group) if day.first < group.last.saturating_add(VISIT) => group.add(day),
            _ => {
                let mut group = Group::default();
                group.add(day);
                groups.push(group);
            }
        }
    }
    let mut visits = Visits::default();
    let mut gaps: Option<(u64, u64)> = None;
    // Where the last visit began, whether that is known, and who saw it.
    let mut before: Option<(u64, bool)> = None;
    let mut known: Vec<u64> = Vec::new();
    for group in &groups {
        let count = group.visits();
        let is_continued = group.runs.iter().any(|(run, _)| known.contains(run));
        if let Some((begin, is_exact)) = before {
            let between = group.first.saturating_sub(begin);
            // One visit lies as far from the one before as the two began, wherever that one was seen.
            let is_told = group.gaps.is_some() && is_continued && !(count <= 1 && is_exact);
            if count > 0 && !is_told {
                gaps = widened(gaps, Some((between, between)));
            }
        }
        if count > 1 || before.is_some_and(|(_, is_exact)| !is_exact) {
            gaps = widened(gaps, group.gaps.filter(|_| count > 1 || is_continued));
        }
        if count > 0 {
            before = Some(if count == 1 { (group.first, true) } else { (group.last, false) });
        }
        visits.count += count;
        known.extend(group.runs.iter().map(|&(run, _)| run));
        known.sort_unstable();
        known.dedup();
    }
    let (shortest, longest) = gaps.unwrap_or_default();
    Visits { shortest, longest, latest: Timestamp(before.map_or(0, |(begin, _)| begin)), ..visits }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3_600 * SECOND;
    const DAY: u64 = 24 * HOUR;

    fn day(begin: u64, visits: u64, every: u64, gaps: Option<(u64, u64)>, run: u64) -> Day {
        let last = begin + every * visits.saturating_sub(1) + SECOND;
        Day { first: begin, last, visits, gaps, run }
    }

    #[test]
    fn a_weekly_client_is_found_though_no_sensor_lives_for_a_week() {
        let days: Vec<Day> =
            (0..4).map(|week| day(week * 7 * DAY + week * SECOND, 1, 0, None, week)).collect();
        let found = visits(&days);
        assert_eq!((found.count, found.shortest, found.longest), (4, 7 * DAY + SECOND, 7 * DAY + SECOND));
        assert_eq!(found.period(), Some(7 * DAY + SECOND));
        assert_eq!(found.latest, Timestamp(21 * DAY + 3 * SECOND));
    }

    #[test]
    fn two_sensors_that_see_the_same_count_once() {
        let weekly = |offset: u64, run: u64| {
            (0..4).map(move |week| {
                day(week * 7 * DAY + offset, 1, 0, (week > 0).then_some((7 * DAY, 7 * DAY)), run)
            })
        };
        let mut days: Vec<Day> = weekly(0, 1).chain(weekly(3_000_000, 2)).collect();
        days.sort_by_key(|day| day.first);
        let found = visits(&days);
        assert_eq!((found.count, found.shortest, found.longest), (4, 7 * DAY, 7 * DAY));
    }

    #[test]
    fn a_client_that_goes_from_site_to_site_has_one_period() {
        let gaps = |week: u64| (week >= 2).then_some((14 * DAY, 14 * DAY));
        let days: Vec<Day> = (0..6).map(|week| day(week * 7 * DAY, 1, 0, gaps(week), week % 2)).collect();
        let found = visits(&days);
        assert_eq!((found.count, found.period()), (6, Some(7 * DAY)));
    }

    #[test]
    fn an_hourly_client_over_daily_restarts_keeps_its_hour() {
        let days: Vec<Day> = (0..5).map(|at| day(at * DAY, 24, HOUR, Some((HOUR, HOUR)), at)).collect();
        let found = visits(&days);
        // The last visit of a day is known by its last query, a second behind its beginning.
        assert_eq!((found.count, found.shortest, found.longest), (120, HOUR - SECOND, HOUR));
        assert_eq!(found.period(), Some(HOUR));
        // Without restarts the sensor knows all.
        let days: Vec<Day> = (0..5).map(|at| day(at * DAY, 24, HOUR, Some((HOUR, HOUR)), 1)).collect();
        assert_eq!(visits(&days).shortest, HOUR);
    }

    #[test]
    fn a_day_that_was_missed_makes_it_uneven() {
        let days: Vec<Day> = [0, 1, 2, 4, 5].map(|at| day(at * DAY, 1, 0, None, at)).into();
        let found = visits(&days);
        assert_eq!((found.count, found.shortest, found.longest), (5, DAY, 2 * DAY));
        assert_eq!(found.period(), None);
    }

    #[test]
    fn a_visit_over_midnight_is_one() {
        let begin = DAY - 20 * SECOND;
        let days = [
            Day { first: begin, last: DAY - SECOND, visits: 1, gaps: None, run: 1 },
            Day { first: DAY + SECOND, last: DAY + 5 * SECOND, visits: 0, gaps: None, run: 1 },
            Day {
                first: begin + 2 * DAY,
                last: begin + 2 * DAY,
                visits: 1,
                gaps: Some((2 * DAY, 2 * DAY)),
                run: 1,
            },
        ];
        let found = visits(&days);
        assert_eq!((found.count, found.shortest, found.longest), (2, 2 * DAY, 2 * DAY));
    }
}
