//! The guard, seen from outside: what the kernel says of a process that applied it, and what such a process can still do.
//!
//! It is applied for good and to a process that has one thread, so each case is a process of its own: this program again, told by the
//! environment what to try. The usual harness would run it in a second thread; hence the few lines in [`main`] that stand in for it. The cases
//! need root, as changing the user does; without it they say so.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]
#![expect(clippy::print_stdout, reason = "this is the harness")]

#[path = "../src/guard/mod.rs"]
mod guard;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use guard::Plan;

/// The user that everybody has, and that owns nothing.
const NOBODY: u32 = 65_534;
const CAP_NET_RAW: u64 = 1 << 13;

const TESTS: [(&str, fn()); 8] = [
    ("everything_is_given_up_but_what_is_kept", everything_is_given_up_but_what_is_kept),
    ("nothing_is_kept_unasked", nothing_is_kept_unasked),
    ("files_are_restricted_without_seccomp", files_are_restricted_without_seccomp),
    ("calls_are_restricted_without_landlock", calls_are_restricted_without_landlock),
    ("root_without_a_user_to_become_is_a_warning", root_without_a_user_to_become_is_a_warning),
    ("whoever_is_not_root_cannot_change", whoever_is_not_root_cannot_change),
    ("who_cannot_be_is_said", who_cannot_be_is_said),
    ("a_thread_that_would_be_left_out_is_an_error", a_thread_that_would_be_left_out_is_an_error),
];

fn main() {
    if let Ok(scenario) = std::env::var("LOWTIDE_GUARD_TEST") {
        return child(&scenario);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--list") {
        // There are none that are ignored.
        TESTS.iter().filter(|_| !has("--ignored")).for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let is_root = nix::unistd::geteuid().is_root();
    let mut passed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        if is_root {
            test();
        }
        println!("test {name} ... {}", if is_root { "ok" } else { "ignored: it needs root" });
        passed += u32::from(is_root);
    }
    println!("test result: ok. {passed} passed; 0 failed");
}

/// A process that applied the guard, and what it found.
struct Guarded {
    child: Child,
    output: BufReader<ChildStdout>,
    found: BTreeMap<String, String>,
    directory: tempfile::TempDir,
}

impl Guarded {
    /// Runs a scenario as that user, until it has found out everything; it then waits.
    fn run(scenario: &str, uid: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        open(directory.path(), 0o755);
        for name in ["inside", "outside"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            // Permissions are no obstacle, so that what is refused is refused by the guard.
            open(&path, 0o777);
        }
        fs::write(directory.path().join("outside/old"), "old").unwrap();
        open(&directory.path().join("outside/old"), 0o666);
        let notify = UnixDatagram::bind(directory.path().join("outside/notify")).unwrap();
        open(&directory.path().join("outside/notify"), 0o777);
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        // Where any user may start it.
        let program = directory.path().join("guard");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        open(&program, 0o755);

        let mut child = Command::new(&program)
            .env("LOWTIDE_GUARD_TEST", scenario)
            .env("DIRECTORY", directory.path())
            .env("TCP", tcp.local_addr().unwrap().to_string())
            .current_dir("/")
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut found = BTreeMap::new();
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 && line != "done\n" {
            let (what, result) = line.trim_end().split_once(" = ").unwrap_or_else(|| panic!("{line:?}"));
            found.insert(what.to_owned(), result.to_owned());
            line.clear();
        }
        if found.get("connect to a socket").is_some_and(|result| result == "ok") {
            notify.set_nonblocking(true).unwrap();
            assert_eq!(notify.recv(&mut [0; 16]).unwrap(), 7);
        }
        Self { child, output, found, directory }
    }

    #[track_caller]
    fn check(&self, what: &str, result: &str) {
        let found = self.found.get(what).map_or("nothing", String::as_str);
        assert_eq!(found, result, "{what}, of {:#?}", self.found);
    }

    /// What /proc says of each of its threads.
    fn threads(&self) -> Vec<BTreeMap<String, String>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let status = |path: PathBuf| fs::read_to_string(path.join("status")).unwrap();
        let fields = |text: String| {
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            fields
                .map(|(name, value)| {
                    (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
                })
                .collect()
        };
        tasks.map(|task| fields(status(task.unwrap().path()))).collect()
    }

    /// Checks what /proc says of all threads, of which there must be several.
    #[track_caller]
    fn check_status(&self, uid: u32, capabilities: u64, seccomp: bool) {
        let threads = self.threads();
        assert!(threads.len() >= 2, "{} threads", threads.len());
        for thread in threads {
            let is = |field: &str, value: &str| assert_eq!(thread[field], value, "{field} of {thread:#?}");
            let ids = format!("{uid} {uid} {uid} {uid}");
            is("Uid", &ids);
            is("Gid", &ids);
            is("Groups", if uid == 0 { thread["Groups"].as_str() } else { "65534" });
            let capabilities = format!("{capabilities:016x}");
            is("CapEff", &capabilities);
            is("CapPrm", &capabilities);
            is("CapBnd", "0000000000000000");
            is("CapInh", "0000000000000000");
            is("CapAmb", "0000000000000000");
            is("NoNewPrivs", "1");
            is("Seccomp", if seccomp { "2" } else { "0" });
        }
    }

