//! Operators' actions: each is a command line of recoveryctl. A dialog shows the very command that runs, so
//! the dashboard can do nothing that the command line cannot, and nothing differently.

use recovery::operations::{Entry, Offer, TABLE};

use crate::views::View;

/// How it must be confirmed, by the harm that it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weight {
    /// To be confirmed.
    Confirmed,
    /// To be confirmed by typing this text.
    Typed(String),
}

/// A command that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The text in the menu: `Release the lock`.
    pub title: String,
    /// On the button: `Release`.
    pub verb: &'static str,
    /// The words after `recoveryctl`.
    pub words: Vec<String>,
    /// A sentence that says what it does.
    pub does: String,
    /// How it is confirmed.
    pub weight: Weight,
    /// Whether `--dry-run` shows its effect beforehand.
    pub can_rehearse: bool,
    /// Whether it may take long: the dashboard shows its progress, not its end.
    pub is_long: bool,
    /// The initial reason in the dialog, for actions that require one.
    pub reason: &'static str,
}

impl Action {
    fn new(title: impl Into<String>, verb: &'static str, words: &[&str], does: impl Into<String>) -> Action {
        Action {
            title: title.into(),
            verb,
            words: words.iter().map(|&w| w.to_owned()).collect(),
            does: does.into(),
            weight: Weight::Confirmed,
            can_rehearse: true,
            is_long: false,
            reason: "",
        }
    }

    fn of_many(
        title: impl Into<String>,
        verb: &'static str,
        words: &[&str],
        names: &[String],
        does: &str,
    ) -> Action {
        let mut action = Action::new(title, verb, words, does);
        action.name(names);
        action
    }

    /// Adds names, which come last; a name that looks like an option is kept from being one.
    fn name(&mut self, names: &[String]) {
        if names.iter().any(|name| name.starts_with('-')) {
            self.words.push("--".to_owned());
        }
        self.words.extend(names.iter().cloned());
    }

    /// Recover the state directory.
    pub fn recover() -> Action {
        let does = "Runs the recovery sequence: finds out what became of every job and lock, and mends \
                    what is damaged. Jobs that live go on.";
        let action = Action::new("Recover", "Recover", &["recover"], does);
        Action { can_rehearse: false, is_long: true, ..action }
    }

    /// Repair damage: all of it, or a part.
    pub fn repair(part: Option<&str>) -> Action {
        let does = "Mends what is damaged, act by act. What cannot be read is kept in quarantine; what only an \
                    operator can decide is named.";
        let words: Vec<&str> = std::iter::once("repair").chain(part).collect();
        Action::new(
            part.map_or("Repair".to_owned(), |part| format!("Repair the {part}")),
            "Repair",
            &words,
            does,
        )
    }

    /// Acknowledges a loss.
    pub fn acknowledge(finding: &str) -> Action {
        let does = "The loss is told no more; who acknowledged it, when and why stays on the list and in the audit \
                    trail.";
        let names = [finding.to_owned()];
        let title = format!("Acknowledge the loss {finding}");
        let action = Action::of_many(title, "Acknowledge", &["findings", "ack"], &names, does);
        Action { can_rehearse: false, reason: "seen", ..action }
    }

    /// Skips a phase.
    pub fn skip_phase(phase: &str) -> Action {
        let does = "The recovery that is under way passes it over at its next safe point; else the next \
                    recovery does. What waits for it goes on without it.";
        Action::new(format!("Skip phase {phase}"), "Skip", &["skip", phase], does)
    }

    /// Try a phase again.
    pub fn retry_phase(phase: &str) -> Action {
        let does = "Runs the phase once more, and what waits for it: by the daemon if one runs.";
        let title = format!("Try phase {phase} again");
        Action { is_long: true, ..Action::new(title, "Retry", &["retry", "phase", phase], does) }
    }

    /// Leave safe mode.
    pub fn clear_startup() -> Action {
        let does =
            "Says that the cause of the crash loop is gone: the daemon recovers and starts jobs again.";
        let words = ["startup", "clear"];
        Action { can_rehearse: false, ..Action::new("Leave safe mode", "Clear", &words, does) }
    }

