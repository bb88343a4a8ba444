//! Finds the engine as the docker client does.
//!
//! `DOCKER_HOST`, else the context that `DOCKER_CONTEXT` or `docker context use` names, else the socket in
//! its usual place. Programs without a docker client also look for the sockets of rootless engines, of Docker
//! Desktop and of Podman: where nothing was named, each existing one is an engine that jobs may have used.
//!
//! An absent socket proves nothing: an engine may be stopped, or be in an unexpected place. There is certainly no
//! engine only where neither a socket nor any trace of an engine or a client is on this machine. The library
//! reads no variables: the edge passes those of [`ClientEnvironment::VARIABLES`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::durable::tree::open_file_behind;

/// The name that means "no context".
const DEFAULT_CONTEXT: &str = "default";
/// The socket of an engine of the whole machine.
const USUAL_SOCKET: &str = "/var/run/docker.sock";
/// The longest file of the client that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// Where programs are, in addition to the folders of `PATH`.
const PROGRAM_FOLDERS: [&str; 7] =
    ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin", "/snap/bin"];
/// Engines and their clients.
const PROGRAMS: [&str; 4] = ["docker", "dockerd", "podman", "nerdctl"];
/// The trace of a stopped engine.
const DATA: [&str; 1] = ["/var/lib/docker"];

/// The variables that the docker client reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientEnvironment(BTreeMap<String, OsString>);

/// Engines that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundEngine {
    /// Their addresses.
    At(Vec<String>, AddressSource),
    /// Neither an engine nor a client is on this machine.
    NotInstalled,
    /// It is not known which engine jobs use, or the engine cannot be asked; the reason.
    Unknown(String, AddressSource),
}

/// The source of an engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressSource {
    /// A variable.
    Variable(&'static str),
    /// A context of the docker client.
    Context {
        name: String,
        /// The variable or the file that chose it.
        chosen_by: String,
    },
    /// Nothing: the sockets are where they usually are.
    UsualPlace,
}

impl fmt::Display for AddressSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressSource::Variable(name) => f.write_str(name),
            AddressSource::Context { name, chosen_by } => {
                write!(f, "docker context '{name}', chosen by {chosen_by}")
            }
            AddressSource::UsualPlace => f.write_str("the usual places"),
        }
    }
}

/// The used members of `~/.docker/config.json`.
#[derive(Deserialize)]
struct ClientConfig {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

/// The used members of `contexts/meta/<sha256 of the name>/meta.json`.
#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints", default)]
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

impl ClientEnvironment {
    /// The variables that are read.
    pub(crate) const VARIABLES: [&str; 9] = [
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_TLS",
        "DOCKER_TLS_VERIFY",
        "CONTAINER_HOST",
        "HOME",
        "PATH",
        "XDG_RUNTIME_DIR",
    ];

    /// The variables for which `value` returns something; empty ones count as not set.
    pub(crate) fn new(value: impl Fn(&str) -> Option<OsString>) -> ClientEnvironment {
        let set = |name: &str| value(name).filter(|v| !v.is_empty()).map(|v| (name.to_owned(), v));
        ClientEnvironment(ClientEnvironment::VARIABLES.into_iter().filter_map(set).collect())
    }

