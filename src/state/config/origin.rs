//! Where the value of a setting comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The prefix of the names of this program's variables.
pub const ENVIRONMENT_PREFIX: &str = "RECOVERYCTL_";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// Not set.
    Default,
    /// The configuration file.
    File {
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A variable.
    Environment { name: String },
    /// A flag of the command line.
    Flag {
        /// With its dashes.
        name: String,
    },
    /// A context of the docker client.
    DockerContext {
        name: String,
        /// The variable or file that chose it.
        chosen_by: String,
    },
    /// Not set, but found on this machine.
    Found,
}

/// Writes a path with replacement characters, because JSON can hold only Unicode.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment { name } => write!(f, "{name}"),
            Origin::Flag { name } => write!(f, "{name}"),
            Origin::DockerContext { name, chosen_by } => write!(f, "{name} ({chosen_by})"),
            Origin::Found => f.write_str("found"),
        }
    }
}
