//! A ClickHouse server over HTTP.
//!
//! Inserts do not go through the clickhouse crate: it does not show an answer's headers, and so takes the 200 of
//! anything that speaks HTTP for an acknowledgement. Here an insert is acknowledged when ClickHouse itself says that it
//! read all the rows, and says nothing else.

mod body;
mod error;
mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::url::form_urlencoded;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use self::body::Outgoing;
pub use self::error::{ErrorKind, ServerError};
pub use self::tls::TlsFiles;
pub use self::url::{DEFAULT_DATABASE, DEFAULT_USER, Password, ServerUrl, UrlError};
use crate::schema::Execute;
use crate::segment::Verified;

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
/// Headers that only ClickHouse sends; which of them depends on its version and on how far it came.
const SIGNS: [HeaderName; 3] = [
    SUMMARY,
    HeaderName::from_static("x-clickhouse-query-id"),
    HeaderName::from_static("x-clickhouse-server-display-name"),
];

/// Octets of an error's text that are read.
const MAX_ERROR: usize = 16 * 1024;
/// Older servers close an idle connection after 3 s; sending into a closing one costs an attempt.
const IDLE: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// With which settings segments are inserted.
const INSERT_SETTINGS: [(&str, &str); 7] = [
    // Asynchronous inserts join blocks and answer before the rows are there; the default since 26.3.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // Without it a retry after a lost answer doubles the rows of rollups.
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // A block's rows are of different keys already; to look whether some can be joined takes twice as long as the rest of the insert.
    ("optimize_on_insert", "0"),
    // On a cluster: acknowledged when the shard has the rows, not when they wait to be sent there.
    ("distributed_foreground_insert", "1"),
    // The answer begins when all is done, so that its status is the outcome.
    ("wait_end_of_query", "1"),
    // A column of the block that the statement does not name would be thrown away in silence.
    ("input_format_skip_unknown_fields", "0"),
];

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where, which database, who.
    pub url: ServerUrl,
    /// Certificates for HTTPS.
    pub tls: TlsFiles,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a request may be without progress: nothing sent, no answer.
    pub request_timeout: Duration,
    /// Octets of an answer at most.
    pub max_answer: usize,
}

impl Connection {
    /// The defaults: 5 s to connect, 120 s without progress, answers up to 64 MiB.
    pub fn new(url: ServerUrl) -> Self {
        Self {
            url,
            tls: TlsFiles::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(120),
            max_answer: 64 * 1024 * 1024,
        }
    }
}

/// A server and the open connections to it. Clones share them. To be used within one tokio runtime.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    connector: HttpsConnector<HttpConnector>,
    http: Client<HttpsConnector<HttpConnector>, Outgoing>,
    headers: HeaderMap,
    /// Whether the server knows `deduplicate_insert` (26.x), which has precedence over `insert_deduplicate`.
    newer_deduplication: OnceCell<bool>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.shared.connection).finish()
    }
}

/// What ClickHouse says of a request; a number in quotes each.
#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    read_rows: String,
    #[serde(default)]
    written_rows: String,
}

