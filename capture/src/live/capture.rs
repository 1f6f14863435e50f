//! One handle: opened, polled, lost and opened again.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use lowtide_proto::{LinkType, Packet, Timestamp};
use pcap::{Active, Capture};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::fanout::{self, Group};
use super::filter::{self, Filter};
use super::handle;
use super::link::{Link, Links};
use super::stats::Accumulator;
use super::{ANY, Gone, LiveError, LiveOptions, LiveStats, Warning, Xdp};

/// How often an interface without traffic is looked at. libpcap tells of a removal only, and an error of the socket
/// that tells of a shutdown may be read by libpcap first.
const LOOK: Duration = Duration::from_secs(1);

/// `FANOUT` groups hold no more.
const MAX_THREADS: usize = 256;

/// What a call of [`LiveCapture::poll`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// The frames that were lent.
    pub packets: usize,
}

/// A live capture at one interface, or one of several that share its traffic.
pub struct LiveCapture {
    options: LiveOptions,
    links: Links,
    /// None when the interface was removed.
    handle: Option<Capture<Active>>,
    /// The interface's number; none for all interfaces.
    index: Option<u32>,
    link_type: LinkType,
    group: Option<Group>,
    /// Whether it is the first handle of its interface.
    first: bool,
    warnings: Vec<Warning>,
    stats: Accumulator,
    gone: Option<Gone>,
    looked: Instant,
}

impl LiveCapture {
    /// Opens as many handles as threads are wanted. Needs `CAP_NET_RAW`, and so does [`reopen`](Self::reopen) of an
    /// interface that was removed. Takes 0.3 s: what the kernel caught before the filter was set and before the
    /// handles shared the traffic is thrown away, so that nothing is counted which was not asked for or twice.
    ///
    /// # Errors
    /// See [`LiveError`].
    pub fn open(options: &LiveOptions) -> Result<Vec<Self>, LiveError> {
        let threads = options.threads.clamp(1, MAX_THREADS);
        let mut captures = Vec::with_capacity(threads);
        for number in 0..threads {
            let links = Links::open().map_err(|error| handle::os(options, error))?;
            captures.push(Self {
                options: options.clone(),
                links,
                handle: None,
                index: None,
                link_type: LinkType(0),
                group: None,
                first: number == 0,
                warnings: Vec::new(),
                stats: Accumulator::default(),
                gone: None,
                looked: Instant::now(),
            });
        }
        for capture in &mut captures {
            let link = capture.present()?;
            capture.activate(link)?;
        }
        if let Some(handle) = captures.iter_mut().find_map(|capture| capture.handle.as_mut()) {
            handle::discard(handle);
        }
        let mut group = None;
        for capture in &mut captures {
            if threads > 1 {
                capture.share(&mut group)?;
            }
        }
        for capture in &mut captures {
            capture.begin()?;
        }
        Ok(captures)
    }

    /// Lends the frames that are there, at most some thousands; when there are none it waits for some, at most for
    /// `wait`.
    ///
    /// # Errors
    /// [`LiveError::Gone`] when the interface was lost, at this and all further calls until [`reopen`](Self::reopen)
    /// works. Frames that were caught before are lent first.
    pub fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(&Packet<'_>)) -> Result<Polled, LiveError> {
        if let Some(how) = self.gone {
            return Err(self.is_gone(how));
        }
        let mut polled = self.dispatch(each);
        if let Ok(Polled { packets: 0 }) = polled {
            let events = self.wait(wait)?;
            polled = self.dispatch(each);
            let idle = matches!(polled, Ok(Polled { packets: 0 }));
            let suspicious = events.intersects(PollFlags::ERR | PollFlags::HUP);
            if polled.is_ok() && !suspicious && !(idle && self.looked.elapsed() >= LOOK) {
                return polled;
            }
        } else if polled.is_ok() {
            return polled;
        }
        self.looked = Instant::now();
        match self.lost() {
            None => polled,
            Some(how) => {
                self.leave(how, each);
                Err(self.is_gone(how))
            }
        }
    }

