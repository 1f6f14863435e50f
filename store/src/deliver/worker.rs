//! The loop of delivery.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::outcome::{Outcome, Progress, add};
use super::{DeliveryOptions, Start, Wish};
use crate::segment::{Segment, SegmentError, Table};
use crate::server::{ErrorKind, Server, ServerError};
use crate::spool::{Claim, Condition, Next, Spool};

/// How often the age of what waits is looked at.
const TICK: Duration = Duration::from_secs(10);

/// How many of the longest pauses a refused segment waits.
const REFUSED_PAUSES: u32 = 10;

/// What became of one attempt.
enum Attempt {
    Acknowledged,
    Failed(ServerError),
    Damaged(SegmentError),
    Vanished,
}

/// Why the loop ends.
enum End {
    Delivered,
    Stopped,
    GaveUp,
}

/// A time in which the server takes nothing.
struct Illness {
    since: Instant,
    attempts: u64,
    /// How often it was paused.
    pauses: u32,
    kind: ErrorKind,
    /// Nothing is sent before this moment.
    until: Instant,
}

pub(super) struct Worker {
    spool: Arc<Spool>,
    server: Server,
    options: DeliveryOptions,
    wish: Arc<Wish>,
    progress: Arc<Progress>,
    illness: Option<Illness>,
    /// Something waits, and nothing was acknowledged, since then.
    unanswered_since: Option<Instant>,
    last_error: Option<ServerError>,
    /// The server has been ClickHouse once: what is not is a passing fault then.
    known: bool,
    /// What was said of refused segments, to say it once.
    refusals: BTreeMap<Table, ErrorKind>,
    /// Segments refused since the last acknowledgement: so many that it is not them.
    refused_in_a_row: usize,
}

