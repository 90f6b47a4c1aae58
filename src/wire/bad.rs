//! Bodies that are wrong on purpose, made from a sound one.

use serde_json::Value;

use crate::orders::OrderNumber;
use crate::workload::model::BadKind;

/// Number of the first order that no trial has: a bad message names one beyond, so that whoever takes it for sound is found out.
const NOBODY_S: OrderNumber = 1 << 50;
/// A version of the body's layout that nobody knows.
const UNKNOWN_VERSION: u32 = 99;

/// The order that the bad message beside order `number` names.
pub const fn number_beside(number: OrderNumber) -> OrderNumber {
    NOBODY_S + number
}

/// A body with this wrong about it; `size_limit` is the largest that the stages take. One that nothing is to be wrong with but
/// its routing key stays as it is.
pub fn spoiled(kind: BadKind, sound: Vec<u8>, size_limit: u64) -> Vec<u8> {
    let change = |change: fn(&mut Value)| {
        let mut body: Value = serde_json::from_slice(&sound).expect("a sound body is JSON");
        change(&mut body);
        body
    };
    let body = match kind {
        BadKind::Unroutable => return sound,
        BadKind::Malformed => return sound[..sound.len() / 2].to_vec(),
        BadKind::WrongType => change(|body| body["publishedNs"] = "soon".into()),
        BadKind::UnknownVersion => change(|body| body["schema"] = UNKNOWN_VERSION.into()),
        BadKind::MissingField => change(|body| {
            if let Some(fields) = body.as_object_mut() {
                fields.remove("orderId");
            }
        }),
        BadKind::Oversize => {
            let mut body = change(|_| {});
            body["padding"] = "x".repeat(usize::try_from(size_limit).unwrap_or(0) + 1).into();
            body
        }
    };
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Encoder, Malformed, OrderIds, decode};

    #[test]
    fn each_kind_is_wrong_in_its_own_way() {
        let ids = OrderIds::new("ab12-1");
        let sound = Encoder::new(ids.clone(), 0).job(number_beside(7), 1, 2);
        let read = |kind| decode(&ids, &spoiled(kind, sound.clone(), 5_000));
        let says = |kind, what: &str| match read(kind) {
            Err(Malformed::Json(why)) => assert!(why.contains(what), "{}: {why}", kind.name()),
            other => panic!("{}: {other:?}", kind.name()),
        };
        says(BadKind::Malformed, "EOF");
        says(BadKind::WrongType, "invalid type");
        says(BadKind::MissingField, "missing field `orderId`");
        assert_eq!(read(BadKind::UnknownVersion), Err(Malformed::Schema(UNKNOWN_VERSION)));
        assert_eq!(read(BadKind::Unroutable).map(|read| read.number), Ok(number_beside(7)));
        let large = spoiled(BadKind::Oversize, sound.clone(), 5_000);
        assert!(
            large.len() > 5_000 && decode(&ids, &large).is_ok(),
            "its size alone is wrong"
        );
    }
}