    /// Goes on after [`LiveError::Gone`], when the interface is back: with the same handle if it was only down, for
    /// which no privilege is needed. Without a loss it does nothing.
    ///
    /// # Errors
    /// The interface is not back ([`LiveError::NoInterface`], [`LiveError::Down`]), or cannot be opened as at first.
    /// In a group a removed interface comes back only when all handles have seen its removal, so that the first
    /// attempts may fail.
    pub fn reopen(&mut self) -> Result<(), LiveError> {
        if self.gone.is_none() {
            return Ok(());
        }
        let link = self.present()?;
        let same = link.as_ref().map(|link| link.index) == self.index;
        if !same || self.handle.is_none() {
            self.handle = None;
            let mut group = self.group;
            self.activate(link)?;
            if let Some(handle) = &mut self.handle {
                handle::discard(handle);
            }
            if group.is_some() {
                self.share(&mut group)?;
            }
            self.begin()?;
        }
        self.gone = None;
        self.looked = Instant::now();
        Ok(())
    }

    /// What was received and lost since the capture was opened.
    ///
    /// # Errors
    /// libpcap cannot say.
    pub fn stats(&mut self) -> Result<LiveStats, LiveError> {
        if let Some(handle) = &mut self.handle {
            let stats = handle.stats().map_err(|error| handle::of_pcap(&self.options, error))?;
            self.stats.handle(stats.received, stats.dropped);
        }
        if self.first {
            // An interface that cannot be looked at counts on when it can.
            if let Ok(links) = self.links.seen_by(&self.options.interface) {
                self.stats.interfaces(&links);
            }
        }
        Ok(self.stats.total())
    }

    /// Whether an XDP program is attached now.
    ///
    /// # Errors
    /// As of [`xdp`](super::xdp).
    pub fn xdp(&mut self) -> io::Result<Xdp> {
        self.links.xdp(&self.options.interface)
    }

