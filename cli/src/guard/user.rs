//! Becoming another user, for good.

use std::ffi::CString;
use std::io;

use nix::sys::prctl;
use nix::unistd::{
    Gid, Group, Uid, User, geteuid, getgid, getresgid, getresuid, getuid, initgroups, setgroups, setresgid,
    setresuid,
};

use super::{Error, Measure, Plan};

/// A user to become.
pub struct Target {
    /// As it was named.
    name: String,
    uid: Uid,
    gid: Gid,
    /// Its name in the system's list of users, by which its further groups are known.
    login: Option<String>,
}

/// Whom the plan names, if it names anybody.
pub fn target(plan: &Plan) -> Result<Option<Target>, Error> {
    let Some(name) = &plan.user else {
        return match &plan.group {
            Some(group) => Err(Error::GroupAlone(group.clone())),
            None => Ok(None),
        };
    };
    let failed = |source: nix::Error| Error::User(name.clone(), source.into());
    let number = name.parse().ok().map(Uid::from_raw);
    let user = match number {
        Some(uid) => User::from_uid(uid),
        None => User::from_name(name),
    }
    .map_err(failed)?;
    let Some(uid) = user.as_ref().map(|user| user.uid).or(number) else {
        return Err(Error::UnknownUser(name.clone()));
    };
    let gid = match &plan.group {
        Some(group) => group_id(group)?,
        None => user.as_ref().ok_or_else(|| Error::NoGroup(name.clone()))?.gid,
    };
    // Whoever runs as that user already needs nobody's leave.
    let is_it = uid == getuid() && (plan.group.is_none() || gid == getgid());
    if !geteuid().is_root() && !is_it {
        return Err(Error::NotRoot(name.clone()));
    }
    Ok(Some(Target { name: name.clone(), uid, gid, login: user.map(|user| user.name) }))
}

fn group_id(name: &str) -> Result<Gid, Error> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(Error::UnknownGroup(name.into())),
        Err(source) => Err(Error::User(name.into(), source.into())),
    }
}

/// Becomes that user, with its groups; permitted capabilities are kept for the time being.
pub fn change(target: Option<Target>) -> Result<Measure, Error> {
    let name = "user";
    let Some(target) = target else {
        return Ok(if geteuid().is_root() {
            Measure::fails(name, "runs as root, since no other user is configured")
        } else {
            Measure::holds(name, format!("stays {}, not started as root", geteuid()))
        });
    };
    if !geteuid().is_root() {
        return Ok(Measure::holds(name, format!("is '{}' already", target.name)));
    }
    switch(&target).map_err(|source| Error::User(target.name.clone(), source))?;
    let (uid, gid) = (getresuid(), getresgid());
    let is_changed = uid.is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [target.uid; 3])
        && gid.is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [target.gid; 3]);
    if !is_changed {
        return Err(Error::User(target.name, io::Error::other("it did not take effect")));
    }
    let text = format!("changed to '{}' ({}, group {})", target.name, target.uid, target.gid);
    Ok(if target.uid.is_root() {
        Measure::fails(name, "runs as root, as configured")
    } else {
        Measure::holds(name, text)
    })
}

/// Groups first, since only root can change them; and capabilities kept, of which most are given up next.
fn switch(target: &Target) -> io::Result<()> {
    match &target.login {
        Some(login) => initgroups(&CString::new(login.as_str())?, target.gid)?,
        None => setgroups(&[target.gid])?,
    }
    setresgid(target.gid, target.gid, target.gid)?;
    prctl::set_keepcaps(true)?;
    setresuid(target.uid, target.uid, target.uid)?;
    prctl::set_keepcaps(false)?;
    Ok(())
}

/// Whether root is out of reach for good; only true once the capabilities are given up.
pub fn check() -> Result<(), Error> {
    let root = Uid::from_raw(0);
    if !geteuid().is_root() && setresuid(root, root, root).is_ok() {
        return Err(Error::StillRoot);
    }
    Ok(())
}
