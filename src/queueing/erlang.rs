//! Erlang's formulas: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic
//! telephone exchanges" (1917); the recursion as in Kleinrock, "Queueing Systems I" (1975), section 3.6.

/// The probability that all of `servers` are busy and an arrival is turned away, with `offered` erlangs (arrival rate × service
/// time, at least 0).
pub fn erlang_b(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked))
}

/// The probability that an arrival has to wait for one of `servers`, with `offered` erlangs; absent where they cannot keep up
/// (`offered` not below `servers`).
pub fn erlang_c(servers: u32, offered: f64) -> Option<f64> {
    let share = offered / f64::from(servers);
    if !(0.0..1.0).contains(&share) {
        return None;
    }
    let blocked = erlang_b(servers, offered);
    Some(blocked / (1.0 - share * (1.0 - blocked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_probabilities_are_those_of_the_tables() {
        // Erlang B: 1 % at 10 servers and 4.461 erlangs, 0.1 % at 20 servers and 9.411 (tables of the ITU, E.520).
        for (servers, offered, blocked) in [
            (10, 4.461, 0.01),
            (20, 9.411, 0.001),
            (2, 0.1526, 0.01),
            (50, 37.90, 0.01),
        ] {
            let found = erlang_b(servers, offered);
            assert!((found / blocked - 1.0).abs() < 0.01, "{servers}, {offered}: {found}");
        }
        // Erlang C in closed form: one server ρ, two servers 2ρ²/(1+ρ).
        assert_eq!(erlang_c(1, 0.7), Some(0.7));
        let two = erlang_c(2, 1.6).expect("they keep up");
        assert!((two - 2.0 * 0.64 / 1.8).abs() < 1e-12, "{two}");
        assert_eq!((erlang_c(2, 2.0), erlang_c(0, 1.0)), (None, None));
    }

    proptest! {
        #[test]
        fn more_servers_have_fewer_waiting_and_waiting_is_likelier_than_loss(servers in 1u32..200, share in 0.01f64..0.99) {
            let offered = share * f64::from(servers);
            let wait = erlang_c(servers, offered).unwrap();
            prop_assert!((0.0..=1.0).contains(&wait) && wait >= erlang_b(servers, offered));
            prop_assert!(erlang_c(servers + 1, offered).unwrap() <= wait);
        }
    }
}
