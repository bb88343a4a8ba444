//! Operations on a state directory, with or without a daemon.

use std::sync::Arc;

use recovery::operations::{Call, Context, FrontEnd, Operation, OperationError, Site};
use recovery::queue::Actor;
use recovery::recovery::{Snapshot, read_current};
use recovery::report::change;
use recovery::state::StateDir;
use recovery::state::config::Configuration;

use super::Operator;
use crate::message::Trouble;

/// See the module. The queue is kept, so that only new records are read.
#[derive(Clone)]
pub struct Directory {
    dir: StateDir,
    site: Site,
}

impl Directory {
    /// Makes a directory that has read nothing yet.
    pub fn new(dir: StateDir, site: Site) -> Directory {
        Directory { dir, site: Site { queue: Some(Arc::default()), ..site } }
    }

    /// The same with the defaults of all settings.
    pub fn with_defaults(dir: StateDir) -> Directory {
        let configuration = Configuration::with_defaults(Some(dir.paths.root().to_owned()), 1);
        let site = Site {
            configuration: Arc::new(configuration),
            keeper: |_| Vec::new(),
            variable: |_| None,
            queue: None,
        };
        Directory::new(dir, site)
    }
}

impl Operator for Directory {
    fn carry_out<O: Operation>(&mut self, request: &O) -> Result<O::Report, Trouble> {
        let call = Call {
            actor: Actor { by: "tui".to_owned(), why: None },
            dry_run: false,
            sees_output: true,
            is_streamed: false,
            inside: None,
            folder: None,
        };
        let mut context = Context::new(self.site.clone(), call, Silent);
        request.run(&mut context).map(|done| done.report).map_err(|e| sentence(&e).into())
    }

    fn recovering(&mut self) -> Option<Arc<Snapshot>> {
        read_current(&self.dir).map(Arc::new)
    }

    fn stamp(&mut self) -> u64 {
        change::stamp(&self.dir)
    }
}

/// An error with its causes, in one sentence.
fn sentence(error: &OperationError) -> String {
    let causes = error.causes().into_iter().map(|cause| format!(": {cause}"));
    error.message() + &causes.collect::<String>()
}

/// The reports hold everything else that operations say.
struct Silent;

impl FrontEnd for Silent {
    fn warn(&mut self, _sentence: &str) {}

    fn note(&mut self, _sentence: &str) {}

    fn agrees(&mut self, _question: &str) -> Option<bool> {
        None
    }
}
