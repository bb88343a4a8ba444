//! Whether another user can replace the target of a path.
//!
//! A user who may write to any folder on the way to a file, from `/` on, can put another file in its place.
//! So each of these folders, through links too, must belong to root or to the user of this process, and only
//! its owner may write to it. Four cases are decided here:
//!
//! - *Sticky folders* (`/tmp`) of root or of this user may be writable by all: only its owner can replace an
//!   entry, so the owner of the entry must be root or this user.
//! - *Groups.* A folder that a group may write is accepted only when the group is this user's private one: the
//!   primary group of this account, with its name, and with no other member. With a umask of 002 such folders are
//!   usual below a home. A group that `/etc/group` and `/etc/passwd` do not list may have any members.
//! - *Access control lists* (POSIX) count as groups do. Without the group's write bit, which is their mask, they
//!   give no one the right to write. Lists of NFSv4 are not read.
//! - *User namespaces.* A folder whose owner has no number in this namespace shows the overflow uid (65534). No
//!   process in this namespace is that owner, or gets a right from it. The user who made the namespace chose its
//!   content, and is trusted as the machine's root is. So such an owner counts as root, where this is certain:
//!   the number is not given to an account of this namespace, or the kernel says that even this namespace's root
//!   has no power over the folder. In a sticky folder it does not count, because there all users of the machine
//!   outside look the same. Where there is no such namespace, 65534 is an account like any other: on NFS it is
//!   every root of another machine.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// More links than this in one path are a loop.
const LINKS: u32 = 40;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_ALL: u32 = 0o002;
/// The name of the attribute in which the kernel keeps a POSIX access control list.
const ACL: &str = "system.posix_acl_access";
/// The largest list that is read, in bytes: larger ones name more than a hundred users.
const LARGEST_ACL: usize = 1024;

/// Something that another user can change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {how}", path.display())]
pub struct Exposed {
    /// The folder or file.
    pub path: PathBuf,
    /// How it can be replaced.
    pub how: Exposure,
}

impl Exposed {
    /// The command that leaves it to root and its owner.
    pub(crate) fn remedy(&self) -> String {
        let text = self.path.display().to_string();
        let path = shlex::try_quote(&text).map_or_else(|_| text.clone(), std::borrow::Cow::into_owned);
        match self.how {
            Exposure::Owner(_) => format!("chown root {path}"),
            // The group's bits are the mask of an access control list.
            Exposure::Group { .. } | Exposure::All(_) | Exposure::List => format!("chmod go-w {path}"),
        }
    }
}

/// The user, or group, that can replace something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposure {
    /// Its owner.
    #[error("belongs to another user (uid {0})")]
    Owner(u32),
    /// The members of its group.
    #[error("can be written by the members of group {group} (mode {mode:04o})")]
    Group {
        /// The group's number.
        group: u32,
        /// Its permissions.
        mode: u32,
    },
    /// All users.
    #[error("can be written by every user (mode {0:04o})")]
    All(u32),
    /// Users or groups that an access control list names; or the list cannot be read.
    #[error("can be written by others by its access control list")]
    List,
}

/// Checks that no other user can replace the target of a path, by every folder on its way. The target itself
/// is not examined; if it is absent or hidden, opening it will say so.
///
/// # Errors
/// The first folder on the way that another user can change.
pub fn check_way(path: &Path) -> Result<(), Exposed> {
    let Ok(path) = std::path::absolute(path) else { return Ok(()) };
    let mut at = PathBuf::from("/");
    let mut rest = parts(&path);
    let mut links = LINKS;
    let mut is_shared = check_folder(&at)?;
    while let Some(name) = rest.pop() {
        if name == ".." {
            // It was checked on the way down.
            at.pop();
            is_shared = check_folder(&at)?;
            continue;
        }
        let entry = at.join(&name);
        let Ok(seen) = std::fs::symlink_metadata(&entry) else { return Ok(()) };
        if is_shared && !is_root_or_us(seen.uid()) {
            return Err(Exposed { path: entry, how: Exposure::Owner(seen.uid()) });
        }
        if seen.is_symlink() {
            let (Ok(target), Some(left)) = (std::fs::read_link(&entry), links.checked_sub(1)) else {
                return Ok(());
            };
            // A link in /proc leads to an open file, whatever its text says.
            if is_of_proc(&at) {
                return Ok(());
            }
            links = left;
            if target.is_absolute() {
                at = PathBuf::from("/");
                is_shared = check_folder(&at)?;
            }
            rest.extend(parts(&target));
        } else if rest.is_empty() || !seen.is_dir() {
            return Ok(());
        } else {
            at = entry;
            is_shared = check_folder(&at)?;
        }
    }
    Ok(())
}

