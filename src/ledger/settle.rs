//! The end of a trial: each order gets exactly one fate, and what is missing is named.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::EXAMPLES_MAX;
use super::book::{Counts, OrderRecord, PublishFate, step_bit, steps_due};
use super::stock::StockReport;
use crate::events::{Event, EventSet, PipelineKind, Stage};
use crate::orders::OrderNumber;
use crate::workload::model::BadKind;

/// What still lies on the broker after the drain.
#[derive(Debug, Clone, Default)]
pub struct Residue {
    /// Whether every queue was looked into; if not, a missing order may be in one.
    pub complete: bool,
    /// Orders with at least one message in a queue of the chain, without which an order does not end.
    pub queued: HashSet<OrderNumber>,
    /// Orders with at least one message in any other queue.
    pub queued_beside: HashSet<OrderNumber>,
    /// Orders with at least one dead letter of a queue of the chain.
    pub dead: HashSet<OrderNumber>,
    /// Orders with at least one dead letter of any other queue.
    pub dead_beside: HashSet<OrderNumber>,
    /// Orders with at least one message that the order exchange could not route.
    pub unrouted: HashSet<OrderNumber>,
    /// Dead letters by dead-letter queue and reason; `None`: no `x-death` header.
    pub dead_letters: BTreeMap<(String, Option<String>), u64>,
    /// Dead letters that are no message of this run (put in from outside).
    pub foreign_dead_letters: u64,
    /// Dead letters that the load made bad on purpose.
    pub bad_dead_letters: BTreeMap<BadKind, u64>,
    /// What queues dropped.
    pub drops: Drops,
}

impl Residue {
    /// Whether a message of the order lies somewhere.
    fn explains(&self, number: OrderNumber) -> bool {
        [
            &self.queued,
            &self.queued_beside,
            &self.dead,
            &self.dead_beside,
            &self.unrouted,
        ]
        .into_iter()
        .any(|orders| orders.contains(&number))
    }
}

/// What queues may drop by their own rules, a length limit or a time to live, with nowhere to find it.
#[derive(Debug, Clone, Default)]
pub struct Drops {
    /// Stages whose queue may.
    pub by: Vec<Stage>,
    /// Messages that the broker itself counts as dropped for these reasons; absent where it does not tell.
    pub counted: Option<u64>,
}

/// Each order placed has exactly one of these fates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fates {
    /// Ended in `order.completed`.
    pub completed: u64,
    /// Ended in `order.cancelled`: out of stock.
    pub cancelled_out_of_stock: u64,
    /// Ended in `order.cancelled`: payment declined.
    pub cancelled_payment_declined: u64,
    /// Did not end; a message of it is a dead letter.
    pub dead_lettered: u64,
    /// Did not end; a message of it is still in a queue.
    pub still_queued: u64,
    /// Did not end; a message of it could not be routed and lies in the queue for those.
    pub unrouted: u64,
    /// Confirmed, and did not end because a queue that may drop messages (full, or expired) never delivered one of it.
    pub dropped: u64,
    /// Confirmed, and neither ended nor to be found anywhere, nor dropped where that is allowed.
    pub lost: u64,
    /// Refused by the broker (nack), and not seen since.
    pub nacked: u64,
    /// Returned as unroutable, and not seen since.
    pub returned: u64,
    /// It did not end, and either the broker never answered for it, or it was confirmed and not every queue could be looked
    /// into.
    pub unknown: u64,
}

impl Fates {
    /// Orders placed.
    pub fn total(&self) -> u64 {
        self.completed
            + self.cancelled()
            + self.dead_lettered
            + self.still_queued
            + self.unrouted
            + self.dropped
            + self.lost
            + self.nacked
            + self.returned
            + self.unknown
    }

    /// Orders that ended in `order.cancelled`.
    pub fn cancelled(&self) -> u64 {
        self.cancelled_out_of_stock + self.cancelled_payment_declined
    }
}

/// An order with what is known of its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// Its number; the order id carries it.
    pub order: OrderNumber,
    /// What its publish came to.
    pub publish: String,
    /// Events published for it.
    pub events: Vec<Event>,
    /// Steps that its events call for and that did not happen, as `stage: event`.
    pub missing: Vec<String>,
}

/// How often an effect happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCount {
    /// Which stage.
    pub stage: Stage,
    /// On account of which event.
    pub event: Event,
    /// Orders that had it.
    pub orders: u64,
    /// Times that it happened again.
    pub repeated: u64,
}

/// Deliveries of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// Which stage.
    pub stage: Stage,
    /// Deliveries of orders, redeliveries among them.
    pub delivered: u64,
    /// Deliveries with the broker's redelivered flag.
    pub redelivered: u64,
    /// Deliveries recognised as processed already.
    pub suppressed: u64,
    /// Messages that its queue may drop by its own rules and never delivered.
    pub dropped: u64,
}

