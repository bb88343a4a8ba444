//! The state of the dashboard: views with their lists, and overlays. [`crate::update`] changes it,
//! [`crate::view`] draws it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use recovery::state::Timestamp;

use crate::action::Action;
use crate::listing::{Document, Listing, Object, Tone};
use crate::message::{Ask, Ran};
use crate::panel::overview::Overview;
use crate::views::View;

/// A view's list as the operator looks at it.
#[derive(Clone, Default)]
pub struct ListState {
    pub(crate) data: Option<Arc<dyn Listing>>,
    /// The lines that are shown, in their order.
    pub(crate) order: Vec<u32>,
    /// The selected one.
    pub(crate) selected: usize,
    /// The key of the selected line, when the operator has selected one: it stays selected when it moves.
    pub(crate) chosen: Option<String>,
    /// The first line on the screen.
    pub(crate) top: usize,
    pub(crate) filter: String,
    /// The column by which the list is sorted, and whether in reverse.
    pub(crate) sort: Option<(usize, bool)>,
    pub(crate) marks: BTreeSet<String>,
    pub(crate) trouble: Option<String>,
}

impl ListState {
    /// The selected line of the list, if there is one.
    pub(crate) fn row(&self) -> Option<usize> {
        self.order.get(self.selected).map(|&row| row as usize)
    }

    /// The name of the selected line.
    pub(crate) fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.data.as_ref()?.key(self.row()?))
    }

    /// The lines that an action is about: the marked ones, or else the selected one.
    pub(crate) fn meant(&self) -> Vec<usize> {
        let Some(data) = &self.data else { return Vec::new() };
        if self.marks.is_empty() {
            return self.row().into_iter().collect();
        }
        (0..data.len()).filter(|&row| self.marks.contains(&*data.key(row))).collect()
    }
}

/// The overlays above the views, the topmost last.
#[derive(Clone)]
pub enum Overlay {
    /// Something to read.
    Page(PageState),
    /// The key table.
    Help {
        /// The first line that is shown.
        top: usize,
    },
    /// The menu of actions.
    Menu {
        /// The choice.
        actions: Vec<Action>,
        /// The selected action.
        selected: usize,
    },
    /// A question before something is done.
    Dialog(Box<Dialog>),
    /// A line that is typed.
    Prompt(Prompt),
}

/// A page that is read.
#[derive(Clone)]
pub struct PageState {
    /// The object that is read again while it is open.
    pub(crate) object: Option<Object>,
    pub(crate) document: Option<Arc<dyn Document>>,
    pub(crate) trouble: Option<String>,
    /// The first line that is shown; `None` follows the end.
    pub(crate) top: Option<usize>,
}

/// The part of a dialog that has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    Cancel,
    Name,
    Reason,
    Do,
}

/// A question before something is done.
#[derive(Debug, Clone)]
pub struct Dialog {
    pub(crate) action: Action,
    pub(crate) focus: Focus,
    /// The typed text, where the name must be typed.
    pub(crate) typed: String,
    /// The reason for the audit trail.
    pub(crate) reason: String,
    /// The result of the rehearsal.
    pub(crate) rehearsal: Option<Ran>,
}

impl Dialog {
    /// Whether Enter would now run the action.
    pub fn is_about_to_act(&self) -> bool {
        self.focus == Focus::Do && self.is_named()
    }

    /// The action in question.
    pub fn action(&self) -> &Action {
        &self.action
    }

    pub(crate) fn is_named(&self) -> bool {
        match &self.action.weight {
            crate::action::Weight::Confirmed => true,
            crate::action::Weight::Typed(name) => self.typed == *name,
        }
    }
}

/// The typed text, and its purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// `/` or `:`.
    pub(crate) kind: PromptKind,
    pub(crate) text: String,
}

/// The purpose of a typed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    Filter,
    Command,
}

