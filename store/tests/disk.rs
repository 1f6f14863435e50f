//! The spool on a full and on a read-only disk. Apart from the other tests, because `mount` is run: between fork and exec
//! a child holds its parent's locks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lowtide_store::spool::{Put, Reason, Spool, SpoolOptions, WhenFull};
use support::proxy::Proxy;
use support::{Heard, deliver, header, noise, open, options, put};

/// A file system of this size, or with these options; `None` where it cannot be mounted.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        println!("NOT RUN: no tmpfs can be mounted here; run as root to test a full and a read-only disk");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let remounted = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(self.path())
            .status()
            .unwrap();
        assert!(remounted.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn on_disk(when_full: WhenFull, patience_ms: u64, heard: &Heard) -> SpoolOptions {
    SpoolOptions {
        when_full,
        write_patience: Duration::from_millis(patience_ms),
        report: heard.report(),
        ..SpoolOptions::default()
    }
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let Some(mount) = Mount::new("size=64k") else { return };
    let heard = Heard::default();
    let spool = Spool::open(mount.path(), on_disk(WhenFull::Wait, 300, &heard)).unwrap();
    let error = (0..10).map(|n| spool.put(&header(n), &noise(n, 10_000))).find_map(Result::err).unwrap();
    let text = error.to_string();
    assert!(text.contains("No space left") && text.contains(&*mount.path().to_string_lossy()), "{text}");
    let kept = spool.backlog();
    assert!(kept.segments >= 3, "{kept:?}");
    // Nothing half-written stays, and what was written is whole.
    let names: Vec<_> = fs::read_dir(mount.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len() as u64, kept.segments + 1, "{names:?}");

    let server = Proxy::start(None);
    let spool = Arc::new(spool);
    let outcome = deliver(&spool, &server.url(), options());
    assert!(outcome.is_complete());
    assert_eq!(put(&spool, 20, 10_000), Put::Stored);
    assert_eq!(
        (heard.count("No space left"), heard.count("can be written again")),
        (1, 1),
        "{:?}",
        heard.all()
    );
}

#[test]
fn a_full_disk_that_empties_in_time_costs_nothing() {
    let Some(mount) = Mount::new("size=64k") else { return };
    let heard = Heard::default();
    let spool = Arc::new(Spool::open(mount.path(), on_disk(WhenFull::Wait, 20_000, &heard)).unwrap());
    let producer = {
        let spool = Arc::clone(&spool);
        thread::spawn(move || (0..10).all(|n| put(&spool, n, 10_000) == Put::Stored))
    };
    support::wait_until("full disk", || heard.count("No space left") == 1);
    let server = Proxy::start(None);
    let delivery = support::start(&spool, &server.url(), options());
    assert!(producer.join().unwrap());
    let outcome = delivery.finish();
    assert_eq!((outcome.segments, outcome.is_complete()), (10, true), "{outcome}");
}

#[test]
fn a_full_disk_drops_and_counts_where_that_is_the_policy() {
    let Some(mount) = Mount::new("size=64k") else { return };
    let heard = Heard::default();
    let spool = Spool::open(mount.path(), on_disk(WhenFull::DropNewest, 0, &heard)).unwrap();
    let dropped = (0..10).filter(|n| put(&spool, *n, 10_000) == Put::Dropped).count() as u64;
    assert!(dropped >= 3);
    let lost = spool.losses().sum(|reason| reason == Reason::Unwritable);
    assert_eq!((lost.segments, lost.queries), (dropped, dropped * 20));
    assert_eq!(spool.backlog().segments + dropped, 10);
    assert_eq!(heard.count("cannot write to spool"), 1);
}

#[test]
fn a_read_only_disk_is_told() {
    let Some(mount) = Mount::new("size=1m") else { return };
    let heard = Heard::default();
    let spool = Arc::new(Spool::open(mount.path(), on_disk(WhenFull::Wait, 50, &heard)).unwrap());
    assert_eq!(put(&spool, 0, 100), Put::Stored);
    mount.remount("ro");
    let error = spool.put(&header(1), b"x").unwrap_err();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    // Delivered, not removable, not sent twice.
    let server = Proxy::start(None);
    let delivery_heard = Heard::default();
    let outcome = deliver(
        &spool,
        &server.url(),
        lowtide_store::deliver::DeliveryOptions { report: delivery_heard.report(), ..options() },
    );
    assert_eq!((outcome.segments, server.inserts().len()), (1, 1));
    assert_eq!(heard.count("delivered, but not removed"), 1, "{:?}", heard.all());
    drop(spool);
    // From a read-only medium it can be delivered again; the token makes that harmless.
    let outcome = deliver(&Arc::new(open(mount.path())), &server.url(), options());
    assert_eq!((outcome.segments, server.inserts().len()), (1, 2));
    assert_eq!(server.inserts()[0].token(), server.inserts()[1].token());
    mount.remount("rw");
    assert_eq!(open(mount.path()).backlog().segments, 1);
    fs::remove_file(mount.path().join("lock")).unwrap();
    mount.remount("ro");
    let error = Spool::open(mount.path(), SpoolOptions::default()).unwrap_err();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
}
