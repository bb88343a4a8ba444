//! Proves that commits that a repository has, or names, exist elsewhere.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use super::Git;
use crate::archive::objects::{each_own, written_at};
use crate::archive::open::Objects;
use crate::archive::tips::{Id, MOST, Tips, hex, id_of};
use crate::system::Author;

/// How many objects one run of git is asked about.
pub(super) const AT_A_TIME: usize = 1_000_000;

impl Git<'_> {
    /// Proves that every anchored commit is reachable from what a remote is known to have; and, if objects
    /// were written after `since`, every commit in the repository. Annotated tags are returned, because no
    /// other copy of them is known and they are small; the message of a tag older than the clone came with
    /// the clone. The commit of a tag is proven like every other.
    pub(in crate::archive) fn prove_commits(
        &self,
        objects: &Objects,
        shallow: Option<&std::fs::File>,
        tips: &Tips,
        since: Option<i64>,
    ) -> Result<Option<std::fs::File>, String> {
        let mut known = self.kinds_of(objects, tips)?;
        let mut all = Commits::new(self, objects)?;
        if since.map_or(Ok(false), |since| written_at(objects.as_fd()).map(|at| at >= since))? {
            each_own(objects.as_fd(), &mut |id| all.ask(id))?;
            all.answer()?;
        }
        known.tags.append(&mut all.tags);
        let tags = self.contents_of(objects, &mut known, tips.cloned_at)?;
        let named = known.own.iter().filter(|(id, _)| !known.elsewhere.contains(id));
        let named: Vec<(Id, &str)> = named.map(|(id, what)| (*id, what.as_str())).collect();
        let nobody = |what: &str| format!("{what} has commits that no remote is known to have");
        if let Some((_, first)) = named.first() {
            let asked = self.lines(named.iter().map(|(id, _)| hex(id)))?;
            if !self.are_reachable(objects, shallow, &asked, &known.elsewhere)? {
                let is_one = named.len() == 1 || known.elsewhere.is_empty();
                return Err(nobody(if is_one { first } else { "one of its names, HEADs or reflogs" }));
            }
        }
        if all.total > 0 {
            let asked = all.found.into_inner().map_err(|e| e.to_string())?;
            if !self.are_reachable(objects, shallow, &asked, &known.elsewhere)? {
                let why = "it has commits that none of its names leads to and no remote is known to have";
                return Err(why.to_owned());
            }
        }
        Ok(tags)
    }

    /// Whether each commit of a list is reachable from some that others have.
    fn are_reachable(
        &self,
        objects: &Objects,
        shallow: Option<&std::fs::File>,
        asked: &std::fs::File,
        elsewhere: &BTreeSet<Id>,
    ) -> Result<bool, String> {
        if elsewhere.is_empty() {
            return Ok(false);
        }
        let mut list = self.lines(elsewhere.iter().map(|id| format!("^{}", hex(id))))?;
        let mut asked = asked;
        let copied = list.seek(SeekFrom::End(0)).and_then(|_| asked.rewind());
        copied.and_then(|()| std::io::copy(&mut asked, &mut list)).map_err(|e| e.to_string())?;
        list.rewind().map_err(|e| e.to_string())?;
        let mut command = self.command(objects, Author::Ourselves)?;
        if let Some(shallow) = shallow {
            let path = command.hand(shallow.as_fd());
            command.env("GIT_SHALLOW_FILE", path);
        }
        command.args(["rev-list", "--count", "--max-count=1", "--stdin"]);
        let mut answer = String::new();
        let mut printed = self.run(command, Some(list))?;
        printed.read_to_string(&mut answer).map_err(|e| e.to_string())?;
        match answer.trim() {
            "0" => Ok(true),
            "1" => Ok(false),
            other => Err(format!("git answered '{other}' where it was to count")),
        }
    }

    /// Returns the type of every object that is anchored, or that a remote's name points to.
    fn kinds_of(&self, objects: &Objects, tips: &Tips) -> Result<Known, String> {
        let mut known = Known { elsewhere: tips.stays.clone(), ..Known::default() };
        let own = tips.own.iter().filter(|(id, _)| !tips.stays.contains(*id));
        let own: Vec<(&Id, &str)> = own.map(|(id, what)| (id, what.as_str())).collect();
        let asked: Vec<_> =
            own.iter().copied().chain(tips.remote.iter().map(|id| (id, "a remote's name"))).collect();
        if asked.is_empty() {
            return Ok(known);
        }
        let mut command = self.command(objects, Author::Ourselves)?;
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.run(command, Some(self.lines(asked.iter().map(|(id, _)| hex(id)))?))?;
        let mut answers = BufReader::new(printed).lines();
        for (number, (id, what)) in asked.iter().enumerate() {
            let answer = answers.next().and_then(Result::ok).ok_or("git did not answer all questions")?;
            match answer.strip_prefix(&hex(id)).map(str::trim) {
                Some("commit") if number < own.len() => known.own.push((**id, (*what).to_owned())),
                Some("commit") => drop(known.elsewhere.insert(**id)),
                // No branch of a remote is a tag: the name was given here.
                Some("tag") => drop(known.tags.insert(**id)),
                Some("missing") => return Err(format!("{what} names an object that git does not have")),
                Some(kind) => return Err(format!("{what} names a {kind}")),
                None => return Err("git did not answer what it was asked".to_owned()),
            }
        }
        Ok(known)
    }
}

