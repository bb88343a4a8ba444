//! Orders phases by their declared dependencies. A graph that cannot be ordered is refused before anything
//! runs.

use super::phase::Phase;

/// Why phases form no sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two phases have the same name.
    #[error("there are two phases named '{name}'")]
    Duplicate { name: &'static str },
    /// A phase waits for a phase that does not exist.
    #[error("phase '{phase}' waits for '{missing}', and there is no such phase")]
    Unknown {
        /// The waiting phase.
        phase: &'static str,
        /// The phase that it waits for.
        missing: &'static str,
    },
    /// Phases wait for one another in a circle.
    #[error("phases wait for one another: {}", circle(phases))]
    Cycle {
        /// The circle: each waits for the next, the last for the first.
        phases: Vec<&'static str>,
    },
}

fn circle(phases: &[&str]) -> String {
    let mut text = phases.join(" → ");
    if let Some(first) = phases.first() {
        text.push_str(" → ");
        text.push_str(first);
    }
    text
}

/// Phases whose dependencies are known to be in order.
#[derive(Debug)]
pub struct PhaseGraph {
    phases: Vec<Phase>,
    waits_for: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl PhaseGraph {
    /// Orders the phases. Of those that could come next, the one that was passed first does.
    pub fn new(phases: Vec<Phase>) -> Result<PhaseGraph, GraphError> {
        let waits_for = resolve(&phases)?;
        let order = sort(&phases, &waits_for)?;
        Ok(PhaseGraph { phases, waits_for, order })
    }

    /// Returns the phases in the order in which they were passed.
    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Returns the phases in an order in which each comes after all that it waits for.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Phase> {
        self.order.iter().map(|&i| &self.phases[i])
    }

    /// Returns their names, in that order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.in_order().map(|p| p.name).collect()
    }

    /// Selects the named phases and their direct and indirect dependents, which must run when those are tried
    /// again. Unknown names select nothing.
    pub(super) fn with_what_waits(&self, names: &[String]) -> Vec<bool> {
        let mut wanted = vec![false; self.phases.len()];
        for &i in &self.order {
            let is_named = names.iter().any(|name| name == self.phases[i].name);
            wanted[i] = is_named || self.waits_for[i].iter().any(|&d| wanted[d]);
        }
        wanted
    }

    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    pub(super) fn waits_for(&self, index: usize) -> &[usize] {
        &self.waits_for[index]
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.phases.iter().position(|p| p.name == name)
    }
}

fn resolve(phases: &[Phase]) -> Result<Vec<Vec<usize>>, GraphError> {
    for (i, phase) in phases.iter().enumerate() {
        if phases[..i].iter().any(|p| p.name == phase.name) {
            return Err(GraphError::Duplicate { name: phase.name });
        }
    }
    let find = |phase: &Phase, name: &'static str| {
        let found = phases.iter().position(|p| p.name == name);
        found.ok_or(GraphError::Unknown { phase: phase.name, missing: name })
    };
    phases.iter().map(|phase| phase.depends_on.iter().map(|name| find(phase, name)).collect()).collect()
}

fn sort(phases: &[Phase], waits_for: &[Vec<usize>]) -> Result<Vec<usize>, GraphError> {
    let mut order: Vec<usize> = Vec::with_capacity(phases.len());
    while order.len() < phases.len() {
        let is_next = |i: &usize| !order.contains(i) && waits_for[*i].iter().all(|d| order.contains(d));
        match (0..phases.len()).find(is_next) {
            Some(next) => order.push(next),
            None => return Err(GraphError::Cycle { phases: find_circle(phases, waits_for, &order) }),
        }
    }
    Ok(order)
}

/// Finds a circle. Every phase that is not in the order yet waits for another one that is not in it either,
/// so following them leads back to a phase that was seen, and the circle begins there.
fn find_circle(phases: &[Phase], waits_for: &[Vec<usize>], order: &[usize]) -> Vec<&'static str> {
    let mut walked: Vec<usize> = Vec::new();
    let mut here = (0..phases.len()).find(|i| !order.contains(i));
    while let Some(i) = here {
        if let Some(begin) = walked.iter().position(|&w| w == i) {
            return walked[begin..].iter().map(|&w| phases[w].name).collect();
        }
        walked.push(i);
        here = waits_for[i].iter().copied().find(|d| !order.contains(d));
    }
    Vec::new()
}