/// Everything that the ledger has to say at the end of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// Orders handed to the broker.
    pub placed: u64,
    /// … of which the broker confirmed and routed.
    pub confirmed: u64,
    /// … refused.
    pub nacked: u64,
    /// … returned as unroutable.
    pub returned: u64,
    /// … never answered for.
    pub unanswered: u64,
    /// Not confirmed, and yet at their end with everything that belongs to it.
    pub recovered: u64,
    /// What became of each.
    pub fates: Fates,
    /// Ended orders whose audit trail has a gap.
    pub not_audited: u64,
    /// Ended orders of which a notification was not sent.
    pub not_notified: u64,
    /// Ended orders with some other step missing.
    pub unfinished: u64,
    /// Orders with an effect that happened more than once.
    pub duplicate_effect: u64,
    /// Second and later charges of an order.
    pub charged_again: u64,
    /// What payments took, cents.
    pub captured_cents: u64,
    /// What the charged orders cost, cents.
    pub due_cents: u64,
    /// Effects, answers and events without a cause, and second ends.
    pub causeless: u64,
    /// The stock.
    pub stock: StockReport,
    /// Effects, by stage and event.
    pub effects: Vec<EffectCount>,
    /// Deliveries, by stage.
    pub stages: Vec<StageCounts>,
    /// Share of the end-to-end time that the steps do not account for; absent without finished orders.
    pub residual_share: Option<f64>,
    /// Dead letters: queue, reason, count; a reason is absent where the message bears no `x-death`.
    pub dead_letters: Vec<(String, Option<String>, u64)>,
    /// Dead letters that are no message of this run.
    pub foreign_dead_letters: u64,
    /// Dead letters that the load made bad on purpose, by what is wrong with them.
    #[serde(default)]
    pub bad_dead_letters: BTreeMap<BadKind, u64>,
    /// Messages that were tried more often than the retry limit allows.
    #[serde(default)]
    pub beyond_retry_limit: u64,
    /// Ended orders of which a step of the chain is undone because its message lies in a queue or a dead-letter queue.
    #[serde(default)]
    pub set_aside: u64,
    /// Whether every queue was looked into after the drain.
    pub residue_complete: bool,
    /// Messages that the broker says its queues dropped, full or expired, with nowhere to dead-letter them; absent where it
    /// does not tell, or where no queue may.
    pub dropped_by_broker: Option<u64>,
    /// Examples by kind of breach.
    pub examples: BTreeMap<String, Vec<Trail>>,
}

/// Steps by whom their absence concerns.
const fn stage_steps(stage: Stage) -> u64 {
    let (events, mut bits, mut i) = (stage.consumes(), 0, 0);
    while i < events.len() {
        bits |= step_bit(stage, events[i]);
        i += 1;
    }
    bits
}
/// The steps that an order's end waits for.
const CRITICAL: u64 = steps_where(true);
/// All steps of the stages without which an order does not end.
const CHAIN: u64 = steps_where(false);

/// Steps of the chain, all or the critical ones.
const fn steps_where(critical: bool) -> u64 {
    let (mut bits, mut stage) = (0, 0);
    while stage < Stage::ALL.len() {
        let (this, events) = (Stage::ALL[stage], Stage::ALL[stage].consumes());
        let mut i = 0;
        while i < events.len() {
            if this.is_critical(events[i]) || (!critical && this.is_in_chain()) {
                bits |= step_bit(this, events[i]);
            }
            i += 1;
        }
        stage += 1;
    }
    bits
}

/// Steps that are missing because these are: a notification that was dropped goes out by no channel.
fn follows(dropped: u64) -> u64 {
    let events = Stage::Notification.consumes().iter();
    events
        .filter(|event| dropped & step_bit(Stage::Notification, **event) != 0)
        .fold(0, |steps, event| {
            steps | step_bit(Stage::Email, *event) | step_bit(Stage::Sms, *event)
        })
}

const AUDIT: u64 = stage_steps(Stage::Audit);
const NOTIFICATION: u64 = stage_steps(Stage::Notification) | stage_steps(Stage::Email) | stage_steps(Stage::Sms);

