//! Bodies and properties of the pipeline's messages: JSON, schema version 1.
//!
//! The stamps in the body are nanoseconds on the run's clock; the AMQP `timestamp` property, in whole seconds, is there for
//! people and other tools and is never subtracted from anything.

use lapin::BasicProperties;
use serde::{Deserialize, Serialize};

use crate::clock::{Nanos, unix_seconds};
use crate::events::Event;
use crate::orders::{Line, Order, OrderNumber, price_cents};
use crate::workload::model::Publish;

/// Version of the body's layout.
const SCHEMA: u32 = 1;

/// Makes and reads the order ids of one trial: `<run>-<trial>-<number>`.
#[derive(Debug, Clone)]
pub struct OrderIds {
    prefix: String,
}

impl OrderIds {
    /// Ids that start with `prefix`, a run's and trial's own.
    pub fn new(prefix: &str) -> Self {
        OrderIds {
            prefix: format!("{prefix}-"),
        }
    }

    /// What [`OrderIds::new`] was given.
    pub fn prefix(&self) -> &str {
        &self.prefix[..self.prefix.len() - 1]
    }

    /// The id of an order.
    pub fn id(&self, number: OrderNumber) -> String {
        format!("{}{number:08}", self.prefix)
    }

    /// The order of an id; `None` for an id of another run or of no run.
    pub fn number(&self, id: &str) -> Option<OrderNumber> {
        let digits = id.strip_prefix(&self.prefix)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
    }
}

/// What travels from stage to stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Which order.
    pub number: OrderNumber,
    /// What happened to it.
    pub event: Event,
    /// When the order should have been sent.
    pub intended: Nanos,
    /// When this message was published.
    pub published: Nanos,
    /// Price of the whole order.
    pub cents: u64,
    /// Items; in `order.created` only.
    pub lines: Vec<Line>,
}

/// A job costs nothing, and its body says nothing of it.
const fn is_free(cents: &u64) -> bool {
    *cents == 0
}

/// The body as it is on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    schema: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    order_id: &'a str,
    intended_ns: Nanos,
    published_ns: Nanos,
    #[serde(default, skip_serializing_if = "is_free")]
    amount_cents: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<BodyLine>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    padding: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BodyLine {
    item: u32,
    quantity: u32,
    price_cents: u64,
}

/// Why a delivery is no message of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not the JSON that it should be.
    #[error("the body is not a message of the pipeline: {0}")]
    Json(String),
    /// A version that nobody here knows.
    #[error("schema version {0} is not known")]
    Schema(u32),
    /// No event of the pipeline.
    #[error("`{0}` is no event of the pipeline")]
    Event(String),
    /// Another run's order, or none.
    #[error("`{0}` is no order of this trial")]
    OrderId(String),
}

/// Writes bodies of at least a given size.
#[derive(Debug)]
pub struct Encoder {
    ids: OrderIds,
    least_bytes: usize,
    padding: String,
}

impl Encoder {
    /// Bodies shorter than `least_bytes` are padded.
    pub fn new(ids: OrderIds, least_bytes: u64) -> Self {
        let least_bytes = usize::try_from(least_bytes).unwrap_or(usize::MAX);
        Encoder {
            ids,
            least_bytes,
            padding: "x".repeat(least_bytes),
        }
    }

    /// The ids that this encoder writes.
    pub fn ids(&self) -> &OrderIds {
        &self.ids
    }

    /// The body of `order.created`.
    pub fn order_created(&self, order: &Order, intended: Nanos, published: Nanos) -> Vec<u8> {
        let items = order.lines.iter().map(|line| BodyLine {
            item: line.item,
            quantity: line.quantity,
            price_cents: price_cents(line.item),
        });
        let id = self.ids.id(order.number);
        self.body(Body {
            schema: SCHEMA,
            kind: Event::OrderCreated.name(),
            order_id: &id,
            intended_ns: intended,
            published_ns: published,
            amount_cents: order.cents(),
            user: Some(order.user),
            items: items.collect(),
            padding: "",
        })
    }

