//! A tree of named nodes as lines of text.
//!
//! In: nodes with labels and figures. Out: lines drawn with branches, as InfluxDB draws them: a dot
//! for the root, and behind all an empty line.

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    /// What the node is about; printed first, below a branch of their own.
    pub labels: Vec<(&'static str, String)>,
    pub figures: Vec<(&'static str, String)>,
    pub children: Vec<Node>,
}

/// Branches go beside what follows below them.
const OPEN: &str = "│\u{a0}\u{a0} ";
const CLOSED: &str = "    ";

impl Node {
    pub fn new(name: &str) -> Node {
        Node { name: name.to_owned(), ..Node::default() }
    }

    /// The lines of a tree with this node below its root.
    pub fn lines(self) -> Vec<String> {
        let mut out = vec![".".to_owned()];
        self.draw("", true, &mut out);
        out.push(String::new());
        out
    }

    fn draw(self, before: &str, last: bool, out: &mut Vec<String>) {
        let (branch, below) = if last { ("└── ", CLOSED) } else { ("├── ", OPEN) };
        out.push(format!("{before}{branch}{}", self.name));
        let before = format!("{before}{below}");
        let labels = Node { children: leaves(self.labels), ..Node::new("labels") };
        let labels = Some(labels).filter(|labels| !labels.children.is_empty());
        let mut below: Vec<Node> = labels.into_iter().chain(leaves(self.figures)).collect();
        below.extend(self.children);
        let count = below.len();
        for (at, node) in below.into_iter().enumerate() {
            node.draw(&before, at + 1 == count, out);
        }
    }
}

fn leaves(pairs: Vec<(&'static str, String)>) -> Vec<Node> {
    pairs.into_iter().map(|(key, value)| Node::new(&format!("{key}: {value}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_join_what_belongs_together() {
        let mut inner = Node::new("inner");
        inner.labels.push(("expr", "mean(v)".to_owned()));
        inner.figures.push(("rows", "5".to_owned()));
        let mut root = Node::new("select");
        root.figures.push(("total_time", "1ms".to_owned()));
        root.children = vec![inner, Node::new("last")];
        let expected = [
            ".",
            "└── select",
            "    ├── total_time: 1ms",
            "    ├── inner",
            "    │\u{a0}\u{a0} ├── labels",
            "    │\u{a0}\u{a0} │\u{a0}\u{a0} └── expr: mean(v)",
            "    │\u{a0}\u{a0} └── rows: 5",
            "    └── last",
            "",
        ];
        assert_eq!(root.lines(), expected);
    }
}
