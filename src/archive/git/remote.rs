//! Checks that a remote on this machine has the commits that a repository in the folder records as the
//! remote's.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::os::fd::AsFd;

use super::Git;
use super::commits::AT_A_TIME;
use crate::archive::objects::each_own;
use crate::archive::open::Objects;
use crate::archive::tips::{Id, hex, id_of};
use crate::system::Author;

/// A repository that is not removed.
pub(in crate::archive) struct RemoteStore<'a> {
    pub(in crate::archive) objects: &'a Objects,
    /// The objects that its names point to.
    pub(in crate::archive) names: BTreeSet<Id>,
}

/// A repository that is to be removed.
pub(in crate::archive) struct Owned<'a> {
    pub(in crate::archive) objects: &'a Objects,
    pub(in crate::archive) shallow: Option<&'a File>,
}

impl Git<'_> {
    /// Returns those of some commits that a repository lacks. A commit that none of its names leads to counts
    /// as lacking, because git may delete it tomorrow: its branch was deleted or overwritten. When any object
    /// of the commits is missing, all of them count as lacking.
    pub(in crate::archive) fn lacking(
        &self,
        remote: &RemoteStore<'_>,
        own: &Owned<'_>,
        ids: &BTreeSet<Id>,
    ) -> Result<BTreeSet<Id>, String> {
        let mut lacking = self.no_commits(remote.objects, ids)?;
        let unnamed: BTreeSet<Id> =
            ids.difference(&lacking).filter(|id| !remote.names.contains(*id)).copied().collect();
        if !unnamed.is_empty() {
            lacking.extend(self.unreachable(remote, &unnamed)?);
        }
        let wanted: Vec<Id> = ids.difference(&lacking).copied().collect();
        if !wanted.is_empty() && !self.has_all_of(remote.objects, own, &wanted)? {
            return Ok(ids.clone());
        }
        Ok(lacking)
    }

    /// Returns those of some ids that are missing, or are not commits.
    fn no_commits(&self, objects: &Objects, ids: &BTreeSet<Id>) -> Result<BTreeSet<Id>, String> {
        let mut command = self.command(objects, Author::Ourselves)?;
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.run(command, Some(self.lines(ids.iter().map(hex))?))?;
        let mut answers = BufReader::new(printed).lines();
        let mut others = BTreeSet::new();
        for id in ids {
            let answer = answers.next().and_then(Result::ok).ok_or("git did not answer all questions")?;
            match answer.strip_prefix(&hex(id)).map(str::trim) {
                Some("commit") => {}
                Some(_) => drop(others.insert(*id)),
                None => return Err("git did not answer what it was asked".to_owned()),
            }
        }
        Ok(others)
    }

    /// Returns the commits that no name leads to.
    fn unreachable(&self, remote: &RemoteStore<'_>, ids: &BTreeSet<Id>) -> Result<BTreeSet<Id>, String> {
        let names = remote.names.iter().map(|id| format!("^{}", hex(id)));
        let mut command = self.command(remote.objects, Author::Ourselves)?;
        command.args(["rev-list", "--stdin"]);
        let printed = self.run(command, Some(self.lines(ids.iter().map(hex).chain(names))?))?;
        let mut unreachable = BTreeSet::new();
        for line in BufReader::with_capacity(64 << 10, printed).lines() {
            let line = line.map_err(|e| e.to_string())?;
            let id = id_of(line.as_bytes()).ok_or("git did not answer what it was asked")?;
            if ids.contains(&id) {
                unreachable.insert(id);
            }
        }
        Ok(unreachable)
    }

    /// Whether a repository has all objects of some commits, as far as the repository to be removed has them.
    /// Usually everything is there, which is checked without much memory; otherwise the commits are walked.
    fn has_all_of(&self, objects: &Objects, own: &Owned<'_>, wanted: &[Id]) -> Result<bool, String> {
        if self.has_each(objects, own.objects).unwrap_or(false) {
            return Ok(true);
        }
        let mut command = self.command(objects, Author::Ourselves)?;
        if let Some(shallow) = own.shallow {
            let path = command.hand(shallow.as_fd());
            command.env("GIT_SHALLOW_FILE", path);
        }
        command.args(["rev-list", "--objects", "--quiet", "--stdin"]);
        // git fails at the first object that is missing.
        self.run(command, Some(self.lines(wanted.iter().map(hex))?)).map(|_| true)
    }

    /// Whether every object that one folder of objects holds itself is also in another one, or where that one
    /// borrows.
    fn has_each(&self, objects: &Objects, own: &Objects) -> Result<bool, String> {
        let mut asked = BufWriter::new(self.nameless()?);
        let (mut open, mut has_each) = (0, true);
        each_own(own.as_fd(), &mut |id| {
            if !has_each {
                return Ok(());
            }
            writeln!(asked, "{}", hex(&id)).map_err(|e| e.to_string())?;
            open += 1;
            if open == AT_A_TIME {
                let full = std::mem::replace(&mut asked, BufWriter::new(self.nameless()?));
                (open, has_each) = (0, self.are_there(objects, full, AT_A_TIME)?);
            }
            Ok(())
        })?;
        Ok(has_each && (open == 0 || self.are_there(objects, asked, open)?))
    }

    fn are_there(&self, objects: &Objects, asked: BufWriter<File>, total: usize) -> Result<bool, String> {
        let mut asked = asked.into_inner().map_err(|e| e.to_string())?;
        asked.rewind().map_err(|e| e.to_string())?;
        let mut command = self.command(objects, Author::Ourselves)?;
        command.args(["cat-file", "--buffer", "--batch-check=%(objectname)"]);
        let mut answered = 0;
        for line in BufReader::with_capacity(64 << 10, self.run(command, Some(asked))?).lines() {
            if id_of(line.map_err(|e| e.to_string())?.as_bytes()).is_none() {
                return Ok(false);
            }
            answered += 1;
        }
        Ok(answered == total)
    }
}
