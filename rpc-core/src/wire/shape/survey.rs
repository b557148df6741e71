//! The plan of a survey: what to look at in each pass, and what to try when a type says no.
//!
//! A pass is one run of `T::deserialize`. It enters each option, sequence and variant that still
//! hides something, and takes the shortest way through the rest. A recursive type is entered once
//! and then given its shortest value. When a pass fails, the values last handed out are varied;
//! when that does not help, the innermost option, sequence or variant is left out from then on.

use std::collections::HashMap;

use super::graph::{Form, Graph, Kind, Shape, Site};

/// Passes over one type; a plain type takes one for each variant of its largest enum.
const MAX_PASSES: usize = 4096;
/// Values handed out for one type, in all passes.
const MAX_VISITS: usize = 1 << 22;
/// Constructs inside one another. The decoder stops earlier.
const MAX_DEPTH: usize = 256;
/// Passes that find nothing although something is hidden: an enum may have to be set differently
/// for another part to show.
const MAX_ROTATIONS: usize = 256;
/// Values tried at one point of failure.
const MAX_ATTEMPTS: usize = 128;
/// Values before a failure that are varied.
const BLAMED: usize = 3;

/// A survey in progress.
pub(super) struct Survey {
    graph: Graph,
    /// The constructs that the pass is in, outermost first.
    path: Vec<Step>,
    /// The values handed out in this pass, and how many there are to choose from for each.
    trail: Vec<(Site, usize)>,
    /// Which value each place gets; the first, unless said here.
    choices: HashMap<Site, usize>,
    failures: HashMap<Failure, Attempts>,
    verdict: Verdict,
    /// Which variant the enums with nothing to hide are set to; zero for the shortest.
    rotation: usize,
    passes: usize,
    visits: usize,
    discoveries_before: usize,
    done: bool,
}

/// A construct that was entered, and with which part.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Step {
    node: usize,
    part: usize,
}

/// Where a pass failed: the way there and the last value handed out.
#[derive(PartialEq, Eq, Hash)]
struct Failure {
    path: Vec<Step>,
    last: Option<Site>,
}

/// The values varied for one failure: for each its place, first choice and number of choices.
struct Attempts {
    count: usize,
    blamed: Vec<(Site, usize, usize)>,
}

/// What to do about a pass that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Try other values.
    Retry,
    /// No value will help.
    Hopeless,
    /// The cause is noted already, and the next pass will avoid it.
    Noted,
}

/// A construct that was entered, to be given back to [`Survey::leave`].
pub(super) struct Entered {
    step: Step,
    depth: usize,
    visits: usize,
}

/// The survey refuses to go on with this pass.
pub(super) struct Refused;

impl Survey {
    pub(super) fn new() -> Self {
        Self {
            graph: Graph::new(),
            path: Vec::new(),
            trail: Vec::new(),
            choices: HashMap::new(),
            failures: HashMap::new(),
            verdict: Verdict::Retry,
            rotation: 0,
            passes: 0,
            visits: 0,
            discoveries_before: 0,
            done: false,
        }
    }

    /// Starts the next pass, unless there is nothing left to find.
    pub(super) fn begin_pass(&mut self) -> bool {
        if self.done || self.passes == MAX_PASSES {
            return false;
        }
        self.passes += 1;
        self.path.clear();
        self.trail.clear();
        self.verdict = Verdict::Retry;
        self.discoveries_before = self.graph.discoveries;
        true
    }

