//! The command line of `lowtide clickhouse`.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use crate::error::Error;

/// The environment variable that names the library.
const LIBRARY: &str = "LOWTIDE_LIBCHDB";

const EXAMPLES: &str = "\
Examples:
  A server whose data lies in ~/dns, and a capture in it:
    scripts/libchdb.sh
    lowtide clickhouse --path ~/dns &
    lowtide replay --clickhouse http://127.0.0.1:8123/lowtide capture.pcap

  A look at it, by anything that speaks HTTP:
    curl http://127.0.0.1:8123/ --data-binary 'SELECT count() FROM lowtide.traffic'

  For clickhouse-client and for what else speaks the native protocol, too:
    lowtide clickhouse --path ~/dns --tcp-port 9000

  For a script: a free port, told by the line on standard output:
    lowtide clickhouse --path \"$(mktemp -d)\" --http-port 0

  Users and passwords (users_config in the file names a users.xml; 'default' itself must have no password):
    lowtide clickhouse --path ~/dns --config-file clickhouse.xml";

const NOTES: &str = "\
Users:
  Without --config-file, whoever reaches the port may do everything. With --listen other than 127.0.0.1 that is
  everyone in the network. 'default' can be limited by <networks> and <profile> in users.xml.

Files:
  DIR/clickhouse.log   ClickHouse's warnings and errors; a new one every 10 MiB, the last two stay
  DIR/lowtide.xml      the configuration that is used without --config-file
  DIR/...              ClickHouse's data; kill -9 does it no harm, and the next start goes on with it

Environment:
  LOWTIDE_LIBCHDB  the library, where --library does not name it

Exit codes:
  0  stopped by SIGTERM, SIGINT or SIGHUP: no new connections, queries cancelled, 4 s for running inserts
  1  failed: no library, a port or the directory in use, a wrong configuration; standard error says which
  2  the command line is wrong";

/// What `lowtide clickhouse` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{NOTES}"))]
pub struct ClickHouseArgs {
    /// The directory of its data; created if it is not there
    #[arg(long, value_name = "DIR")]
    pub path: PathBuf,

    /// The port of the HTTP interface; 0 is a free one
    #[arg(long, value_name = "N", default_value_t = 8123)]
    pub http_port: u16,

    /// Listen for the native protocol, too, on this port; 0 is a free one
    #[arg(long, value_name = "N")]
    pub tcp_port: Option<u16>,

    /// The address to listen on
    ///
    /// 0.0.0.0 and :: are all of this machine's.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub listen: IpAddr,

    /// A configuration of ClickHouse (XML or YAML), in place of DIR/lowtide.xml
    ///
    /// Ports, address, directory and log stay those of this command line.
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// The library [default: $LOWTIDE_LIBCHDB, else where scripts/libchdb.sh puts it]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

impl ClickHouseArgs {
    /// Where the library is.
    ///
    /// # Errors
    /// It is not there; the text says how to get it.
    pub fn library(&self) -> Result<PathBuf, Error> {
        let named = self.library.clone().or_else(|| of_environment(LIBRARY));
        let Some(path) = named.or_else(installed) else {
            return Err(Error::Failed(format!(
                "libchdb.so: neither HOME nor {LIBRARY} is set; name it by --library"
            )));
        };
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Failed(format!(
            "there is no '{}': run scripts/libchdb.sh of lowtide's source, or name libchdb.so by --library or {LIBRARY}",
            path.display()
        )))
    }
}

/// Where scripts/libchdb.sh puts it.
fn installed() -> Option<PathBuf> {
    let data = of_environment("XDG_DATA_HOME")
        .or_else(|| of_environment("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("lowtide/libchdb.so"))
}

fn of_environment(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
