//! What is known of a type: a graph of constructs, with an edge for each part.
//!
//! A construct is known by the visitor that asked for it, so that two types of one name, or one
//! generic type with two arguments, stay apart, and a recursive type comes back to itself.

use std::collections::HashMap;

/// Elements of a tuple or array that are told apart; those beyond share the place of the last.
pub(super) const DISTINCT_ELEMENTS: usize = 64;

/// The constructs found so far. The first one stands for the place of the whole type.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    known: HashMap<Key, usize>,
    /// How often something new was found.
    pub(super) discoveries: usize,
}

/// One construct.
pub(super) struct Node {
    pub(super) kind: Kind,
    /// One for each variant of an enum, and a single one for everything else.
    pub(super) parts: Vec<Part>,
}

/// What kind of construct, with what serde says of it beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Root,
    Option,
    Sequence,
    Map,
    Newtype,
    Tuple { len: usize, named: bool },
    Struct { names: Names },
    Enum { names: Names },
}

/// Names of fields or variants.
pub(super) type Names = &'static [&'static str];

/// The contents of a construct, or of one variant.
#[derive(Default)]
pub(super) struct Part {
    /// How a variant holds its contents; `None` before it was entered, and for what is no variant.
    pub(super) form: Option<Form>,
    /// What was found in each place: one shape as a rule, more when it depends on a value.
    pub(super) places: Vec<Vec<Shape>>,
    /// A value came out of it, so that all its places are known.
    pub(super) finished: bool,
    /// It cannot be finished; not to be entered again.
    pub(super) blocked: bool,
    /// The type has no variant of this number.
    pub(super) absent: bool,
    /// The fewest visits that a value took.
    pub(super) cost: Option<usize>,
}

/// How a variant holds its contents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Unit,
    Newtype,
    Tuple(usize),
    Struct(Names),
}

/// What stands in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Leaf(&'static str),
    Node(usize),
}

/// A place: which one of which part of which construct.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) node: usize,
    pub(super) part: usize,
    pub(super) place: usize,
}

/// What tells constructs apart; the two names are those of the visitor and of its value.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    visitor: &'static str,
    value: &'static str,
}

impl Graph {
    pub(super) fn new() -> Self {
        let root = Node { kind: Kind::Root, parts: vec![Part::default()] };
        Self { nodes: vec![root], known: HashMap::new(), discoveries: 0 }
    }

    /// The construct that this visitor asks for.
    pub(super) fn node(&mut self, kind: Kind, visitor: &'static str, value: &'static str) -> usize {
        let fresh = self.nodes.len();
        let node = *self.known.entry(Key { kind, visitor, value }).or_insert(fresh);
        if node == fresh {
            let count = if let Kind::Enum { names } = kind { names.len() } else { 1 };
            let parts = std::iter::repeat_with(Part::default).take(count).collect();
            self.nodes.push(Node { kind, parts });
            self.discoveries += 1;
        }
        node
    }

    /// The place at `index` of a part.
    pub(super) fn site(&mut self, node: usize, part: usize, index: usize) -> Site {
        let place = match self.nodes[node].kind {
            Kind::Tuple { .. } => index.min(DISTINCT_ELEMENTS - 1),
            _ => index,
        };
        let places = &mut self.part(node, part).places;
        if places.len() <= place {
            places.resize(place + 1, Vec::new());
        }
        Site { node, part, place }
    }

    /// Notes what was found in a place.
    pub(super) fn record(&mut self, site: Site, shape: Shape) {
        let shapes = &mut self.part(site.node, site.part).places[site.place];
        if !shapes.contains(&shape) {
            shapes.push(shape);
            self.discoveries += 1;
        }
    }

    pub(super) fn part(&mut self, node: usize, part: usize) -> &mut Part {
        &mut self.nodes[node].parts[part]
    }

    /// Whether something is still to be found in `node` (in one of its parts, if given), on a way
    /// that meets no construct of `closed`.
    pub(super) fn is_incomplete(
        &self,
        node: usize,
        part: Option<usize>,
        closed: impl Iterator<Item = usize>,
    ) -> bool {
        let mut seen = vec![false; self.nodes.len()];
        closed.for_each(|node| seen[node] = true);
        seen[node] = true;
        let mut waiting = match part {
            Some(part) => vec![&self.nodes[node].parts[part]],
            None => self.nodes[node].parts.iter().collect(),
        };
        while let Some(part) = waiting.pop() {
            if part.blocked || part.absent {
                continue;
            }
            if !part.finished {
                return true;
            }
            for shape in part.places.iter().flatten() {
                if let Shape::Node(inner) = *shape
                    && !std::mem::replace(&mut seen[inner], true)
                {
                    waiting.extend(&self.nodes[inner].parts);
                }
            }
        }
        false
    }
}

impl Part {
    /// Whether it is known to yield a value.
    pub(super) fn is_usable(&self) -> bool {
        self.cost.is_some() && !self.blocked && !self.absent
    }
}

impl Kind {
    /// Whether recursion points back to it: a type that the user named.
    pub(super) fn is_named(self) -> bool {
        matches!(
            self,
            Self::Newtype
                | Self::Struct { .. }
                | Self::Enum { .. }
                | Self::Tuple { named: true, .. }
        )
    }

    /// Whether a value may do without the contents: not to enter it is an option.
    pub(super) fn is_choice(self) -> bool {
        matches!(self, Self::Option | Self::Sequence | Self::Map | Self::Enum { .. })
    }
}