    /// The body of an event that follows from `cause`.
    pub fn event(&self, event: Event, cause: &Envelope, published: Nanos) -> Vec<u8> {
        let id = self.ids.id(cause.number);
        self.body(Body {
            schema: SCHEMA,
            kind: event.name(),
            order_id: &id,
            intended_ns: cause.intended,
            published_ns: published,
            amount_cents: cause.cents,
            user: None,
            items: Vec::new(),
            padding: "",
        })
    }

    /// The body of a job.
    pub fn job(&self, number: OrderNumber, intended: Nanos, published: Nanos) -> Vec<u8> {
        let id = self.ids.id(number);
        self.body(Body {
            schema: SCHEMA,
            kind: Event::JobQueued.name(),
            order_id: &id,
            intended_ns: intended,
            published_ns: published,
            amount_cents: 0,
            user: None,
            items: Vec::new(),
            padding: "",
        })
    }

    fn body(&self, body: Body<'_>) -> Vec<u8> {
        const BEFORE: &[u8] = br#","padding":""#;
        const AFTER: &[u8] = br#""}"#;
        /// Most of what stands before the padding.
        const HEAD: usize = 320;
        let mut bytes = Vec::with_capacity(HEAD.max(self.least_bytes + BEFORE.len()));
        to_json(&body, &mut bytes);
        if bytes.len() >= self.least_bytes {
            return bytes;
        }
        // It is the last field, and goes where the object was closed.
        let frame = BEFORE.len() + AFTER.len() - 1;
        let missing = (self.least_bytes - bytes.len()).saturating_sub(frame).max(1);
        bytes.pop();
        bytes.extend_from_slice(BEFORE);
        bytes.extend_from_slice(&self.padding.as_bytes()[..missing.min(self.padding.len())]);
        bytes.extend_from_slice(AFTER);
        bytes
    }
}

fn to_json(body: &Body<'_>, bytes: &mut Vec<u8>) {
    serde_json::to_writer(bytes, body).expect("a body holds nothing but numbers and strings, which JSON can write");
}

/// Reads a body.
///
/// # Errors
/// [`Malformed`]: the delivery belongs into the dead-letter queue, and no retry will mend it.
pub fn decode(ids: &OrderIds, bytes: &[u8]) -> Result<Envelope, Malformed> {
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|error| Malformed::Json(error.to_string()))?;
    if body.schema != SCHEMA {
        return Err(Malformed::Schema(body.schema));
    }
    Ok(Envelope {
        number: ids
            .number(body.order_id)
            .ok_or_else(|| Malformed::OrderId(body.order_id.to_owned()))?,
        event: Event::by_name(body.kind).ok_or_else(|| Malformed::Event(body.kind.to_owned()))?,
        intended: body.intended_ns,
        published: body.published_ns,
        cents: body.amount_cents,
        lines: body
            .items
            .iter()
            .map(|line| Line {
                item: line.item,
                quantity: line.quantity,
            })
            .collect(),
    })
}

/// Properties of an event's message. `kind` goes before the event in the message id, to tell a notification from its cause.
pub fn properties(ids: &OrderIds, number: OrderNumber, event: Event, kind: Kind, publish: &Publish) -> BasicProperties {
    let id = ids.id(number);
    let (message_id, type_name) = match kind {
        Kind::Event => (format!("{id}/{event}"), event.name().to_owned()),
        Kind::Notification => (format!("{id}/notification.{event}"), format!("notification.{event}")),
    };
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(if publish.persistent { 2 } else { 1 })
        .with_correlation_id(id.into())
        .with_message_id(message_id.into())
        .with_type(type_name.into())
        .with_app_id("orderstorm".into())
        .with_timestamp(unix_seconds())
}

