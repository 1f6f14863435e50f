//! The spool and its bad weather: what happens to files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use lowtide_store::segment::Table;
use lowtide_store::spool::{Put, Reason, Spool, SpoolError, SpoolOptions, WhenFull};
use support::proxy::Proxy;
use support::{Heard, deliver, filled, header, noise, open, options, put, segments};

#[test]
fn segments_wait_in_order_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 12, 100);
    let before = spool.backlog();
    assert_eq!((before.segments, before.rows), (12, 120));
    drop(spool);
    let spool = open(dir.path());
    assert_eq!(spool.backlog(), before);
    let octets: u64 =
        segments(dir.path()).iter().map(|n| fs::metadata(dir.path().join(n)).unwrap().len()).sum();
    assert_eq!(before.octets, octets);
    assert_eq!(segments(dir.path()), (0..12).map(|n| header(n).file_name()).collect::<Vec<_>>());
}

#[test]
fn the_same_segment_again_replaces_itself() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 3, 100);
    let before = spool.backlog();
    assert_eq!(put(&spool, 1, 100), Put::Stored);
    assert_eq!(spool.backlog(), before);
    assert_eq!(segments(dir.path()).len(), 3);
}

#[test]
fn one_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    let error = Spool::open(dir.path(), SpoolOptions::default()).unwrap_err();
    assert!(matches!(error, SpoolError::InUse(_)));
    assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
    drop(spool);
    open(dir.path());
}

#[test]
fn what_a_killed_process_left_is_finished_or_cleaned_away() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 3, 1000));
    let names = segments(dir.path());
    let path = |name: &str| dir.path().join(name);
    // Killed before the rename, while writing, and when nothing was written yet.
    fs::rename(path(&names[0]), path(&format!("{}.tmp", names[0]))).unwrap();
    let whole = fs::read(path(&names[1])).unwrap();
    fs::write(path(&format!("{}.tmp", header(7).file_name())), &whole[..700]).unwrap();
    fs::write(path(&format!("{}.tmp", header(8).file_name())), b"").unwrap();
    let spool = open(dir.path());
    assert_eq!(spool.backlog().segments, 3);
    assert_eq!(segments(dir.path()), names);
    assert!(spool.losses().is_empty());
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "three segments and the lock: {left:?}");
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 1, 100));
    let foreign = ["notes.txt", "backup.segment", "x.segment.tmp", ".segment"];
    for name in foreign {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    fs::create_dir(dir.path().join("a.segment")).unwrap();
    std::os::unix::fs::symlink(segments(dir.path())[0].clone(), dir.path().join("link.segment")).unwrap();
    let heard = Heard::default();
    let spool =
        Spool::open(dir.path(), SpoolOptions { report: heard.report(), ..SpoolOptions::default() }).unwrap();
    assert_eq!(spool.backlog().segments, 1);
    assert_eq!(heard.count("not a file of lowtide's"), 6, "{:?}", heard.all());
    for name in foreign {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"mine", "{name}");
    }
    let server = Proxy::start(None);
    assert!(deliver(&Arc::new(spool), &server.url(), options()).is_complete());
    for name in foreign {
        assert!(dir.path().join(name).exists(), "{name}");
    }
}

#[test]
fn cut_segments_are_put_aside_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 4, 1000));
    let names = segments(dir.path());
    for (name, length) in names.iter().zip([900, 16, 3]) {
        fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_len(length).unwrap();
    }
    let heard = Heard::default();
    let spool =
        Spool::open(dir.path(), SpoolOptions { report: heard.report(), ..SpoolOptions::default() }).unwrap();
    assert_eq!(spool.backlog().segments, 1);
    let lost = spool.losses().quarantined();
    // Only the first still says what it held.
    assert_eq!((lost.segments, lost.rows, lost.queries, lost.responses), (3, 10, 20, 19));
    assert_eq!(heard.count("quarantine"), 3);
    assert_eq!(segments(&dir.path().join("quarantine")), names[..3]);
    drop(spool);
    // Not a second time.
    assert!(open(dir.path()).losses().is_empty());
}

#[test]
fn a_flipped_bit_never_reaches_the_server() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 1, 3000));
    let path = dir.path().join(&segments(dir.path())[0]);
    let good = fs::read(&path).unwrap();
    let server = Proxy::start(None);
    let mut flips = 0;
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let spool = Arc::new(open(dir.path()));
        let outcome = deliver(&spool, &server.url(), options());
        assert_eq!(outcome.segments, 0, "octet {at}");
        assert_eq!(outcome.losses.quarantined().segments, 1, "octet {at}: {outcome}");
        assert!(!outcome.is_complete());
        flips += 1;
    }
    assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), flips);
    assert!(flips > 30 && server.inserts().is_empty());
}

#[test]
fn a_segment_that_somebody_took_away_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = filled(dir.path(), 2, 100);
    fs::remove_file(dir.path().join(&segments(dir.path())[0])).unwrap();
    let server = Proxy::start(None);
    let outcome = deliver(&spool, &server.url(), options());
    assert_eq!((outcome.segments, outcome.losses.sum(|reason| reason == Reason::Vanished).rows), (1, 10));
}

/// Options of a spool for three segments of 1000 octets.
fn small(when_full: WhenFull, heard: &Heard) -> SpoolOptions {
    SpoolOptions { max_octets: 4300, when_full, report: heard.report(), ..SpoolOptions::default() }
}

