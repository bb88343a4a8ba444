//! The engines that jobs may have used: usually one, or none, or one whose address is unknown.

use std::collections::{HashMap, HashSet};

use super::address::FoundEngine;
use super::engine::{Engine, EngineError, EngineSettings};
use super::object::{DockerKind, DockerObject};
use super::remove::Removal;

/// The engines that are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    /// There is no engine: the configuration says so, or nothing on this machine indicates one.
    None,
    /// The engines with these settings.
    At(Vec<EngineSettings>),
    /// It is not known which engines there are; the reason.
    Unknown(String),
}

impl EngineChoice {
    /// The engines that were found, with these settings except for their addresses.
    pub(crate) fn of(found: FoundEngine, settings: &EngineSettings) -> EngineChoice {
        let at = |host| EngineSettings { host, ..settings.clone() };
        match found {
            FoundEngine::At(hosts, _) => EngineChoice::At(hosts.into_iter().map(at).collect()),
            FoundEngine::NotInstalled => EngineChoice::None,
            FoundEngine::Unknown(why, _) => EngineChoice::Unknown(why),
        }
    }
}

/// Connections to engines.
#[derive(Debug)]
pub(crate) struct Engines(Vec<Engine>);

impl Engines {
    /// Connects to each of them.
    ///
    /// # Errors
    /// [`EngineError`], also when it is not known which engines there are.
    pub(crate) fn connect(choice: &EngineChoice) -> Result<Engines, EngineError> {
        match choice {
            EngineChoice::None => Ok(Engines(Vec::new())),
            EngineChoice::At(all) => Ok(Engines(all.iter().map(Engine::connect).collect::<Result<_, _>>()?)),
            EngineChoice::Unknown(why) => Err(EngineError::Unknown { why: why.clone() }),
        }
    }

    /// The objects of a kind of all engines; see [`Engine::list`]. It fails when one engine does not answer.
    pub(crate) fn list(&self, kind: DockerKind) -> Result<Vec<DockerObject>, EngineError> {
        let mut ids = HashSet::new();
        let mut all = Vec::new();
        for engine in &self.0 {
            for mut object in engine.list(kind)? {
                // One engine may have been asked twice, at two addresses.
                if kind != DockerKind::Volume && !ids.insert(object.id.clone()) {
                    continue;
                }
                object.engine = (self.0.len() > 1).then(|| engine.host().to_owned());
                all.push(object);
            }
        }
        Ok(all)
    }

    /// Removes objects, each by the engine that listed it; see [`Engine::remove_all`].
    pub(crate) fn remove_all(
        &self,
        objects: &[DockerObject],
        done: &mut dyn FnMut(&DockerObject, Result<Removal, EngineError>),
    ) {
        let mut by_engine: HashMap<usize, Vec<DockerObject>> = HashMap::new();
        for object in objects {
            let host = object.engine.as_deref();
            let of = self.0.iter().position(|engine| host.is_none_or(|host| engine.host() == host));
            match of {
                Some(of) => by_engine.entry(of).or_default().push(object.clone()),
                None => {
                    let host = host.unwrap_or("an engine").to_owned();
                    let why = "it is not among those that are asked now".to_owned();
                    done(object, Err(EngineError::Unreachable { host, why }));
                }
            }
        }
        for (of, objects) in by_engine {
            self.0[of].remove_all(&objects, done);
        }
    }
}