impl Worker {
    pub fn new(
        spool: Arc<Spool>,
        server: Server,
        options: DeliveryOptions,
        wish: Arc<Wish>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            spool,
            server,
            options,
            wish,
            progress,
            illness: None,
            unanswered_since: None,
            last_error: None,
            known: false,
            refusals: BTreeMap::new(),
            refused_in_a_row: 0,
        }
    }

    pub fn outcome(spool: &Spool, progress: &Progress, last_error: Option<ServerError>) -> Outcome {
        Outcome {
            segments: progress.segments(),
            rows: progress.rows(),
            octets: progress.octets(),
            retries: progress.retries(),
            undelivered: spool.backlog(),
            losses: spool.losses(),
            gave_up: progress.gave_up(),
            last_error,
        }
    }

    /// Delivers until it is told to end or gives up.
    pub async fn run(mut self, start: Option<Start>) -> Outcome {
        let mut end = match start {
            Some(start) => self.prepare(&start).await,
            None => None,
        };
        if end.is_none() {
            end = Some(self.deliver().await);
        }
        if matches!(end, Some(End::GaveUp)) {
            self.progress.gave_up.store(true, Ordering::Relaxed);
            if let Some(error) = self.last_error.clone() {
                (self.options.report)(&Condition::GaveUp { error });
            }
        }
        self.spool.end_delivery();
        Self::outcome(&self.spool, &self.progress, self.last_error)
    }

    /// Runs what is to be done first until it succeeds; `Some` = it never will.
    async fn prepare(&mut self, start: &Start) -> Option<End> {
        self.unanswered_since = Some(Instant::now());
        loop {
            if self.wish.is_at_least(Wish::STOP) {
                return Some(End::Stopped);
            }
            let until = self.illness.as_ref().map(|illness| illness.until);
            if let Some(until) = until.filter(|until| *until > Instant::now()) {
                self.pause(until).await;
            } else {
                let check = start(self.server.clone());
                let began = Instant::now();
                let result = tokio::select! {
                    result = check => result,
                    () = self.stopping() => return Some(End::Stopped),
                    () = self.patience() => Err(ServerError::timed_out(self.server.url(), began.elapsed())),
                };
                match result {
                    Ok(()) => {
                        self.well();
                        return None;
                    }
                    Err(error) => {
                        let permanent = self.is_permanent(&error);
                        self.ill(error);
                        if permanent {
                            return Some(End::GaveUp);
                        }
                    }
                }
            }
            if self.is_out_of_patience() {
                return Some(End::GaveUp);
            }
        }
    }

    async fn deliver(&mut self) -> End {
        let mut attempts: JoinSet<(Claim, Attempt)> = JoinSet::new();
        loop {
            if self.wish.is_at_least(Wish::STOP) {
                return End::Stopped;
            }
            let mut wake = Instant::now() + TICK;
            let next = self.send(&mut attempts, &mut wake);
            if attempts.is_empty() {
                let is_empty = self.spool.backlog().segments == 0;
                if is_empty {
                    self.unanswered_since = None;
                } else {
                    // Segments that are refused for good may be what a producer waits behind.
                    self.unanswered_since.get_or_insert_with(Instant::now);
                }
                if matches!(next, Some(Next::Nothing)) && self.wish.is_at_least(Wish::FINISH) {
                    return if is_empty { End::Delivered } else { End::GaveUp };
                }
                if self.is_out_of_patience() {
                    return End::GaveUp;
                }
            } else if self.is_out_of_patience() {
                // Those on their way are not waited for: their segments stay in the spool.
                return End::GaveUp;
            }
            if let Some(moment) = self.patience_ends() {
                wake = wake.min(moment);
            }
            tokio::select! {
                Some(done) = attempts.join_next() => {
                    self.progress.in_flight.store(attempts.len() as u64, Ordering::Relaxed);
                    // An attempt that panicked took with it which segment it was: that one stays in the spool.
                    let Ok((claim, attempt)) = done else { return End::GaveUp };
                    if let Some(end) = self.settle(&claim, attempt) {
                        return end;
                    }
                }
                () = self.spool.arrival() => {}
                () = self.wish.changed.notified() => {}
                () = sleep_until(wake.into()) => self.spool.expire(),
            }
        }
    }

    /// Sends as much as may be in flight; says what there is beyond, unless nothing more may be sent now.
    fn send(&mut self, attempts: &mut JoinSet<(Claim, Attempt)>, wake: &mut Instant) -> Option<Next> {
        loop {
            let now = Instant::now();
            let limit = match &self.illness {
                Some(illness) if illness.until > now => {
                    *wake = illness.until.min(*wake);
                    return None;
                }
                Some(_) => 1,
                None => self.options.in_flight.max(1),
            };
            if attempts.len() >= limit {
                return None;
            }
            match self.spool.claim(now) {
                Next::Segment(claim) => {
                    self.unanswered_since.get_or_insert(now);
                    let (spool, server) = (Arc::clone(&self.spool), self.server.clone());
                    attempts.spawn(async move {
                        let attempt = attempt(&spool, &server, &claim).await;
                        (claim, attempt)
                    });
                    self.progress.in_flight.store(attempts.len() as u64, Ordering::Relaxed);
                }
                Next::Later(moment) => {
                    *wake = moment.min(*wake);
                    return Some(Next::Later(moment));
                }
                next => return Some(next),
            }
        }
    }

    /// Does what an attempt's result asks for.
    fn settle(&mut self, claim: &Claim, attempt: Attempt) -> Option<End> {
        match attempt {
            Attempt::Acknowledged => {
                self.spool.acknowledge(claim);
                add(&self.progress.segments, 1);
                add(&self.progress.rows, claim.rows);
                add(&self.progress.octets, claim.octets);
                self.well();
            }
            Attempt::Damaged(error) => self.spool.quarantine(claim, &error),
            Attempt::Vanished => self.spool.vanished(claim),
            Attempt::Failed(error) => {
                add(&self.progress.retries, 1);
                let maybe_taken = !error.is_before_sending();
                let permanent = self.is_permanent(&error);
                if error.concerns_segment() {
                    self.refused(claim, error, permanent);
                } else {
                    self.spool.release(claim, None, maybe_taken);
                    self.ill(error);
                    if permanent {
                        return Some(End::GaveUp);
                    }
                }
            }
        }
        None
    }

    /// The server does not want this segment; others may fare better.
    fn refused(&mut self, claim: &Claim, error: ServerError, permanent: bool) {
        if self.refusals.insert(claim.table, error.kind()) != Some(error.kind()) {
            let name = claim.name.to_string();
            (self.options.report)(&Condition::SegmentRefused { name, error: error.clone() });
        }
        if permanent {
            self.spool.park(claim);
        } else {
            let later = Instant::now() + self.options.longest_pause * REFUSED_PAUSES;
            self.spool.release(claim, Some(later), false);
        }
        self.refused_in_a_row += 1;
        if self.refused_in_a_row > self.options.in_flight {
            self.ill(error);
        } else {
            self.last_error = Some(error);
        }
    }

    /// Whether to give up at once.
    fn is_permanent(&self, error: &ServerError) -> bool {
        let passing = error.kind() == ErrorKind::NotClickHouse && self.known;
        self.options.give_up.on_permanent_errors && error.is_permanent() && !passing
    }

    fn well(&mut self) {
        self.known = true;
        self.refused_in_a_row = 0;
        self.unanswered_since = (self.spool.backlog().segments > 0).then(Instant::now);
        if let Some(illness) = self.illness.take() {
            self.progress.failing.store(false, Ordering::Relaxed);
            let (after, attempts) = (illness.since.elapsed(), illness.attempts);
            (self.options.report)(&Condition::ServerAnswers { after, attempts });
        }
    }

    fn ill(&mut self, error: ServerError) {
        let now = Instant::now();
        let kind = error.kind();
        let before = self.illness.as_ref().map(|illness| illness.kind);
        if before != Some(kind) {
            (self.options.report)(&Condition::ServerFailing { error: error.clone() });
        }
        self.progress.failing.store(true, Ordering::Relaxed);
        self.last_error = Some(error);
        let fresh = Illness { since: now, attempts: 0, pauses: 0, kind, until: now };
        let illness = self.illness.get_or_insert(fresh);
        illness.kind = kind;
        illness.attempts += 1;
        // Several that were in flight fail together: one failure, not a longer pause for each.
        if illness.until > now {
            return;
        }
        let pause = self.options.first_pause.saturating_mul(1 << illness.pauses.min(16));
        let pause = pause.min(self.options.longest_pause);
        illness.pauses += 1;
        // Many sensors that lost the same server must not come back at the same moment.
        illness.until = now + pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
    }

    fn patience_ends(&self) -> Option<Instant> {
        self.unanswered_since?.checked_add(self.options.give_up.after?)
    }

    fn is_out_of_patience(&self) -> bool {
        self.patience_ends().is_some_and(|moment| moment <= Instant::now())
    }

    async fn patience(&self) {
        match self.patience_ends() {
            Some(moment) => sleep_until(moment.into()).await,
            None => std::future::pending().await,
        }
    }

    async fn pause(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until.into()) => {}
            () = self.patience() => {}
            () = self.stopping() => {}
        }
    }

    async fn stopping(&self) {
        while !self.wish.is_at_least(Wish::STOP) {
            self.wish.changed.notified().await;
        }
    }
}

/// Verifies a segment and sends it.
async fn attempt(spool: &Spool, server: &Server, claim: &Claim) -> Attempt {
    match Segment::open(&spool.path(claim)).and_then(Segment::verify) {
        Ok(segment) => match server.insert(segment).await {
            Ok(()) => Attempt::Acknowledged,
            Err(error) => Attempt::Failed(error),
        },
        Err(SegmentError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Attempt::Vanished,
        Err(error) if error.is_damage() => Attempt::Damaged(error),
        Err(error) => {
            let place = spool.path(claim);
            Attempt::Failed(ServerError::new(ErrorKind::File, place.display(), error))
        }
    }
}
