//! Which of several addresses a connection goes to: the nodes of a cluster, or the proxies in front of them.
//!
//! Connections are dealt out in turn as their names first come; each stays where it is until its node does not answer, and
//! then goes on to the next. Connects nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The addresses, and who goes where.
#[derive(Debug, Default)]
pub(super) struct Ways {
    addresses: Vec<SocketAddr>,
    dealt: Mutex<Dealt>,
}

#[derive(Debug, Default)]
struct Dealt {
    next: usize,
    of: HashMap<String, usize>,
}

impl Ways {
    /// Ways to `addresses`; the first connection goes to number `first` of them, counted round.
    pub(super) fn new(addresses: Vec<SocketAddr>, first: usize) -> Self {
        Ways {
            addresses,
            dealt: Mutex::new(Dealt {
                next: first,
                of: HashMap::new(),
            }),
        }
    }

    /// An insertion is whole or has not happened, so a panic elsewhere has not torn it.
    fn dealt(&self) -> MutexGuard<'_, Dealt> {
        self.dealt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the connection `name` is to be tried, in this order; once at the broker's own address (`None`) where there is none.
    pub(super) fn of(&self, name: &str) -> Vec<Option<SocketAddr>> {
        if self.addresses.is_empty() {
            return vec![None];
        }
        let mut dealt = self.dealt();
        let next = dealt.next;
        let known = dealt.of.get(name).copied();
        let first = known.unwrap_or(next);
        if known.is_none() {
            dealt.next = next.wrapping_add(1);
            dealt.of.insert(name.to_owned(), first);
        }
        let count = self.addresses.len();
        (0..count)
            .map(|step| Some(self.addresses[(first % count + step) % count]))
            .collect()
    }

    /// The connection `name` was opened there, and begins there the next time.
    pub(super) fn took(&self, name: &str, way: Option<SocketAddr>) {
        let at = way.and_then(|way| self.addresses.iter().position(|address| *address == way));
        if let Some(at) = at {
            self.dealt().of.insert(name.to_owned(), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (0..count)
            .map(|n| SocketAddr::from(([127, 0, 0, 1], 1000 + n)))
            .collect()
    }

    #[test]
    fn without_addresses_there_is_the_broker_s_own_way() {
        assert_eq!(Ways::default().of("load"), [None]);
    }

    #[test]
    fn a_connection_goes_on_to_the_next_node_and_stays_there() {
        let nodes = addresses(3);
        let ways = Ways::new(nodes.clone(), 0);
        assert_eq!(ways.of("a")[0], Some(nodes[0]));
        assert_eq!(ways.of("b"), [Some(nodes[1]), Some(nodes[2]), Some(nodes[0])]);
        ways.took("b", Some(nodes[2]));
        assert_eq!(ways.of("b"), [Some(nodes[2]), Some(nodes[0]), Some(nodes[1])]);
        assert_eq!(ways.of("a")[0], Some(nodes[0]));
    }

    proptest! {
        #[test]
        fn connections_are_dealt_out_evenly_and_each_can_reach_every_node(
            count in 1u16..6, names in 1usize..40, first in 0usize..50
        ) {
            let ways = Ways::new(addresses(count), first);
            let mut firsts = vec![0usize; usize::from(count)];
            for name in 0..names {
                let way = ways.of(&name.to_string());
                let mut all: Vec<_> = way.iter().flatten().copied().collect();
                firsts[usize::from(all[0].port() - 1000)] += 1;
                all.sort_unstable();
                prop_assert_eq!(all, addresses(count));
            }
            let most = firsts.iter().max().copied().unwrap_or_default();
            let least = firsts.iter().min().copied().unwrap_or_default();
            prop_assert!(most - least <= 1, "{:?}", firsts);
        }
    }
}