    /// Queues the next attempt of jobs.
    pub fn resume(jobs: &[String]) -> Action {
        let does = "Queues the next attempt, from the checkpoint if the job has saved one.";
        Action::of_many(titled("Resume", "job", jobs), "Resume", &["resume"], jobs, does)
    }

    /// Queues the next attempt of jobs without the checkpoint.
    pub fn resume_fresh(jobs: &[String]) -> Action {
        let does = "Queues the next attempt, from the beginning: the checkpoint is not used.";
        let title = format!("{} from the beginning", titled("Resume", "job", jobs));
        Action::of_many(title, "Resume", &["resume", "--fresh"], jobs, does)
    }

    /// Cancels jobs.
    pub fn cancel(jobs: &[String]) -> Action {
        let does = "Queued jobs are over at once, running ones are ended. They can be resumed.";
        Action::of_many(titled("Cancel", "job", jobs), "Cancel job", &["jobs", "cancel"], jobs, does)
    }

    /// Give a lock back: by force when its holder is not provably gone.
    pub fn release(repository: &str, lock_id: Option<&str>, force: bool) -> Action {
        let mut words = vec!["release"];
        words.extend(lock_id.into_iter().flat_map(|id| ["--id", id]));
        words.extend(force.then_some("--force"));
        let names = [repository.to_owned()];
        let does = match force {
            true => "Its holder is not provably gone: two may work on it at once.",
            false => "Its holder is gone: gives the lock back, so that the next one in line gets it.",
        };
        let title = format!("Release the lock of {repository}");
        if !force {
            return Action::of_many(title, "Release", &words, &names, does);
        }
        let title = format!("{title} by force");
        let action = Action::of_many(title, "Release by force", &words, &names, does);
        Action { weight: Weight::Typed(repository.to_owned()), ..action }
    }

    /// What an operation offers to do with jobs.
    pub fn offered(entry: &Entry, offer: Offer, jobs: &[String]) -> Action {
        let title = titled(offer.verb, "job", jobs);
        let action = Action::of_many(title, offer.verb, entry.words, jobs, offer.does);
        Action { can_rehearse: offer.can_rehearse, ..action }
    }

    /// Try the failed phases of a cleanup again.
    pub fn retry_cleanup(cleanup: &str) -> Action {
        let does = "Takes the phases that failed or are parked up again. A daemon does it.";
        let title = format!("Try cleanup {cleanup} again");
        let names = [cleanup.to_owned()];
        let action = Action::of_many(title, "Retry", &["retry", "cleanup"], &names, does);
        Action { can_rehearse: false, ..action }
    }

    /// Skips a phase of a cleanup.
    pub fn skip_cleanup(cleanup: &str, phase: &str) -> Action {
        let does = "Passes the phase over for good: what it would have removed stays.";
        let title = format!("Skip phase {phase} of cleanup {cleanup}");
        let names = [cleanup.to_owned(), phase.to_owned()];
        let action = Action::of_many(title, "Skip", &["cleanup", "skip"], &names, does);
        Action { can_rehearse: false, ..action }
    }

    /// Work on all cleanups once.
    pub fn run_cleanups() -> Action {
        let does = "Works on every cleanup once, without a daemon: removes what they are about.";
        let action = Action::new("Run the cleanups", "Run", &["cleanup", "run"], does);
        Action { can_rehearse: false, is_long: true, ..action }
    }

    /// Scans for orphans.
    pub fn scan() -> Action {
        let does =
            "Looks for damage and for what no job owns any more. It changes nothing but the saved plan.";
        Action { can_rehearse: false, is_long: true, ..Action::new("Scan", "Scan", &["scan"], does) }
    }

    /// Executes a part of a plan.
    pub fn remove_orphans(plan: &str, ids: &[String], size: &str) -> Action {
        let does =
            format!("Removes them, {size}. Each check is made again right before; folders go to the trash.");
        let mut words = vec!["orphans", "cleanup", "--plan", plan];
        words.extend(ids.iter().flat_map(|id| ["--id", id.as_str()]));
        Action::new(titled("Remove", "orphan", ids), "Remove", &words, does)
    }

