//! A Docker engine behind a narrow, synchronous type: containers, networks and volumes are listed with their
//! labels, and removed by full id. Everything asynchronous stays in this folder.
//!
//! The engine's answers are interpreted: "no such object" means gone; "removal is in progress" is waited for;
//! an object in use is tried again later; an engine that cannot be reached, answers late or hangs up says
//! nothing about its objects ([`EngineError::Unreachable`]): they may run on without it.
//!
//! The engine is found as the docker client finds it ([`ClientEnvironment`]); an absent socket proves
//! nothing.
//!
//! bollard sends no API version, so an engine answers in its own; [`Engine::connect`] negotiates all the
//! same, because later releases of bollard do send one, and because it is the cheapest proof that the engine
//! works.

mod address;
mod engine;
mod engines;
mod object;
mod remove;

pub use address::{AddressSource, ClientEnvironment, FoundEngine};
pub use engine::{Engine, EngineError, EngineSettings};
pub use engines::EngineChoice;
pub(crate) use engines::Engines;
pub use object::{DockerKind, DockerObject, LABEL_JOB, LABEL_STATE};
pub use remove::Removal;