impl Server {
    /// Reads the certificates; does not connect yet.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] when a certificate file or a header cannot be used.
    pub fn new(connection: Connection) -> Result<Self, ServerError> {
        let url = &connection.url;
        let refuse = |what: String| ServerError::new(ErrorKind::Options, url, what);
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_connect_timeout(Some(connection.connect_timeout));
        // For plain HTTP no certificate is needed, and a system may have none.
        let tls = if url.tls() {
            tls::config(&connection.tls).map_err(refuse)?
        } else {
            tls::none().map_err(refuse)?
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let mut headers = HeaderMap::new();
        let value = |what: &str, text: &str| {
            let bad = || refuse(format!("the {what} has characters that an HTTP header cannot carry"));
            if text.trim() != text {
                return Err(bad());
            }
            let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| bad())?;
            value.set_sensitive(true);
            Ok(value)
        };
        headers.insert(USER, value("user", url.user())?);
        if let Some(password) = url.password() {
            headers.insert(KEY, value("password", password.reveal())?);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lowtide/", env!("CARGO_PKG_VERSION"))));
        let http = pool().build(connector.clone());
        let newer_deduplication = OnceCell::new();
        Ok(Self { shared: Arc::new(Shared { connection, connector, http, headers, newer_deduplication }) })
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.shared.connection.url
    }

    /// A client for typed queries over connections of the same kind. It has no time limits.
    pub fn client(&self) -> clickhouse::Client {
        let url = self.url();
        let client = clickhouse::Client::with_http_client(pool().build(self.shared.connector.clone()))
            .with_url(url.origin())
            .with_database(url.database())
            .with_user(url.user());
        match url.password() {
            Some(password) => client.with_password(password.reveal()),
            None => client,
        }
    }

    /// Runs a statement in the database and gives the whole answer.
    ///
    /// # Errors
    /// Everything of [`ErrorKind`] but those of inserts.
    pub async fn query(&self, sql: &str, settings: &[(&str, &str)]) -> Result<Bytes, ServerError> {
        self.ask(sql, Some(self.url().database()), settings).await
    }

    /// Runs a statement outside of the database, which may not be there yet.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub async fn query_without_database(&self, sql: &str) -> Result<Bytes, ServerError> {
        self.ask(sql, None, &[]).await
    }

    async fn ask(
        &self,
        sql: &str,
        database: Option<&str>,
        settings: &[(&str, &str)],
    ) -> Result<Bytes, ServerError> {
        let database = database.map(|database| ("database", database));
        // As with inserts: an error in the middle of the answer becomes its status.
        let settings =
            [("wait_end_of_query", "1")].into_iter().chain(database).chain(settings.iter().copied());
        let body = Outgoing::Statement(Some(Bytes::copy_from_slice(sql.as_bytes())));
        let limit = self.shared.connection.max_answer;
        let request = self.exchange(body, settings, None, limit);
        let answer = timeout(self.shared.connection.request_timeout, request).await;
        let (_, answer, more) = answer.unwrap_or_else(|_| Err(self.timed_out()))?;
        if more {
            let what = format!("the answer is larger than {limit} octets");
            return Err(ServerError::new(ErrorKind::TooLarge, self.url(), what));
        }
        Ok(answer)
    }

    /// Inserts a segment and waits until ClickHouse has acknowledged it. To do so again is harmless: the rows are known
    /// by the segment's token.
    ///
    /// # Errors
    /// Everything of [`ErrorKind`]; unless nothing could be sent, the server may have the rows all the same.
    pub async fn insert(&self, segment: Verified) -> Result<(), ServerError> {
        let newer_deduplication = self.newer_deduplication().await?;
        let header = segment.header().clone();
        let (statement, token) = (header.insert_statement(), header.token());
        let settings = INSERT_SETTINGS
            .into_iter()
            .chain(newer_deduplication.then_some(("deduplicate_insert", "enable")))
            .chain([
                ("database", self.url().database()),
                ("insert_deduplication_token", &*token),
                ("query", &*statement),
            ]);
        let payload = segment
            .into_payload()
            .map_err(|error| ServerError::new(ErrorKind::File, header.file_name(), error))?;
        let sent = Arc::new(AtomicU64::new(0));
        let body = Outgoing::Payload(payload, Arc::clone(&sent));
        let mut request = std::pin::pin!(self.exchange(body, settings, Some("zstd"), MAX_ERROR));
        let mut before = 0;
        let (headers, answer, _) = loop {
            match timeout(self.shared.connection.request_timeout, &mut request).await {
                Ok(answer) => break answer?,
                // A large segment over a slow line is not stuck as long as octets leave.
                Err(_) if sent.load(Ordering::Relaxed) > before => before = sent.load(Ordering::Relaxed),
                Err(_) => return Err(self.timed_out()),
            }
        };
        if !answer.is_empty() {
            return Err(self.refusal(StatusCode::OK, &headers, &answer));
        }
        // ClickHouse answers 200 to an empty body too: only its own count says that it read the rows. With materialized
        // views the count is higher.
        let summary =
            headers.get(SUMMARY).and_then(|summary| serde_json::from_slice(summary.as_bytes()).ok());
        let count = |rows: &str| rows.parse().unwrap_or(0_u64);
        let rows = summary.map_or(0, |s: Summary| count(&s.read_rows).max(count(&s.written_rows)));
        if rows < header.rows {
            let what = format!("{rows} of {} rows were acknowledged", header.rows);
            return Err(ServerError::new(ErrorKind::Incomplete, self.url(), what));
        }
        Ok(())
    }

