//! Circles of imports: looked for in each folder, between its files, its subfolders as wholes, and its own `mod.rs` or
//! `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Arrow, ModulePath};

/// A circle between the parts of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// The folder's module.
    pub folder: ModulePath,
    /// The parts of it that need each other; the folder's own file has the folder's name with `/mod`.
    pub parts: Vec<String>,
    /// A use for each pair of parts.
    pub arrows: Vec<Arrow>,
}

/// The circles between the parts of each folder.
pub fn circles(arrows: &[Arrow]) -> Vec<Circle> {
    let mut folders: BTreeMap<ModulePath, BTreeMap<(String, String), Arrow>> = BTreeMap::new();
    for arrow in arrows {
        let shared = arrow.from.iter().zip(&arrow.to).take_while(|(a, b)| a == b).count();
        let folder = arrow.from[..shared].to_vec();
        let own = || format!("{}/mod", folder.last().map_or("crate", String::as_str));
        let part = |path: &ModulePath| path.get(shared).cloned().unwrap_or_else(own);
        let (from, to) = (part(&arrow.from), part(&arrow.to));
        folders.entry(folder.clone()).or_default().entry((from, to)).or_insert_with(|| arrow.clone());
    }
    let mut found = Vec::new();
    for (folder, edges) in folders {
        for parts in strongly_connected(edges.keys()) {
            let inside = |pair: &(String, String)| parts.contains(&pair.0) && parts.contains(&pair.1);
            let arrows = edges.iter().filter(|(pair, _)| inside(pair)).map(|(_, arrow)| arrow.clone()).collect();
            found.push(Circle { folder: folder.clone(), parts: parts.into_iter().collect(), arrows });
        }
    }
    found
}

/// Sets of more than one node in which each reaches each.
pub fn strongly_connected<'a>(edges: impl Iterator<Item = &'a (String, String)>) -> Vec<BTreeSet<String>> {
    let mut onward: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges {
        onward.entry(from).or_default().insert(to);
        onward.entry(to).or_default();
    }
    let reach = |start: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(at) = open.pop() {
            for next in onward.get(at.as_str()).into_iter().flatten() {
                if seen.insert((*next).to_owned()) {
                    open.push((*next).to_owned());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = onward.keys().map(|node| (*node, reach(node))).collect();
    let mut found: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (node, there) in &reached {
        let back = |other: &&String| reached.get(other.as_str()).is_some_and(|set| set.contains(*node));
        let together: BTreeSet<String> = there.iter().filter(back).cloned().collect();
        if together.len() > 1 {
            found.insert(together);
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::tests::written;

    #[test]
    fn a_circle_of_two_files_of_two_folders_and_with_the_folder_s_own_file_is_found() {
        let mut all = written(
            "circle",
            &[
                ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
                ("a/mod.rs", "pub mod x;\npub struct Error;\nfn f() { x::g() }\n"),
                ("a/x.rs", "pub fn g() -> super::Error { crate::c::h(); super::Error }\n"),
                ("b.rs", "use crate::c::{self, h};\npub struct B;\nfn k() { h(); c::h() }\n"),
                ("c.rs", "pub fn h() -> crate::b::B { crate::b::B }\n"),
            ],
        );
        let found: Vec<Vec<String>> = circles(&all.arrows()).into_iter().map(|circle| circle.parts).collect();
        assert_eq!(found, [vec!["b".to_owned(), "c".into()], vec!["a/mod".into(), "x".into()]]);
    }

    #[test]
    fn downward_alone_is_no_circle() {
        let mut all = written(
            "none",
            &[
                ("lib.rs", "mod a;\nmod b;\n"),
                ("a.rs", "use super::b::B as Other;\nfn f(b: Other) {}\n"),
                ("b.rs", "pub(super) struct B;\npub(crate) fn f() {}\n"),
            ],
        );
        let found = all.arrows();
        assert!(circles(&found).is_empty() && !found.is_empty(), "{found:?}");
    }
}
