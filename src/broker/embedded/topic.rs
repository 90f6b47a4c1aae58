//! Topic matching: a trie over dot-separated words, where `*` stands for one word and `#` for any number of them.

use std::collections::HashMap;

use super::routing::{Destination, Targets};

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    targets: Targets,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.targets.is_empty()
    }
}

/// The patterns bound to one topic exchange.
#[derive(Debug, Default)]
pub(super) struct TopicTrie {
    root: Node,
}

impl TopicTrie {
    pub(super) fn add(&mut self, pattern: &str, destination: &Destination) {
        let mut node = &mut self.root;
        for word in words(pattern) {
            node = node.children.entry(word.into()).or_default();
        }
        node.targets.add(destination);
    }

    pub(super) fn remove(&mut self, pattern: &str, destination: &Destination) {
        let words: Vec<&str> = words(pattern).collect();
        remove(&mut self.root, &words, destination);
    }

    /// Calls `found` for each destination whose pattern matches; one may be found several times.
    pub(super) fn matches(&self, key: &str, found: &mut impl FnMut(&Destination)) {
        let words: Vec<&str> = words(key).collect();
        visit(&self.root, &words, found);
    }
}

/// The words of a key; the empty key has none, as in RabbitMQ, so that `#` matches it and `*` does not.
fn words(key: &str) -> impl Iterator<Item = &str> {
    let split = if key.is_empty() { None } else { Some(key.split('.')) };
    split.into_iter().flatten()
}

fn visit(node: &Node, words: &[&str], found: &mut impl FnMut(&Destination)) {
    if let Some(hash) = node.children.get("#") {
        visit_hash(hash, words, found);
    }
    let Some((word, rest)) = words.split_first() else {
        node.targets.each(found);
        return;
    };
    if let Some(child) = node.children.get(*word)
        && *word != "*"
        && *word != "#"
    {
        visit(child, rest, found);
    }
    if let Some(star) = node.children.get("*") {
        visit(star, rest, found);
    }
}

/// `node` was reached over `#`: it goes on from every remainder of the words.
fn visit_hash(node: &Node, words: &[&str], found: &mut impl FnMut(&Destination)) {
    if node.children.is_empty() {
        // The common case of a trailing `#`: nothing below can distinguish the remainders.
        node.targets.each(found);
        return;
    }
    for skipped in 0..=words.len() {
        visit(node, &words[skipped..], found);
    }
}

fn remove(node: &mut Node, words: &[&str], destination: &Destination) {
    let Some((word, rest)) = words.split_first() else {
        node.targets.remove(destination);
        return;
    };
    if let Some(child) = node.children.get_mut(*word) {
        remove(child, rest, destination);
        if child.is_empty() {
            node.children.remove(*word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(name: &str) -> Destination {
        Destination::Exchange(name.into())
    }

    fn is_match(pattern: &str, key: &str) -> bool {
        let mut trie = TopicTrie::default();
        trie.add(pattern, &target("x"));
        let mut hits = 0;
        trie.matches(key, &mut |_| hits += 1);
        hits > 0
    }

    /// The definition, slowly: `#` either ends here or swallows one word.
    fn oracle(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => oracle(rest, key) || (!key.is_empty() && oracle(pattern, &key[1..])),
            (Some((&"*", rest)), Some((_, keys))) => oracle(rest, keys),
            (Some((word, rest)), Some((first, keys))) => word == first && oracle(rest, keys),
            _ => false,
        }
    }

    #[test]
    fn star_is_one_word_and_hash_any_number() {
        assert!(is_match("order.*.paid", "order.42.paid"));
        assert!(!is_match("order.*.paid", "order.paid"));
        assert!(is_match("order.#", "order"));
        assert!(is_match("order.#.paid", "order.eu.42.paid"));
        assert!(is_match("#", ""));
        assert!(!is_match("*", ""));
        assert!(is_match("", ""));
    }

    #[test]
    fn an_unbound_pattern_leaves_nothing_behind() {
        let mut trie = TopicTrie::default();
        trie.add("a.b.#", &target("x"));
        trie.add("a.*", &target("y"));
        trie.remove("a.b.#", &target("x"));
        trie.remove("a.*", &target("y"));
        assert!(trie.root.is_empty());
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_definition(
            pattern in proptest::collection::vec("[ab#*]", 0..6),
            key in proptest::collection::vec("[ab]", 0..6),
        ) {
            let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let expected = oracle(&pattern, &key);
            prop_assert_eq!(is_match(&pattern.join("."), &key.join(".")), expected);
        }
    }
}