pub(super) fn settle(
    pipeline: PipelineKind,
    counts: Counts,
    open: &[(OrderNumber, OrderRecord)],
    residue: &Residue,
    stock: StockReport,
) -> LedgerReport {
    let mut tally = Tally::new(residue);
    for (number, record) in open {
        tally.take(*number, record);
    }
    let by_number: HashMap<OrderNumber, &OrderRecord> = open.iter().map(|(number, record)| (*number, record)).collect();
    let mut named = |kind: &str, orders: &[OrderNumber]| {
        let trails = orders
            .iter()
            .take(EXAMPLES_MAX)
            .map(|number| trail(*number, by_number.get(number).copied()));
        let trails: Vec<Trail> = trails.collect();
        if !trails.is_empty() {
            tally.examples.insert(kind.to_owned(), trails);
        }
    };
    named("duplicate_effect", &counts.repeated_orders);
    named("charged_again", &counts.charged_again_orders);
    named("causeless", &counts.causeless_orders);
    named("oversold", &stock.oversold_orders);
    named("beyond_retry_limit", &counts.beyond_limit_orders);
    let mut fates = tally.fates;
    fates.completed = counts.completed;
    fates.cancelled_out_of_stock = counts.cancelled_out_of_stock;
    fates.cancelled_payment_declined = counts.cancelled_declined;
    LedgerReport {
        placed: counts.placed,
        confirmed: counts.confirmed,
        nacked: counts.nacked,
        returned: counts.returned,
        unanswered: counts.unknown + tally.pending,
        recovered: counts.recovered + tally.recovered,
        fates,
        not_audited: tally.not_audited,
        not_notified: tally.not_notified,
        unfinished: tally.unfinished,
        duplicate_effect: counts.repeated_orders_count,
        charged_again: counts.charged_again,
        captured_cents: counts.captured_cents,
        due_cents: counts.due_cents,
        causeless: counts.causeless + counts.second_ends,
        effects: effects(pipeline, &counts),
        stages: stages(pipeline, &counts, &tally.dropped),
        residual_share: (counts.end_to_end_sum > 0).then(|| counts.residual_sum as f64 / counts.end_to_end_sum as f64),
        dead_letters: residue
            .dead_letters
            .iter()
            .map(|((queue, reason), n)| (queue.clone(), reason.clone(), *n))
            .collect(),
        foreign_dead_letters: residue.foreign_dead_letters,
        bad_dead_letters: residue.bad_dead_letters.clone(),
        beyond_retry_limit: counts.beyond_limit,
        set_aside: tally.set_aside,
        residue_complete: residue.complete,
        dropped_by_broker: residue.drops.counted.filter(|_| !residue.drops.by.is_empty()),
        stock,
        examples: tally.examples,
    }
}

/// Runs over the orders that are not closed.
struct Tally<'a> {
    residue: &'a Residue,
    fates: Fates,
    /// All steps at stages whose queue may drop.
    droppable: u64,
    pending: u64,
    recovered: u64,
    not_audited: u64,
    not_notified: u64,
    unfinished: u64,
    set_aside: u64,
    /// Messages that a queue may drop and that were never delivered, by [`Stage::index`].
    dropped: [u64; Stage::ALL.len()],
    examples: BTreeMap<String, Vec<Trail>>,
}

impl<'a> Tally<'a> {
    fn new(residue: &'a Residue) -> Self {
        Tally {
            residue,
            droppable: residue
                .drops
                .by
                .iter()
                .fold(0, |steps, stage| steps | stage_steps(*stage)),
            dropped: [0; Stage::ALL.len()],
            fates: Fates::default(),
            pending: 0,
            recovered: 0,
            not_audited: 0,
            not_notified: 0,
            unfinished: 0,
            set_aside: 0,
            examples: BTreeMap::new(),
        }
    }

    fn example(&mut self, kind: &str, number: OrderNumber, record: &OrderRecord) {
        let examples = self.examples.entry(kind.to_owned()).or_default();
        if examples.len() < EXAMPLES_MAX {
            examples.push(trail(number, Some(record)));
        }
    }

    fn take(&mut self, number: OrderNumber, record: &OrderRecord) {
        self.pending += u64::from(record.fate == PublishFate::Pending);
        if record.ended {
            self.recovered += u64::from(record.fate != PublishFate::Confirmed);
            return self.missing_steps(number, record);
        }
        let dropped = self.dropped_steps(number, record);
        if self.residue.dead.contains(&number) {
            self.fates.dead_lettered += 1;
            return self.example("dead_lettered", number, record);
        }
        if self.residue.queued.contains(&number) {
            self.fates.still_queued += 1;
            return self.example("still_queued", number, record);
        }
        if self.residue.unrouted.contains(&number) {
            self.fates.unrouted += 1;
            return self.example("unrouted", number, record);
        }
        match record.fate {
            PublishFate::Confirmed if self.residue.complete && dropped & CRITICAL != 0 => {
                self.fates.dropped += 1;
                self.example("dropped", number, record);
            }
            PublishFate::Confirmed if self.residue.complete => {
                self.fates.lost += 1;
                self.example("lost", number, record);
            }
            // Where the chain has begun with it, another queue than its own refused it.
            PublishFate::Nacked if record.done & CHAIN == 0 => self.fates.nacked += 1,
            PublishFate::Returned => self.fates.returned += 1,
            PublishFate::Confirmed | PublishFate::Nacked | PublishFate::Unknown | PublishFate::Pending => {
                self.fates.unknown += 1;
                self.example("unknown", number, record);
            }
        }
    }