    /// The same, overridden by the variables that a job was given.
    pub(crate) fn with(&self, given: &BTreeMap<String, String>) -> ClientEnvironment {
        let mut all = self.0.clone();
        let ours = given.iter().filter(|(name, _)| ClientEnvironment::VARIABLES.contains(&name.as_str()));
        all.extend(ours.map(|(name, value)| (name.clone(), OsString::from(value))));
        all.retain(|_, value| !value.is_empty());
        ClientEnvironment(all)
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Finds the engine, or all engines that may be meant.
    pub fn find(&self) -> FoundEngine {
        if let Some(host) = self.get("DOCKER_HOST") {
            return self.checked(&host.to_string_lossy(), AddressSource::Variable("DOCKER_HOST"), false);
        }
        match self.context() {
            Ok(Some((name, chosen_by))) => self.of_context(&name, chosen_by),
            Ok(None) => of_places(&self.sockets(), || self.trace()),
            Err(why) => FoundEngine::Unknown(why, AddressSource::UsualPlace),
        }
    }

    fn config_folder(&self) -> Option<PathBuf> {
        self.get("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(self.folder("HOME")?.join(".docker")))
    }

    /// The chosen context, and what chose it; `None` for the default one.
    fn context(&self) -> Result<Option<(String, String)>, String> {
        if let Some(name) = self.get("DOCKER_CONTEXT") {
            let name = name.to_string_lossy().into_owned();
            return Ok((name != DEFAULT_CONTEXT).then(|| (name, "DOCKER_CONTEXT".to_owned())));
        }
        let Some(file) = self.config_folder().map(|folder| folder.join("config.json")) else {
            return Ok(None);
        };
        let unreadable = |why: String| format!("{} cannot be read: {why}", file.display());
        let text = match read(&file) {
            Ok(text) => text,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(unreadable(e.to_string())),
        };
        let config: ClientConfig = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        let name = config.current_context;
        let is_default = name.is_empty() || name == DEFAULT_CONTEXT;
        Ok((!is_default).then(|| (name, file.display().to_string())))
    }

    fn of_context(&self, name: &str, chosen_by: String) -> FoundEngine {
        let id: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let source = AddressSource::Context { name: name.to_owned(), chosen_by };
        let Some(contexts) = self.config_folder().map(|folder| folder.join("contexts")) else {
            let why = format!("where the docker context '{name}' is cannot be told: there is no home");
            return FoundEngine::Unknown(why, source);
        };
        let file = contexts.join("meta").join(&id).join("meta.json");
        let meta = read(&file).map_err(|e| e.to_string());
        let meta =
            meta.and_then(|text| serde_json::from_slice::<ContextMeta>(&text).map_err(|e| e.to_string()));
        match meta {
            Err(why) => {
                let why = format!("the docker context '{name}' cannot be read: {}: {why}", file.display());
                FoundEngine::Unknown(why, source)
            }
            Ok(meta) => match meta.endpoints.get("docker") {
                None => FoundEngine::Unknown(format!("the docker context '{name}' names no engine"), source),
                // As in the client: a context without an address means the usual one.
                Some(endpoint) if endpoint.host.is_empty() => of_places(&self.sockets(), || self.trace()),
                Some(endpoint) => {
                    let has_keys = contexts.join("tls").join(&id).join("docker").exists();
                    self.checked(&endpoint.host, source, has_keys)
                }
            },
        }
    }

    /// An address that can be asked, or why it cannot.
    fn checked(&self, host: &str, source: AddressSource, has_keys: bool) -> FoundEngine {
        let host = if host.contains("://") { host.to_owned() } else { format!("tcp://{host}") };
        let is_tls = has_keys
            || matches!(source, AddressSource::Variable(_))
                && (self.get("DOCKER_TLS_VERIFY").is_some() || self.get("DOCKER_TLS").is_some());
        let unusable = |why: &str| {
            let why = format!("the engine is at {host}, by {source}, and {why}");
            FoundEngine::Unknown(why, source.clone())
        };
        match host.split_once("://").map(|(scheme, _)| scheme) {
            Some("unix") => FoundEngine::At(vec![host], source),
            Some("tcp" | "http") if !is_tls => FoundEngine::At(vec![host], source),
            Some("tcp" | "http" | "https") => unusable("engines are not asked over TLS"),
            Some(scheme) => unusable(&format!("engines are not asked over {scheme}")),
            None => unusable("that is no address"),
        }
    }

    /// Where sockets of engines may be, the one of the whole machine first.
    fn sockets(&self) -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let runtime = self.folder("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{user}").into());
        let mut sockets = vec![PathBuf::from(USUAL_SOCKET), runtime.join("docker.sock")];
        if let Some(home) = self.folder("HOME") {
            sockets.extend([".docker/run/docker.sock", ".docker/desktop/docker.sock"].map(|p| home.join(p)));
        }
        let podman = self.get("CONTAINER_HOST").and_then(OsStr::to_str);
        sockets.extend(podman.and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from));
        sockets.extend(["/run/podman/podman.sock".into(), runtime.join("podman/podman.sock")]);
        sockets
    }