    /// Draws the conclusions from a pass.
    pub(super) fn end_pass(&mut self, succeeded: bool) {
        if !succeeded {
            let settled = match self.verdict {
                Verdict::Noted => true,
                Verdict::Retry => self.vary(),
                Verdict::Hopeless => false,
            };
            if !settled {
                self.block_innermost();
            }
            return;
        }
        self.graph.part(0, 0).finished = true;
        if !self.graph.is_incomplete(0, None, std::iter::empty()) {
            self.done = true;
        } else if self.graph.discoveries == self.discoveries_before {
            self.rotation += 1;
            self.done = self.rotation > MAX_ROTATIONS;
        }
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The place at `index` of a part.
    pub(super) fn site(&mut self, node: usize, part: usize, index: usize) -> Site {
        self.graph.site(node, part, index)
    }

    /// Notes a leaf and says which of `count` values it gets.
    pub(super) fn leaf(
        &mut self,
        site: Site,
        name: &'static str,
        count: usize,
    ) -> Result<usize, Refused> {
        self.visit()?;
        self.graph.record(site, Shape::Leaf(name));
        Ok(self.choose(site, count))
    }

    /// Notes a construct, known by its kind and the names of its visitor and value.
    pub(super) fn construct(
        &mut self,
        site: Site,
        kind: Kind,
        visitor: &'static str,
        value: &'static str,
    ) -> Result<usize, Refused> {
        self.visit()?;
        let node = self.graph.node(kind, visitor, value);
        self.graph.record(site, Shape::Node(node));
        Ok(node)
    }

    /// Whether to enter an option.
    pub(super) fn wants(&self, node: usize) -> bool {
        !self.is_open(node) && self.graph.is_incomplete(node, None, self.open_nodes())
    }

    /// Whether to enter a sequence or a map; an empty one may turn out to be rejected.
    pub(super) fn wants_element(&mut self, site: Site, node: usize) -> bool {
        if self.is_open(node) || self.graph.part(node, 0).blocked {
            return false;
        }
        self.wants(node) || self.choose(site, 2) == 1
    }

    /// The variant to enter.
    pub(super) fn variant(&mut self, node: usize) -> Result<usize, Refused> {
        let variant = if self.is_open(node) {
            self.shortest(node).or_else(|| self.unopened(node))
        } else {
            self.incomplete(node).or_else(|| self.settled(node))
        };
        variant.ok_or_else(|| self.refuse())
    }

    /// Enters a part of a construct.
    pub(super) fn enter(&mut self, node: usize, part: usize) -> Result<Entered, Refused> {
        let depth = self.path.len();
        if depth >= MAX_DEPTH {
            return Err(self.refuse());
        }
        let step = Step { node, part };
        self.path.push(step);
        Ok(Entered { step, depth, visits: self.visits })
    }

    /// Leaves a construct that yielded a value.
    ///
    /// What failed inside stays on the path, to tell where a pass came to grief, until here.
    pub(super) fn leave(&mut self, entered: Entered) {
        self.path.truncate(entered.depth);
        let cost = self.visits - entered.visits;
        let part = self.graph.part(entered.step.node, entered.step.part);
        part.cost = Some(part.cost.map_or(cost, |known| known.min(cost)));
        if !std::mem::replace(&mut part.finished, true) {
            self.graph.discoveries += 1;
        }
    }

    /// Notes how a variant holds its contents.
    pub(super) fn form(&mut self, node: usize, part: usize, form: Form) {
        self.graph.part(node, part).form = Some(form);
    }

    /// Notes that the type does not know a variant of this number.
    pub(super) fn absent(&mut self, node: usize, part: usize) {
        self.graph.part(node, part).absent = true;
        self.verdict = Verdict::Noted;
    }

    fn visit(&mut self) -> Result<(), Refused> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            self.done = true;
            return Err(self.refuse());
        }
        Ok(())
    }

    fn refuse(&mut self) -> Refused {
        self.verdict = Verdict::Hopeless;
        Refused
    }

    fn choose(&mut self, site: Site, count: usize) -> usize {
        self.trail.push((site, count));
        self.choices.get(&site).map_or(0, |choice| choice % count)
    }

    fn open_nodes(&self) -> impl Iterator<Item = usize> {
        self.path.iter().map(|step| step.node)
    }

    fn is_open(&self, node: usize) -> bool {
        self.open_nodes().any(|open| open == node)
    }

    /// The first variant that hides something.
    fn incomplete(&self, node: usize) -> Option<usize> {
        let parts = 0..self.graph.nodes[node].parts.len();
        parts
            .into_iter()
            .find(|&part| self.graph.is_incomplete(node, Some(part), self.open_nodes()))
    }

    /// A variant that hides nothing: the shortest, or by turns.
    fn settled(&self, node: usize) -> Option<usize> {
        let parts = &self.graph.nodes[node].parts;
        let usable = || (0..parts.len()).filter(|&part| parts[part].is_usable());
        match self.rotation {
            0 => self.shortest(node),
            turn => usable().nth(turn % usable().count().max(1)),
        }
    }

    /// The variant with the shortest value. Inside such a value are only shorter ones, so that
    /// following them comes to an end.
    fn shortest(&self, node: usize) -> Option<usize> {
        let parts = self.graph.nodes[node].parts.iter().enumerate();
        let usable = parts.filter(|(_, known)| known.is_usable());
        usable.min_by_key(|(_, known)| known.cost).map(|(part, _)| part)
    }

    /// A variant that the pass is not in.
    fn unopened(&self, node: usize) -> Option<usize> {
        let parts = self.graph.nodes[node].parts.iter().enumerate();
        let mut usable = parts.filter(|(_, known)| !known.blocked && !known.absent);
        usable.find_map(|(part, _)| (!self.path.contains(&Step { node, part })).then_some(part))
    }

    /// Chooses other values for the next pass; false when all were tried.
    fn vary(&mut self) -> bool {
        let last = self.trail.last().map(|(site, _)| *site);
        let failure = Failure { path: self.path.clone(), last };
        let (trail, choices) = (&self.trail, &self.choices);
        let attempts = self
            .failures
            .entry(failure)
            .or_insert_with(|| Attempts { count: 0, blamed: blame(trail, choices) });
        attempts.count += 1;
        // The digits of the count, the value last handed out being the lowest; past the last
        // attempt they are all back at the start.
        let all = attempts.blamed.iter().map(|(.., count)| count).product::<usize>();
        let exhausted = attempts.count >= all.min(MAX_ATTEMPTS);
        let mut rest = if exhausted { 0 } else { attempts.count };
        for &(site, first, count) in &attempts.blamed {
            self.choices.insert(site, (first + rest) % count);
            rest /= count;
        }
        !exhausted
    }

    /// Leaves out the innermost thing that can be left out.
    fn block_innermost(&mut self) {
        let nodes = &self.graph.nodes;
        let choice = self.path.iter().rfind(|step| {
            let node = &nodes[step.node];
            node.kind.is_choice() && !node.parts[step.part].blocked
        });
        match choice.copied() {
            Some(Step { node, part }) => self.graph.part(node, part).blocked = true,
            None => self.done = true,
        }
    }
}

/// The last few places of a trail that had a choice.
fn blame(trail: &[(Site, usize)], choices: &HashMap<Site, usize>) -> Vec<(Site, usize, usize)> {
    let mut blamed: Vec<(Site, usize, usize)> = Vec::new();
    for &(site, count) in trail.iter().rev().filter(|(_, count)| *count > 1) {
        if blamed.len() == BLAMED {
            break;
        }
        if blamed.iter().all(|(known, ..)| *known != site) {
            let first = choices.get(&site).map_or(0, |choice| choice % count);
            blamed.push((site, first, count));
        }
    }
    blamed
}