    /// Steps whose message a queue may have dropped, and which nothing else explains: published for certain, never settled by
    /// a consumer, not to be found. Counts them.
    fn dropped_steps(&mut self, number: OrderNumber, record: &OrderRecord) -> u64 {
        let mut published = steps_due(record.emitted);
        if record.fate != PublishFate::Confirmed {
            // A negative confirm of a fan-out says nothing about any one queue.
            published &= !steps_due(first_events());
        }
        // A step whose effect stands but whose event could not be published went back to its queue, and may have ended there.
        let went_back = !record.attempted.is_subset(record.emitted);
        let undone = if went_back { u64::MAX } else { !record.done };
        let missing = published & self.droppable & !record.settled & undone;
        if missing == 0 || self.residue.explains(number) {
            return 0;
        }
        for stage in Stage::ALL {
            self.dropped[stage.index()] += u64::from((missing & stage_steps(stage)).count_ones());
        }
        missing
    }

    /// An order at its end of which something is still due. What lies in a queue or a dead-letter queue explains it.
    fn missing_steps(&mut self, number: OrderNumber, record: &OrderRecord) {
        let dropped = self.dropped_steps(number, record);
        let undone = steps_due(record.emitted) & !record.done;
        let excused = dropped | never_promised(record, undone);
        let missing = undone & !excused & !follows(excused);
        if missing == 0 {
            return;
        }
        if self.residue.explains(number) {
            self.set_aside += u64::from(missing & CHAIN != 0);
            return;
        }
        if missing & AUDIT != 0 {
            self.not_audited += 1;
            self.example("not_audited", number, record);
        }
        if missing & NOTIFICATION != 0 {
            self.not_notified += 1;
            self.example("not_notified", number, record);
        }
        if missing & !(AUDIT | NOTIFICATION) != 0 {
            self.unfinished += 1;
            self.example("unfinished", number, record);
        }
    }
}

/// The events that a load publishes, once.
fn first_events() -> EventSet {
    EventSet::from_iter([Event::OrderCreated, Event::JobQueued])
}

/// Of `undone` what the load's own publish calls for, if that was never confirmed: a broker that went down in the middle of a
/// fan-out may have it in one queue and not in the next.
fn never_promised(record: &OrderRecord, undone: u64) -> u64 {
    if record.fate == PublishFate::Confirmed {
        return 0;
    }
    undone & steps_due(first_events()) & !(stage_steps(Stage::Email) | stage_steps(Stage::Sms))
}

fn trail(number: OrderNumber, record: Option<&OrderRecord>) -> Trail {
    let Some(record) = record else {
        let publish = "the order was closed; its trail is folded into the counts".to_owned();
        return Trail {
            order: number,
            publish,
            events: Vec::new(),
            missing: Vec::new(),
        };
    };
    let due = steps_due(record.emitted) & !record.done;
    let missing = Stage::ALL.into_iter().flat_map(|stage| {
        let events = stage
            .consumes()
            .iter()
            .filter(move |event| due & step_bit(stage, **event) != 0);
        events.map(move |event| format!("{stage}: {event}"))
    });
    Trail {
        order: number,
        publish: format!("{:?}", record.fate).to_lowercase(),
        events: record.emitted.iter().collect(),
        missing: missing.collect(),
    }
}

fn effects(pipeline: PipelineKind, counts: &Counts) -> Vec<EffectCount> {
    let pairs = pipeline
        .stages()
        .iter()
        .flat_map(|stage| stage.consumes().iter().map(move |event| (*stage, *event)));
    pairs
        .map(|(stage, event)| EffectCount {
            stage,
            event,
            orders: counts.effects[stage.index()][event.index()],
            repeated: counts.repeated[stage.index()][event.index()],
        })
        .collect()
}

fn stages(pipeline: PipelineKind, counts: &Counts, dropped: &[u64; Stage::ALL.len()]) -> Vec<StageCounts> {
    let stages = pipeline.stages().iter().copied();
    stages
        .map(|stage| StageCounts {
            stage,
            delivered: counts.deliveries[stage.index()],
            redelivered: counts.redeliveries[stage.index()],
            suppressed: counts.suppressed[stage.index()],
            dropped: dropped[stage.index()],
        })
        .collect()
}