    /// A profile that switches `deduplicate_insert` off would double rows, and a server that does not know the setting
    /// refuses it: so it is asked once.
    async fn newer_deduplication(&self) -> Result<bool, ServerError> {
        let ask = || async {
            let sql = "SELECT count() FROM system.settings WHERE name = 'deduplicate_insert'";
            Ok(self.query(sql, &[]).await?.trim_ascii() == b"1")
        };
        self.shared.newer_deduplication.get_or_try_init(ask).await.copied()
    }

    /// Sends a request and reads its answer, up to a limit; also whether there was more. Not ClickHouse's, or not the
    /// answer of a success, is an error.
    async fn exchange(
        &self,
        body: Outgoing,
        settings: impl Iterator<Item = (&str, &str)>,
        encoding: Option<&'static str>,
        limit: usize,
    ) -> Result<(HeaderMap, Bytes, bool), ServerError> {
        let mut uri = self.url().origin();
        uri.push('?');
        uri = form_urlencoded::Serializer::for_suffix(uri.clone(), uri.len()).extend_pairs(settings).finish();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.shared.headers.clone();
        if let Some(encoding) = encoding {
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        *request.uri_mut() =
            uri.parse().map_err(|error| ServerError::new(ErrorKind::Options, self.url(), error))?;
        let response = self.shared.http.request(request).await;
        let response =
            response.map_err(|error| ServerError::of_http(&error, error.is_connect(), self.url()))?;
        let (parts, body) = response.into_parts();
        let genuine = SIGNS.iter().any(|sign| parts.headers.contains_key(sign));
        let good = parts.status == StatusCode::OK && genuine && !parts.headers.contains_key(EXCEPTION_CODE);
        let read = body::read(body, if good { limit } else { MAX_ERROR }).await;
        match read {
            Ok((answer, more)) if good => Ok((parts.headers, answer, more)),
            Ok((answer, _)) => Err(self.refusal(parts.status, &parts.headers, &answer)),
            Err(error) => Err(ServerError::of_http(&error, false, self.url())),
        }
    }

    /// What an answer means that is not one of a success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, answer: &[u8]) -> ServerError {
        let text = String::from_utf8_lossy(answer);
        let named = headers.get(EXCEPTION_CODE).and_then(|code| code.to_str().ok()?.parse().ok());
        let written = || text.trim_start().strip_prefix("Code: ")?.split('.').next()?.parse().ok();
        if let Some(code) = named.or_else(written) {
            return ServerError::of_code(code, self.url(), &text);
        }
        let genuine = SIGNS.iter().any(|sign| headers.contains_key(sign));
        let kind = match status {
            _ if genuine => ErrorKind::Other,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ErrorKind::Gateway,
            status if status.is_server_error() => ErrorKind::Gateway,
            _ => ErrorKind::NotClickHouse,
        };
        let excerpt = if text.trim().is_empty() { "nothing else" } else { text.trim() };
        let who = if genuine { "ClickHouse answers" } else { "something that is not ClickHouse answers" };
        ServerError::new(kind, self.url(), format!("{who} {} and: {excerpt}", status.as_u16()))
    }

    fn timed_out(&self) -> ServerError {
        ServerError::timed_out(self.url(), self.shared.connection.request_timeout)
    }
}

fn pool() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_idle_timeout(IDLE);
    builder
}

impl Execute for Server {
    type Error = ServerError;

    async fn execute(&self, sql: &str) -> Result<String, ServerError> {
        let answer = self.query_without_database(sql).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