    /// Executes a whole plan.
    pub fn carry_out_plan(plan: &str) -> Action {
        let does = "Removes what the plan calls safe. Each check is made again right before; folders go to the trash.";
        let words = ["orphans", "cleanup", "--plan", plan];
        Action::new("Remove the orphans of the plan", "Remove", &words, does)
    }

    /// Try deliveries again.
    pub fn retry_webhooks(ids: &[String]) -> Action {
        let does = "Sends it again, now. The receiver can tell by its id that it is the same one.";
        let title = titled("Replay", "delivery", ids).replace("deliverys", "deliveries");
        Action::of_many(title, "Replay", &["retry", "webhook"], ids, does)
    }

    /// Try all parked deliveries again.
    pub fn retry_all_webhooks() -> Action {
        let does = "Sends all deliveries again that were given up after their last try.";
        let words = ["retry", "webhook", "--all-parked"];
        Action::new("Replay all parked deliveries", "Replay", &words, does)
    }

    /// Discards deliveries.
    pub fn discard_webhooks(ids: &[String]) -> Action {
        let does = "Gives it up for good: its receiver is never told.";
        let title = titled("Give up", "delivery", ids).replace("deliverys", "deliveries");
        let action = Action::of_many(title, "Give up", &["webhooks", "discard"], ids, does);
        Action { weight: Weight::Typed("give up".to_owned()), ..action }
    }

    /// The command line in full, for the dialog and for copying.
    pub fn command_line(&self, program: &str) -> String {
        format!("{program} {}", quoted(&self.words))
    }
}