/// The known objects of a repository.
#[derive(Default)]
pub(super) struct Known {
    /// Anchored commits, with the place where each name was found.
    pub(super) own: Vec<(Id, String)>,
    pub(super) tags: BTreeSet<Id>,
    /// Objects that other repositories have.
    pub(super) elsewhere: BTreeSet<Id>,
}

/// Sorts the commits and tags out of all objects, some at a time.
struct Commits<'g, 'a> {
    git: &'g Git<'a>,
    objects: &'g Objects,
    asked: std::io::BufWriter<std::fs::File>,
    open: usize,
    /// The commits found, one on each line.
    found: std::io::BufWriter<std::fs::File>,
    total: u64,
    tags: BTreeSet<Id>,
}

impl<'g, 'a> Commits<'g, 'a> {
    fn new(git: &'g Git<'a>, objects: &'g Objects) -> Result<Commits<'g, 'a>, String> {
        let file = || git.nameless().map(std::io::BufWriter::new);
        Ok(Commits { git, objects, asked: file()?, open: 0, found: file()?, total: 0, tags: BTreeSet::new() })
    }

    fn ask(&mut self, id: Id) -> Result<(), String> {
        writeln!(self.asked, "{}", hex(&id)).map_err(|e| e.to_string())?;
        self.open += 1;
        if self.open < AT_A_TIME { Ok(()) } else { self.answer() }
    }

    fn answer(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.open) == 0 {
            return Ok(());
        }
        let next = std::io::BufWriter::new(self.git.nameless()?);
        let mut asked = std::mem::replace(&mut self.asked, next).into_inner().map_err(|e| e.to_string())?;
        asked.rewind().map_err(|e| e.to_string())?;
        let mut command = self.git.command(self.objects, Author::Ourselves)?;
        command.args(["cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.git.run(command, Some(asked))?;
        let mut lines = BufReader::with_capacity(64 << 10, printed);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|e| e.to_string())? == 0 {
                return Ok(());
            }
            // An object named in an index but in no pack is missing.
            match line.trim_end().split_once(' ').ok_or("git did not answer what it was asked")? {
                (id, "commit") => {
                    self.total += 1;
                    writeln!(self.found, "{id}").map_err(|e| e.to_string())?;
                }
                (id, "tag") => {
                    let id = id_of(id.as_bytes()).ok_or("git did not answer what it was asked")?;
                    if self.tags.insert(id) && self.tags.len() > MOST {
                        return Err("it has too many tags to be judged".to_owned());
                    }
                }
                _ => {}
            }
        }
    }
}
