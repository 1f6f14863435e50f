//! Capabilities (capabilities(7)): none, or those by which interfaces are opened.

use caps::{CapSet, Capability, CapsHashSet};

use super::{Error, Measure};

/// Takes away what programs that are started could have, as far as the process may.
///
/// # Errors
/// When it may, and it does not work.
pub fn empty_bounding_set() -> Result<(), Error> {
    // Without it the set stays: no program is started anyway, and could gain nothing.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        caps::clear(None, CapSet::Bounding).map_err(failed)?;
    }
    Ok(())
}

/// Gives up all capabilities but those.
pub fn reduce(net_raw: bool, net_admin: bool) -> Result<Measure, Error> {
    let wanted = [(net_raw, Capability::CAP_NET_RAW), (net_admin, Capability::CAP_NET_ADMIN)];
    let wanted: CapsHashSet =
        wanted.into_iter().filter_map(|(wanted, which)| wanted.then_some(which)).collect();
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();
    // A kernel before 4.3 has no ambient set.
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient).map_err(failed)?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        if caps::read(None, set).map_err(failed)? != kept {
            return Err(Error::Capabilities("it did not take effect".into()));
        }
    }
    let bounding = caps::read(None, CapSet::Bounding).map_err(failed)?;
    let mut text = match names(&kept) {
        kept if kept.is_empty() => "none left".to_owned(),
        kept => format!("{kept} kept, to open interfaces again"),
    };
    match bounding.len() {
        0 => {}
        1..=2 => text += &format!("; programs could have {}", names(&bounding)),
        count => text += &format!("; programs could have {count}"),
    }
    let missing: CapsHashSet = wanted.difference(&kept).copied().collect();
    if missing.is_empty() {
        return Ok(Measure::holds("capabilities", text));
    }
    text += &format!("; without {} an interface that vanishes cannot be opened again", names(&missing));
    Ok(Measure::fails("capabilities", text))
}

fn names(capabilities: &CapsHashSet) -> String {
    let mut names: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    names.sort();
    names.join(", ")
}

fn failed(error: caps::errors::CapsError) -> Error {
    Error::Capabilities(error.to_string())
}