/// Checks that only root and this user can write to an open file. A device passes, because it keeps nothing
/// that is written to it.
pub fn check_file(path: &Path, opened: &Metadata) -> Result<(), Exposed> {
    let exposed = |how| Exposed { path: path.to_owned(), how };
    if opened.file_type().is_char_device() {
        return Ok(());
    }
    if !is_root_or_us(opened.uid()) && !is_unmapped(opened.uid(), path) {
        return Err(exposed(Exposure::Owner(opened.uid())));
    }
    writable(path, opened).map_or(Ok(()), |how| Err(exposed(how)))
}

/// The names of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Checks a folder; true when other users may write to it, which only the sticky bit makes acceptable.
fn check_folder(path: &Path) -> Result<bool, Exposed> {
    // A file that is hidden cannot be opened either.
    let Ok(seen) = std::fs::symlink_metadata(path) else { return Ok(false) };
    let exposed = |how| Err(Exposed { path: path.to_owned(), how });
    if !is_root_or_us(seen.uid()) && !is_unmapped(seen.uid(), path) {
        return exposed(Exposure::Owner(seen.uid()));
    }
    match writable(path, &seen) {
        Some(_) if seen.mode() & STICKY != 0 => Ok(true),
        Some(how) => exposed(how),
        None => Ok(false),
    }
}

/// Who, other than its owner, may write to it.
fn writable(path: &Path, seen: &Metadata) -> Option<Exposure> {
    let mode = seen.mode() & 0o7777;
    if mode & WRITABLE_BY_ALL != 0 {
        return Some(Exposure::All(mode));
    }
    if mode & WRITABLE_BY_GROUP == 0 {
        return None;
    }
    match access_list(path) {
        Ok(None) => (!is_private(seen.gid())).then_some(Exposure::Group { group: seen.gid(), mode }),
        Ok(Some(list)) if is_of_this_user(&list, seen.gid()) => None,
        Ok(Some(_)) | Err(_) => Some(Exposure::List),
    }
}

fn is_root_or_us(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether a group is the private one of this user: see the module.
fn is_private(group: u32) -> bool {
    let Ok(Some(user)) = User::from_uid(Uid::effective()) else { return false };
    let Ok(Some(found)) = Group::from_gid(Gid::from_raw(group)) else { return false };
    let Ok(accounts) = crate::durable::plain::read_text("/etc/passwd") else { return false };
    user.gid == found.gid && is_only_of(&user.name, &found, &accounts)
}

/// Whether a group has this user's name and no other member: neither in its list nor, by these lines of
/// `/etc/passwd`, as a primary group.
fn is_only_of(user: &str, group: &Group, accounts: &str) -> bool {
    let has_it = |line: &str| {
        let mut fields = line.split(':');
        let is_other = fields.next() != Some(user);
        is_other && fields.nth(2).and_then(|gid| gid.parse().ok()) == Some(group.gid.as_raw())
    };
    let is_root_or_user = |name: &String| name == user || name == "root";
    group.name == user && group.mem.iter().all(is_root_or_user) && !accounts.lines().any(has_it)
}

/// An entry of an access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    may_write: bool,
    id: u32,
}

const ACL_USER: u16 = 0x02;
const ACL_GROUP_OBJ: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;

