//! What kind of file system a folder is on: flock and PIDs prove nothing across a network.

use std::path::Path;

/// Magic numbers of statfs(2) for file systems that other hosts may use at the same time.
const NETWORK: &[(i64, &str)] = &[
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x517B, "smb"),
    (0x00C3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x1980_0202, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x5346_414F, "afs"),
];

/// The name of the network file system that a path is on; `None` when it is a local one or unknown.
#[must_use]
pub fn is_network(path: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(path).ok()?.f_type;
    #[allow(clippy::useless_conversion)] // The type differs between architectures.
    let magic = i64::from(magic);
    NETWORK.iter().find(|(m, _)| *m == magic).map(|(_, name)| *name)
}
