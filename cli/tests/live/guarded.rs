//! A run that was started as root and has given it away: what the kernel says of it, and that it works all the same.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::message::{SECOND, now, pairs};
use crate::place::{Place, until};
use crate::rows::Rows;
use crate::support::{Server, skipped};

/// The user that everybody has.
const NOBODY: u32 = 65_534;

#[test]
fn everything_works_without_privileges() {
    if skipped() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        use std::io::Write;
        let _ = std::io::stderr().write_all(b"NOT RUN: only root can give root away\n");
        return;
    }
    let mut server = Server::start();
    let url = server.url("guarded");
    let mut place = Place::new(Some(&url));
    place.configure(
        "[process]\nuser = 'nobody'\n[[dnstap]]\nlisten = 'tcp:127.0.0.1:0'\n"
            .replace(":0'", &format!(":{}'", crate::place::free_port()))
            .as_str(),
    );
    let mut run = place.start();
    let mut sender = place.sender();
    sender.send(pairs("ns1", now() - 20 * SECOND, 100));
    let rows = Rows { server: &server, database: "guarded" };
    until("rows", || rows.number_so_far("SELECT sum(answered) FROM traffic") == 100);

    let tasks = format!("/proc/{}/task", run.process.pid());
    let mut names = Vec::new();
    for task in fs::read_dir(tasks).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let name = field("Name")[0].clone();
        let nobody = vec![NOBODY.to_string(); 4];
        assert_eq!((field("Uid"), field("Gid")), (nobody.clone(), nobody), "{name}");
        assert!(field("Groups").iter().all(|group| *group == NOBODY.to_string()), "{name}: {status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), ["0000000000000000"], "{name}: {set}");
        }
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), (vec!["1".into()], vec!["2".into()]), "{name}");
        names.push(name);
    }
    for name in ["dnstap", "decode", "count-0", "recorder", "signals"] {
        assert!(names.iter().any(|its| its == name), "{name} of {names:?}");
    }

    // Files are nobody's, and the configuration can be read again.
    server.kill();
    sender.send(pairs("ns1", now() - 20 * SECOND, 50));
    let traffic = || place.segments().into_iter().find(|path| path.to_string_lossy().contains("traffic"));
    until("rows in the spool", || traffic().is_some());
    assert_eq!(fs::metadata(traffic().unwrap()).unwrap().uid(), NOBODY);
    place.configure(&(fs::read_to_string(place.configuration()).unwrap() + "[limits]\noutstanding = 5000\n"));
    run.process.signal(nix::sys::signal::Signal::SIGHUP);
    run.said("was read again");
    server.restart();
    sender.finish();
    let log = run.stop();
    let rows = Rows { server: &server, database: "guarded" };
    assert_eq!(rows.account("1"), [150, 150, 150, 0, 0, 0, 0, 0]);
    assert!(place.segments().is_empty(), "{log}");
    assert!(!place.socket().exists(), "the socket is removed");
    // Again, in the spool that is nobody's by now.
    place.start().stop();
}
