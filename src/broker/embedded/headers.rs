//! Matching of the headers exchange.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    All,
    Any,
}

/// The arguments of a binding to a headers exchange.
#[derive(Debug)]
pub(super) struct HeaderRule {
    demand: Demand,
    wanted: Vec<(String, AMQPValue)>,
}

impl HeaderRule {
    /// # Errors
    /// 406 where `x-match` is none of `all`, `any`, `all-with-x`, `any-with-x`.
    pub(super) fn new(arguments: &FieldTable) -> Result<Self, Refusal> {
        let (demand, with_x) = match arguments.inner().get("x-match") {
            None => (Demand::All, false),
            Some(AMQPValue::LongString(value)) => match value.as_bytes() {
                b"all" => (Demand::All, false),
                b"any" => (Demand::Any, false),
                b"all-with-x" => (Demand::All, true),
                b"any-with-x" => (Demand::Any, true),
                _ => {
                    return Err(Refusal::precondition_failed(format!(
                        "Invalid x-match field value <<\"{value}\">>; expected all, any, all-with-x, or any-with-x"
                    )));
                }
            },
            Some(value) => {
                return Err(Refusal::precondition_failed(format!(
                    "Invalid x-match field type {}; expected longstr",
                    value.get_type()
                )));
            }
        };
        let wanted = arguments
            .into_iter()
            .filter(|(name, _)| name.as_str() != "x-match" && (with_x || !name.as_str().starts_with("x-")))
            .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
            .collect();
        Ok(Self { demand, wanted })
    }

    pub(super) fn accepts(&self, headers: &FieldTable) -> bool {
        let met = |(name, value): &(String, AMQPValue)| {
            headers
                .inner()
                .get(name.as_str())
                .is_some_and(|given| equal(value, given))
        };
        match self.demand {
            Demand::All => self.wanted.iter().all(met),
            Demand::Any => self.wanted.iter().any(met),
        }
    }
}

/// A void value asks only for the header's presence; numbers compare by value, whatever their width.
fn equal(wanted: &AMQPValue, given: &AMQPValue) -> bool {
    match (wanted, given) {
        (AMQPValue::Void, _) => true,
        _ => wanted == given || integer(wanted).is_some_and(|number| integer(given) == Some(number)),
    }
}

/// The value of any integer type.
pub(super) fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortUInt(number) => i64::from(*number),
        AMQPValue::ShortInt(number) => i64::from(*number),
        AMQPValue::ShortUInt(number) => i64::from(*number),
        AMQPValue::LongInt(number) => i64::from(*number),
        AMQPValue::LongUInt(number) => i64::from(*number),
        AMQPValue::LongLongInt(number) => *number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    #[test]
    fn all_wants_every_header_and_any_one_of_them() {
        let wanted = [("kind", text("order")), ("size", AMQPValue::LongInt(3))];
        let mut any = wanted.to_vec();
        any.push(("x-match", text("any")));
        let all = HeaderRule::new(&table(&wanted)).expect("valid");
        let any = HeaderRule::new(&table(&any)).expect("valid");
        let one = table(&[("kind", text("order"))]);
        let both = table(&[
            ("kind", text("order")),
            ("size", AMQPValue::LongLongInt(3)),
            ("more", text("")),
        ]);
        assert!(!all.accepts(&one) && any.accepts(&one));
        assert!(all.accepts(&both) && any.accepts(&both));
        assert!(!any.accepts(&table(&[])));
    }

    #[test]
    fn without_demands_all_accepts_everything_and_any_nothing() {
        assert!(HeaderRule::new(&table(&[])).expect("valid").accepts(&table(&[])));
        assert!(
            !HeaderRule::new(&table(&[("x-match", text("any"))]))
                .expect("valid")
                .accepts(&table(&[]))
        );
    }

    #[test]
    fn x_headers_count_only_when_asked_for() {
        let rule = |demand| HeaderRule::new(&table(&[("x-match", text(demand)), ("x-a", text("1"))])).expect("valid");
        assert!(rule("all").accepts(&table(&[])));
        assert!(!rule("all-with-x").accepts(&table(&[])));
    }

    #[test]
    fn an_unknown_demand_is_refused() {
        assert_eq!(
            HeaderRule::new(&table(&[("x-match", text("some"))]))
                .expect_err("refused")
                .code,
            406
        );
    }
}
