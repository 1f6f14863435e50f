//! Files and directories that options name: whether they are there, and who can read what should be secret.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Settling, given_list};
use crate::config::draft::DrainDraft;
use crate::config::options::AddressKey;
use crate::config::place::{Given, Place};
use crate::config::world::Purpose;
use crate::error::said;
use crate::origin::Origins;

/// Octets of a key, and of it in hexadecimal digits.
const KEY: usize = 32;
/// More than a key in digits with its line end; the rest of a larger file is of no interest.
const KEY_FILE: u64 = 256;

impl Settling<'_> {
    /// A file that will be read.
    pub(super) fn readable(&mut self, file: Option<&Given<PathBuf>>) -> Option<File> {
        let file = file?;
        if self.world.purpose == Purpose::Reload {
            return None;
        }
        match open(&file.value) {
            Ok(opened) => Some(opened),
            Err(error) => {
                let text = format!("cannot read {}: {}", file.value.display(), said(&error));
                self.fault(&file.place, text);
                None
            }
        }
    }

    /// A file that only lowtide should read.
    pub(super) fn secret_file(&mut self, file: Option<&Given<PathBuf>>) -> Option<File> {
        let opened = self.readable(file)?;
        if let (Some(file), Ok(metadata)) = (file, opened.metadata()) {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o007 != 0 {
                let path = file.value.display();
                let text =
                    format!("{path} is open to all users (mode {mode:04o}); 0640 or 0600 is right for it");
                self.warn(&file.place, text);
            }
        }
        Some(opened)
    }

    /// The key of Crypto-PAn, raw or as 64 hexadecimal digits.
    pub(super) fn address_key(&mut self, file: &Given<PathBuf>) -> Option<AddressKey> {
        let opened = self.secret_file(Some(file))?;
        let mut octets = Vec::new();
        if let Err(error) = opened.take(KEY_FILE).read_to_end(&mut octets) {
            let text = format!("cannot read {}: {}", file.value.display(), said(&error));
            self.fault(&file.place, text);
            return None;
        }
        let key = key(&octets);
        if key.is_none() {
            let text = format!(
                "{} is no key: 32 octets, raw or as 64 hexadecimal digits ('openssl rand -hex 32' makes one)",
                file.value.display()
            );
            self.fault(&file.place, text);
        }
        key.map(AddressKey)
    }

    /// Databases of where addresses are, which a live run does not read.
    pub(super) fn databases(&mut self, draft: DrainDraft) {
        if self.world.purpose != Purpose::Check {
            return;
        }
        for file in given_list(draft.mmdb) {
            if let Err(text) = Origins::default().read(&file.value) {
                self.fault(&file.place, text);
            }
        }
    }

    /// A directory that is there or can be made.
    pub(super) fn directory(&mut self, place: &Place, dir: &Path) {
        if self.world.purpose == Purpose::Reload {
            return;
        }
        for ancestor in dir.ancestors() {
            let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
            match fs::metadata(ancestor) {
                Ok(metadata) if metadata.is_dir() => return,
                Ok(_) => {
                    let text = format!("{} is in the way: it is no directory", ancestor.display());
                    return self.fault(place, text);
                }
                // A file on the way up is named when it is reached.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => {
                    let text = format!("cannot look into {}: {}", ancestor.display(), said(&error));
                    return self.fault(place, text);
                }
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

fn key(octets: &[u8]) -> Option<[u8; KEY]> {
    let hexadecimal = octets.iter().all(u8::is_ascii_hexdigit);
    match octets.try_into() {
        // Half a key in digits is not a whole one: random octets do not look like that.
        Ok(raw) if !hexadecimal => return Some(raw),
        _ => {}
    }
    let digits = octets.trim_ascii();
    if digits.len() != 2 * KEY {
        return None;
    }
    let mut key = [0; KEY];
    for (octet, digits) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
        *octet = u8::try_from(digit(digits.first())? * 16 + digit(digits.get(1))?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_raw_or_hexadecimal() {
        let mut raw = [0u8; KEY];
        raw.iter_mut().zip(0xd0..).for_each(|(octet, value)| *octet = value);
        let digits: String = raw.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(key(&raw), Some(raw));
        for text in [digits.clone(), digits.to_uppercase(), format!("{digits}\n"), format!(" {digits}\r\n")] {
            assert_eq!(key(text.as_bytes()), Some(raw), "{text:?}");
        }
        for wrong in [
            "",
            "00",
            &digits[1..],
            &digits[..KEY],
            &format!("{digits}00"),
            &digits.replace('e', "g"),
            &"+1".repeat(32),
        ] {
            assert_eq!(key(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
