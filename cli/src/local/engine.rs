//! libchdb: ClickHouse as a C library.

#![expect(unsafe_code, reason = "the functions of a C library, and dup2, cannot be called otherwise")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use libloading::os::unix::Library as Process;
use libloading::{Error, Library};

/// `chdb_result *chdb_query_cmdline(int argc, char **argv)`
type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
/// `const char *chdb_result_error(chdb_result *)`
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;
/// `int dup2(int, int)`
type Dup2 = unsafe extern "C" fn(c_int, c_int) -> c_int;

/// The functions of a loaded libchdb.
#[derive(Clone, Copy)]
pub struct Engine {
    query_cmdline: QueryCmdline,
    result_error: ResultError,
}

impl Engine {
    /// Loads the library; it stays for as long as the process lives, because its threads do.
    ///
    /// # Errors
    /// The file is no library for this machine, or not libchdb.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // SAFETY: what a library runs when it is loaded must be sound: the user names libchdb, whose initializers ask
        // for nothing.
        let library = unsafe { Library::new(path) }?;
        // SAFETY: the signatures are those of libchdb's chdb.h.
        let engine = unsafe {
            Self {
                query_cmdline: *library.get::<QueryCmdline>(b"chdb_query_cmdline\0")?,
                result_error: *library.get::<ResultError>(b"chdb_result_error\0")?,
            }
        };
        std::mem::forget(library);
        Ok(engine)
    }

    /// Runs clickhouse-local with a command line, until its queries end; what it complains of, or nothing.
    pub fn run(self, arguments: &[Vec<u8>]) -> String {
        let arguments: Result<Vec<CString>, _> =
            arguments.iter().map(|argument| CString::new(argument.as_slice())).collect();
        let Ok(arguments) = arguments else { return "an argument holds a NUL byte".to_owned() };
        let mut pointers: Vec<*mut c_char> = arguments
            .iter()
            .map(|argument| argument.as_ptr().cast_mut())
            .chain([std::ptr::null_mut()])
            .collect();
        let Ok(count) = c_int::try_from(arguments.len()) else { return "too many arguments".to_owned() };
        // SAFETY: `pointers` is an argv as main() gets it: `count` C strings that outlive the call, and a null.
        // libchdb copies them into strings of its own and catches every exception of its own.
        let result = unsafe { (self.query_cmdline)(count, pointers.as_mut_ptr()) };
        if result.is_null() {
            return String::new();
        }
        // SAFETY: `result` is what chdb_query_cmdline gave, and is not freed before the process ends.
        let error = unsafe { (self.result_error)(result) };
        if error.is_null() {
            return String::new();
        }
        // SAFETY: a C string inside `result`.
        unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned()
    }
}

/// Makes the process's standard stream 0, 1 or 2 another name of an open file.
///
/// # Errors
/// Those of dup2(2).
pub fn replace(stream: c_int, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: dup2 is the C library's, of this signature; it changes no memory, and what it closes is one of the
    // standard streams, which Rust's library holds open by number only.
    let done = unsafe {
        let dup2 = Process::this().get::<Dup2>(b"dup2\0").map_err(io::Error::other)?;
        dup2(by.as_raw_fd(), stream)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