/// The access control list of a folder; `None` when it has only its mode.
fn access_list(path: &Path) -> io::Result<Option<Vec<AclEntry>>> {
    let mut value = [0_u8; LARGEST_ACL];
    let length = match rustix::fs::getxattr(path, ACL, &mut value) {
        Ok(length) => length,
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    entries_of(&value[..length]).map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Parses the form in which the kernel returns a list: a version, then eight bytes for each entry, least
/// significant byte first.
fn entries_of(value: &[u8]) -> Option<Vec<AclEntry>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    let entry = |bytes: &[u8; 8]| {
        let [a, b, c, d, id @ ..] = *bytes;
        let may_write = u16::from_le_bytes([c, d]) & 0o2 != 0;
        AclEntry { tag: u16::from_le_bytes([a, b]), may_write, id: u32::from_le_bytes(id) }
    };
    Some(entries.iter().map(entry).collect())
}

/// Whether a list lets only root, this user, and this user's private group write.
fn is_of_this_user(list: &[AclEntry], group: u32) -> bool {
    list.iter().filter(|entry| entry.may_write).all(|entry| match entry.tag {
        ACL_USER => is_root_or_us(entry.id),
        ACL_GROUP_OBJ => is_private(group),
        ACL_GROUP => is_private(entry.id),
        _ => true,
    })
}

/// Whether an owner has no number in this user namespace: see the top of this file.
fn is_unmapped(uid: u32, path: &Path) -> bool {
    let number = |file: &str| crate::durable::plain::read_text(file).ok()?.trim().parse::<u32>().ok();
    if number("/proc/sys/kernel/overflowuid") != Some(uid) {
        return false;
    }
    let Ok(map) = crate::durable::plain::read_text("/proc/self/uid_map") else { return false };
    match is_given(uid, &map) {
        Given::All => false,
        Given::No => true,
        Given::Yes => is_out_of_reach(path),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Given {
    /// Every number of the machine is given to an account here.
    All,
    Yes,
    No,
}

/// Whether a number is given to an account of the namespace with this map. Each line of the map has the first
/// number inside, the first number outside, and the count.
fn is_given(uid: u32, map: &str) -> Given {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    let lines: Vec<_> = lines.collect();
    if lines.iter().any(|(inside, outside, count)| inside == outside && *count >= u64::from(u32::MAX)) {
        return Given::All;
    }
    let uid = u64::from(uid);
    let has = lines.iter().any(|(inside, _, count)| (*inside..inside + count).contains(&uid));
    if has { Given::Yes } else { Given::No }
}

/// Whether even the root of this namespace may not do with a folder or file what its owner may. The test: only
/// the owner, and a user with power over the owner, may read it without changing its access time.
fn is_out_of_reach(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOATIME | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Uid::effective().is_root() && matches!(rustix::fs::open(path, flags, Mode::empty()), Err(Errno::PERM))
}

fn is_of_proc(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests write their own files.
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder of this user that passes the check: below a sticky `/tmp`, or a folder of its own.
    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        check_way(&place.path().join("below")).expect("the folder for temporary files is right");
        place
    }

    fn folder(path: &Path, mode: u32) {
        create_dir_all(path).unwrap();
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn exposed(path: &Path) -> Option<(PathBuf, Exposure)> {
        check_way(path).err().map(|exposed| (exposed.path, exposed.how))
    }

    #[test]
    fn check_way_examines_every_parent() {
        let place = place();
        let (a, b, end) = (place.path().join("a"), place.path().join("a/b"), place.path().join("a/b/end"));
        folder(&a, 0o755);
        folder(&b, 0o700);
        folder(&end, 0o777);
        assert_eq!(exposed(&end), None);
        assert_eq!(exposed(&end.join("x")), Some((end.clone(), Exposure::All(0o777))));
        assert_eq!(exposed(&end.join("not/there")), Some((end.clone(), Exposure::All(0o777))));
        set_permissions(&a, Permissions::from_mode(0o757)).unwrap();
        assert_eq!(exposed(&end), Some((a.clone(), Exposure::All(0o757))));
        set_permissions(&a, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(exposed(&end), None, "only owners replace what is in a sticky folder");
    }

    #[test]
    fn check_way_through_links() {
        let place = place();
        let (open, own) = (place.path().join("open"), place.path().join("own"));
        folder(&open, 0o777);
        folder(&own, 0o700);
        folder(&open.join("state"), 0o700);
        for (name, target) in [("absolute", open.join("state")), ("relative", "../open/state".into())] {
            let link = own.join(name);
            symlink(target, &link).unwrap();
            for path in [link.clone(), link.join("below")] {
                assert_eq!(exposed(&path), Some((open.clone(), Exposure::All(0o777))), "{name}");
            }
        }
        assert_eq!(exposed(&own.join("../open/state")).unwrap().0, open);
        assert_eq!(exposed(&own.join("x/../../own/y")), None, "what is not there leads nowhere");
        symlink("loop", own.join("loop")).unwrap();
        assert_eq!(exposed(&own.join("loop/x")), None);
    }

    #[test]
    fn unknown_group_may_have_members() {
        let unknown =
            (50_000..).find(|gid| matches!(Group::from_gid(Gid::from_raw(*gid)), Ok(None))).unwrap();
        assert!(!is_private(unknown));
    }

    #[test]
    fn private_group_has_user_name_and_no_other_member() {
        let group = |name: &str, members: &[&str]| {
            let mem = members.iter().map(|name| (*name).to_owned()).collect();
            Group {
                name: name.to_owned(),
                passwd: std::ffi::CString::default(),
                gid: Gid::from_raw(1000),
                mem,
            }
        };
        let accounts = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert!(is_only_of("ana", &group("ana", &[]), accounts));
        assert!(is_only_of("ana", &group("ana", &["ana", "root"]), accounts));
        assert!(!is_only_of("ana", &group("ana", &["bob"]), accounts));
        assert!(!is_only_of("ana", &group("users", &[]), accounts));
        let with_bob = format!("{accounts}bob:x:1001:1000::/home/bob:/bin/sh\n");
        assert!(!is_only_of("ana", &group("ana", &[]), &with_bob));
    }

    #[test]
    fn check_file_owner_only() {
        let place = place();
        let file = place.path().join("file");
        write(&file, "").unwrap();
        let check = |mode| {
            set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            check_file(&file, &file.metadata().unwrap()).is_ok()
        };
        assert!(check(0o644) && check(0o444));
        assert!(!check(0o646));
        let device = Path::new("/dev/null");
        check_file(device, &device.metadata().unwrap()).unwrap();
    }

    #[test]
    fn acl_is_parsed() {
        let entry = |tag: u16, rights: u16, id: u32| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let all = [entry(1, 7, u32::MAX), entry(2, 6, 1000), entry(4, 5, u32::MAX), entry(0x10, 7, u32::MAX)];
        let value = [&2_u32.to_le_bytes()[..], &all.concat()].concat();
        let list = entries_of(&value).unwrap();
        assert_eq!(list[1], AclEntry { tag: ACL_USER, may_write: true, id: 1000 });
        assert!(!list[2].may_write);
        let us = rustix::process::geteuid().as_raw();
        let stranger = AclEntry { tag: ACL_USER, may_write: true, id: us + 1 };
        assert!(!is_of_this_user(&[stranger], 0));
        assert!(is_of_this_user(
            &[AclEntry { id: us, ..stranger }, AclEntry { may_write: false, ..stranger }],
            0
        ));
        assert_eq!(entries_of(&value[..value.len() - 1]), None);
        assert_eq!(entries_of(&[1, 0, 0, 0]), None);
    }

    #[test]
    fn uid_map_numbers() {
        let nobody = 65_534;
        assert_eq!(is_given(nobody, "         0          0 4294967295\n"), Given::All);
        assert_eq!(is_given(nobody, "         0       1000          1\n"), Given::No);
        assert_eq!(is_given(nobody, "0 1000 1\n1 100000 65536\n"), Given::Yes);
        assert_eq!(is_given(nobody, ""), Given::No);
    }
}
