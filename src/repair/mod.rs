//! `repair`: what is damaged, what will be done about each thing, the doing, and how it stands afterwards.
//!
//! Each part (`queue`, `jobs`, `locks`, `webhooks`) has one look, which changes nothing and names every act.
//! A dry run is that look. A run looks, acts, and looks again: an act is done when the second look does not
//! name it any more. So a second run finds nothing, and a run that was killed is finished by the next.
//!
//! The parts go in this order: jobs are judged by the queue, locks by the jobs. Damage that only an operator
//! can decide about is never touched; it is reported with the command that repairs it ([`Left`]).
//!
//! A recovery that is under way excludes a repair, and the other way round; a daemon that takes jobs does
//! not: everything here is done by the same transactions that it uses.

mod action;
mod adopt;
mod error;
mod jobs;
mod locks;
mod queue;
mod run;
mod settings;
mod webhooks;

pub use action::{
    Condition, DeliveriesCondition, JobsCondition, Left, LocksCondition, Part, QueueCondition, RepairAction,
    RepairReport,
};
pub use adopt::{AdoptError, Adoption, adopt_as_new};
pub use error::RepairError;
pub(crate) use locks::would_repair_lock;
pub use run::repair;
pub use settings::RepairSettings;