/// Properties of a job's message: what its consumer and the clean-up need of them, and no more.
pub fn job_properties(ids: &OrderIds, number: OrderNumber, publish: &Publish) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(if publish.persistent { 2 } else { 1 })
        .with_correlation_id(ids.id(number).into())
        .with_app_id("orderstorm".into())
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event on the order exchange.
    Event,
    /// A notification on the notification exchange.
    Notification,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Share, Size};
    use crate::workload::model::Orders;
    use proptest::prelude::*;

    fn encoder(least_bytes: u64) -> Encoder {
        Encoder::new(OrderIds::new("ab12-1"), least_bytes)
    }

    fn order(number: OrderNumber) -> Order {
        let settings = Orders {
            items: 5,
            stock_per_item: None,
            lines_max: 3,
            quantity_max: 2,
            payment_decline: Share(0.0),
            body_size: Size(0),
            urgent: Share(0.0),
            urgent_priority: 1,
        };
        Order::draw(1, number, &settings)
    }

    #[test]
    fn what_is_written_reads_back() {
        let encoder = encoder(0);
        let order = order(77);
        let created = decode(encoder.ids(), &encoder.order_created(&order, 5, 9)).expect("a body of our own");
        assert_eq!(
            (created.number, created.event, created.intended, created.published),
            (77, Event::OrderCreated, 5, 9)
        );
        assert_eq!((created.cents, &created.lines), (order.cents(), &order.lines));
        let next =
            decode(encoder.ids(), &encoder.event(Event::InventoryReserved, &created, 11)).expect("a body of our own");
        assert_eq!(
            (next.number, next.event, next.cents, next.published),
            (77, Event::InventoryReserved, order.cents(), 11)
        );
    }

    #[test]
    fn a_job_reads_back_and_has_the_size_that_was_asked_for() {
        for least in [0, 150, 4096] {
            let encoder = encoder(least);
            let bytes = encoder.job(77, 5, 9);
            let read = decode(encoder.ids(), &bytes).expect("a body of our own");
            assert_eq!(
                (read.number, read.event, read.intended, read.published),
                (77, Event::JobQueued, 5, 9)
            );
            assert!(
                bytes.len() as u64 >= least && bytes.len() as u64 <= least.max(130) + 1,
                "{least}: {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn bodies_are_padded_to_the_given_size() {
        for least in [0, 150, 300, 4096] {
            let bytes = encoder(least).event(
                Event::OrderPaid,
                &Envelope {
                    number: 1,
                    event: Event::PaymentSuccess,
                    intended: 1,
                    published: 2,
                    cents: 3,
                    lines: Vec::new(),
                },
                4,
            );
            assert!(
                bytes.len() as u64 >= least && bytes.len() as u64 <= least.max(160) + 1,
                "{least}: {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn what_is_not_ours_is_malformed() {
        let ids = OrderIds::new("ab12-1");
        let body = |kind: &str, id: &str, schema: u32| {
            format!(
                r#"{{"schema":{schema},"type":"{kind}","orderId":"{id}","intendedNs":1,"publishedNs":2,"amountCents":3}}"#
            )
        };
        let read = |text: String| decode(&ids, text.as_bytes());
        assert!(read(body("order.paid", "ab12-1-00000007", 1)).is_ok());
        assert_eq!(
            read(body("order.paid", "ab12-1-00000007", 2)),
            Err(Malformed::Schema(2))
        );
        assert!(matches!(
            read(body("order.eaten", "ab12-1-00000007", 1)),
            Err(Malformed::Event(_))
        ));
        for id in ["zz99-1-00000007", "ab12-1-", "ab12-1-+7", ""] {
            assert!(
                matches!(read(body("order.paid", id, 1)), Err(Malformed::OrderId(_))),
                "{id}"
            );
        }
        assert!(matches!(read("not json".to_owned()), Err(Malformed::Json(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&OrderIds::new("ab12-1"), &bytes);
        }
    }
}
