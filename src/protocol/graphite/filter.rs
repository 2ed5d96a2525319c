//! Filters of templates: dotted patterns as a tree, one level a part.
//!
//! A path is matched from the root and never goes back: a part that has a child of its name goes
//! there, else to the child `*`, else the walk ends. What the last node holds counts, so a filter
//! matches the beginning of a path, and a path that ends on a node without a template has none.

/// One level of the tree.
#[derive(Debug, Default)]
struct Node {
    template: Option<usize>,
    /// Sorted by name.
    children: Vec<(Box<[u8]>, usize)>,
    star: Option<usize>,
    /// Whether a filter of its own ends here.
    is_filter: bool,
}

/// All filters.
#[derive(Debug)]
pub struct Filters {
    nodes: Vec<Node>,
}

impl Default for Filters {
    fn default() -> Filters {
        Filters { nodes: vec![Node::default()] }
    }
}

impl Filters {
    /// Adds a filter; false when it is there already.
    ///
    /// # Errors
    /// One sentence, when the filter is malformed.
    pub fn insert(&mut self, filter: &str, template: usize) -> Result<bool, String> {
        for part in filter.split('.') {
            if part.is_empty() {
                return Err(format!("filter contains blank section: {filter}"));
            }
            if part.contains('*') && part != "*" {
                return Err(format!("invalid filter wildcard section: {part}"));
            }
        }
        let last = filter.split('.').fold(0, |node, part| self.child(node, part.as_bytes()));
        let Some(node) = self.nodes.get_mut(last) else { return Ok(false) };
        node.template = Some(template);
        Ok(!std::mem::replace(&mut node.is_filter, true))
    }

    /// The child of a node, made when missing. A new `*` takes over its parent's template.
    fn child(&mut self, parent: usize, part: &[u8]) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return parent };
        if part == b"*" {
            if let Some(there) = node.star {
                return there;
            }
            node.star = Some(next);
            let template = node.template;
            self.nodes.push(Node { template, ..Node::default() });
            return next;
        }
        match node.children.binary_search_by(|(name, _)| (**name).cmp(part)) {
            Ok(at) => node.children.get(at).map_or(parent, |(_, child)| *child),
            Err(at) => {
                node.children.insert(at, (part.into(), next));
                self.nodes.push(Node::default());
                next
            }
        }
    }

    /// The template whose filter takes a path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        let mut node = self.nodes.first()?;
        for part in path.split(|byte| *byte == b'.') {
            let named = node.children.binary_search_by(|(name, _)| (**name).cmp(part));
            let named = named.ok().and_then(|at| node.children.get(at)).map(|(_, child)| *child);
            let Some(next) = named.or(node.star) else { break };
            node = self.nodes.get(next)?;
        }
        node.template
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(lines: &[&str]) -> Filters {
        let mut filters = Filters::default();
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(filters.insert(line, number), Ok(true), "{line}");
        }
        filters
    }

    #[test]
    fn literals_beat_stars_and_longer_beat_shorter() {
        let filters = filters(&["servers.*", "servers.web.*", "servers.localhost", "*.cpu"]);
        let cases = [
            ("servers.a.cpu.load", Some(0)),
            ("servers.web.x", Some(1)),
            ("servers.web", None),
            ("servers.localhost.x.y", Some(2)),
            ("other.cpu.load", Some(3)),
            ("other.mem", None),
            ("servers", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(filters.find(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn nothing_goes_back() {
        let filters = filters(&["a.x.deep", "a.*"]);
        assert_eq!(filters.find(b"a.x.other"), None);
        assert_eq!(filters.find(b"a.y.other"), Some(1));
        assert_eq!(filters.find(b"a.x.deep.er"), Some(0));
    }

    #[test]
    fn a_star_made_later_inherits() {
        assert_eq!(filters(&["a", "a.*.b"]).find(b"a.q.z"), Some(0));
        assert_eq!(filters(&["a.*.b", "a"]).find(b"a.q.z"), None);
        let mut both = filters(&["a", "a.*.b"]);
        assert_eq!(both.insert("a.*", 2), Ok(true), "an inherited template is no filter");
        assert_eq!(both.insert("a.*", 3), Ok(false));
    }

    #[test]
    fn malformed_filters_are_named() {
        let error = |filter| Filters::default().insert(filter, 0).unwrap_err();
        assert_eq!(error("a..b"), "filter contains blank section: a..b");
        assert_eq!(error("a.b*"), "invalid filter wildcard section: b*");
    }
}
