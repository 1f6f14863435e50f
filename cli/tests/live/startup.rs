//! What keeps a run from starting, and how that is said: one line, and an exit code.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::place::Place;

/// Runs it, which must fail with this code and one line with these words in it.
#[track_caller]
fn fails(place: &Place, code: i32, words: &[&str]) {
    let output = place.try_run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let errors: Vec<_> = said
        .lines()
        .filter(|line| ![" INFO ", " WARN ", "warning: "].iter().any(|word| line.contains(word)))
        .collect();
    let line = errors.first().copied().unwrap_or_default();
    // Usage errors may have a hint of how to go on below.
    assert!(errors.len() == 1 || code == 2, "{said}");
    for word in words {
        assert!(line.contains(word), "'{word}' is not in: {said}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_socket_that_somebody_has() {
    let place = Place::new(None);
    let mut run = place.start();
    let mut other = Place::new(None);
    other.with(&["--dnstap", &format!("unix:{}", place.socket().display())]);
    fails(&other, 1, &["tap.sock", "another process listens there"]);
    // The first has lost nothing by it.
    place.sender().finish();
    run.kill();
    // What a dead one left behind is in nobody's way.
    assert!(place.socket().exists());
    let mut run = other.start();
    place.sender().finish();
    run.stop();
    assert!(!place.socket().exists());

    let directory = place.folder.path().join("none/tap.sock");
    other.with(&["--dnstap", &format!("unix:{}", directory.display())]);
    fails(&other, 1, &[directory.to_str().unwrap(), "there is no directory"]);
    // A file that is no socket is somebody's.
    let file = place.folder.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    other.with(&["--dnstap", &format!("unix:{}", file.display())]);
    fails(&other, 1, &[file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    // So is a socket of another program.
    let path = place.folder.path().join("theirs.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    other.with(&["--dnstap", &format!("unix:{}", path.display())]);
    fails(&other, 1, &["theirs.sock", "another process listens there"]);
    assert!(path.exists());
}

#[test]
fn ports_that_somebody_has() {
    let mut place = Place::new(None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    place.with(&["--metrics", &address]);
    fails(&place, 1, &["metrics", &address, "in use"]);
    place.with(&["--metrics", "off", "--dnstap", &format!("tcp:{address}")]);
    fails(&place, 1, &[&address, "in use"]);
}

#[test]
fn a_spool_that_another_has() {
    let place = Place::new(None);
    let mut run = place.start();
    let mut other = Place::new(None);
    other.with(&["--spool", place.spool().to_str().unwrap()]);
    fails(&other, 1, &["spool", "in use by another lowtide"]);
    assert!(!other.socket().exists(), "nothing is left behind");
    run.stop();
    other.start().stop();
    // A directory that cannot be made.
    let file = place.folder.path().join("file");
    fs::write(&file, "").unwrap();
    other.with(&["--spool", file.join("spool").to_str().unwrap()]);
    fails(&other, 2, &["--spool", "it is no directory"]);
}

#[test]
fn options_that_are_wrong() {
    let mut place = Place::new(None);
    place.arguments.retain(|argument| argument != "--dnstap" && !argument.starts_with("unix:"));
    fails(&place, 2, &["dnstap"]);

    let mut place = Place::new(None);
    place.with(&["--user", "nobody-of-this-name"]);
    fails(&place, 2, &["nobody-of-this-name"]);

    let mut place = Place::new(None);
    let file = place.configuration();
    let file = file.to_str().unwrap();
    for (text, place_of) in [
        ("[sensor]\ninterval = 5\n", "2:12"),
        ("[sensor]\n\nlatenes = '1s'\n", "3:1"),
        ("[sensor\n", "1:"),
        ("[[dnstap]]\nlisten = 'unix:relative'\nmode = 'rw'\n", "3:8"),
    ] {
        place.configure(text);
        fails(&place, 2, &[file, place_of]);
    }
    fs::remove_file(file).unwrap();
    fails(&place, 2, &[file, "No such file or directory"]);
}

#[test]
fn certificates_that_are_none() {
    let mut place = Place::new(None);
    place.configure(
        "[[dnstap]]\nlisten = 'tcp:127.0.0.1:9'\ntls_cert = '/etc/passwd'\ntls_key = '/etc/passwd'\n",
    );
    fails(&place, 2, &["/etc/passwd", "PEM"]);
}