    /// What the files say that it was to write.
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.output.read_to_string(&mut String::new()).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.directory.close().unwrap();
    }
}

#[track_caller]
fn check_files(guarded: &Guarded) {
    guarded.check("write inside", "ok");
    guarded.check("rename and remove inside", "ok");
    guarded.check("listen inside", "ok");
    guarded.check("create outside", "Permission denied");
    guarded.check("write outside", "Permission denied");
    guarded.check("truncate outside", "Permission denied");
    guarded.check("remove outside", "Permission denied");
    guarded.check("read outside", "Permission denied");
    guarded.check("read settings", "ok");
    guarded.check("read certificates", "ok");
    guarded.check("read about interfaces", "ok");
    guarded.check("read about itself", "ok");
    assert_eq!(fs::read_to_string(guarded.directory.path().join("outside/old")).unwrap(), "old");
}

#[track_caller]
fn check_sockets(guarded: &Guarded) {
    guarded.check("resolve a name", "ok");
    guarded.check("connect by TCP", "ok");
    guarded.check("connect to a socket", "ok");
}

fn everything_is_given_up_but_what_is_kept() {
    let guarded = Guarded::run("everything", 0);
    guarded.check_status(NOBODY, CAP_NET_RAW, true);
    check_files(&guarded);
    check_sockets(&guarded);
    guarded.check("start a program", "Operation not permitted");
    guarded.check("become a program", "Operation not permitted");
    guarded.check("become root", "Operation not permitted");
    guarded.check("user", "true, changed to 'nobody' (65534, group 65534)");
    guarded.check("capabilities", "true, CAP_NET_RAW kept, to open interfaces again");
    guarded.check("privileges", "true, none can be gained by starting a program");
    guarded.check("core dumps", "true, off, and no debugger of the same user can attach");
    let inside = guarded.directory.path().join("inside");
    guarded.check("files", &format!("true, none can be executed, and written only in {}", inside.display()));
    let calls = &guarded.found["system calls"];
    assert!(calls.starts_with("true, ") && calls.ends_with(" denied that are not needed"), "{calls}");
    guarded.end();
}

fn nothing_is_kept_unasked() {
    let guarded = Guarded::run("nothing kept", 0);
    guarded.check_status(NOBODY, 0, true);
    guarded.check("capabilities", "true, none left");
    guarded.end();
}

fn files_are_restricted_without_seccomp() {
    let guarded = Guarded::run("without seccomp", 0);
    guarded.check_status(NOBODY, 0, false);
    check_files(&guarded);
    check_sockets(&guarded);
    guarded.check("start a program", "Permission denied");
    guarded.check("become a program", "Permission denied");
    guarded.check("become root", "Operation not permitted");
    guarded.check("system calls", "false, not restricted, as configured");
    guarded.end();
}

fn calls_are_restricted_without_landlock() {
    let guarded = Guarded::run("without Landlock", 0);
    guarded.check_status(NOBODY, 0, true);
    check_sockets(&guarded);
    guarded.check("create outside", "ok");
    guarded.check("start a program", "Operation not permitted");
    guarded.check("become a program", "Operation not permitted");
    guarded.check("files", "false, not restricted, as configured");
    guarded.end();
}

fn root_without_a_user_to_become_is_a_warning() {
    let guarded = Guarded::run("no user", 0);
    guarded.check_status(0, 0, true);
    check_files(&guarded);
    guarded.check("user", "false, runs as root, since no other user is configured");
    guarded.end();
}

fn whoever_is_not_root_cannot_change() {
    let guarded = Guarded::run("another user", NOBODY);
    guarded.check(
        "error",
        "true, only root can change to user 'daemon': start as root or as that user, or name none",
    );
    guarded.end();

    let guarded = Guarded::run("everything", NOBODY);
    guarded.check("user", "true, is 'nobody' already");
    guarded.check(
        "capabilities",
        &format!(
            "false, none left; programs could have {}; without CAP_NET_RAW an interface that vanishes cannot be opened again",
            u64::from_str_radix(&guarded.threads()[0]["CapBnd"], 16).unwrap().count_ones()
        ),
    );
    check_files(&guarded);
    guarded.end();

    let guarded = Guarded::run("no user", NOBODY);
    guarded.check("user", "true, stays 65534, not started as root");
    guarded.check("become a program", "Operation not permitted");
    guarded.end();
}

