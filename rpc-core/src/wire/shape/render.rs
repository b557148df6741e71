//! The graph of a type as canonical text.
//!
//! The text is that of the tree that the graph unfolds to, so that it does not depend on how many
//! Rust types share a shape. A tree may be exponentially larger than its graph (syntax trees are):
//! past a limit the text is cut, and a digest made from the graph stands for the rest.

use super::fingerprint;
use super::graph::{DISTINCT_ELEMENTS, Form, Graph, Kind, Names, Part, Shape};

/// The longest text, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// How deep the digest looks: as deep as the decoder goes.
const DIGEST_DEPTH: usize = 64;

/// The text for the whole graph.
pub(super) fn render(graph: &Graph) -> String {
    let mut text = Writer::new(graph, None).construct(0);
    if text.len() > MAX_TEXT {
        // Names may hold any character; none is longer than four bytes.
        let end = (0..=MAX_TEXT).rfind(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str(&format!("...#{:016x}", digest(graph)));
    }
    text
}

/// A hash of the tree down to [`DIGEST_DEPTH`].
///
/// Level by level from below, each construct is hashed as its text with the hash of the level below
/// in place of every construct inside it.
fn digest(graph: &Graph) -> u64 {
    let mut digests = vec![0; graph.nodes.len()];
    for _ in 0..DIGEST_DEPTH {
        let texts =
            (0..digests.len()).map(|node| Writer::new(graph, Some(&digests)).construct(node));
        digests = texts.map(|text| fingerprint(&text)).collect();
    }
    digests[0]
}

struct Writer<'g> {
    graph: &'g Graph,
    /// The constructs being written, outermost first, each with the level it starts at.
    path: Vec<(usize, usize)>,
    /// How many brackets are open.
    level: usize,
    /// Bytes that may still be written.
    left: usize,
    /// What to write for the constructs inside the outermost one, if not their text.
    digests: Option<&'g [u64]>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph, digests: Option<&'g [u64]>) -> Self {
        Self { graph, path: Vec::new(), level: 0, left: MAX_TEXT, digests }
    }

    /// What stands in a place; the alternatives, if there are several.
    fn place(&mut self, part: &Part, place: usize) -> String {
        let shapes = part.places.get(place).map_or(&[][..], Vec::as_slice);
        if shapes.is_empty() {
            // A type that reads nothing takes no bytes, like a unit.
            let unread = part.finished && place < part.places.len();
            return if unread { "()" } else { "..." }.to_owned();
        }
        let texts: Vec<String> = shapes.iter().map(|shape| self.shape(*shape)).collect();
        texts.join("|")
    }

    fn shape(&mut self, shape: Shape) -> String {
        if self.left == 0 {
            return "...".to_owned();
        }
        let node = match shape {
            Shape::Leaf(name) => return self.spend(name.to_owned()),
            Shape::Node(node) => node,
        };
        if let Some(level) = self.recursion(node) {
            return self.spend(format!("^{}", self.level - level));
        }
        if let Some(digests) = self.digests
            && self.graph.nodes[node].kind != Kind::Newtype
        {
            return format!("{:016x}", digests[node]);
        }
        self.left = self.left.saturating_sub(1);
        self.path.push((node, self.level));
        let text = self.construct(node);
        self.path.pop();
        text
    }

    /// Counts what is written, to bound the work; punctuation is not counted.
    fn spend(&mut self, text: String) -> String {
        self.left = self.left.saturating_sub(text.len());
        text
    }

    /// The level of a construct that is being written, if this is where to point back to it.
    ///
    /// Pointing back to named types only makes the text independent of where a cycle was entered.
    fn recursion(&self, node: usize) -> Option<usize> {
        let mut named_between = false;
        for &(open, level) in self.path.iter().rev() {
            let named = self.graph.nodes[open].kind.is_named();
            if open == node && (named || !named_between) {
                return Some(level);
            }
            named_between |= named;
        }
        None
    }

    fn construct(&mut self, node: usize) -> String {
        let graph = self.graph;
        let parts = &graph.nodes[node].parts;
        match graph.nodes[node].kind {
            Kind::Root | Kind::Newtype => self.place(&parts[0], 0),
            Kind::Option => {
                let inner = self.deeper(|writer| writer.place(&parts[0], 0));
                format!("option<{inner}>")
            }
            Kind::Sequence => match self.deeper(|writer| writer.place(&parts[0], 0)) {
                bytes if bytes == "u8" => "bytes".to_owned(),
                inner => format!("[{inner}]"),
            },
            Kind::Map => self.map(&parts[0]),
            Kind::Tuple { len, .. } => self.deeper(|writer| writer.tuple(&parts[0], len)),
            Kind::Struct { names } => self.deeper(|writer| writer.fields(&parts[0], names)),
            Kind::Enum { names } => self.deeper(|writer| writer.variants(parts, names)),
        }
    }

    fn deeper<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        self.level += 1;
        let result = body(self);
        self.level -= 1;
        result
    }

    fn map(&mut self, part: &Part) -> String {
        let (key, value) = self.deeper(|writer| (writer.place(part, 0), writer.place(part, 1)));
        // Keys that describe themselves come of a flattened struct.
        if key == "any" { key } else { format!("map<{key}, {value}>") }
    }

    fn tuple(&mut self, part: &Part, len: usize) -> String {
        let places = part.places.len();
        // What counts is what the type reads, and nearly always that is all it announced.
        let len = if part.finished && places < DISTINCT_ELEMENTS { places } else { len };
        let all_same = part.places.iter().all(|place| *place == part.places[0]);
        let texts: Vec<String> = match places {
            // A shortcut, which keeps arrays of arrays from being written many times over.
            1.. if all_same && part.finished => vec![self.place(part, 0)],
            _ => (0..places).map(|place| self.place(part, place)).collect(),
        };
        match texts.first() {
            Some(text) if len > 1 && part.finished && texts.iter().all(|other| other == text) => {
                format!("[{text}; {len}]")
            }
            _ => list(texts, part, len),
        }
    }

    fn fields(&mut self, part: &Part, names: Names) -> String {
        // A finished struct may have read fewer fields than it has names, when it has aliases.
        let count = if part.finished { part.places.len() } else { names.len() };
        let fields: Vec<String> = (0..count)
            .zip(names)
            .map(|(place, name)| {
                let name = self.spend(quoted(name));
                format!("{name}: {}", self.place(part, place))
            })
            .collect();
        format!("{{{}}}", fields.join(", "))
    }

    fn variants(&mut self, parts: &[Part], names: Names) -> String {
        let mut variants = Vec::new();
        for (part, name) in parts.iter().zip(names).filter(|(part, _)| !part.absent) {
            let name = self.spend(quoted(name));
            let contents = match part.form {
                None if part.finished => String::new(),
                None => "(...)".to_owned(),
                Some(Form::Unit) => String::new(),
                Some(Form::Newtype) => format!("({})", self.place(part, 0)),
                Some(Form::Tuple(len)) => {
                    let texts = (0..part.places.len()).map(|place| self.place(part, place));
                    list(texts.collect(), part, len)
                }
                Some(Form::Struct(names)) => self.fields(part, names),
            };
            variants.push(name + &contents);
        }
        format!("enum{{{}}}", variants.join(", "))
    }
}

/// A list in parentheses; what is missing from it was not looked at, or shares the last place.
fn list(mut texts: Vec<String>, part: &Part, len: usize) -> String {
    if !part.finished {
        texts.push("...".to_owned());
    } else if texts.len() < len {
        texts.push(format!("... {len}"));
    }
    format!("({})", texts.join(", "))
}

/// A name as it is, or in quotes where it might be taken for something else.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.is_empty() && name.bytes().all(plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