#[test]
fn a_full_spool_drops_the_oldest_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let spool = Spool::open(dir.path(), small(WhenFull::DropOldest, &heard)).unwrap();
    for sequence in 0..8 {
        assert_eq!(put(&spool, sequence, 1000), Put::Stored);
    }
    assert_eq!(segments(dir.path()), (5..8).map(|n| header(n).file_name()).collect::<Vec<_>>());
    assert!(spool.backlog().octets <= 4300);
    let losses = spool.take_losses();
    let (key, loss) = losses.iter().next().unwrap();
    assert_eq!((key.reason, key.table), (Reason::Full, Some(Table::Traffic)));
    assert_eq!((&*key.sensor, &*key.run), ("sensor 1", "run/1"));
    assert_eq!((loss.segments, loss.rows, loss.queries, loss.responses), (5, 50, 100, 95));
    assert_eq!(loss.intervals, Some((0, 240)));
    assert!(spool.take_losses().is_empty());
    assert_eq!(spool.losses(), losses);
    assert_eq!(heard.all(), ["the spool is full: dropping the oldest segments"]);
    let spool = Arc::new(spool);
    let server = Proxy::start(None);
    let outcome = deliver(&spool, &server.url(), options());
    assert_eq!((outcome.rows, outcome.losses.dropped().rows), (30, 50));
    assert_eq!(
        heard.count("the spool has room again; dropped: 5 segments with 50 rows"),
        1,
        "{:?}",
        heard.all()
    );
}

#[test]
fn a_full_spool_drops_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let spool = Spool::open(dir.path(), small(WhenFull::DropNewest, &heard)).unwrap();
    let puts: Vec<_> = (0..8).map(|sequence| put(&spool, sequence, 1000)).collect();
    assert_eq!(puts.iter().filter(|put| **put == Put::Dropped).count(), 5);
    assert_eq!(segments(dir.path()), (0..3).map(|n| header(n).file_name()).collect::<Vec<_>>());
    let dropped = spool.losses().dropped();
    assert_eq!((dropped.rows, dropped.intervals), (50, Some((180, 420))));
    assert_eq!(heard.all().len(), 1);
}

#[test]
fn a_full_spool_makes_its_producer_wait() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let spool = Arc::new(Spool::open(dir.path(), small(WhenFull::Wait, &heard)).unwrap());
    let producer = {
        let spool = Arc::clone(&spool);
        thread::spawn(move || (0..20).map(|n| put(&spool, n, 1000)).collect::<Vec<_>>())
    };
    support::wait_until("full", || heard.count("waiting for room") == 1);
    assert!(!producer.is_finished());
    let server = Proxy::start(None);
    let delivery = support::start(&spool, &server.url(), options());
    assert!(producer.join().unwrap().iter().all(|put| *put == Put::Stored));
    let outcome = delivery.finish();
    assert!(outcome.is_complete());
    assert_eq!((outcome.segments, outcome.rows), (20, 200));
}

#[test]
fn whoever_waits_is_told_that_nobody_will_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(dir.path(), small(WhenFull::Wait, &Heard::default())).unwrap());
    let producer = {
        let spool = Arc::clone(&spool);
        thread::spawn(move || {
            (0..5).map(|n| spool.put(&header(n), &noise(n, 1000))).find_map(Result::err).unwrap()
        })
    };
    support::wait_until("full", || spool.backlog().segments == 3);
    spool.stop();
    assert!(matches!(producer.join().unwrap(), SpoolError::Stopped));
    // What was written is kept, and nothing else.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
}

#[test]
fn a_segment_larger_than_the_spool_is_taken_when_it_is_alone() {
    for when_full in [WhenFull::Wait, WhenFull::DropOldest, WhenFull::DropNewest] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), small(when_full, &Heard::default())).unwrap();
        assert_eq!(put(&spool, 0, 100_000), Put::Stored);
    }
}

#[test]
fn old_segments_are_dropped() {
    /// Two hours later than it is.
    fn clock() -> SystemTime {
        fs::metadata("/proc/self").unwrap().modified().unwrap() + Duration::from_secs(7200)
    }
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 3, 100));
    let max_age = Some((Duration::from_secs(3600), clock as fn() -> SystemTime));
    let spool = Spool::open(dir.path(), SpoolOptions { max_age, ..SpoolOptions::default() }).unwrap();
    assert_eq!(put(&spool, 9, 100), Put::Stored);
    assert_eq!(segments(dir.path()), [header(9).file_name()]);
    assert_eq!(spool.losses().sum(|reason| reason == Reason::Age).segments, 3);
}

#[test]
fn what_waits_is_for_nobody_else() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = tempfile::tempdir().unwrap();
    let (new, old) = (dir.path().join("a/spool"), dir.path().join("old"));
    fs::create_dir(&old).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    for (dir, expected) in [(new, 0o700), (old, 0o755)] {
        let _spool = filled(&dir, 2, 100);
        assert_eq!(mode(&dir), expected, "one that is there stays as it is");
        for name in segments(&dir) {
            assert_eq!(mode(&dir.join(name)), 0o600);
        }
    }
}

#[test]
fn a_directory_without_rights_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    match Spool::open(&path, SpoolOptions::default()) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("Permission denied") && text.contains("spool"), "{text}");
        }
        Ok(_) => {
            println!("NOT RUN: root may write everywhere; run as a user to test a directory without rights");
        }
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Spool::open(&file, SpoolOptions::default()), Err(SpoolError::Directory(..))));
}