fn who_cannot_be_is_said() {
    for (scenario, error) in [
        ("unknown user", "true, there is no user 'no-such-user' to run as"),
        ("unknown group", "true, there is no group 'no-such-group' to run as"),
        ("number alone", "true, user '54321' has no entry in the system's list of users: name a group too"),
        ("group alone", "true, group 'nogroup' is named without a user to run as"),
        (
            "nothing to write",
            "true, cannot write in /no/such/directory: No such file or directory (os error 2)",
        ),
    ] {
        let guarded = Guarded::run(scenario, 0);
        guarded.check("error", error);
        guarded.end();
    }
    let guarded = Guarded::run("numbers", 0);
    guarded.check("user", "true, changed to '54321' (54321, group 54322)");
    guarded.end();
}

fn a_thread_that_would_be_left_out_is_an_error() {
    let guarded = Guarded::run("a thread before", 0);
    guarded.check("error", "false, 2 threads run before the process is guarded");
    guarded.end();
}

fn plan(scenario: &str, inside: &Path) -> Plan {
    let name = |name: &str| Some(name.to_owned());
    let mut plan = Plan {
        user: name("nobody"),
        writable: vec![inside.to_owned()],
        seccomp: true,
        landlock: true,
        ..Plan::default()
    };
    match scenario {
        "everything" => plan.keep_net_raw = true,
        "nothing kept" | "a thread before" => {}
        "without seccomp" => plan.seccomp = false,
        "without Landlock" => plan.landlock = false,
        "no user" => plan.user = None,
        "another user" => plan.user = name("daemon"),
        "unknown user" => plan.user = name("no-such-user"),
        "unknown group" => plan.group = name("no-such-group"),
        "number alone" => plan.user = name("54321"),
        "group alone" => (plan.user, plan.group) = (None, name("nogroup")),
        "numbers" => (plan.user, plan.group) = (name("54321"), name("54322")),
        "nothing to write" => plan.writable = vec!["/no/such/directory".into()],
        _ => panic!("no scenario {scenario}"),
    }
    plan
}

/// Applies the guard, tries in another thread what can be done, tells it, and waits until it is read.
fn child(scenario: &str) {
    let directory = PathBuf::from(std::env::var_os("DIRECTORY").unwrap());
    let plan = plan(scenario, &directory.join("inside"));
    let before = (scenario == "a thread before").then(|| std::thread::spawn(std::thread::park));
    match guard::apply(&plan) {
        Ok(report) => {
            for measure in report.measures {
                println!("{} = {}, {}", measure.name, measure.holds, measure.text);
            }
            let tried = std::thread::spawn(move || {
                attempts(&directory);
                println!("done");
                io::stdin().read_to_end(&mut Vec::new())
            });
            tried.join().unwrap().unwrap();
        }
        Err(error) => {
            println!("error = {}, {error}", error.is_configuration());
            println!("done");
        }
    }
    if let Some(before) = before {
        before.thread().unpark();
        before.join().unwrap();
    }
}

fn attempts(directory: &Path) {
    let (inside, outside) = (directory.join("inside"), directory.join("outside"));
    let told = |what: &str, result: io::Result<()>| {
        let result = result.map_or_else(|error| error.to_string(), |()| "ok".into());
        println!("{what} = {}", result.split(" (os error").next().unwrap());
    };
    let read = |path: &str| File::open(path).and_then(|mut file| file.read(&mut [0; 64])).map(drop);
    told("write inside", fs::write(inside.join("new"), "new"));
    told(
        "rename and remove inside",
        fs::create_dir(inside.join("sub"))
            .and_then(|()| fs::rename(inside.join("new"), inside.join("sub/renamed")))
            .and_then(|()| File::options().write(true).truncate(true).open(inside.join("sub/renamed")))
            .and_then(|_| fs::remove_dir_all(inside.join("sub"))),
    );
    told("listen inside", UnixListener::bind(inside.join("socket")).map(drop));
    told("create outside", fs::write(outside.join("new"), "new"));
    told("write outside", File::options().append(true).open(outside.join("old")).map(drop));
    told("truncate outside", File::create(outside.join("old")).map(drop));
    told("remove outside", fs::remove_file(outside.join("old")));
    told("read outside", File::open(outside.join("old")).map(drop));
    told("read settings", read("/etc/passwd"));
    told("read certificates", fs::read_dir("/etc/ssl/certs").map(drop));
    told("read about interfaces", read("/sys/class/net/lo/mtu").and_then(|()| read("/proc/net/dev")));
    told("read about itself", read("/proc/self/statm").and_then(|()| read("/proc/self/status")));
    told("resolve a name", "localhost:53".to_socket_addrs().map(drop));
    told("connect by TCP", TcpStream::connect(std::env::var("TCP").unwrap()).map(drop));
    told(
        "connect to a socket",
        UnixDatagram::unbound()
            .and_then(|socket| socket.send_to(b"READY=1", outside.join("notify")))
            .map(drop),
    );
    told("start a program", Command::new("/bin/true").status().map(drop));
    told("become a program", Err(Command::new("/bin/true").exec()));
    let root = nix::unistd::Uid::from_raw(0);
    if !nix::unistd::geteuid().is_root() {
        told("become root", nix::unistd::setresuid(root, root, root).map_err(io::Error::from));
    }
    io::stdout().flush().unwrap();
}
