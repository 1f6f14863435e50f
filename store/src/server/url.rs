//! Where ClickHouse is and who asks: `http(s)://user:password@host:8123/database`.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The database where a URL names none.
pub const DEFAULT_DATABASE: &str = "lowtide";
/// The user where nobody is named.
pub const DEFAULT_USER: &str = "default";
/// ClickHouse's port for HTTP.
const HTTP_PORT: u16 = 8123;
/// ClickHouse's port for HTTPS.
const HTTPS_PORT: u16 = 8443;

/// A password: it is neither shown nor printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps a password.
    pub const fn new(password: String) -> Self {
        Self(password)
    }

    /// A password as a file holds it: without the end of its first line.
    pub fn from_file_contents(contents: &str) -> Self {
        Self(contents.lines().next().unwrap_or_default().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// A server's address, database and user. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    /// As in a URL: an IPv6 address stands in brackets.
    host: String,
    port: u16,
    database: String,
    user: Option<String>,
    password: Option<Password>,
}

impl ServerUrl {
    /// Whether the connection is encrypted.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The user.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(DEFAULT_USER)
    }

    /// The password, if the URL has one.
    pub const fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// The same with a user from elsewhere.
    #[must_use]
    pub fn with_user(mut self, user: String) -> Self {
        self.user = Some(user);
        self
    }

    /// The same with a password from elsewhere; one in the URL has precedence.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password.get_or_insert(password);
        self
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}:{}/", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.database)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self}, user {:?}, password {:?})", self.user, self.password)
    }
}

/// Why a text is not a [`ServerUrl`]. It never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a ClickHouse URL (http://user:password@host:8123/database): {}", self.0)
    }
}

impl std::error::Error for UrlError {}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let refuse = |reason: &str| UrlError(reason.to_owned());
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let tls = match scheme.as_deref() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse("it must begin with http:// or https://")),
        };
        let url = Url::parse(text).map_err(|error| {
            let hint = "(in user and password, write characters such as / # ? @ : as %XX)";
            UrlError(format!("{error} {hint}"))
        })?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a ? or #; in a password these are written %3F and %23"));
        }
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it names no host"))?;
        let decoded = |text: &str, what: &str| {
            percent_decoded(text)
                .ok_or_else(|| UrlError(format!("the {what} is not UTF-8 or has control characters")))
        };
        let database = decoded(url.path().trim_start_matches('/').trim_end_matches('/'), "database")?;
        if url.path().trim_matches('/').contains('/') {
            return Err(refuse("its path must be one word, the database"));
        }
        let user = decoded(url.username(), "user")?;
        let password = url.password().map(|password| decoded(password, "password")).transpose()?;
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: explicit_port(text, &url).unwrap_or(if tls { HTTPS_PORT } else { HTTP_PORT }),
            database: if database.is_empty() { DEFAULT_DATABASE.to_owned() } else { database },
            user: Some(user).filter(|user| !user.is_empty()),
            password: password.map(Password),
        })
    }
}

/// The port that the text names. The url crate hides the scheme's own default (80, 443), which is not ClickHouse's.
fn explicit_port(text: &str, url: &Url) -> Option<u16> {
    url.port().or_else(|| {
        let (_, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let named = authority.rsplit('@').next()?.rsplit_once(':')?.1;
        named.parse().ok()
    })
}

/// `%XX` as the octet it stands for; `None` for what no name may hold.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, after)) = rest.split_first() {
        let escaped =
            after.split_first_chunk::<2>().filter(|_| *octet == b'%').and_then(|(digits, behind)| {
                let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
                Some((u8::from_str_radix(digits, 16).ok()?, behind))
            });
        let (octet, behind) = escaped.unwrap_or((*octet, after));
        octets.push(octet);
        rest = behind;
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_parts() {
        let url: ServerUrl = "https://ann%40x:p%2F%23%25%3A@db.example:9443/dns%20data".parse().unwrap();
        assert!(url.tls());
        assert_eq!((url.user(), url.database()), ("ann@x", "dns data"));
        assert_eq!(url.password().map(Password::reveal), Some("p/#%:"));
        assert_eq!(url.origin(), "https://db.example:9443/");
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        for (text, origin) in [
            ("http://h", "http://h:8123/"),
            ("http://h/", "http://h:8123/"),
            ("https://h", "https://h:8443/"),
            ("http://h:80", "http://h:80/"),
            ("https://u:1@h:443/", "https://h:443/"),
            ("http://u:80@h", "http://h:8123/"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:8123/"),
            ("HTTP://[2001:db8::1]:80/", "http://[2001:db8::1]:80/"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.origin(), origin, "{text}");
            assert_eq!(url.database(), "lowtide");
        }
        assert_eq!("http://h".parse::<ServerUrl>().unwrap().user(), "default");
    }

    #[test]
    fn refuses_without_repeating_the_text() {
        for text in [
            "",
            "secret",
            "clickhouse://u:secret@h",
            "http://",
            "http://u:secret@/",
            "http://u:secret@h/a/b",
            "http://u:secret@h/a?user=x",
            "http://u:secret@h/a#b",
            "http://u:se#cret@h/a",
            "http://u:secret@h:99999/",
            "http://u:secret%0A@h/",
            "http://u:secret@h/%FF",
        ] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url: ServerUrl = "http://ann:secret@h/d".parse().unwrap();
        assert_eq!(url.to_string(), "http://h:8123/d");
        assert!(!format!("{url:?} {url:#?}").contains("secret"));
        let given =
            "http://h".parse::<ServerUrl>().unwrap().with_password(Password::from_file_contents("secret\n"));
        assert_eq!(given.password().map(Password::reveal), Some("secret"));
        assert!(!format!("{given:?}").contains("secret"));
    }

    #[test]
    fn stray_percent_signs_stand_for_themselves() {
        assert_eq!(percent_decoded("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decoded("%4").as_deref(), Some("%4"));
        assert_eq!(percent_decoded("%+4%zz%C3%A9").as_deref(), Some("%+4%zzé"));
    }
}
