//! The senders of a soak: servers that send dnstap at their rate, connect again when they are cut off, and know what they sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lowtide_benches::clock;
use lowtide_benches::frames::Frames;
use lowtide_benches::sender::{Sender, Sent};

use super::faults::wait;
use super::{Options, Outcome};

/// How long a killed sender is away.
pub const AWAY: Duration = Duration::from_secs(3);

/// Frames that each holds in memory.
const MOST: u64 = 200_000;

/// How long a sender tries to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two senders, of which the first is killed now and then: what the second sends must not suffer.
pub struct Senders {
    /// Kills the first, once.
    pub kill: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<Result<Sent, String>>>,
    /// Where their frames come from.
    pub origin: String,
}

impl Senders {
    /// Starts them.
    pub fn start(options: &Options, socket: &Path) -> Outcome<Self> {
        let (kill, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let frames = Frames::load(options.frames.as_deref(), options.all.generate, MOST)?;
        let origin = frames.origin.clone();
        let mut running = Vec::new();
        for name in [b'1', b'2'] {
            let mut one = One {
                frames: frames.clone(),
                socket: socket.to_owned(),
                rate: (options.rate / 2).max(1),
                kill: if name == b'1' { Arc::clone(&kill) } else { Arc::default() },
                stop: Arc::clone(&stop),
            };
            one.frames.rename(name);
            running.push(thread::Builder::new().name("sender".to_owned()).spawn(move || one.run())?);
        }
        Ok(Self { kill, stop, running, origin })
    }

    /// Whether one has failed.
    pub fn has_failed(&self) -> bool {
        self.running.iter().any(JoinHandle::is_finished)
    }

    /// Ends their streams; what each has sent.
    pub fn finish(self) -> Outcome<Vec<Sent>> {
        self.stop.store(true, Ordering::Release);
        let join = |sender: JoinHandle<Result<Sent, String>>| sender.join().map_err(|_| "a sender failed")?;
        Ok(self.running.into_iter().map(join).collect::<Result<Vec<_>, String>>()?)
    }
}

struct One {
    frames: Frames,
    socket: PathBuf,
    rate: u64,
    kill: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl One {
    fn run(&mut self) -> Result<Sent, String> {
        let Self { frames, socket, rate, kill, stop } = self;
        let mut frames = frames.endless(*rate);
        let mut all = Sent::default();
        let goes_on = || !stop.load(Ordering::Acquire) && !kill.load(Ordering::Acquire);
        loop {
            let connect = || Sender::connect(socket).ok();
            let Some(mut sender) = clock::await_some(PATIENCE, Duration::from_millis(100), connect) else {
                return Err("lowtide takes no sender any more".to_owned());
            };
            match sender.pace(&mut frames, *rate, Duration::MAX, goes_on) {
                Ok(sent) => all = all.and(sent),
                Err((_, error)) => return Err(format!("lowtide cut a sender off: {error}")),
            }
            if kill.swap(false, Ordering::AcqRel) {
                sender.break_off(400, &[0x0a; 100]);
                wait(AWAY);
            } else {
                sender.finish().map_err(|error| format!("lowtide does not say FINISH: {error}"))?;
                return Ok(all);
            }
        }
    }
}