    /// A trace that jobs may use an engine.
    fn trace(&self) -> Option<PathBuf> {
        let path = self.get("PATH").map(std::env::split_paths).into_iter().flatten();
        let home = self.folder("HOME");
        let at_home = home.iter().flat_map(|home| [".local/bin", "bin", ".docker/bin"].map(|p| home.join(p)));
        let folders = path.chain(PROGRAM_FOLDERS.map(PathBuf::from)).chain(at_home);
        let programs = folders.flat_map(|folder| PROGRAMS.map(|name| folder.join(name)));
        programs.chain(DATA.map(PathBuf::from)).find(|path| path.symlink_metadata().is_ok())
    }
}

/// The engines behind these sockets, each once, because a socket may have several names.
fn of_places(sockets: &[PathBuf], trace: impl FnOnce() -> Option<PathBuf>) -> FoundEngine {
    let mut seen = Vec::new();
    let mut hosts = Vec::new();
    for socket in sockets {
        let is_there = match socket.metadata() {
            Ok(found) => found.file_type().is_socket(),
            // The socket may exist where this user may not look.
            Err(e) => !is_absent(&e),
        };
        let real = std::fs::canonicalize(socket).unwrap_or_else(|_| socket.clone());
        if is_there && !seen.contains(&real) {
            hosts.push(format!("unix://{}", socket.display()));
            seen.push(real);
        }
    }
    if !hosts.is_empty() {
        return FoundEngine::At(hosts, AddressSource::UsualPlace);
    }
    match trace() {
        None => FoundEngine::NotInstalled,
        Some(trace) => FoundEngine::Unknown(unknown_after(&trace, sockets), AddressSource::UsualPlace),
    }
}

fn unknown_after(trace: &Path, sockets: &[PathBuf]) -> String {
    let looked: Vec<String> = sockets.iter().map(|path| path.display().to_string()).collect();
    format!(
        "which Docker engine jobs use is not known: {} is there, and none of the sockets {}; set docker.host to its \
         address, or to \"none\" when jobs use no engine",
        trace.display(),
        looked.join(", ")
    )
}

