//! Listening sockets, opened while the process still may.
//!
//! A unix socket's file is never more open than it was asked to be: nobody can connect before `listen`, and by then its
//! owner and mode are set. They are set through a descriptor of the file, not through its path, which whoever may write to the
//! directory could have made a link to something else meanwhile.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustls::ServerConfig;

/// Where dnstap is awaited.
#[derive(Clone, Debug)]
pub enum Listen {
    /// A unix socket.
    Unix(UnixListen),
    /// A TCP port.
    Tcp(TcpListen),
}

/// A unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListen {
    /// Its file.
    pub path: PathBuf,
    /// The file's permissions; by default what the process's umask leaves.
    pub mode: Option<u32>,
    /// The number of the user who owns the file; by default the process's.
    pub owner: Option<u32>,
    /// The number of the file's group; by default the process's.
    pub group: Option<u32>,
}

/// A TCP port.
#[derive(Clone, Debug)]
pub struct TcpListen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether TLS is spoken, and how.
    pub tls: Option<Arc<ServerConfig>>,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Unix(unix) => write!(f, "unix:{}", unix.path.display()),
            Listen::Tcp(TcpListen { address, tls: None }) => write!(f, "tcp:{address}"),
            Listen::Tcp(TcpListen { address, tls: Some(_) }) => write!(f, "tls:{address}"),
        }
    }
}

/// A socket that cannot be listened on.
#[derive(Debug)]
pub struct TapError {
    /// Which, as [`Listen`] displays it.
    pub listen: String,
    /// What hinders.
    pub kind: TapErrorKind,
}

/// Why a socket cannot be listened on.
#[derive(Debug)]
pub enum TapErrorKind {
    /// The operating system refuses the socket.
    Io(io::Error),
    /// The directory of a unix socket is not there.
    NoDirectory(PathBuf),
    /// The path of a unix socket has more octets than the kernel's 107.
    PathLength,
    /// At the path is something that is not a socket.
    NotSocket,
    /// Somebody listens there.
    InUse,
    /// The file's owner, group or mode cannot be set.
    Permissions(io::Error),
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.listen)?;
        match &self.kind {
            TapErrorKind::Io(error) => write!(f, "cannot be listened on: {error}"),
            TapErrorKind::NoDirectory(directory) => {
                write!(f, "there is no directory {}; make it first", directory.display())
            }
            TapErrorKind::PathLength => {
                f.write_str("the path is longer than the 107 octets that a socket may have")
            }
            TapErrorKind::NotSocket => {
                f.write_str("there is something that is not a socket; remove it or name another path")
            }
            TapErrorKind::InUse => f.write_str("another process listens there; stop it or name another path"),
            TapErrorKind::Permissions(error) => write!(f, "cannot set the file's owner and mode: {error}"),
        }
    }
}

impl std::error::Error for TapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            TapErrorKind::Io(error) | TapErrorKind::Permissions(error) => Some(error),
            _ => None,
        }
    }
}

/// A socket that is listened on, not blocking.
#[derive(Debug)]
pub(super) enum Bound {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener, Option<Arc<ServerConfig>>),
}

impl Bound {
    pub(super) fn new(listen: &Listen) -> Result<Self, TapError> {
        let bound = match listen {
            Listen::Unix(unix) => bind_unix(unix),
            Listen::Tcp(tcp) => bind_tcp(tcp).map_err(TapErrorKind::Io),
        };
        bound.map_err(|kind| TapError { listen: listen.to_string(), kind })
    }
}

fn bind_tcp(tcp: &TcpListen) -> io::Result<Bound> {
    let listener = TcpListener::bind(tcp.address)?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Tcp(listener, tcp.tls.clone()))
}

fn bind_unix(unix: &UnixListen) -> Result<Bound, TapErrorKind> {
    /// Connections that wait for being accepted: a server with many workers opens one for each at once.
    const BACKLOG: i32 = 1_024;
    let io = |errno: Errno| TapErrorKind::Io(errno.into());
    let address = SocketAddrUnix::new(&unix.path).map_err(|_| TapErrorKind::PathLength)?;
    if let Some(directory) = unix.path.parent().filter(|directory| !directory.as_os_str().is_empty())
        && fs::metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        return Err(TapErrorKind::NoDirectory(directory.to_owned()));
    }
    let socket = new_socket().map_err(io)?;
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) => {
            remove_stale(&unix.path, &address)?;
            bind(&socket, &address).map_err(io)?;
        }
        bound => bound.map_err(io)?,
    }
    let file = SocketFile::open(unix).map_err(TapErrorKind::Permissions)?;
    listen(&socket, BACKLOG).map_err(io)?;
    Ok(Bound::Unix(UnixListener::from(socket), file))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes the file of a socket that nobody listens on: one that a killed process left.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), TapErrorKind> {
    let io = |errno: Errno| TapErrorKind::Io(errno.into());
    if !fs::symlink_metadata(path).map_err(TapErrorKind::Io)?.file_type().is_socket() {
        return Err(TapErrorKind::NotSocket);
    }
    match connect(new_socket().map_err(io)?, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(TapErrorKind::Io),
        Err(Errno::NOENT) => Ok(()),
        // AGAIN: somebody listens and has a full backlog. PROTOTYPE: somebody has a datagram socket there.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Err(TapErrorKind::InUse),
        Err(errno) => Err(io(errno)),
    }
}

/// The file of a socket of ours, which goes with it, unless it is another's by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file that `bind` made, with its owner and mode set.
    fn open(unix: &UnixListen) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&unix.path)?;
        let metadata = file.metadata()?;
        if !metadata.file_type().is_socket() || metadata.nlink() != 1 {
            return Err(io::Error::other("the file was changed meanwhile"));
        }
        let this = Self { path: unix.path.clone(), device: metadata.dev(), inode: metadata.ino() };
        this.set_permissions(&file, unix)?;
        Ok(this)
    }

    fn set_permissions(&self, file: &File, unix: &UnixListen) -> io::Result<()> {
        // The kernel has no fchmod for such a descriptor before 6.6, but follows this link to the file itself.
        let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        // The owner first: changing it may clear bits of the mode.
        if unix.owner.is_some() || unix.group.is_some() {
            chown(&link, unix.owner, unix.group)?;
        }
        if let Some(mode) = unix.mode {
            fs::set_permissions(&link, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if is_ours {
            // Without the right to it any more the file stays; the next start finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}