/// Words, quoted for a shell.
pub fn quoted(words: &[String]) -> String {
    let quoted = words.iter().map(|w| match shlex::try_quote(w) {
        Ok(word) => word.into_owned(),
        Err(_) => "…".to_owned(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// `Cancel job build`, `Cancel 3 jobs`.
fn titled(verb: &str, noun: &str, names: &[String]) -> String {
    match names {
        [one] => format!("{verb} {noun} {one}"),
        many => format!("{verb} {} {noun}s", many.len()),
    }
}

/// The meaning of a command line of recoveryctl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// An action, to be confirmed and run.
    Action(Box<Action>),
    /// A view to show.
    Show(View),
    /// An object whose evidence to show.
    Why(String),
    /// A job to show.
    Job(String),
    /// Only a shell can run this.
    Nothing,
}

/// The meaning of a command line: the next step of a finding, or one typed after `:`.
pub fn meant(line: &str) -> Meant {
    let Some(words) = shlex::split(line) else { return Meant::Nothing };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = words.strip_prefix(&["recoveryctl"]).unwrap_or(&words);
    let action = |action: Action| Meant::Action(Box::new(action));
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<String>>();
    let plain = |names: &[&str]| !names.is_empty() && names.iter().all(|n| !n.starts_with('-'));
    match words {
        ["recover"] => action(Action::recover()),
        ["repair"] => action(Action::repair(None)),
        ["repair", part] if plain(&[part]) => action(Action::repair(Some(part))),
        ["findings", "ack", finding, "--reason", _] if plain(&[finding]) => {
            action(Action::acknowledge(finding))
        }
        ["orphans", "cleanup", "--plan", plan] if plain(&[plan]) => action(Action::carry_out_plan(plan)),
        ["skip", phase] if plain(&[phase]) => action(Action::skip_phase(phase)),
        ["retry", "phase", phase] if plain(&[phase]) => action(Action::retry_phase(phase)),
        ["startup", "clear"] => action(Action::clear_startup()),
        ["resume", "--fresh", jobs @ ..] if plain(jobs) => action(Action::resume_fresh(&names(jobs))),
        ["resume", jobs @ ..] if plain(jobs) => action(Action::resume(&names(jobs))),
        ["jobs", "cancel", jobs @ ..] if plain(jobs) => action(Action::cancel(&names(jobs))),
        ["release", repository] if plain(&[repository]) => action(Action::release(repository, None, false)),
        ["release", repository, "--force"] | ["release", "--force", repository] if plain(&[repository]) => {
            action(Action::release(repository, None, true))
        }
        ["scan"] => action(Action::scan()),
        ["cleanup", "run"] => action(Action::run_cleanups()),
        ["retry", "cleanup", id] if plain(&[id]) => action(Action::retry_cleanup(id)),
        ["retry", "webhook", "--all-parked" | "--all"] => action(Action::retry_all_webhooks()),
        ["retry", "webhook", ids @ ..] if plain(ids) => action(Action::retry_webhooks(&names(ids))),
        _ if let Some((entry, offer, jobs)) = offered(words).filter(|(_, _, jobs)| plain(jobs)) => {
            action(Action::offered(entry, offer, &names(jobs)))
        }
        ["why", object] => Meant::Why((*object).to_owned()),
        ["webhooks", "discard", ids @ ..] if plain(ids) => action(Action::discard_webhooks(&names(ids))),
        ["webhooks", ..] => Meant::Show(View::Webhooks),
        ["findings" | "status" | "recovery", ..] => Meant::Show(View::Overview),
        ["orphans", ..] => Meant::Show(View::Orphans),
        ["cleanup", ..] => Meant::Show(View::Cleanup),
        ["startup", ..] => Meant::Show(View::Startup),
        ["audit", ..] => Meant::Show(View::Audit),
        ["locks", "active"] => Meant::Show(View::Locks),
        ["jobs", "list"] => Meant::Show(View::Jobs),
        ["queue", "status"] => Meant::Show(View::Queue),
        ["locks", "inspect", repository] => Meant::Why(format!("lock:{repository}")),
        ["jobs", "show" | "output", job] => Meant::Job((*job).to_owned()),
        _ => Meant::Nothing,
    }
}

/// Returns the operation that a command line offers to do with jobs, and the jobs.
fn offered<'a, 'b>(words: &'a [&'b str]) -> Option<(&'static Entry, Offer, &'a [&'b str])> {
    TABLE.iter().find_map(|row| {
        let jobs = words.strip_prefix(row.entry.words)?;
        Some((&row.entry, row.entry.offer?, jobs))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_run() {
        let action = Action::release("my repo", Some("7"), true);
        assert_eq!(action.command_line("recoveryctl"), "recoveryctl release --id 7 --force 'my repo'");
        assert_eq!(action.weight, Weight::Typed("my repo".to_owned()));
        assert_eq!(Action::cancel(&["-x".to_owned()]).words, ["jobs", "cancel", "--", "-x"]);
    }

    #[test]
    fn next_steps_are_understood() {
        let is = |line: &str, action: Action| assert_eq!(meant(line), Meant::Action(Box::new(action)));
        is("recoveryctl resume 'a b'", Action::resume(&["a b".to_owned()]));
        is("recover", Action::recover());
        is("recoveryctl retry phase locks", Action::retry_phase("locks"));
        is("release web --force", Action::release("web", None, true));
        is("recoveryctl findings ack 7f3a91c2 --reason seen", Action::acknowledge("7f3a91c2"));
        let entry = &TABLE.iter().find(|row| row.entry.words == ["cleanup", "start"]).unwrap().entry;
        let clean_up = Action::offered(entry, entry.offer.unwrap(), &["a".to_owned()]);
        assert_eq!(clean_up.title, "Clean up job a");
        is("recoveryctl cleanup start a", clean_up);
        is("recoveryctl repair locks", Action::repair(Some("locks")));
        is("recoveryctl orphans cleanup --plan p", Action::carry_out_plan("p"));
        assert_eq!(meant("recoveryctl why job:x"), Meant::Why("job:x".to_owned()));
        for no in ["rm -rf /", "resume", "resume --help", "resume 'a", "release --force", ""] {
            assert_eq!(meant(no), Meant::Nothing, "{no}");
        }
    }
}
