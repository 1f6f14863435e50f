//! Where addresses are: databases in MaxMind's format (.mmdb) of MaxMind, DB-IP and IPinfo, read into memory.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lowtide_aggregate::drain::Origin;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, said};

/// Databases, of which the first that knows something of an address has the word.
#[derive(Debug, Default)]
pub struct Origins {
    databases: Vec<Database>,
    /// The first damage that was met.
    damage: OnceCell<String>,
}

#[derive(Debug)]
struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
}

impl Origins {
    /// Reads one more file.
    ///
    /// # Errors
    /// Why it cannot be read or is no such database, with its path.
    pub fn read(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let octets = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {}", said(&error)))?;
        let reader = Reader::from_source(octets).map_err(|error| {
            format!("{shown} is no MaxMind database (.mmdb), or damaged: {}", reason(&error))
        })?;
        self.databases.push(Database { path: path.to_owned(), reader });
        Ok(())
    }

    /// Where an address is, as far as the databases know.
    pub fn locate(&self, address: IpAddr) -> Origin {
        let mut origin = Origin::default();
        for database in &self.databases {
            match database.look_up(address) {
                Ok(found) => {
                    if origin.asn.is_none() {
                        (origin.asn, origin.as_org) = (found.asn, found.as_org);
                    }
                    origin.country = origin.country.or(found.country);
                }
                Err(error) => {
                    let path = database.path.display();
                    let text =
                        format!("{path} is damaged, as looking for {address} shows: {}", reason(&error));
                    // The first is as good as any.
                    let _ = self.damage.set(text);
                }
            }
        }
        origin
    }

    /// Whether all that was asked could be read.
    ///
    /// # Errors
    /// [`Error::Failed`] with the path of a damaged file.
    pub fn whole(&self) -> Result<(), Error> {
        self.damage.get().map_or(Ok(()), |text| Err(Error::Failed(text.clone())))
    }
}

impl Database {
    fn look_up(&self, address: IpAddr) -> Result<Origin, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(Origin::default());
        }
        let record: Option<Value> = self.reader.lookup(address)?.decode()?;
        Ok(match record {
            Some(Value::Fields(fields)) => fields.origin(),
            _ => Origin::default(),
        })
    }
}

/// The reason alone, where an error says more.
fn reason(error: &MaxMindDbError) -> String {
    let text = error.to_string();
    text.strip_prefix("invalid database: ").map_or(text.clone(), str::to_owned)
}

/// A value of whatever type: makers differ in what they call an `asn` or a `country`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u32),
    Text(String),
    Fields(Box<Fields>),
    Other(IgnoredAny),
}

/// What is of interest in a record, by all names that it goes by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    /// MaxMind and DB-IP.
    autonomous_system_number: Option<Value>,
    autonomous_system_organization: Option<Value>,
    /// The same, in databases of several things.
    traits: Option<Value>,
    /// IPinfo: "AS64500", and its name.
    asn: Option<Value>,
    as_name: Option<Value>,
    name: Option<Value>,
    /// MaxMind and DB-IP: a record with its `iso_code`. IPinfo: the code, or the name where there is a `country_code`.
    country: Option<Value>,
    registered_country: Option<Value>,
    iso_code: Option<Value>,
    country_code: Option<Value>,
}

impl Fields {
    fn origin(&self) -> Origin {
        let traits = self.traits.as_ref().and_then(Value::fields);
        let number = [Some(self), traits].into_iter().flatten();
        let (asn, as_org) = number
            .clone()
            .find_map(|fields| {
                let asn = fields.autonomous_system_number.as_ref()?.system()?;
                Some((Some(asn), text(&fields.autonomous_system_organization)))
            })
            .or_else(|| {
                let asn = self.asn.as_ref()?.system()?;
                Some((Some(asn), text(&self.as_name).or_else(|| text(&self.name))))
            })
            .unwrap_or_default();
        let of = |country: &Option<Value>| match country {
            Some(Value::Fields(country)) => text(&country.iso_code),
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let countries = [text(&self.country_code), of(&self.country), of(&self.registered_country)];
        let country = countries.into_iter().flatten().find(|code| is_code(code));
        Origin { asn, as_org, country }
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase())
}

fn text(value: &Option<Value>) -> Option<String> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

impl Value {
    fn fields(&self) -> Option<&Fields> {
        match self {
            Value::Fields(fields) => Some(fields),
            _ => None,
        }
    }

    /// The number of an autonomous system: `64500`, or `AS64500`.
    fn system(&self) -> Option<u32> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim_start_matches("AS").parse().ok(),
            Value::Fields(_) | Value::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value as Json;

    use super::*;

    fn testdata(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/mmdb").join(file)
    }

    fn origins(files: &[&str]) -> Origins {
        let mut origins = Origins::default();
        files.iter().for_each(|file| origins.read(&testdata(file)).unwrap());
        origins
    }

    /// testdata/mmdb.py wrote what MaxMind's own reader finds in each file.
    #[test]
    fn every_maker_is_understood_as_another_reader_reads_it() {
        let expected: Json =
            serde_json::from_str(&fs::read_to_string(testdata("expected.json")).unwrap()).unwrap();
        let mut compared = 0;
        for (file, addresses) in expected.as_object().unwrap() {
            let origins = origins(&[file]);
            for (address, expect) in addresses.as_object().unwrap() {
                let Origin { asn, as_org, country } = origins.locate(address.parse().unwrap());
                let found = serde_json::json!({"asn": asn, "as_org": as_org, "country": country});
                assert_eq!(found, *expect, "{file}: {address}");
                compared += 1;
            }
            origins.whole().unwrap();
        }
        assert_eq!(compared, 6 * 6);
    }

    #[test]
    fn the_first_that_knows_has_the_word() {
        let address = "192.0.2.1".parse().unwrap();
        let both = origins(&["country.mmdb", "asn.mmdb", "ipinfo-lite.mmdb"]).locate(address);
        let expect = Origin {
            asn: Some(64_496),
            as_org: Some("Example Access".to_owned()),
            country: Some("DE".to_owned()),
        };
        assert_eq!(both, expect);
        assert_eq!(Origins::default().locate(address), Origin::default());
    }

    #[test]
    fn what_is_missing_or_damaged_is_said_with_its_path() {
        let missing = Origins::default().read(Path::new("/no/such.mmdb")).unwrap_err();
        assert_eq!(missing, "cannot read /no/such.mmdb: No such file or directory");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mmdb");
        let whole = fs::read(testdata("asn.mmdb")).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"no database", &[0; 200_000]] {
            fs::write(&path, damaged).unwrap();
            let text = Origins::default().read(&path).unwrap_err();
            assert!(
                text.starts_with(&format!("{} is no MaxMind database (.mmdb), or damaged: ", path.display()))
            );
        }
        // Of every other octet that is turned over, nothing worse comes than another answer or a word about the path.
        let mut said = 0;
        for at in (0..whole.len()).step_by(2) {
            let mut damaged = whole.clone();
            damaged[at] = !damaged[at];
            fs::write(&path, damaged).unwrap();
            let mut origins = Origins::default();
            if origins.read(&path).is_ok() {
                for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1", "203.0.113.1"] {
                    origins.locate(address.parse().unwrap());
                }
                if let Err(error) = origins.whole() {
                    assert!(
                        error.to_string().contains(&format!("{} is damaged, as", path.display())),
                        "{error}"
                    );
                    said += 1;
                }
            }
        }
        assert!(said > 0);
    }
}