/// How the dashboard was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The program's name in the commands that are shown, with the options that name the state directory.
    pub program: String,
    /// The observed state directory or daemon, for the header.
    pub source: String,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// Whether a recovery runs in this process: the dashboard ends with it.
    pub is_recovering: bool,
}

/// The dashboard.
#[derive(Clone)]
pub struct Model {
    pub(crate) setting: Setting,
    pub(crate) view: View,
    pub(crate) lists: [ListState; 9],
    pub(crate) overlays: Vec<Overlay>,
    pub(crate) overview: Option<Arc<Overview>>,
    pub(crate) size: (u16, u16),
    pub(crate) now: Timestamp,
    /// The last thing said to the operator.
    pub(crate) notice: Option<(String, Tone)>,
    pub(crate) is_paused: bool,
    pub(crate) has_mouse: bool,
    /// The commands that are running.
    pub(crate) at_work: Vec<Action>,
    /// The operator has asked the recovery of this process to end.
    pub(crate) is_cancelling: bool,
    /// When something was last read.
    pub(crate) read_at: Option<Timestamp>,
    /// Set while the source does not answer.
    pub(crate) lost: Option<Lost>,
}

/// The source does not answer: the screen is outdated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The time of the last answer: the source has not answered since, as far as is known.
    pub(crate) since: Timestamp,
    /// The failed request, with its error.
    pub(crate) why: String,
}

impl Model {
    /// Makes a model before anything was read.
    pub fn new(setting: Setting, view: View, size: (u16, u16), now: Timestamp) -> Model {
        Model {
            setting,
            view,
            lists: std::array::from_fn(|_| ListState::default()),
            overlays: Vec::new(),
            overview: None,
            size,
            now,
            notice: None,
            is_paused: false,
            has_mouse: false,
            at_work: Vec::new(),
            is_cancelling: false,
            read_at: None,
            lost: None,
        }
    }

    /// The view that is shown.
    pub fn view(&self) -> View {
        self.view
    }

    /// Why the source does not answer, as long as it does not.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_ref().map(|lost| &*lost.why)
    }

    /// The question that is open, if one is.
    pub fn dialog(&self) -> Option<&Dialog> {
        match self.overlays.last() {
            Some(Overlay::Dialog(dialog)) => Some(dialog),
            _ => None,
        }
    }

    /// How many levels lie above the view.
    pub fn depth(&self) -> usize {
        self.overlays.len()
    }

    /// The selected line of the view, and the number of lines.
    pub fn selection(&self) -> (usize, usize) {
        let list = self.list();
        (list.selected, list.order.len())
    }

    /// The selected key.
    pub fn selected_key(&self) -> Option<String> {
        self.list().key().map(Cow::into_owned)
    }

    /// The reads needed for the present screen, the topmost first.
    pub fn wanted(&self) -> Vec<Ask> {
        if self.is_paused {
            return Vec::new();
        }
        let page = self.overlays.iter().rev().find_map(|overlay| match overlay {
            Overlay::Page(page) => page.object.clone(),
            _ => None,
        });
        let mut wanted: Vec<Ask> = page.map(Ask::Object).into_iter().collect();
        if self.view != View::Overview {
            wanted.push(Ask::List(self.view));
        }
        // The progress of a recovery can be read even where everything else waits for a disk.
        let is_watched = self.overview.is_none() || self.is_recovery_running();
        if is_watched && !self.setting.is_recovering {
            wanted.push(Ask::Progress);
        }
        wanted.push(Ask::Overview);
        wanted
    }

    pub(crate) fn list(&self) -> &ListState {
        &self.lists[self.view.number()]
    }

    pub(crate) fn list_mut(&mut self) -> &mut ListState {
        &mut self.lists[self.view.number()]
    }

    pub(crate) fn is_recovery_running(&self) -> bool {
        self.overview.as_ref().is_some_and(|overview| overview.progress().is_running())
    }

    pub(crate) fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.notice = Some((text.into(), tone));
    }
}