/// Reads a file of the client; a job may have named the folder that contains it.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file_behind(file)?.take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == LARGEST { Err(io::Error::other("it is too long")) } else { Ok(bytes) }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests write their own files.
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> ClientEnvironment {
        ClientEnvironment::new(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
    }

    fn write_context(folder: &Path, name: &str, host: &str) -> PathBuf {
        let id: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = folder.join("contexts/meta").join(id);
        std::fs::create_dir_all(&meta).unwrap();
        let text = format!(
            r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
        );
        std::fs::write(meta.join("meta.json"), text).unwrap();
        meta
    }

    fn hosts(found: &FoundEngine) -> Vec<&str> {
        match found {
            FoundEngine::At(hosts, _) => hosts.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn docker_host_before_context_before_file() {
        let place = tempfile::tempdir().unwrap();
        let docker = place.path().join(".docker");
        write_context(&docker, "rootless", "unix:///a/docker.sock");
        write_context(&docker, "colima", "unix:///b/docker.sock");
        std::fs::write(docker.join("config.json"), r#"{"auths":{},"currentContext":"rootless"}"#).unwrap();
        let home = ("HOME", place.path().to_str().unwrap());
        let found = environment(&[home]).find();
        assert_eq!(hosts(&found), ["unix:///a/docker.sock"]);
        let FoundEngine::At(_, source) = &found else { unreachable!() };
        assert!(source.to_string().starts_with("docker context 'rootless', chosen by "), "{source}");
        assert_eq!(
            hosts(&environment(&[home, ("DOCKER_CONTEXT", "colima")]).find()),
            ["unix:///b/docker.sock"]
        );
        let with_host = environment(&[home, ("DOCKER_CONTEXT", "colima"), ("DOCKER_HOST", "tcp://h:1")]);
        let named = AddressSource::Variable("DOCKER_HOST");
        assert_eq!(with_host.find(), FoundEngine::At(vec!["tcp://h:1".to_owned()], named));
        // Another folder of the client, overridden by a job's own variables.
        let elsewhere = environment(&[("HOME", "/nowhere"), ("DOCKER_CONFIG", docker.to_str().unwrap())]);
        assert_eq!(hosts(&elsewhere.find()), ["unix:///a/docker.sock"]);
        let given = BTreeMap::from([("DOCKER_HOST".to_owned(), "localhost:2375".to_owned())]);
        assert_eq!(hosts(&elsewhere.with(&given).find()), ["tcp://localhost:2375"]);
    }

    #[test]
    fn engine_unreachable_is_unknown() {
        let place = tempfile::tempdir().unwrap();
        let docker = place.path().join(".docker");
        write_context(&docker, "far", "ssh://user@host");
        let keyed = write_context(&docker, "keyed", "tcp://host:2376");
        let tls = docker.join("contexts/tls").join(keyed.file_name().unwrap()).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        let home = ("HOME", place.path().to_str().unwrap());
        for (set, part) in [
            (("DOCKER_CONTEXT", "far"), "ssh"),
            (("DOCKER_CONTEXT", "keyed"), "TLS"),
            (("DOCKER_CONTEXT", "missing"), "'missing' cannot be read"),
            (("DOCKER_HOST", "ssh://h"), "ssh"),
        ] {
            let FoundEngine::Unknown(why, _) = environment(&[home, set]).find() else { panic!("{set:?}") };
            assert!(why.contains(part), "{why}");
        }
        std::fs::write(docker.join("config.json"), "{").unwrap();
        let FoundEngine::Unknown(why, _) = environment(&[home]).find() else { panic!("a damaged file") };
        assert!(why.contains("config.json cannot be read"), "{why}");
        // A job controls the folder, and its content.
        let kind = rustix::fs::FileType::Fifo;
        let make = |path: &Path| {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        };
        std::fs::remove_file(docker.join("config.json")).unwrap();
        make(&docker.join("config.json"));
        let FoundEngine::Unknown(why, _) = environment(&[home]).find() else { panic!("a pipe") };
        assert!(why.contains("a named pipe"), "{why}");
        std::fs::remove_file(docker.join("config.json")).unwrap();
        std::fs::File::create(docker.join("config.json")).unwrap().set_len(6 << 30).unwrap();
        let FoundEngine::Unknown(why, _) = environment(&[home]).find() else { panic!("an endless file") };
        assert!(why.contains("too long"), "{why}");
    }

    #[test]
    fn engine_sockets_and_traces() {
        let place = tempfile::tempdir().unwrap();
        let [first, second, link] = ["a.sock", "b.sock", "link.sock"].map(|name| place.path().join(name));
        let all = [first.clone(), link.clone(), second.clone()];
        assert_eq!(of_places(&all, || None), FoundEngine::NotInstalled);
        let FoundEngine::Unknown(why, _) = of_places(&all, || Some("/usr/bin/docker".into())) else {
            panic!("a client is there")
        };
        assert!(why.contains("/usr/bin/docker") && why.contains("docker.host"), "{why}");
        let _sockets = [&first, &second].map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let found = of_places(&all, || None);
        let expected = [&first, &second].map(|path| format!("unix://{}", path.display()));
        assert_eq!(hosts(&found), expected);
    }

    #[test]
    fn engine_rootless_and_podman_sockets() {
        let sockets = environment(&[("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/h")]).sockets();
        for path in ["/var/run/docker.sock", "/run/user/7/docker.sock", "/run/user/7/podman/podman.sock"] {
            assert!(sockets.contains(&PathBuf::from(path)), "{path}");
        }
        assert!(sockets.contains(&PathBuf::from("/h/.docker/run/docker.sock")));
    }
}
