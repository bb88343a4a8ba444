//! The views that there are, in the order of their numbers.

use strum::VariantArray;

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum View {
    Overview,
    Queue,
    Jobs,
    Locks,
    Cleanup,
    Orphans,
    Startup,
    Webhooks,
    Audit,
}

impl View {
    /// All of them, in the order of their numbers.
    pub const ALL: &[View] = <View as VariantArray>::VARIANTS;

    pub const fn title(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Queue => "Queue",
            View::Jobs => "Jobs",
            View::Locks => "Locks",
            View::Cleanup => "Cleanup",
            View::Orphans => "Orphans",
            View::Startup => "Startup",
            View::Webhooks => "Webhooks",
            View::Audit => "Audit",
        }
    }

    /// The view of this name, in any case; its beginning is enough.
    pub fn named(name: &str) -> Option<View> {
        let name = name.to_ascii_lowercase();
        let begins = |view: &View| view.title().to_ascii_lowercase().starts_with(&name);
        View::ALL.iter().copied().find(|view| !name.is_empty() && begins(view))
    }

    pub(crate) fn number(self) -> usize {
        View::ALL.iter().position(|v| *v == self).unwrap_or_default()
    }
}