    /// What an operator should know of it. May change when the interface is opened again.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.options.interface
    }

    /// The link type of its frames.
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// The interface, which is there, is up and hides nothing; none for all interfaces.
    fn present(&mut self) -> Result<Option<Link>, LiveError> {
        let interface = self.options.interface.clone();
        self.warnings.clear();
        let link = if interface == ANY {
            self.warnings.push(Warning::Any);
            None
        } else {
            let Some(link) = self.links.find(&interface).map_err(|error| handle::os(&self.options, error))?
            else {
                let present = self.links.all().unwrap_or_default().into_iter().map(|link| link.name);
                return Err(LiveError::NoInterface { interface, present: present.collect() });
            };
            if !link.up {
                return Err(LiveError::Down { interface });
            }
            if link.bridge {
                self.warnings.push(Warning::Bridge);
            }
            Some(link)
        };
        match self.links.xdp(&interface) {
            Err(_) => self.warnings.push(Warning::XdpUnknown),
            Ok(xdp) if !xdp.is_attached() => {}
            Ok(xdp) if self.options.allow_xdp => self.warnings.push(Warning::Xdp(xdp)),
            Ok(xdp) => return Err(LiveError::Xdp { interface, xdp }),
        }
        Ok(link)
    }

    /// Opens the handle, which gives nothing yet.
    fn activate(&mut self, link: Option<Link>) -> Result<(), LiveError> {
        let handle = handle::activate(&self.options)?;
        self.link_type = filter::link_type(handle.get_datalink());
        self.index = link.map(|link| link.index);
        self.handle = Some(handle);
        Ok(())
    }

    /// Joins the group, or founds it.
    fn share(&mut self, group: &mut Option<Group>) -> Result<(), LiveError> {
        let Some(handle) = &self.handle else { return Ok(()) };
        let shared = match *group {
            Some(group) => fanout::join(handle.as_fd(), group).map(|()| group),
            None => fanout::found(handle.as_fd()),
        };
        let interface = || self.options.interface.clone();
        *group = Some(shared.map_err(|error| LiveError::Fanout { interface: interface(), error })?);
        self.group = *group;
        self.warnings.push(Warning::Ipv6Fragments);
        Ok(())
    }

    /// Sets the filter: from here on frames are received and counted.
    fn begin(&mut self) -> Result<(), LiveError> {
        let options = &self.options;
        let Some(handle) = &mut self.handle else { return Ok(()) };
        handle::drain(handle).map_err(|error| handle::of_pcap(options, error))?;
        let filter = Filter::new(handle, &options.ports, options.filter.as_deref())?;
        let before = handle.stats().map_err(|error| handle::of_pcap(options, error))?;
        self.stats.begin(before.received, before.dropped);
        // The empty filter is libpcap's for everything.
        let expression = filter.expression.as_deref().unwrap_or_default();
        handle.filter(expression, true).map_err(|error| handle::of_pcap(options, error))?;
        self.warnings.extend(filter.warnings);
        if !is_decoded(self.link_type) {
            self.warnings.push(Warning::LinkType(self.link_type));
        }
        if self.first
            && let Ok(links) = self.links.seen_by(&options.interface)
        {
            self.stats.interfaces(&links);
        }
        Ok(())
    }

    fn dispatch(&mut self, each: &mut dyn FnMut(&Packet<'_>)) -> Result<Polled, LiveError> {
        let Some(handle) = &mut self.handle else { return Ok(Polled::default()) };
        let link_type = self.link_type;
        let dispatched = handle.dispatch(Some(handle::BATCH), |packet| {
            let header = packet.header;
            each(&Packet {
                // With nanoseconds wanted, libpcap puts them where the microseconds are.
                time: Timestamp::new(
                    u64::try_from(header.ts.tv_sec).unwrap_or(0),
                    u64::try_from(header.ts.tv_usec).unwrap_or(0),
                ),
                time_known: true,
                link_type,
                data: packet.data,
                wire_len: header.len,
            });
        });
        dispatched.map(|packets| Polled { packets }).map_err(|error| handle::of_pcap(&self.options, error))
    }

    /// Waits until the kernel hands over frames or tells of an error.
    fn wait(&self, wait: Duration) -> Result<PollFlags, LiveError> {
        let Some(handle) = &self.handle else { return Ok(PollFlags::empty()) };
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut fds, Some(&handle::timespec(wait))) {
            // A signal ends the wait; the caller may want to look why.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(handle::os(&self.options, error.into())),
        }
        Ok(fds.iter().map(PollFd::revents).collect())
    }

    /// Whether the interface is no longer there or down. What cannot be learnt is no loss: libpcap's errors still
    /// come.
    fn lost(&mut self) -> Option<Gone> {
        let index = self.index?;
        match self.links.find(&self.options.interface).ok()? {
            Some(link) if link.index != index => Some(Gone::Removed),
            Some(link) if link.up => None,
            Some(_) => Some(Gone::Down),
            None => Some(Gone::Removed),
        }
    }

    /// Lends what was caught before the interface was lost, some of which the kernel has not handed over yet.
    fn leave(&mut self, how: Gone, each: &mut dyn FnMut(&Packet<'_>)) {
        let end = Instant::now() + handle::FLUSH;
        loop {
            // An error says once more that the interface is gone.
            let packets = self.dispatch(each).map_or(0, |polled| polled.packets);
            let now = Instant::now();
            if packets == 0 && now >= end {
                break;
            }
            if packets == 0 {
                // Not at the socket, which is ready all the time with that error.
                let _ = poll(&mut [], Some(&handle::timespec((end - now).min(handle::RETIRE / 4))));
            }
        }
        // What the kernel cannot tell any more is lost with the handle.
        let _ = self.stats();
        if how == Gone::Removed {
            self.handle = None;
        }
        self.gone = Some(how);
    }

    fn is_gone(&self, how: Gone) -> LiveError {
        LiveError::Gone { interface: self.options.interface.clone(), how }
    }
}

/// What `lowtide-decode` reads (`layers::link`), which cannot be asked from here.
fn is_decoded(link_type: LinkType) -> bool {
    matches!(
        link_type.0,
        0 | 1 | 6 | 8
            ..=10
                | 12
                | 14
                | 50
                | 51
                | 100
                | 101
                | 104
                | 105
                | 108
                | 109
                | 113
                | 117
                | 119
                | 122
                | 127
                | 129
                | 138
                | 143
                | 163
                | 192
                | 204
                | 205
                | 226
                | 228
                | 229
                | 239
                | 240
                | 258
                | 274
                | 276
    )
}
