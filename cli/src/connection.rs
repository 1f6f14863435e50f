//! From options to a ClickHouse server. Only this file reads the environment for it.

use std::path::Path;
use std::time::Duration;

use lowtide_store::server::{Connection, Password, Server, ServerUrl, TlsFiles};

use crate::args::clickhouse::ConnectionArgs;
use crate::error::Error;

/// The environment variable of the password.
const PASSWORD: &str = "LOWTIDE_CLICKHOUSE_PASSWORD";
/// The environment variable of the user.
const USER: &str = "LOWTIDE_CLICKHOUSE_USER";

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The server that the options name.
///
/// # Errors
/// [`Error::Usage`] when they name none, or one that cannot be.
pub fn of(args: &ConnectionArgs) -> Result<Connection, Error> {
    let usage = |text: String| Error::Usage(format!("--clickhouse: {text}"));
    let text = args.clickhouse.as_deref().ok_or_else(|| {
        usage("where is ClickHouse? for example --clickhouse http://127.0.0.1:8123/lowtide".to_owned())
    })?;
    let mut url = url(text).map_err(usage)?;
    if let Some(user) = variable(USER) {
        url = url.with_user(user);
    }
    if let Some(file) = &args.clickhouse_password_file {
        url = url.with_password(password_in(file)?);
    } else if let Some(password) = variable(PASSWORD) {
        url = url.with_password(Password::new(password));
    }
    Ok(Connection {
        tls: TlsFiles {
            authorities: args.clickhouse_ca.clone(),
            client: args.clickhouse_cert.clone().zip(args.clickhouse_key.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: args.clickhouse_timeout,
        ..Connection::new(url)
    })
}

/// The URL of a database that rows can be in.
///
/// # Errors
/// What is wrong, in words that do not repeat the text: it may hold a password.
pub fn url(text: &str) -> Result<ServerUrl, String> {
    let url: ServerUrl = text.parse().map_err(|error| format!("{error}"))?;
    if ["system", "information_schema"].contains(&url.database().to_ascii_lowercase().as_str()) {
        return Err(format!("'{}' is ClickHouse's own database: name another", url.database()));
    }
    Ok(url)
}

/// The server, its certificates read.
///
/// # Errors
/// As [`of`], and [`Error::Failed`] when a certificate cannot be used.
pub fn server(args: &ConnectionArgs) -> Result<Server, Error> {
    Server::new(of(args)?).map_err(|error| Error::Failed(error.to_string()))
}

/// A warning, when the password stands where everybody sees it.
pub fn warning(args: &ConnectionArgs) -> Option<String> {
    let url: ServerUrl = args.clickhouse.as_deref()?.parse().ok()?;
    url.password()?;
    Some(seen(true))
}

/// What to say of a password in a URL on the command line, or in the configuration.
pub fn seen(on_command_line: bool) -> String {
    if on_command_line {
        format!(
            "the password in --clickhouse is seen by everybody in the list of processes; {PASSWORD} and --clickhouse-password-file hide it"
        )
    } else {
        format!(
            "the password is seen by everybody who reads this file; {PASSWORD} and clickhouse.password_file hide it"
        )
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn password_in(file: &Path) -> Result<Password, Error> {
    let contents = std::fs::read_to_string(file).map_err(|error| {
        Error::Usage(format!("--clickhouse-password-file: cannot read {}: {error}", file.display()))
    })?;
    Ok(Password::from_file_contents(&contents))
}

/// Runs something that waits for the network, in this thread.
///
/// # Errors
/// What it says, and when the system gives no runtime.
pub fn block_on<T, E: std::fmt::Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Failed(format!("cannot wait for the network: {error}")))?;
    runtime.block_on(work).map_err(|error| Error::Failed(error.to_string()))
}
